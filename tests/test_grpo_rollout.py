"""Rollouts: what ends up in an episode does not depend on how its rows were batched, and is just what was sampled."""

import itertools
import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pytest
import torch

from envs.protocol import Message, Observation, Scenario, Split, Tool, ToolCall, Turn
from envs.scenarios import NAMES, SCENARIOS
from envs.scripts import ANSWER, oracle_turns
from grpo.chat import ChatFormat
from grpo.generation import Engine
from grpo.policy import logprobs, pack
from grpo.rollout import rollout
from grpo.sampling import row_key
from grpo.types import Episode, Limits, Request, Sampling, StopReason
from rewards.score import Score
from rewards.trace import Call, Kind
from tests.support.tiny import tiny_model, tiny_tokenizer

PARAMETERS = {"type": "object", "properties": {"text": {"type": "string"}}}
LIMITS = Limits(max_turns=4, max_turn_tokens=120, max_episode_tokens=600)


@dataclass
class EchoEnv:
    """Answers each call with its arguments, and goes on for `rounds` turns or, without, until a turn has no call."""

    seed: int
    rounds: int | None = None
    tools: Sequence[Tool] = (Tool("echo", "Echoes.", PARAMETERS, "read"),)
    turns: list[Turn] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def reset(self) -> Observation:
        task = " ".join(str(random.Random(self.seed).randrange(10**6)) for _ in range(self.seed % 3 + 1))
        return Observation(({"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Task {task}."}))

    def step(self, turn: Turn) -> Observation:
        self.turns.append(turn)
        for call in turn.calls:
            kind = Kind.MALFORMED if call.error else Kind.READ
            self.calls.append(Call(call.name, call.arguments, 400 if call.error else 200, call.error, kind))
        messages = [{"role": "tool", "content": call.error or json.dumps(call.arguments)} for call in turn.calls]
        done = not turn.calls if self.rounds is None else len(self.turns) == self.rounds
        return Observation(tuple(messages or [{"role": "user", "content": "Go on." * len(self.turns)}]), done)

    def score(self) -> Score:
        return Score(len(self.calls) / 10, {"calls": len(self.calls) / 10})

    @property
    def trace(self) -> tuple[Call, ...]:
        return tuple(self.calls)


@dataclass
class EchoScenario:
    name: str = "echo"
    rounds: int | None = None
    made: list[EchoEnv] = field(default_factory=list)

    def env(self, seed: int, split: Split) -> EchoEnv:
        self.made.append(EchoEnv(seed, self.rounds))
        return self.made[-1]


@dataclass
class FakeEngine:
    """Keeps each row's ids where the engine keeps its KV cache; logits are a function of those ids alone."""

    rows: int
    policy: Callable[[list[int]], torch.Tensor]
    max_length: int = 2000
    caches: dict[int, list[int]] = field(default_factory=dict)
    prefilled: int = 0
    steps: int = 0
    most_open: int = 0

    def clear(self) -> None:
        self.caches.clear()

    def prefix(self, ids: Sequence[int], parent: tuple[int, ...] = ()) -> tuple[int, ...]:
        self.prefilled += len(ids)
        return (*parent, *ids)

    def open(self, row: int, handle: tuple[int, ...]) -> None:
        assert 0 <= row < self.rows and row not in self.caches
        self.caches[row] = list(handle)
        self.most_open = max(self.most_open, len(self.caches))

    def extend(self, ids: dict[int, list[int]]) -> dict[int, torch.Tensor]:
        assert ids and all(ids.values())
        self.prefilled += sum(map(len, ids.values()))
        return {row: self.forward(row, new) for row, new in ids.items()}

    def decode(self, rows: Sequence[int], ids: Sequence[int]) -> torch.Tensor:
        assert len(set(rows)) == len(rows) > 0
        self.steps += 1
        return torch.stack([self.forward(row, [id]) for row, id in zip(rows, ids, strict=True)])

    def close(self, row: int) -> None:
        del self.caches[row]

    def forward(self, row: int, ids: list[int]) -> torch.Tensor:
        self.caches[row] += ids
        assert len(self.caches[row]) < self.max_length
        return self.policy(self.caches[row])


CHAT = ChatFormat(tiny_tokenizer())
(STOP,) = CHAT.stop_ids
HEADER = CHAT.tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)


def noise(history: list[int]) -> torch.Tensor:
    """Random logits, a pure function of the history, with the stop token at about one in fifteen."""
    generator = torch.Generator().manual_seed(zlib.crc32(bytes(str(history), "ascii")))
    logits = torch.randn(len(CHAT.tokenizer), generator=generator)
    logits[STOP] += 4
    return logits


