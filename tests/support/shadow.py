"""Compares every result of an engine with a forward pass over the ids of each slot."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from grpo.engine import engine, kv_cache
from grpo.engine.engine import Engine
from grpo.engine.kv_cache import Prefix
from tests.support.causal_models import VOCABULARY, batch_next_logits, library_copy

MAX_LENGTH = 110


def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduces sizes, so that even short sequences need many blocks and several passes."""
    monkeypatch.setattr(kv_cache, "BLOCK", 4)
    monkeypatch.setattr(engine, "PREFILL_CHUNK", 7)
    monkeypatch.setattr(engine, "PREFILL_TOKENS", 20)


class Shadow:
    """An engine whose results are compared with a forward pass over the slot's ids. `worst` is the largest error."""

    def __init__(self, model: PreTrainedModel, slots: int, seed: int = 0) -> None:
        self.library = library_copy(model)
        self.engine = Engine(model, slots, MAX_LENGTH)
        self.draw = random.Random(seed)
        self.ids: dict[int, list[int]] = {}
        self.worst = 0.0

    def tokens(self, count: int) -> list[int]:
        return [self.draw.randrange(VOCABULARY) for _ in range(count)]

    def prefix(self, count: int, parent: tuple[Prefix, list[int]] | None = None) -> tuple[Prefix, list[int]]:
        new = self.tokens(count)
        handle, before = parent or (None, [])
        return self.engine.prefix(new, handle), [*before, *new]

    def open(self, slot: int, prefix: tuple[Prefix, list[int]], first: int) -> None:
        self.engine.open(slot, prefix[0])
        self.ids[slot] = list(prefix[1])
        self.extend({slot: first})

    def extend(self, counts: dict[int, int]) -> None:
        new = {slot: self.tokens(count) for slot, count in counts.items()}
        for slot, ids in new.items():
            self.ids[slot] += ids
        self.compare(self.engine.extend(new))

    def decode(self, slots: Sequence[int]) -> None:
        ids = self.tokens(len(slots))
        for slot, id in zip(slots, ids, strict=True):
            self.ids[slot].append(id)
        self.compare(dict(zip(slots, self.engine.decode(slots, ids), strict=True)))

    def close(self, slot: int) -> None:
        self.engine.close(slot)
        del self.ids[slot]

    def compare(self, answers: Mapping[int, Tensor]) -> None:
        expected = batch_next_logits(self.library, [self.ids[slot] for slot in answers])
        self.worst = max(self.worst, float((torch.stack([*answers.values()]) - expected).abs().max()))


def play(shadow: Shadow, steps: int = 40) -> float:
    """Plays sequences of five prefixes, one of them empty, through all states of a rollout; returns `worst`."""
    tools = shadow.prefix(20)
    prefixes = [tools, shadow.prefix(9, tools), shadow.prefix(5, tools), shadow.prefix(11), shadow.prefix(0)]
    for slot in range(6):
        shadow.open(slot, prefixes[slot % 5], shadow.draw.randint(1, 15))
    for step in range(steps):
        slots = [slot for slot in shadow.ids if len(shadow.ids[slot]) < MAX_LENGTH]
        shadow.draw.shuffle(slots)
        shadow.decode(slots if step % 3 else slots[: shadow.draw.randint(1, len(slots))])
        if step % 7 == 3:
            slot = shadow.draw.choice(list(shadow.ids))
            shadow.close(slot)
            shadow.open(slot, shadow.draw.choice(prefixes), shadow.draw.randint(1, 12))
        if step % 5 == 2:
            shadow.extend(
                {slot: shadow.draw.randint(1, 9) for slot in slots[:3] if len(shadow.ids[slot]) < MAX_LENGTH - 10}
            )
    return shadow.worst
