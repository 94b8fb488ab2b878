"""A decode step: one token for each of some rows, and its attention.

Every row's keys come in parts, its own blocks and its prefixes, and a step reads each of them once
(`kernels.attend_blocks`): a prefix is attended to by all its rows together.

Whatever changes from step to step is in one tensor of indices. With fixed shapes (`grpo.engine.cuda_graphs`) nothing else does:
rows keep their *seats* while others wait or have ended, and blocks and parts are counted in round numbers. Where the
kernels of a GPU go by the indices alone, which rows and which prefixes these are does not matter either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from grpo.engine.kv_cache import Pool, Prefix, spans
from grpo.models.attention import Layer
from kernels.blocks import Shared, Table, attend_blocks, on_gpu, pieces

Seats = list[tuple[int, Prefix]]
"""A row and its prefix for each token of a step, rows of one prefix side by side."""
ROUND_PARTS = 8
"""Parts per row are counted in multiples of this where shapes are fixed."""


@dataclass(frozen=True)
class Step:
    """What one token for each of some rows reads and where it is written."""

    shared: list[tuple[Prefix, slice, slice]]
    """Prefixes, the seats that see them, and which of their tokens."""
    seats: int
    blocks: int
    """Blocks of the pool that are read: the first ones, or `selection`."""
    selection: Tensor | None
    width: int
    """Parts of a seat's keys."""
    work: int
    """Pieces of prefixes that are read, empty ones among them."""
    index: Tensor
    """All indices one after the other, int64, on the CPU: see `parts`."""
    capacity: int
    """Blocks of the pool's stores, which move when it grows."""
    indexed: bool
    """Whether the index alone says which prefixes are read by whom."""

    def parts(self, index: Tensor) -> tuple[Tensor, ...]:
        """Views of the index or a copy of it: ids, block and offset to write to, the seats in the caller's order, and
        positions, all [seats], then what else is in a `Table`."""
        known = 5 * self.seats, 2 * self.blocks, self.seats * self.width
        rows, blocks, parts, work = index.split([*known, len(index) - sum(known)])
        table = parts.view(self.seats, -1), work.view(max(self.work, 1), -1)
        return *rows.view(5, -1), *blocks.view(2, -1), *table

    @property
    def shape(self) -> tuple[object, ...]:
        """Steps of equal shape differ in their indices alone."""
        runs = () if self.indexed else tuple((prefix.serial, run.start, run.stop) for prefix, run, _ in self.shared)
        return self.seats, self.blocks, self.width, self.work, self.capacity, runs


def plan_step(pool: Pool, seats: Seats, tokens: Mapping[int, int], length: Tensor, fixed: bool) -> Step:
    """A step for the rows of `tokens`, which all have a seat; the pool has room for each row's next token.

    length [slots]: own tokens of each row in the cache, the new ones not counted. Where shapes are `fixed` there are
    seats without a token: they write into block 0, which is nobody's then, and what comes out for them means nothing.
    """
    # In NumPy, whose small operations start faster.
    live = [seat for seat, (row, _) in enumerate(seats) if row in tokens]
    rows = np.array([seats[seat][0] for seat in live])
    lengths = length.numpy()[rows]
    counts = lengths // pool.block + 1
    most = int(counts.max())
    place = np.arange(most)
    valid = place < counts[:, None]
    table = pool.table.numpy()[rows, :most]
    entries = table[valid]
    # Whole-pool products read without copying; a small part of the pool is cheaper gathered.
    gathered = not fixed and 2 * len(entries) < pool.high
    indexed = fixed and all(on_gpu(pool.device, store.dtype) for store in pool.values.values())
    used = len(entries) if gathered else pool.span(len(seats)) if fixed else pool.high
    blocks = len(pool.owner) if indexed else used  # of all, the kernels read those in the table
    selected = np.arange(blocks) if gathered else entries

    shared, work, places = list[tuple[Prefix, slice, slice]](), [], []
    depth, start = np.full(len(seats), most), blocks
    for prefix, run in spans([prefix for _, prefix in seats], [1] * len(seats)):
        for piece in pieces(prefix.own_length, pool.device):
            shared.append((prefix, run, piece))
            numbers = run.start, run.stop, start - blocks, piece.start, piece.stop, prefix.own_length, prefix.first
            work.append((*numbers, *prefix.addresses))
            places.append((run, depth[run.start], start))
            depth[run] += 1
            start += run.stop - run.start
    width = int(depth.max())
    width = -(-width // ROUND_PARTS) * ROUND_PARTS if fixed else width
    if indexed and work:
        nothing = (0,) * len(work[0])
        work += [nothing] * ((1 << (len(work) - 1).bit_length()) - len(work))

    index = torch.zeros(5 * len(seats) + 2 * blocks + len(seats) * width + sum(map(len, work)), dtype=torch.int64)
    selection = torch.from_numpy(entries).to(pool.device) if gathered else None
    step = Step(shared, len(seats), blocks, selection, width, len(work), index, len(pool.owner), indexed)
    ids, block, offset, order, positions, owner, filled, parts, given = (part.numpy() for part in step.parts(index))
    seat_of = dict(zip(rows.tolist(), live, strict=True))
    order[: len(live)] = [seat_of[row] for row in tokens]
    ids[live] = [tokens[row] for row in seat_of]
    positions[live] = lengths + [seats[seat][1].length for seat in live]
    block[live], offset[live] = table[np.arange(len(live)), counts - 1], lengths % pool.block
    owner[selected] = np.repeat(live, counts)
    filled[selected] = (lengths[:, None] + 1 - place * pool.block)[valid]
    parts.fill(-1)
    own = np.full(valid.shape, -1)
    own[valid] = selected
    parts[live, :most] = own
    for run, column, start in places:
        parts[run, column] = np.arange(start, start + run.stop - run.start)
    given[:] = work
    return step


class DecodePlan:
    """The attention of a step, with `index` where the model computes."""

    def __init__(self, pool: Pool, step: Step, index: Tensor) -> None:
        self.pool, self.step = pool, step
        self.ids, self.block, self.offset, self.order, *table = step.parts(index)
        self.table, self.positions = Table(pool.block, *table), table[0]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        query, key = query.to(value.dtype), key.to(value.dtype)
        stores = self.pool.write(layer.number, self.block, self.offset, key, value)
        blocks = slice(self.step.blocks) if self.step.selection is None else self.step.selection
        keys, values = (store[blocks] for store in stores)
        kv_heads, rows, size = key.shape[1:]
        by_row = query[0].transpose(0, 1).reshape(rows, kv_heads, -1, size)
        shared = [
            Shared(prefix.keys[layer.number], prefix.values[layer.number], prefix.first, *where)
            for prefix, *where in self.step.shared
        ]
        merged = attend_blocks(by_row, keys, values, shared, self.table, *layer)
        return merged.to(value.dtype).view(1, rows, -1, size)
