"""`attend_blocks` in Triton, for CUDA: a program for each row and kv head goes through the row's parts.

It keeps the running maximum and mass of the scores (the online softmax of Milakov & Gimelshein 2018, arXiv 1805.02867).
A shared part is merged like a single key, whose score is the part's log-sum-exp and whose value is its output.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.blocks import MASKED, Table

LEAST = 16
"""Rows and columns of a product on tensor cores: a kv head's queries are filled up to so many."""
NO_WINDOW = 1 << 30


@triton.jit
def _kernel(
    query, keys, values, shared, shared_lse, filled, parts, output,
    scaling, window, count, blocks, shared_rows, kv_heads, groups, depth,
    MASKED: tl.constexpr, GROUPS: tl.constexpr, BLOCK: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(0), tl.program_id(1)
    member, feature, token = tl.arange(0, GROUPS), tl.arange(0, DEPTH), tl.arange(0, BLOCK)
    inside = (feature < depth)[None, :]
    own = ((row * kv_heads + head) * groups + member)[:, None] * depth + feature[None, :]
    queries = tl.load(query + own, mask=(member < groups)[:, None] & inside, other=0.0)
    best = tl.full((GROUPS,), MASKED, dtype=tl.float32)
    mass = tl.zeros((GROUPS,), dtype=tl.float32)
    total = tl.zeros((GROUPS, DEPTH), dtype=tl.float32)
    for place in range(count):
        part = tl.load(parts + row * count + place)
        if part >= blocks:
            at = head.to(tl.int64) * shared_rows + (part - blocks) * groups + member
            lse = tl.load(shared_lse + at, mask=member < groups, other=MASKED)
            given = tl.load(
                shared + at[:, None] * depth + feature[None, :], mask=(member < groups)[:, None] & inside, other=0.0
            )
            higher = tl.maximum(best, lse)
            weight = tl.exp(lse - higher)
            total = total * tl.exp(best - higher)[:, None] + given.to(tl.float32) * weight[:, None]
            mass = mass * tl.exp(best - higher) + weight
            best = higher
        elif part >= 0:
            at = ((part * kv_heads + head) * BLOCK + token)[:, None] * depth + feature[None, :]
            behind = tl.load(filled + part) - 1 - token
            seen = ((behind >= 0) & (behind < window))[None, :]
            key = tl.load(keys + at, mask=inside, other=0.0)
            scores = tl.dot(queries, tl.trans(key), input_precision=PRECISION) * scaling
            scores = tl.where(seen, scores, MASKED)
            higher = tl.maximum(best, tl.max(scores, 1))
            weights = tl.where(seen, tl.exp(scores - higher[:, None]), 0.0)
            value = tl.load(values + at, mask=inside, other=0.0)
            found = tl.dot(weights.to(value.dtype), value, input_precision=PRECISION)
            total = total * tl.exp(best - higher)[:, None] + found
            mass = mass * tl.exp(best - higher) + tl.sum(weights, 1)
            best = higher
    # Empty seats have no part; their output means nothing, but may not be NaN.
    total = total / tl.maximum(mass, 1e-30)[:, None]
    tl.store(output + own, total.to(output.dtype.element_ty), mask=(member < groups)[:, None] & inside)


def attend_blocks_triton(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    shared: tuple[Tensor, Tensor],
    table: Table,
    scaling: float,
    window: int | None,
) -> Tensor:
    """`kernels.attend_blocks`, in the type of the values."""
    rows, kv_heads, groups, size = query.shape
    query, output = query.contiguous(), values.new_empty(query.shape)
    outputs, lses = (part.contiguous() for part in shared)
    _kernel[(rows, kv_heads)](
        query, keys, values, outputs, lses, table.filled.contiguous(), table.parts.contiguous(), output,
        scaling, window or NO_WINDOW, table.parts.shape[1], len(keys), outputs.shape[1], kv_heads, groups, size,
        MASKED, max(LEAST, triton.next_power_of_2(groups)), keys.shape[2], max(LEAST, triton.next_power_of_2(size)),
        "ieee" if query.dtype == torch.float32 else "tf32",
    )  # fmt: skip
    return output
