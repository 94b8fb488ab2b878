"""Attention of one token per row: to keys in blocks, which are each one row's, and to keys that rows share.

Every row's keys come in *parts*, which a table names: blocks of its own, and shared keys. On a GPU one Triton kernel
reads all shared keys, each once for all their rows, and another one each row's blocks and nothing else
(`kernels.triton_blocks`). Elsewhere all blocks go through batched products, whatever the rows' lengths, and a part's
output counts by the softmax of the log-sum-exps of its row's parts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch._subclasses import FakeTensor

from kernels.attention import attend_part

MASKED = -1e30
"""Score of a key out of sight: e^MASKED is 0, and queries that see no key of a part stay free of NaN."""
PIECE = 256
"""Shared keys that a GPU's program reads, at most."""
NUMBERS = 7
"""What `Table.work` says of shared keys before their addresses."""


class Shared(NamedTuple):
    """Keys that neighbouring rows share."""

    keys: Tensor
    """[1, kv_heads, S, D]; values alike."""
    values: Tensor
    first: int
    """The position of the first of the S tokens."""
    rows: slice
    tokens: slice
    """Those of the S that are meant here."""


@dataclass(frozen=True, eq=False)
class Table:
    """Which parts a row has."""

    block: int
    """Tokens of a block."""
    positions: Tensor
    """[R]: of each row's newest token."""
    owner: Tensor
    """[blocks]: the row of each block."""
    filled: Tensor
    """[blocks]: how many tokens lie in a block or would, were it longer: the last one is the row's newest."""
    parts: Tensor
    """[R, parts]: blocks, then rows of shared keys, all rows of the first before those of the second, counted on from
    the blocks; -1 where a row has fewer."""
    work: Tensor
    """[N, NUMBERS + 2 * layers], for a GPU, of each of the N shared keys: first row, end of the rows, how many rows of
    shared keys come before, first token, end, S, the position of S's first, and the addresses of keys and of values in
    each layer."""

    @cached_property
    def mask(self) -> Callable[[int | None], Tensor]:
        """For a window [blocks, 1, 1, block]: what hides tokens of blocks that are not there or out of the window."""
        behind = self.filled.unsqueeze(1) - 1 - torch.arange(self.block, device=self.filled.device)
        return cache(partial(score_mask, behind[:, None, None]))


def pieces(length: int, device: torch.device) -> list[slice]:
    """So many shared keys in runs that are read at the same time, on a GPU, or all at once."""
    size = PIECE if device.type == "cuda" else max(length, 1)
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def score_mask(behind: Tensor, window: int | None) -> Tensor:
    """What is added to the scores of keys that lie so many places behind their queries: 0, or MASKED out of sight."""
    hidden = behind < 0 if window is None else (behind < 0) | (behind >= window)
    return torch.zeros(behind.shape, device=behind.device).masked_fill_(hidden, MASKED)


def window_mask(queries: Tensor, keys: Tensor, window: int | None, device: torch.device) -> Tensor | None:
    """`score_mask` [T, S] for queries at positions [T] and keys at positions [S]; None where the window hides none."""
    if window is None or not len(keys):
        return None
    # What fake tensors hide is not known (`grpo.cli.plan`).
    if not isinstance(queries, FakeTensor) and int(queries.max() - keys.min()) < window:
        return None
    return score_mask(queries.to(device).unsqueeze(1) - keys.to(device), window)


def on_gpu(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the kernels of a GPU serve such tensors."""
    half = dtype in (torch.float16, torch.bfloat16)
    return device.type == "cuda" and half and importlib.util.find_spec("triton") is not None


def attend_blocks(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    shared: Sequence[Shared],
    table: Table,
    layer: int,
    scaling: float,
    window: int | None,
) -> Tensor:
    """query [R, kv_heads, groups, D], keys and values [blocks, kv_heads, BLOCK, D] -> like query.

    With a window a token sees itself and the `window - 1` tokens before it.
    """
    if on_gpu(query.device, query.dtype):
        from kernels.triton_blocks import attend_blocks_triton

        return attend_blocks_triton(query, keys, values, shared, table, layer, scaling, window)
    return plain_attend_blocks(query, keys, values, shared, table, scaling, window)


def plain_attend_blocks(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    shared: Sequence[Shared],
    table: Table,
    scaling: float,
    window: int | None,
) -> Tensor:
    """`attend_blocks` on any device, with the scores of own keys written out."""
    groups = query.shape[2]
    # All queries of a kv head that see the same shared keys are one long query: [1, kv_heads, rows * groups, D].
    long = query.transpose(0, 1).flatten(1, 2).unsqueeze(0)
    found = [(long[:, :, :0], long[:, :, :0, 0].float())]
    for part in shared:
        seen, mask = slice(part.tokens.start, part.tokens.stop), None
        if window is not None:
            places = torch.arange(part.first + seen.start, part.first + seen.stop, device=query.device)
            behind = table.positions[part.rows].unsqueeze(1) - places
            mask = score_mask(behind.repeat_interleave(groups, 0), window)
        queries = long[:, :, part.rows.start * groups : part.rows.stop * groups]
        found.append(attend_part(queries, part.keys[:, :, seen], part.values[:, :, seen], scaling, mask=mask))
    by_part, by_part_lse = (
        tensor.unflatten(1, (tensor.shape[1] // groups, groups)).transpose(0, 1)
        for tensor in (torch.cat(tensors, 2)[0] for tensors in zip(*found, strict=True))
    )
    scores = ((query * scaling)[table.owner] @ keys.transpose(-1, -2)).float() + table.mask(window)
    chances = scores.softmax(-1)
    # A block's largest score has the chance e^{score - lse}.
    outputs, lses = (chances.to(values.dtype) @ values).float(), scores.amax(-1) - chances.amax(-1).log()
    nothing = lses.new_full((1, *lses.shape[1:]), MASKED)
    outputs, lses = torch.cat([outputs, by_part]), torch.cat([lses, by_part_lse, nothing])
    shares = lses[table.parts].softmax(1)
    return (outputs[table.parts] * shares.unsqueeze(-1)).sum(1)