def script(*turns: list[int]) -> Callable[[list[int]], torch.Tensor]:
    """Says `turns` one after the other, each after a generation prompt."""

    def policy(history: list[int]) -> torch.Tensor:
        starts = [end for end in range(len(HEADER), len(history) + 1) if history[end - len(HEADER) : end] == HEADER]
        said = turns[(len(starts) - 1) % len(turns)]
        return 100.0 * torch.eye(len(CHAT.tokenizer))[said[len(history) - starts[-1]]]

    return policy


def requests(tasks: int, siblings: int, scenario: str = "echo") -> list[Request]:
    return [
        Request(scenario, "train", task, task, sibling, row_key(0, 0, task, sibling))
        for task in range(tasks)
        for sibling in range(siblings)
    ]


def play(engine: Any, wanted: list[Request], limits: Limits = LIMITS, rounds: int | None = None, **scenarios: Any):
    everything = {"echo": EchoScenario(rounds=rounds), **scenarios}
    return rollout(engine, CHAT, everything, wanted, Sampling(), limits)


def one(policy: Callable[[list[int]], torch.Tensor], limits: Limits = LIMITS) -> tuple[Episode, EchoEnv]:
    scenario = EchoScenario()
    engine: Any = FakeEngine(2, policy)
    (episode,) = rollout(engine, CHAT, {"echo": scenario}, requests(1, 1), Sampling(), limits)
    return episode, scenario.made[-1]


def call(text: str) -> Turn:
    return Turn("", (ToolCall("echo", {"text": text}),))


def encode(text: str) -> list[int]:
    return CHAT.tokenizer.encode(text, add_special_tokens=False)


def opening(seed: int) -> list[Message]:
    return list(EchoEnv(seed).reset().messages)


# --- token in, token out -----------------------------------------------------------------------------------------


