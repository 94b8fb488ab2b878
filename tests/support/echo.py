"""An environment that repeats what it is told, an engine that says what a script asks for, and episodes of the two."""

import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from envs.protocol import Message, Observation, Split, Tool, ToolCall, Turn
from grpo.chat.template import ChatFormat
from grpo.keys import stream_key
from grpo.rollout import rollout
from grpo.types import Episode, Limits, Request, Sampling
from rewards.score import Score
from rewards.trace import Call, Kind
from tests.support.tiny import tiny_tokenizer

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
        Request(scenario, "train", task, task, sibling, stream_key(0, 0, task, sibling))
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
