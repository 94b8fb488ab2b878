"""An engine whose every answer is compared with a forward pass over the row's ids."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from torch import Tensor
from transformers import PreTrainedModel

from grpo.engine import engine as generation
from grpo.engine import kv_cache
from grpo.engine.engine import Engine
from grpo.engine.kv_cache import Prefix
from tests.support.causal_models import VOCABULARY, library_copy, next_logits

MAX_LENGTH = 110


def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks and several passes even for short rows."""
    monkeypatch.setattr(kv_cache, "BLOCK", 4)
    monkeypatch.setattr(generation, "PREFILL_CHUNK", 7)
    monkeypatch.setattr(generation, "PREFILL_TOKENS", 20)


class Shadow:
    """An engine whose every answer is compared with a forward pass over the row's ids; `worst` is the largest gap."""

    def __init__(self, model: PreTrainedModel, rows: int, seed: int = 0) -> None:
        self.library = library_copy(model)
        self.engine = Engine(model, rows, MAX_LENGTH)
        self.draw = random.Random(seed)
        self.ids: dict[int, list[int]] = {}
        self.worst = 0.0

    def tokens(self, count: int) -> list[int]:
        return [self.draw.randrange(VOCABULARY) for _ in range(count)]

    def prefix(self, count: int, parent: tuple[Prefix, list[int]] | None = None) -> tuple[Prefix, list[int]]:
        new = self.tokens(count)
        handle, before = parent or (None, [])
        return self.engine.prefix(new, handle), [*before, *new]

    def open(self, row: int, prefix: tuple[Prefix, list[int]], first: int) -> None:
        self.engine.open(row, prefix[0])
        self.ids[row] = list(prefix[1])
        self.extend({row: first})

    def extend(self, counts: dict[int, int]) -> None:
        new = {row: self.tokens(count) for row, count in counts.items()}
        for row, ids in new.items():
            self.ids[row] += ids
        for row, logits in self.engine.extend(new).items():
            self.compare(row, logits)

    def decode(self, rows: Sequence[int]) -> None:
        ids = self.tokens(len(rows))
        for row, id in zip(rows, ids, strict=True):
            self.ids[row].append(id)
        for row, logits in zip(rows, self.engine.decode(rows, ids), strict=True):
            self.compare(row, logits)

    def close(self, row: int) -> None:
        self.engine.close(row)
        del self.ids[row]

    def compare(self, row: int, logits: Tensor) -> None:
        self.worst = max(self.worst, float((logits - next_logits(self.library, self.ids[row])).abs().max()))


def play(shadow: Shadow, steps: int = 40) -> float:
    """Rows of five prefixes, one of them empty, in every state that a rollout knows; the largest gap."""
    tools = shadow.prefix(20)
    prefixes = [tools, shadow.prefix(9, tools), shadow.prefix(5, tools), shadow.prefix(11), shadow.prefix(0)]
    for row in range(6):
        shadow.open(row, prefixes[row % 5], shadow.draw.randint(1, 15))
    for step in range(steps):
        rows = [row for row in shadow.ids if len(shadow.ids[row]) < MAX_LENGTH]
        shadow.draw.shuffle(rows)
        shadow.decode(rows if step % 3 else rows[: shadow.draw.randint(1, len(rows))])
        if step % 7 == 3:
            row = shadow.draw.choice(list(shadow.ids))
            shadow.close(row)
            shadow.open(row, shadow.draw.choice(prefixes), shadow.draw.randint(1, 12))
        if step % 5 == 2:
            shadow.extend(
                {row: shadow.draw.randint(1, 9) for row in rows[:3] if len(shadow.ids[row]) < MAX_LENGTH - 10}
            )
    return shadow.worst
