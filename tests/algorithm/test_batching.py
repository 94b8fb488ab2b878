"""Episodes share slots, passes and prompts, and each is the same as if it were played alone."""

import itertools
import random
from dataclasses import asdict

import torch

from envs.protocol import Observation, Split, Turn
from grpo.types import Episode
from tests.support.echo import (
    CHAT,
    EchoEnv,
    EchoScenario,
    FakeEngine,
    call,
    noise,
    opening,
    play,
    requests,
    script,
)


def facts(episodes: list[Episode]) -> list[dict]:
    return [asdict(episode) for episode in episodes]


def test_neither_slots_nor_order_change_an_episode():
    ordered = requests(4, 3)
    expected = facts(play(FakeEngine(7, noise), ordered, rounds=3))
    for slots in (1, 3, 64):
        shuffled = random.Random(slots).sample(range(len(ordered)), len(ordered))
        episodes = facts(play(FakeEngine(slots, noise), [ordered[index] for index in shuffled], rounds=3))
        assert episodes == [expected[index] for index in shuffled]


def test_the_request_key_does_change_an_episode():
    """Negative control of the test above; siblings differ by their keys alone."""
    first, second = play(FakeEngine(2, noise), requests(1, 2), rounds=3)
    assert first.ids[: first.prompt_length] == second.ids[: second.prompt_length]
    assert first.ids != second.ids


def test_scenarios_mix_in_one_batch():
    mixed = requests(2, 2) + requests(2, 2, "other")
    episodes = play(FakeEngine(3, noise), mixed, rounds=2, other=EchoScenario("other", rounds=1))
    assert [episode.request for episode in episodes] == mixed
    assert episodes[:4] == play(FakeEngine(3, noise), mixed[:4], rounds=2)


def test_a_finished_episode_leaves_its_slot_at_once():
    """Continuous batching: the number of decode steps depends on all tokens, not on the longest episode of a batch."""
    engine = FakeEngine(4, noise)
    episodes = play(engine, requests(6, 4), rounds=2)
    sampled = sum(sum(episode.mask) for episode in episodes)
    assert engine.most_open == 4 and not engine.caches
    longest = max(sum(episode.mask) for episode in episodes)
    assert sampled / 4 <= engine.steps + 2 * len(episodes)
    assert engine.steps < sampled / 4 + 2 * longest


def test_calls_are_executed_while_other_episodes_decode():
    """The first episode's call is answered before the second has finished its first turn."""
    lengths: list[int] = []

    class Watching(EchoScenario):
        def env(self, seed: int, split: Split) -> EchoEnv:
            env = super().env(seed, split)
            execute = env.step

            def step(turn: Turn) -> Observation:
                lengths.append(max(map(len, engine.caches.values())))
                return execute(turn)

            env.step = step  # type: ignore[method-assign]
            return env

    short, long = CHAT.turn(call("a")), CHAT.turn(Turn("b" * 100))
    prompt = len(CHAT.prompt(opening(1), EchoEnv(1).tools))

    def policy(history: list[int]) -> torch.Tensor:
        turns = [long] if CHAT.tokenizer.decode(history).count(opening(1)[1]["content"]) else [short, long]
        return script(*turns)(history)

    engine = FakeEngine(2, policy)
    play(engine, requests(2, 1), echo=Watching())
    assert lengths[0] < prompt + len(long) <= lengths[-1] + 1


def test_shared_tokens_are_prefilled_once():
    engine = FakeEngine(12, noise)
    episodes = play(engine, requests(3, 4), rounds=3)
    prompts = {episode.group: episode.ids[: episode.prompt_length] for episode in episodes}
    common = len(list(itertools.takewhile(lambda column: len(set(column)) == 1, zip(*prompts.values(), strict=False))))
    assert common > 100
    injected = sum(len(e.ids) - e.prompt_length - sum(e.mask) + e.turns - 1 for e in episodes)
    # The common prefix, the rest of each task's prompt but its last token, and per episode that token and the injected.
    rest = sum(len(prompt) - common - 1 for prompt in prompts.values())
    assert engine.prefilled == common + rest + len(episodes) + injected
