"""Inputs of `kernels.blocks.attend_blocks`: shared keys, and a table that assigns blocks and shared keys to rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import NamedTuple

import torch
from torch import Tensor

from kernels.masks import score_mask

PIECE = 256
"""The most shared keys that one program of a GPU reads."""
WORK_FIELDS = 7
"""Numbers in a row of `Table.work` before the addresses."""


class Shared(NamedTuple):
    """Keys that consecutive rows share."""

    keys: Tensor
    """[1, kv_heads, S, D]."""
    values: Tensor
    """[1, kv_heads, S, D]."""
    first: int
    """The position of the first of the S tokens."""
    rows: slice
    """The rows that share the keys."""
    tokens: slice
    """Which of the S tokens the rows attend to."""


@dataclass(frozen=True, eq=False)
class Table:
    """Assigns parts to rows: blocks of a row's own keys, and shared keys."""

    block: int
    """Tokens per block."""
    positions: Tensor
    """[R]: position of each row's newest token."""
    owner: Tensor
    """[blocks]: the row of each block."""
    filled: Tensor
    """[blocks]: tokens from the block's start to the row's newest token; may exceed the block size."""
    parts: Tensor
    """[R, parts]: the numbers of each row's parts, padded with -1. Blocks are numbered first, then each pair of a
    `Shared` and one of its rows, ordered by `Shared`, then by row."""
    work: Tensor
    """[N, WORK_FIELDS + 2 * layers]: one line per `Shared`, for the GPU kernels only. A line has the first row, the end
    of the rows, the number of pairs before this `Shared`, the first token, the end of the tokens, S, and the position
    of the first of the S tokens; then, per layer, the addresses of keys and of values. Lines of zeros are skipped."""

    @cached_property
    def mask(self) -> Callable[[int | None], Tensor]:
        """Window -> score mask [blocks, 1, 1, block], which hides places without a token or outside the window."""
        distance = self.filled.unsqueeze(1) - 1 - torch.arange(self.block, device=self.filled.device)
        return cache(partial(score_mask, distance[:, None, None]))


def pieces(length: int, device: torch.device) -> list[slice]:
    """Splits `length` shared keys into runs that different programs of a GPU read; other devices get a single run."""
    size = PIECE if device.type == "cuda" else max(length, 1)
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]
