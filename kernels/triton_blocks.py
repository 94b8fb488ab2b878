"""`attend_blocks` in Triton, for CUDA, as two kernels.

`_shared_kernel` runs one program per piece of shared keys and kv head. The program reads the piece once, for all rows
that share it (Hydragen, arXiv 2402.05099; pieces as in Flash-Decoding). `_row_kernel` runs one program per row and kv
head. The program reads the row's blocks and merges all parts of the row.

Both kernels keep the running maximum and mass of the scores (the online softmax of Milakov & Gimelshein 2018, arXiv
1805.02867). `_row_kernel` merges a part of shared keys like a single key, with the part's log-sum-exp as its score and
the part's output as its value.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.block_table import WORK_FIELDS, Shared, Table
from kernels.masks import MASKED

MIN_TILE = 16
"""The smallest side of a product on tensor cores. The queries of a kv head are padded to this number."""
QUERY_TILE = 64
"""The most queries in a product with shared keys."""
KEY_TILE = 64
"""Shared keys in a product."""
WARPS = 8
"""Warps per program of `_shared_kernel`. With four, it spills registers."""
NO_WINDOW = 1 << 30
"""A window that is longer than any sequence."""


@triton.jit
def _shared_kernel(
    query, positions, work, output, output_lse,
    scaling, window, fields, layer, shared_rows, kv_heads, groups, depth,
    WORK_FIELDS: tl.constexpr, MASKED: tl.constexpr, QUERIES: tl.constexpr, TOKENS: tl.constexpr, DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Attends all rows of one line of `Table.work` to its shared keys, for one kv head."""
    line, head = work + tl.program_id(0) * fields, tl.program_id(1)
    first_row, end_row, pairs_before = tl.load(line), tl.load(line + 1), tl.load(line + 2)
    # 32-bit indices within one prefix need half the registers for the addresses of a tile.
    start, end = tl.load(line + 3).to(tl.int32), tl.load(line + 4).to(tl.int32)
    length, first = tl.load(line + 5), tl.load(line + 6)
    pointers = tl.pointer_type(query.dtype.element_ty)
    keys = tl.load(line + WORK_FIELDS + 2 * layer).to(pointers) + head * length * depth
    values = tl.load(line + WORK_FIELDS + 2 * layer + 1).to(pointers) + head * length * depth
    feature, token = tl.arange(0, DEPTH), tl.arange(0, TOKENS)
    inside = (feature < depth)[None, :]
    for begin in range(0, (end_row - first_row) * groups, QUERIES):
        member = begin + tl.arange(0, QUERIES)
        is_query = member < (end_row - first_row) * groups
        row = first_row + member // groups
        at = (row * kv_heads + head) * groups + member % groups
        queries = tl.load(query + at[:, None] * depth + feature[None, :], mask=is_query[:, None] & inside, other=0.0)
        newest = tl.load(positions + row, mask=is_query, other=0)
        maximum = tl.full((QUERIES,), MASKED, dtype=tl.float32)
        mass = tl.zeros((QUERIES,), dtype=tl.float32)
        total = tl.zeros((QUERIES, DEPTH), dtype=tl.float32)
        for tile in range(start, end, TOKENS):
            index = tile + token
            offsets = index[:, None] * depth + feature[None, :]
            is_key = (index < end)[:, None] & inside
            key = tl.load(tl.multiple_of(keys + offsets, [1, 16]), mask=is_key, other=0.0)
            scores = tl.dot(queries, tl.trans(key), input_precision=PRECISION) * scaling
            visible = (index < end)[None, :] & (newest[:, None] - first - index[None, :] < window)
            scores = tl.where(visible, scores, MASKED)
            new_maximum = tl.maximum(maximum, tl.max(scores, 1))
            weights = tl.where(visible, tl.exp(scores - new_maximum[:, None]), 0.0)
            value = tl.load(tl.multiple_of(values + offsets, [1, 16]), mask=is_key, other=0.0)
            tile_total = tl.dot(weights.to(value.dtype), value, input_precision=PRECISION)
            total = total * tl.exp(maximum - new_maximum)[:, None] + tile_total
            mass = mass * tl.exp(maximum - new_maximum) + tl.sum(weights, 1)
            maximum = new_maximum
        # A row whose window is past these keys has no mass. Its log-sum-exp is then so low that the part has no weight.
        mass = tl.maximum(mass, 1e-30)
        to = head.to(tl.int64) * shared_rows + pairs_before * groups + member
        tl.store(output_lse + to, maximum + tl.log(mass), mask=is_query)
        outputs = output + to[:, None] * depth + feature[None, :]
        tl.store(outputs, total / mass[:, None], mask=is_query[:, None] & inside)


