"""Attention of one token per row, to blocks of the row's own keys and to keys that rows share.

A table lists the *parts* of each row: its blocks, and shared keys. On a GPU, one Triton kernel reads the shared keys,
each once for all rows that share them, and a second one reads the blocks of each row (`kernels.triton_blocks`). On
other devices, all blocks go through batched products, whatever the lengths of the rows, and a row's output is the sum
of the outputs of its parts, weighted by the softmax of their log-sum-exps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kernels.attention import attend_part
from kernels.block_table import Shared, Table, pieces
from kernels.dispatch import on_gpu, triton_attend_blocks
from kernels.masks import MASKED, score_mask, window_mask

__all__ = [
    "Shared",
    "Table",
    "attend_blocks",
    "on_gpu",
    "pieces",
    "plain_attend_blocks",
    "score_mask",
    "window_mask",
]


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
    """query [R, kv_heads, groups, D], keys and values [blocks, kv_heads, block, D] -> like query.

    `layer` selects the addresses in `table.work`. With a window, a token attends to itself and to the `window - 1`
    tokens before it.
    """
    if (implementation := triton_attend_blocks(query)) is not None:
        return implementation(query, keys, values, shared, table, layer, scaling, window)
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
    """`attend_blocks` on any device; materialises the scores of the blocks."""
    groups = query.shape[2]
    # One sequence per kv head, so that all rows read shared keys at once: [1, kv_heads, R * groups, D].
    sequence = query.transpose(0, 1).flatten(1, 2).unsqueeze(0)
    results = [(sequence[:, :, :0], sequence[:, :, :0, 0].float())]
    for part in shared:
        tokens, mask = slice(part.tokens.start, part.tokens.stop), None
        if window is not None:
            positions = torch.arange(part.first + tokens.start, part.first + tokens.stop, device=query.device)
            distance = table.positions[part.rows].unsqueeze(1) - positions
            mask = score_mask(distance.repeat_interleave(groups, 0), window)
        queries = sequence[:, :, part.rows.start * groups : part.rows.stop * groups]
        results.append(attend_part(queries, part.keys[:, :, tokens], part.values[:, :, tokens], scaling, mask=mask))
    shared_outputs, shared_lses = (
        tensor.unflatten(1, (tensor.shape[1] // groups, groups)).transpose(0, 1)
        for tensor in (torch.cat(tensors, 2)[0] for tensors in zip(*results, strict=True))
    )
    scores = ((query * scaling)[table.owner] @ keys.transpose(-1, -2)).float() + table.mask(window)
    probabilities = scores.softmax(-1)
    outputs = (probabilities.to(values.dtype) @ values).float()
    # The largest probability of a block is e^{largest score - lse}.
    lses = scores.amax(-1) - probabilities.amax(-1).log()
    # -1 in the table refers to this log-sum-exp, so whatever output it selects has the weight 0.
    empty_lse = lses.new_full((1, *lses.shape[1:]), MASKED)
    outputs, lses = torch.cat([outputs, shared_outputs]), torch.cat([lses, shared_lses, empty_lse])
    weights = lses[table.parts].softmax(1)
    return (outputs[table.parts] * weights.unsqueeze(-1)).sum(1)
