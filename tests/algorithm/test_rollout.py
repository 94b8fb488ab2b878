"""Rollouts: an episode holds exactly the tokens that were sampled and injected, and ends for the right reason."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from envs.protocol import Scenario, Split, ToolCall, Turn
from envs.scenarios import NAMES, SCENARIOS
from envs.scripts import ANSWER, oracle_turns
from grpo.rollout import roll_out
from grpo.types import Episode, Limits, Request, Sampling, StopReason
from rewards.trace import Kind
from tests.support.echo import (
    CHAT,
    LIMITS,
    STOP,
    EchoEnv,
    EchoScenario,
    FakeEngine,
    call,
    encode,
    noise,
    opening,
    play,
    requests,
    script,
    single,
)

# --- token in, token out -----------------------------------------------------------------------------------------


def check_tokens(episode: Episode, rounds: int) -> None:
    """Invariant 1, from the outside: an environment replayed with the runs of sampled tokens gives the same ids."""
    env = EchoEnv(episode.request.seed, rounds)
    ids = CHAT.prompt(list(env.reset().messages), env.tools)
    assert episode.ids[: episode.prompt_length] == ids and not any(episode.mask[: episode.prompt_length])
    runs = [
        (bit, [id for id, _ in run])
        for bit, run in itertools.groupby(zip(episode.ids, episode.mask, strict=True), key=lambda pair: pair[1])
    ][1:]
    assert [bit for bit, _ in runs] == [1, 0] * (len(runs) // 2) + [1]
    for (_, turn), (_, injected) in zip(runs[::2], runs[1::2], strict=False):
        assert turn[-1] == STOP and STOP not in turn[:-1]
        observation = env.step(CHAT.parse(turn, env.tools))
        assert not observation.done and injected == CHAT.continuation(observation.messages)
    assert (runs[-1][1][-1] == STOP) is (episode.stop_reason in (StopReason.DONE, StopReason.MAX_TURNS))
    assert len(episode.ids) == len(episode.mask) == len(episode.logprobs)
    assert all(
        logprob < 0 if bit else logprob == 0 for logprob, bit in zip(episode.logprobs, episode.mask, strict=True)
    )


def test_every_episode_is_prompt_then_sampled_and_injected_tokens():
    episodes = play(FakeEngine(5, noise), requests(4, 3), Limits(5, 12, 200), rounds=3)
    assert {episode.stop_reason for episode in episodes} >= {StopReason.DONE, StopReason.TURN_TOKENS}
    assert max(episode.turns for episode in episodes) == 3
    for episode in episodes:
        check_tokens(episode, rounds=3)


def broken_mask(episode: Episode) -> None:
    episode.mask[episode.prompt_length] = 0


def broken_stop(episode: Episode) -> None:
    episode.mask[episode.ids.index(STOP, episode.prompt_length)] = 0


def broken_ids(episode: Episode) -> None:
    episode.ids[episode.prompt_length - 1] += 1


@pytest.mark.parametrize("damage", [broken_mask, broken_stop, broken_ids])
def test_the_check_sees_damage(damage):
    """Negative control of the check above."""
    (episode,) = [e for e in play(FakeEngine(5, noise), requests(4, 3), rounds=3) if e.request.sibling == e.group == 1]
    assert episode.turns > 1
    damage(episode)
    with pytest.raises(AssertionError):
        check_tokens(episode, rounds=3)


def test_an_episode_in_full():
    turns = [call("ab"), Turn("", (ToolCall("echo", {}), ToolCall("echo", {"text": "<|im_end|>"}))), Turn("Done.")]
    episode, env = single(script(*map(CHAT.turn, turns)))
    answers = [{"role": "tool", "content": text} for text in ('{"text": "ab"}', "{}", '{"text": "<|im_end|>"}')]
    prompt = CHAT.prompt(opening(0), env.tools)
    first = CHAT.turn(turns[0]) + CHAT.continuation(answers[:1])
    second = CHAT.turn(turns[1]) + CHAT.continuation(answers[1:])
    assert episode.ids == prompt + first + second + CHAT.turn(turns[2])
    assert episode.stop_reason is StopReason.DONE and episode.turns == 3 and episode.prompt_length == len(prompt)
    assert env.turns == turns and episode.trace == env.trace and len(episode.trace) == 3
    assert episode.reward == 0.3
    roles = [message["role"] for message in episode.messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool", "tool", "assistant", "user"]
    assert episode.messages[3] == answers[0] and episode.messages[7]["content"] == "Done."


def test_ids_that_do_not_survive_decoding_stay():
    spelled = [
        id
        for character in '<tool_call>\n{"name": "echo", "arguments": {"text": "ab"}}\n</tool_call>'
        for id in encode(character)
    ]
    episode, env = single(script([*spelled, STOP], CHAT.turn(Turn("Done."))))
    assert env.turns[0] == call("ab")
    turn = episode.ids[episode.prompt_length : episode.prompt_length + len(spelled)]
    assert turn == spelled != encode(CHAT.tokenizer.decode(spelled))


def test_a_malformed_call_neither_ends_the_episode_nor_hides_its_neighbours():
    good = CHAT.text(CHAT.turn(call("a")))
    turn = encode(f"{good}<tool_call>{{broken}}</tool_call>{good}")
    episode, _ = single(script([*turn, STOP], CHAT.turn(Turn("Done."))))
    assert [entry.kind for entry in episode.trace] == [Kind.READ, Kind.MALFORMED, Kind.READ]
    assert episode.stop_reason is StopReason.DONE and episode.turns == 2
    assert "invalid JSON" in CHAT.tokenizer.decode(episode.ids)


def ids_of(scenario: Scenario, seed: int, turns: Sequence[Turn]) -> list[int]:
    """The ids of an episode with these turns, from the environment itself."""
    env = scenario.env(seed, "heldout")
    ids = CHAT.prompt(env.reset().messages, env.tools)
    for turn in turns:
        ids += CHAT.turn(turn)
        observation = env.step(turn)
        ids += [] if observation.done else CHAT.continuation(observation.messages)
    return ids


@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_scores_full_marks_through_tokens(name):
    """Its turns, sampled as tokens and parsed again, do what they do as objects; idling scores nothing."""
    scenario, seeds = SCENARIOS[name], range(3)
    requests = [Request(name, "heldout", seed, seed, 0, seed) for seed in seeds]
    for reward, turns in (
        (1.0, lambda seed: oracle_turns(scenario, seed, "heldout")),
        (0.0, lambda _: [ANSWER]),
    ):
        expected = [ids_of(scenario, seed, turns(seed)) for seed in seeds]

        def policy(history: list[int], expected=expected) -> torch.Tensor:
            ids = next(ids for ids in expected if ids[: len(history)] == history)
            return 100.0 * torch.eye(len(CHAT.tokenizer))[ids[len(history)]]

        engine: Any = FakeEngine(3, policy, max_length=40_000)
        episodes = roll_out(engine, CHAT, {name: scenario}, requests, Sampling(), Limits(20, 5000, 30_000))
        assert [episode.ids for episode in episodes] == expected
        assert [episode.stop_reason for episode in episodes] == [StopReason.DONE] * 3
        assert [episode.reward for episode in episodes] == pytest.approx([reward] * 3)


# --- limits ------------------------------------------------------------------------------------------------------


def test_a_cut_turn_is_not_executed():
    turn = CHAT.turn(call("a"))
    episode, env = single(script(turn), replace(LIMITS, max_turn_tokens=len(turn) - 1))
    assert episode.stop_reason is StopReason.TURN_TOKENS and episode.stop_reason.truncated
    assert episode.ids[episode.prompt_length :] == turn[:-1] and set(episode.mask[episode.prompt_length :]) == {1}
    assert env.turns == [] and episode.turns == 1 and episode.trace == ()


def test_a_turn_of_exactly_the_allowed_length_is_executed():
    turn = CHAT.turn(call("a"))
    episode, env = single(script(turn), Limits(1, len(turn), len(turn)))
    assert env.turns == [call("a")]
    assert episode.stop_reason is StopReason.MAX_TURNS and episode.ids[episode.prompt_length :] == turn


def test_an_episode_of_too_many_turns_stops_after_the_last_calls():
    episode, env = single(script(CHAT.turn(call("a"))))
    assert episode.stop_reason is StopReason.MAX_TURNS and episode.turns == len(env.turns) == LIMITS.max_turns
    assert episode.ids[-1] == STOP and episode.mask[-1] == 1


def test_an_observation_that_does_not_fit_is_not_appended():
    turn = CHAT.turn(call("a"))
    injected = CHAT.continuation([{"role": "tool", "content": '{"text": "a"}'}])
    fits = len(turn) + len(injected) + 1
    episode, env = single(script(turn), replace(LIMITS, max_episode_tokens=fits - 1))
    assert episode.stop_reason is StopReason.MAX_TOKENS and len(env.turns) == 1 and episode.turns == 1
    assert episode.ids[episode.prompt_length :] == turn
    episode, env = single(script(turn), replace(LIMITS, max_episode_tokens=fits))
    assert episode.stop_reason is StopReason.MAX_TOKENS and len(env.turns) == 1 and episode.turns == 2
    assert episode.ids[episode.prompt_length :] == turn + injected + turn[:1]


# --- errors ------------------------------------------------------------------------------------------------------


def test_slots_that_cannot_hold_an_episode_are_refused():
    with pytest.raises(ValueError, match="max_episode_tokens"):
        play(FakeEngine(2, noise, max_length=700), requests(1, 1))


def test_siblings_with_different_openings_are_refused():
    class Drifting(EchoScenario):
        def env(self, seed: int, split: Split) -> EchoEnv:
            return super().env(seed + len(self.envs), split)

    with pytest.raises(ValueError, match="different messages"):
        play(FakeEngine(2, noise), requests(1, 2), echo=Drifting())


def test_a_bug_in_an_environment_is_not_hidden():
    class Broken(EchoScenario):
        def env(self, seed: int, split: Split) -> EchoEnv:
            env = super().env(seed, split)
            env.calls = None  # type: ignore[assignment]
            return env

    with pytest.raises((TypeError, AttributeError)):
        play(FakeEngine(2, script(CHAT.turn(call("a")))), requests(1, 1), echo=Broken())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_policy_without_a_distribution_is_named(temperature):
    def broken(history: list[int]) -> torch.Tensor:
        return torch.full_like(noise(history), torch.nan)

    with pytest.raises(FloatingPointError, match="not finite"):
        roll_out(FakeEngine(2, broken), CHAT, {"echo": EchoScenario()}, requests(1, 1), Sampling(temperature), LIMITS)