@triton.jit
def _row_kernel(
    query, keys, values, shared, shared_lse, filled, parts, output,
    scaling, window, count, blocks, shared_rows, kv_heads, groups, depth,
    MASKED: tl.constexpr, GROUPS: tl.constexpr, BLOCK: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attends one row to its blocks, for one kv head, and merges the parts of the row."""
    row, head = tl.program_id(0), tl.program_id(1)
    member, feature, token = tl.arange(0, GROUPS), tl.arange(0, DEPTH), tl.arange(0, BLOCK)
    inside = (feature < depth)[None, :]
    query_offsets = ((row * kv_heads + head) * groups + member)[:, None] * depth + feature[None, :]
    queries = tl.load(query + query_offsets, mask=(member < groups)[:, None] & inside, other=0.0)
    maximum = tl.full((GROUPS,), MASKED, dtype=tl.float32)
    mass = tl.zeros((GROUPS,), dtype=tl.float32)
    total = tl.zeros((GROUPS, DEPTH), dtype=tl.float32)
    for column in range(count):
        part = tl.load(parts + row * count + column)
        if part >= blocks:
            at = head.to(tl.int64) * shared_rows + (part - blocks) * groups + member
            lse = tl.load(shared_lse + at, mask=member < groups, other=MASKED)
            part_output = tl.load(
                shared + at[:, None] * depth + feature[None, :], mask=(member < groups)[:, None] & inside, other=0.0
            )
            new_maximum = tl.maximum(maximum, lse)
            weight = tl.exp(lse - new_maximum)
            total = total * tl.exp(maximum - new_maximum)[:, None] + part_output.to(tl.float32) * weight[:, None]
            mass = mass * tl.exp(maximum - new_maximum) + weight
            maximum = new_maximum
        elif part >= 0:
            at = ((part * kv_heads + head) * BLOCK + token)[:, None] * depth + feature[None, :]
            distance = tl.load(filled + part) - 1 - token
            visible = ((distance >= 0) & (distance < window))[None, :]
            key = tl.load(keys + at, mask=inside, other=0.0)
            scores = tl.dot(queries, tl.trans(key), input_precision=PRECISION) * scaling
            scores = tl.where(visible, scores, MASKED)
            new_maximum = tl.maximum(maximum, tl.max(scores, 1))
            weights = tl.where(visible, tl.exp(scores - new_maximum[:, None]), 0.0)
            value = tl.load(values + at, mask=inside, other=0.0)
            block_total = tl.dot(weights.to(value.dtype), value, input_precision=PRECISION)
            total = total * tl.exp(maximum - new_maximum)[:, None] + block_total
            mass = mass * tl.exp(maximum - new_maximum) + tl.sum(weights, 1)
            maximum = new_maximum
    # An empty row has no parts. Its output is not used, but must not be NaN.
    total = total / tl.maximum(mass, 1e-30)[:, None]
    tl.store(output + query_offsets, total.to(output.dtype.element_ty), mask=(member < groups)[:, None] & inside)


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
    """`kernels.blocks.attend_blocks`; the output has the type of the values."""
    rows, kv_heads, groups, size = query.shape
    query, output = query.contiguous(), values.new_empty(query.shape)
    precision = "ieee" if query.dtype == torch.float32 else "tf32"
    depth = max(MIN_TILE, triton.next_power_of_2(size))
    most_queries = max([MIN_TILE, *((part.rows.stop - part.rows.start) * groups for part in shared)])
    # Grids and strides depend only on the table's shape: a CUDA graph can be replayed with another table of that shape.
    shared_rows = rows * table.parts.shape[1] * groups if shared else 0
    outputs, lses = (
        torch.empty(shape, dtype=torch.float32, device=query.device)
        for shape in ((kv_heads, shared_rows, size), (kv_heads, shared_rows))
    )
    if shared:
        _shared_kernel[(len(table.work), kv_heads)](
            query, table.positions, table.work, outputs, lses,
            scaling, window or NO_WINDOW, table.work.shape[1], layer, shared_rows, kv_heads, groups, size,
            WORK_FIELDS, MASKED, min(QUERY_TILE, triton.next_power_of_2(most_queries)), KEY_TILE, depth, precision,
            num_warps=WARPS,
        )  # fmt: skip
    _row_kernel[(rows, kv_heads)](
        query, keys, values, outputs, lses, table.filled, table.parts.contiguous(), output,
        scaling, window or NO_WINDOW, table.parts.shape[1], len(keys), shared_rows, kv_heads, groups, size,
        MASKED, max(MIN_TILE, triton.next_power_of_2(groups)), keys.shape[2], depth, precision,
    )  # fmt: skip
    return output
