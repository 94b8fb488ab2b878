"""An engine without a cache: runs a forward pass over the full sequence for every token. Slow, but obviously right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests.support.causal_models import next_logits


class NaiveEngine:
    """Has the interface of `grpo.engine.engine.Engine`. `clears` counts calls of `clear`."""

    def __init__(self, model: PreTrainedModel, slots: int, max_length: int) -> None:
        self.model = model
        self.slots = slots
        self.max_length = max_length
        self.ids: dict[int, list[int]] = {}
        self.clears = 0
        self.busiest = 0

    def prefix(self, ids: Sequence[int], parent: Sequence[int] | None = None) -> list[int]:
        return [*(parent or ()), *ids]

    def open(self, slot: int, handle: Sequence[int]) -> None:
        self.ids[slot] = list(handle)
        self.busiest = max(self.busiest, len(self.ids))

    def extend(self, ids: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        for slot, new in ids.items():
            self.ids[slot] += new
        return {slot: next_logits(self.model, self.ids[slot]) for slot in ids}

    def decode(self, slots: Sequence[int], ids: Sequence[int]) -> Tensor:
        logits = self.extend({slot: [id] for slot, id in zip(slots, ids, strict=True)})
        return torch.stack([logits[slot] for slot in slots])

    def close(self, slot: int) -> None:
        del self.ids[slot]

    def clear(self) -> None:
        self.clears += 1
        self.ids.clear()