def check_tokens(episode: Episode, rounds: int) -> None:
    """Invariant 1, from the outside: an environment played again over the runs of sampled tokens gives the same ids."""
    env = EchoEnv(episode.request.seed, rounds)
    ids = CHAT.prompt(list(env.reset().messages), env.tools)
    assert episode.ids[: episode.prompt_length] == ids and not any(episode.mask[: episode.prompt_length])
    runs = [
        (bit, [id for id, _ in run])
        for bit, run in itertools.groupby(zip(episode.ids, episode.mask, strict=True), key=lambda pair: pair[1])
    ][1:]
    assert [bit for bit, _ in runs] == [1, 0] * (len(runs) // 2) + [1]
    for (_, said), (_, injected) in zip(runs[::2], runs[1::2], strict=False):
        assert said[-1] == STOP and STOP not in said[:-1]
        observation = env.step(CHAT.parse(said, env.tools))
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
    episode, env = one(script(*map(CHAT.turn, turns)))
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


def test_ids_that_do_not_survive_decoding_are_kept():
    spelled = [
        id
        for character in '<tool_call>\n{"name": "echo", "arguments": {"text": "ab"}}\n</tool_call>'
        for id in encode(character)
    ]
    episode, env = one(script([*spelled, STOP], CHAT.turn(Turn("Done."))))
    assert env.turns[0] == call("ab")
    said = episode.ids[episode.prompt_length : episode.prompt_length + len(spelled)]
    assert said == spelled != encode(CHAT.tokenizer.decode(spelled))


def test_a_malformed_call_neither_ends_the_episode_nor_hides_its_neighbours():
    good = CHAT.text(CHAT.turn(call("a")))
    said = encode(f"{good}<tool_call>{{broken}}</tool_call>{good}")
    episode, _ = one(script([*said, STOP], CHAT.turn(Turn("Done."))))
    assert [entry.kind for entry in episode.trace] == [Kind.READ, Kind.MALFORMED, Kind.READ]
    assert episode.stop_reason is StopReason.DONE and episode.turns == 2
    assert "invalid JSON" in CHAT.tokenizer.decode(episode.ids)


def written(scenario: Scenario, seed: int, turns: Sequence[Turn]) -> list[int]:
    """The ids of an episode in which `turns` are said, from the environment itself."""
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
    wanted = [Request(name, "heldout", seed, seed, 0, seed) for seed in seeds]
    for reward, says in (
        (1.0, lambda seed: [*oracle_turns(scenario, seed, "heldout"), ANSWER]),
        (0.0, lambda _: [ANSWER]),
    ):
        expected = [written(scenario, seed, says(seed)) for seed in seeds]

        def policy(history: list[int], expected=expected) -> torch.Tensor:
            ids = next(ids for ids in expected if ids[: len(history)] == history)
            return 100.0 * torch.eye(len(CHAT.tokenizer))[ids[len(history)]]

        engine: Any = FakeEngine(3, policy, max_length=40_000)
        episodes = rollout(engine, CHAT, {name: scenario}, wanted, Sampling(), Limits(20, 5000, 30_000))
        assert [episode.ids for episode in episodes] == expected
        assert [episode.stop_reason for episode in episodes] == [StopReason.DONE] * 3
        assert [episode.reward for episode in episodes] == pytest.approx([reward] * 3)


# --- limits ------------------------------------------------------------------------------------------------------


def test_a_cut_turn_is_not_executed():
    said = CHAT.turn(call("a"))
    episode, env = one(script(said), replace(LIMITS, max_turn_tokens=len(said) - 1))
    assert episode.stop_reason is StopReason.TURN_TOKENS and episode.stop_reason.truncated
    assert episode.ids[episode.prompt_length :] == said[:-1] and set(episode.mask[episode.prompt_length :]) == {1}
    assert env.turns == [] and episode.turns == 1 and episode.trace == ()


def test_a_turn_of_just_the_allowed_length_is_executed():
    said = CHAT.turn(call("a"))
    episode, env = one(script(said), Limits(1, len(said), len(said)))
    assert env.turns == [call("a")]
    assert episode.stop_reason is StopReason.MAX_TURNS and episode.ids[episode.prompt_length :] == said


def test_an_episode_of_too_many_turns_stops_after_the_last_calls():
    episode, env = one(script(CHAT.turn(call("a"))))
    assert episode.stop_reason is StopReason.MAX_TURNS and episode.turns == len(env.turns) == LIMITS.max_turns
    assert episode.ids[-1] == STOP and episode.mask[-1] == 1


def test_an_observation_that_does_not_fit_is_not_appended():
    said = CHAT.turn(call("a"))
    injected = CHAT.continuation([{"role": "tool", "content": '{"text": "a"}'}])
    fits = len(said) + len(injected) + 1
    episode, env = one(script(said), replace(LIMITS, max_episode_tokens=fits - 1))
    assert episode.stop_reason is StopReason.MAX_TOKENS and len(env.turns) == 1 and episode.turns == 1
    assert episode.ids[episode.prompt_length :] == said
    episode, env = one(script(said), replace(LIMITS, max_episode_tokens=fits))
    assert episode.stop_reason is StopReason.MAX_TOKENS and len(env.turns) == 1 and episode.turns == 2
    assert episode.ids[episode.prompt_length :] == said + injected + said[:1]


# --- batching ----------------------------------------------------------------------------------------------------


def facts(episodes: list[Episode]) -> list[dict]:
    return [asdict(episode) for episode in episodes]


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_neither_slots_nor_order_change_an_episode(rows):
    wanted = requests(4, 3)
    expected = facts(play(FakeEngine(7, noise), wanted, rounds=3))
    shuffled = random.Random(rows).sample(range(len(wanted)), len(wanted))
    got = facts(play(FakeEngine(rows, noise), [wanted[index] for index in shuffled], rounds=3))
    assert got == [expected[index] for index in shuffled]


def test_the_request_key_does_change_an_episode():
    """Negative control of the test above; siblings differ by their keys alone."""
    first, second = play(FakeEngine(2, noise), requests(1, 2), rounds=3)
    assert first.ids[: first.prompt_length] == second.ids[: second.prompt_length]
    assert first.ids != second.ids


def test_scenarios_mix_in_one_batch():
    wanted = requests(2, 2) + requests(2, 2, "other")
    got = play(FakeEngine(3, noise), wanted, rounds=2, other=EchoScenario("other", rounds=1))
    assert [episode.request for episode in got] == wanted
    assert got[:4] == play(FakeEngine(3, noise), wanted[:4], rounds=2)


def test_a_finished_row_leaves_its_slot_at_once():
    """Continuous batching: the decode steps are those of the work, not those of the longest row in each batch."""
    engine = FakeEngine(4, noise)
    episodes = play(engine, requests(6, 4), rounds=2)
    sampled = sum(sum(episode.mask) for episode in episodes)
    assert engine.most_open == 4 and not engine.caches
    longest = max(sum(episode.mask) for episode in episodes)
    assert sampled / 4 <= engine.steps + 2 * len(episodes)
    assert engine.steps < sampled / 4 + 2 * longest


def test_calls_are_executed_while_other_rows_decode():
    """The first row's call is answered before the second row has finished its first turn."""
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
    chosen = {len(CHAT.prompt(opening(seed), EchoEnv(seed).tools)): seed for seed in (0, 1)}
    prompts = {seed: length for length, seed in chosen.items()}

    def policy(history: list[int]) -> torch.Tensor:
        turns = [long] if CHAT.tokenizer.decode(history).count(opening(1)[1]["content"]) else [short, long]
        return script(*turns)(history)

    engine = FakeEngine(2, policy)
    play(engine, requests(2, 1), watching=None, echo=Watching())
    assert lengths[0] < prompts[1] + len(long) <= lengths[-1] + 1


def test_shared_tokens_are_prefilled_once():
    engine = FakeEngine(12, noise)
    episodes = play(engine, requests(3, 4), rounds=3)
    prompts = {episode.group: episode.ids[: episode.prompt_length] for episode in episodes}
    common = len(list(itertools.takewhile(lambda column: len(set(column)) == 1, zip(*prompts.values(), strict=False))))
    assert common > 100
    injected = sum(len(e.ids) - e.prompt_length - sum(e.mask) + e.turns - 1 for e in episodes)
    # The common prefix, each task's own part but its last token, and per episode that token and what was injected.
    own = sum(len(prompt) - common - 1 for prompt in prompts.values())
    assert engine.prefilled == common + own + len(episodes) + injected


# --- with a model ------------------------------------------------------------------------------------------------

SAMPLINGS = {
    "plain": Sampling(),
    "hot": Sampling(temperature=1.7),
    "cold": Sampling(temperature=0.6),
    "top-k": Sampling(top_k=5),
    "top-p": Sampling(top_p=0.8),
    "min-p": Sampling(min_p=0.05),
    "all": Sampling(temperature=1.3, top_k=40, top_p=0.95, min_p=0.01),
}


def model_episodes(sampling: Sampling, rows: int = 5) -> tuple[Any, list[Episode]]:
    """A random policy that ends about every tenth turn by itself; its environment answers each turn that it ends."""
    model = tiny_model(len(CHAT.tokenizer))
    scenarios = {"echo": EchoScenario(rounds=3)}
    engine = Engine(model, rows=rows, max_length=500)
    return model, rollout(engine, WORDY, scenarios, requests(3, 3), sampling, Limits(3, 30, 200))


WORDY = ChatFormat(tiny_tokenizer(), eos_ids=range(0, len(CHAT.tokenizer), 10))
"""Every tenth token ends a turn, so that a random policy gets to hear its environment."""


def recomputed(model: Any, episodes: list[Episode], sampling: Sampling) -> torch.Tensor:
    packed = pack([episode.ids for episode in episodes], [episode.mask for episode in episodes])
    with torch.no_grad():
        return logprobs(model, packed, sampling)[0]


def recorded(episodes: list[Episode]) -> torch.Tensor:
    pairs = (zip(episode.logprobs, episode.mask, strict=True) for episode in episodes)
    return torch.tensor([logprob for pair in pairs for logprob, bit in pair if bit])


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_recomputed_log_probs_equal_those_recorded_while_sampling(sampling):
    """Invariant 2."""
    model, episodes = model_episodes(sampling)
    assert max(episode.turns for episode in episodes) == 3
    assert torch.allclose(recomputed(model, episodes, sampling), recorded(episodes), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sampling", [SAMPLINGS["hot"], SAMPLINGS["top-p"]])
def test_log_probs_of_another_distribution_differ(sampling):
    """Negative control: scoring without the temperature or the cut is seen."""
    model, episodes = model_episodes(sampling)
    assert not torch.allclose(recomputed(model, episodes, Sampling()), recorded(episodes), atol=1e-2, rtol=0)


def test_slots_change_nothing_with_a_model():
    few, many = model_episodes(Sampling(), rows=2)[1], model_episodes(Sampling(), rows=9)[1]
    assert [episode.ids for episode in few] == [episode.ids for episode in many]
    assert torch.allclose(recorded(few), recorded(many), atol=1e-4, rtol=0)


def test_greedy_episodes_are_the_most_likely_tokens():
    model, episodes = model_episodes(Sampling(temperature=0.0))
    for episode in episodes:
        with torch.no_grad():
            best = model(torch.tensor([episode.ids])).logits[0].argmax(-1).tolist()
        places = [place for place, bit in enumerate(episode.mask) if bit]
        assert [episode.ids[place] for place in places] == [best[place - 1] for place in places]
        assert set(episode.logprobs) == {0.0}


# --- what raises -------------------------------------------------------------------------------------------------


def test_rows_that_cannot_hold_an_episode_are_refused():
    with pytest.raises(ValueError, match="max_episode_tokens"):
        play(FakeEngine(2, noise, max_length=700), requests(1, 1))


def test_siblings_with_different_openings_are_refused():
    class Drifting(EchoScenario):
        def env(self, seed: int, split: Split) -> EchoEnv:
            return super().env(seed + len(self.made), split)

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
