"""An engine without any cache: every logit from a forward pass over the whole row. Slow, and obviously right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel


class NaiveEngine:
    """Answers as `grpo.engine.engine.Engine` does; `clears` counts calls of `clear`."""

    def __init__(self, model: PreTrainedModel, rows: int, max_length: int) -> None:
        self.model = model
        self.rows = rows
        self.max_length = max_length
        self.ids: dict[int, list[int]] = {}
        self.clears = 0
        self.busiest = 0

    def prefix(self, ids: Sequence[int], parent: Sequence[int] | None = None) -> list[int]:
        return [*(parent or ()), *ids]

    def open(self, row: int, handle: Sequence[int]) -> None:
        self.ids[row] = list(handle)
        self.busiest = max(self.busiest, len(self.ids))

    @torch.no_grad()
    def extend(self, ids: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        for row, new in ids.items():
            self.ids[row] += new
        return {row: self.model(input_ids=torch.tensor([self.ids[row]]), use_cache=False).logits[0, -1] for row in ids}

    def decode(self, rows: Sequence[int], ids: Sequence[int]) -> Tensor:
        logits = self.extend({row: [id] for row, id in zip(rows, ids, strict=True)})
        return torch.stack([logits[row] for row in rows])

    def close(self, row: int) -> None:
        del self.ids[row]

    def clear(self) -> None:
        self.clears += 1
        self.ids.clear()
