"""An environment that repeats its input, an engine that samples a scripted policy, and episodes of both."""

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
from grpo.rollout import roll_out
from grpo.types import Episode, Limits, Request, Sampling
from rewards.score import Score
from rewards.trace import Call, Kind
from tests.support.tiny import tiny_tokenizer

PARAMETERS = {"type": "object", "properties": {"text": {"type": "string"}}}
LIMITS = Limits(max_turns=4, max_turn_tokens=120, max_episode_tokens=600)


@dataclass
class EchoEnv:
    """Answers each call with its arguments. Ends after `rounds` turns; if that is None, after a turn without a call."""

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
    envs: list[EchoEnv] = field(default_factory=list)

    def env(self, seed: int, split: Split) -> EchoEnv:
        self.envs.append(EchoEnv(seed, self.rounds))
        return self.envs[-1]


@dataclass
class FakeEngine:
    """Stores ids in place of the KV cache of each slot. Logits are a function of these ids only."""

    slots: int
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

    def open(self, slot: int, handle: tuple[int, ...]) -> None:
        assert 0 <= slot < self.slots and slot not in self.caches
        self.caches[slot] = list(handle)
        self.most_open = max(self.most_open, len(self.caches))

    def extend(self, ids: dict[int, list[int]]) -> dict[int, torch.Tensor]:
        assert ids and all(ids.values())
        self.prefilled += sum(map(len, ids.values()))
        return {slot: self.forward(slot, new) for slot, new in ids.items()}

    def decode(self, slots: Sequence[int], ids: Sequence[int]) -> torch.Tensor:
        assert len(set(slots)) == len(slots) > 0
        self.steps += 1
        return torch.stack([self.forward(slot, [id]) for slot, id in zip(slots, ids, strict=True)])

    def close(self, slot: int) -> None:
        del self.caches[slot]

    def forward(self, slot: int, ids: list[int]) -> torch.Tensor:
        self.caches[slot] += ids
        assert len(self.caches[slot]) < self.max_length
        return self.policy(self.caches[slot])


CHAT = ChatFormat(tiny_tokenizer())
(STOP,) = CHAT.stop_ids
HEADER = CHAT.tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)


def noise(history: list[int]) -> torch.Tensor:
    """Random logits as a pure function of the history. About one in fifteen tokens is the stop token."""
    generator = torch.Generator().manual_seed(zlib.crc32(bytes(str(history), "ascii")))
    logits = torch.randn(len(CHAT.tokenizer), generator=generator)
    logits[STOP] += 4
    return logits


def script(*turns: list[int]) -> Callable[[list[int]], torch.Tensor]:
    """A policy that samples `turns` one after the other, each after a generation prompt."""

    def policy(history: list[int]) -> torch.Tensor:
        starts = [end for end in range(len(HEADER), len(history) + 1) if history[end - len(HEADER) : end] == HEADER]
        turn = turns[(len(starts) - 1) % len(turns)]
        return 100.0 * torch.eye(len(CHAT.tokenizer))[turn[len(history) - starts[-1]]]

    return policy


def requests(tasks: int, siblings: int, scenario: str = "echo") -> list[Request]:
    return [
        Request(scenario, "train", task, task, sibling, stream_key(0, 0, task, sibling))
        for task in range(tasks)
        for sibling in range(siblings)
    ]


def play(
    engine: Any, requests: list[Request], limits: Limits = LIMITS, rounds: int | None = None, **scenarios: Any
) -> list[Episode]:
    """Episodes of `requests` from the echo environment and any further scenarios."""
    return roll_out(engine, CHAT, {"echo": EchoScenario(rounds=rounds), **scenarios}, requests, Sampling(), limits)


def single(policy: Callable[[list[int]], torch.Tensor], limits: Limits = LIMITS) -> tuple[Episode, EchoEnv]:
    scenario = EchoScenario()
    engine: Any = FakeEngine(2, policy)
    (episode,) = roll_out(engine, CHAT, {"echo": scenario}, requests(1, 1), Sampling(), limits)
    return episode, scenario.envs[-1]


def call(text: str) -> Turn:
    return Turn("", (ToolCall("echo", {"text": text}),))


def encode(text: str) -> list[int]:
    return CHAT.tokenizer.encode(text, add_special_tokens=False)


def opening(seed: int) -> list[Message]:
    return list(EchoEnv(seed).reset().messages)
