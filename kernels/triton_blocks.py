"""`attend_blocks` in Triton, for CUDA, as two kernels.

In the first one a program goes through shared keys of one kv head for all rows that have them, and so reads them once;
long ones are cut into pieces for several programs (Hydragen, arXiv 2402.05099, with the split keys of Flash-Decoding).
In the second one a program for each row and kv head goes through the row's own blocks and merges its parts.

Both keep the running maximum and mass of the scores (the online softmax of Milakov & Gimelshein 2018, arXiv
1805.02867). A shared part is merged like a single key, whose score is the part's log-sum-exp and whose value is its
output.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.blocks import MASKED, NUMBERS, Shared, Table

LEAST = 16
"""Rows and columns of a product on tensor cores: a kv head's queries are filled up to so many."""
MOST = 64
"""Queries that are multiplied with shared keys at once."""
TOKENS = 64
"""Shared keys that are."""
WARPS = 8
"""Of a program of shared keys: with four, registers are spilled."""
NO_WINDOW = 1 << 30


@triton.jit
def _shared_kernel(
    query, positions, work, output, output_lse,
    scaling, window, fields, layer, shared_rows, kv_heads, groups, depth,
    NUMBERS: tl.constexpr, MASKED: tl.constexpr, QUERIES: tl.constexpr, TOKENS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    given, head = work + tl.program_id(0) * fields, tl.program_id(1)
    row, last, before = tl.load(given), tl.load(given + 1), tl.load(given + 2)
    # Places within one prefix in 32 bits: half the registers for the addresses of a tile.
    start, end = tl.load(given + 3).to(tl.int32), tl.load(given + 4).to(tl.int32)
    length, first = tl.load(given + 5), tl.load(given + 6)
    pointers = tl.pointer_type(query.dtype.element_ty)
    keys = tl.load(given + NUMBERS + 2 * layer).to(pointers) + head * length * depth
    values = tl.load(given + NUMBERS + 2 * layer + 1).to(pointers) + head * length * depth
    feature, token = tl.arange(0, DEPTH), tl.arange(0, TOKENS)
    inside = (feature < depth)[None, :]
    for begin in range(0, (last - row) * groups, QUERIES):
        member = begin + tl.arange(0, QUERIES)
        there = member < (last - row) * groups
        seat = row + member // groups
        at = (seat * kv_heads + head) * groups + member % groups
        queries = tl.load(query + at[:, None] * depth + feature[None, :], mask=there[:, None] & inside, other=0.0)
        newest = tl.load(positions + seat, mask=there, other=0)
        best = tl.full((QUERIES,), MASKED, dtype=tl.float32)
        mass = tl.zeros((QUERIES,), dtype=tl.float32)
        total = tl.zeros((QUERIES, DEPTH), dtype=tl.float32)
        for place in range(start, end, TOKENS):
            own = place + token
            of = own[:, None] * depth + feature[None, :]
            present = (own < end)[:, None] & inside
            key = tl.load(tl.multiple_of(keys + of, [1, 16]), mask=present, other=0.0)
            scores = tl.dot(queries, tl.trans(key), input_precision=PRECISION) * scaling
            seen = (own < end)[None, :] & (newest[:, None] - first - own[None, :] < window)
            scores = tl.where(seen, scores, MASKED)
            higher = tl.maximum(best, tl.max(scores, 1))
            weights = tl.where(seen, tl.exp(scores - higher[:, None]), 0.0)
            value = tl.load(tl.multiple_of(values + of, [1, 16]), mask=present, other=0.0)
            found = tl.dot(weights.to(value.dtype), value, input_precision=PRECISION)
            total = total * tl.exp(best - higher)[:, None] + found
            mass = mass * tl.exp(best - higher) + tl.sum(weights, 1)
            best = higher
        # Rows whose window has left these keys behind have no mass, and their part then counts nothing.
        mass = tl.maximum(mass, 1e-30)
        to = head.to(tl.int64) * shared_rows + before * groups + member
        tl.store(output_lse + to, best + tl.log(mass), mask=there)
        tl.store(output + to[:, None] * depth + feature[None, :], total / mass[:, None], mask=there[:, None] & inside)


@triton.jit
def _own_kernel(
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
    shared: Sequence[Shared],
    table: Table,
    layer: int,
    scaling: float,
    window: int | None,
) -> Tensor:
    """`kernels.attend_blocks`, in the type of the values."""
    rows, kv_heads, groups, size = query.shape
    query, output = query.contiguous(), values.new_empty(query.shape)
    precision = "ieee" if query.dtype == torch.float32 else "tf32"
    depth = max(LEAST, triton.next_power_of_2(size))
    widest = max([LEAST, *((part.rows.stop - part.rows.start) * groups for part in shared)])
    # Grids and strides go by the table's shape, so that another table of that shape can take its place.
    shared_rows = rows * table.parts.shape[1] * groups if shared else 0
    outputs, lses = (
        torch.empty(shape, dtype=torch.float32, device=query.device)
        for shape in ((kv_heads, shared_rows, size), (kv_heads, shared_rows))
    )
    if shared:
        _shared_kernel[(len(table.work), kv_heads)](
            query, table.positions, table.work, outputs, lses,
            scaling, window or NO_WINDOW, table.work.shape[1], layer, shared_rows, kv_heads, groups, size,
            NUMBERS, MASKED, min(MOST, triton.next_power_of_2(widest)), TOKENS, depth, precision, num_warps=WARPS,
        )  # fmt: skip
    _own_kernel[(rows, kv_heads)](
        query, keys, values, outputs, lses, table.filled, table.parts.contiguous(), output,
        scaling, window or NO_WINDOW, table.parts.shape[1], len(keys), shared_rows, kv_heads, groups, size,
        MASKED, max(LEAST, triton.next_power_of_2(groups)), keys.shape[2], depth, precision,
    )  # fmt: skip
    return output
