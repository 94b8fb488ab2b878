"""Attention of one token per row to keys in blocks, merged with parts that were computed before.

Every row's keys come in *parts*, which a table names: blocks of its own, and shared parts, whose output and log-sum-exp
are known. On a GPU one Triton kernel reads each row's parts and nothing else (`kernels.triton_blocks`); elsewhere all
blocks go through batched products, whatever the rows' lengths, and a part's output counts by the softmax of the
log-sum-exps of its row's parts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

MASKED = -1e30
"""Score of a key out of sight: e^MASKED is 0, and queries that see no key of a part stay free of NaN."""


class Table(NamedTuple):
    """Which parts a row has."""

    owner: Tensor
    """[blocks]: the row of each block."""
    filled: Tensor
    """[blocks]: how many tokens lie in a block or would, were it longer: the last one is the row's newest."""
    parts: Tensor
    """[R, parts]: blocks, then shared parts counted on from there, -1 where a row has fewer."""


def attend_blocks(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    shared: tuple[Tensor, Tensor],
    table: Table,
    scaling: float,
    mask: Callable[[], Tensor],
    window: int | None,
) -> Tensor:
    """query [R, kv_heads, groups, D], keys and values [blocks, kv_heads, BLOCK, D], shared outputs and log-sum-exps
    [kv_heads, N * groups, D] and [kv_heads, N * groups] of N shared parts -> [R, kv_heads, groups, D].

    `mask()` [blocks, 1, 1, BLOCK] is added to the scores where they are written out: 0, or MASKED for tokens that are
    not there or lie `window` and more places behind the newest.
    """
    half = query.dtype in (torch.float16, torch.bfloat16)
    if query.is_cuda and half and importlib.util.find_spec("triton") is not None:
        from kernels.triton_blocks import attend_blocks_triton

        return attend_blocks_triton(query, keys, values, shared, table, scaling, window)
    return plain_attend_blocks(query, keys, values, shared, table, scaling, mask())


def plain_attend_blocks(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    shared: tuple[Tensor, Tensor],
    table: Table,
    scaling: float,
    mask: Tensor,
) -> Tensor:
    """`attend_blocks` on any device, with the scores written out."""
    scores = ((query * scaling)[table.owner] @ keys.transpose(-1, -2)).float() + mask
    chances = scores.softmax(-1)
    # A block's largest score has the chance e^{score - lse}.
    outputs, lses = (chances.to(values.dtype) @ values).float(), scores.amax(-1) - chances.amax(-1).log()
    groups = query.shape[2]
    by_part, by_part_lse = (part.unflatten(1, (part.shape[1] // groups, groups)).transpose(0, 1) for part in shared)
    nothing = lses.new_full((1, *lses.shape[1:]), MASKED)
    outputs, lses = torch.cat([outputs, by_part]), torch.cat([lses, by_part_lse, nothing])
    shares = lses[table.parts].softmax(1)
    return (outputs[table.parts] * shares.unsqueeze(-1)).sum(1)
