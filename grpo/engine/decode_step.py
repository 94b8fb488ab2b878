"""A decode step: one token for each sequence of a batch, and its attention.

Every sequence's keys come in parts, its own blocks and its prefixes, and a step reads each part once
(`kernels.attend_blocks`): all sequences of a prefix attend to it together.

Everything that changes from step to step is in one tensor of indices (`StepIndex`). With fixed shapes
(`grpo.engine.cuda_graphs`) nothing else changes: sequences keep their *lane*, a position in the batch, while others
wait or have ended, and blocks and parts are counted in round numbers. The GPU's kernels take all they read from the
indices, so a step can be replayed for other sequences and other prefixes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from grpo.engine.kv_cache import Pool, Prefix, spans
from grpo.models.attention import AttentionLayer
from kernels.blocks import Shared, Table, attend_blocks, on_gpu, pieces

T = TypeVar("T")
Lanes = list[tuple[int, Prefix]]
"""The slot and the prefix of each lane; the lanes of one prefix are neighbours."""
PARTS_STEP = 8
"""Parts per lane are counted in multiples of this where shapes are fixed."""


class StepIndex(NamedTuple, Generic[T]):
    """The indices of a step, in the order in which they lie in one int64 tensor."""

    ids: T
    """[lanes]: the token that each lane appends."""
    block: T
    """[lanes]: the block that its key and value are written to."""
    offset: T
    """[lanes]: the place in that block."""
    order: T
    """[lanes]: lanes in the caller's order of slots."""
    positions: T
    """[lanes]: the token's position in its sequence."""
    owner: T
    """[blocks]; this and all below as in `kernels.blocks.Table`."""
    filled: T
    """[blocks]"""
    parts: T
    """[lanes, width]"""
    work: T
    """[pieces of prefixes, numbers of each]"""


@dataclass(frozen=True)
class DecodeBatch:
    """What one token for each of some sequences reads, and where its key and value are written."""

    shared: list[tuple[Prefix, slice, slice]]
    """Prefixes, the lanes that attend to them, and which of their tokens."""
    lanes: int
    blocks: int
    """Blocks of the pool that are read: the first ones, or `selection`."""
    selection: Tensor | None
    width: int
    """Parts of a lane's keys."""
    pieces: int
    """Pieces of prefixes that are read, empty ones among them."""
    index: Tensor
    """All of `StepIndex` in one tensor on the CPU."""
    capacity: int
    """Blocks of the pool's stores, which move in memory when it grows."""
    indexed: bool
    """Whether the index alone decides which lanes read which prefixes."""

    def views(self, index: Tensor) -> StepIndex[Tensor]:
        """The parts of the index, or of a copy of it, as views."""
        sizes = 5 * self.lanes, 2 * self.blocks, self.lanes * self.width
        by_lane, by_block, parts, work = index.split([*sizes, len(index) - sum(sizes)])
        ids, block, offset, order, positions = by_lane.view(5, -1)
        owner, filled = by_block.view(2, -1)
        parts, work = parts.view(self.lanes, -1), work.view(max(self.pieces, 1), -1)
        return StepIndex(ids, block, offset, order, positions, owner, filled, parts, work)

    @property
    def shape(self) -> tuple[object, ...]:
        """Batches of equal shape differ in their indices alone."""
        runs = () if self.indexed else tuple((prefix.serial, run.start, run.stop) for prefix, run, _ in self.shared)
        return self.lanes, self.blocks, self.width, self.pieces, self.capacity, runs


def decode_batch(pool: Pool, lanes: Lanes, tokens: Mapping[int, int], length: Tensor, fixed: bool) -> DecodeBatch:
    """A batch that appends `tokens` (by slot); each of these slots has a lane, and room for the token in the pool.

    length [slots]: own tokens of each slot in the cache, without the new ones. Where shapes are `fixed` some lanes have
    no token: they write into block 0, which then belongs to no slot, and their output is meaningless.
    """
    # In NumPy, whose small operations start faster.
    live = [lane for lane, (slot, _) in enumerate(lanes) if slot in tokens]
    slots = np.array([lanes[lane][0] for lane in live])
    lengths = length.numpy()[slots]
    counts = lengths // pool.block + 1
    largest = int(counts.max())
    place = np.arange(largest)
    valid = place < counts[:, None]
    table = pool.table.numpy()[slots, :largest]
    entries = table[valid]
    # Whole-pool products read without copying; a small part of the pool is cheaper gathered.
    gathered = not fixed and 2 * len(entries) < pool.high
    indexed = fixed and all(on_gpu(pool.device, store.dtype) for store in pool.values.values())
    used = len(entries) if gathered else pool.used_blocks(len(lanes)) if fixed else pool.high
    blocks = len(pool.owner) if indexed else used  # of all blocks, the kernels read those in the table
    selected = np.arange(blocks) if gathered else entries

    shared, work, columns = list[tuple[Prefix, slice, slice]](), [], []
    depth, start = np.full(len(lanes), largest), blocks
    for prefix, run in spans([prefix for _, prefix in lanes], [1] * len(lanes)):
        for piece in pieces(prefix.own_length, pool.device):
            shared.append((prefix, run, piece))
            numbers = run.start, run.stop, start - blocks, piece.start, piece.stop, prefix.own_length, prefix.first
            work.append((*numbers, *prefix.addresses))
            columns.append((run, depth[run.start], start))
            depth[run] += 1
            start += run.stop - run.start
    width = int(depth.max())
    width = -(-width // PARTS_STEP) * PARTS_STEP if fixed else width
    if indexed and work:
        empty = (0,) * len(work[0])
        work += [empty] * ((1 << (len(work) - 1).bit_length()) - len(work))

    index = torch.zeros(5 * len(lanes) + 2 * blocks + len(lanes) * width + sum(map(len, work)), dtype=torch.int64)
    selection = torch.from_numpy(entries).to(pool.device) if gathered else None
    batch = DecodeBatch(shared, len(lanes), blocks, selection, width, len(work), index, len(pool.owner), indexed)
    at = StepIndex[Any](*(part.numpy() for part in batch.views(index)))
    lane_of = dict(zip(slots.tolist(), live, strict=True))
    at.order[: len(live)] = [lane_of[slot] for slot in tokens]
    at.ids[live] = [tokens[slot] for slot in lane_of]
    at.positions[live] = lengths + [lanes[lane][1].length for lane in live]
    at.block[live], at.offset[live] = table[np.arange(len(live)), counts - 1], lengths % pool.block
    at.owner[selected] = np.repeat(live, counts)
    at.filled[selected] = (lengths[:, None] + 1 - place * pool.block)[valid]
    at.parts.fill(-1)
    own_blocks = np.full(valid.shape, -1)
    own_blocks[valid] = selected
    at.parts[live, :largest] = own_blocks
    for run, column, start in columns:
        at.parts[run, column] = np.arange(start, start + run.stop - run.start)
    at.work[:] = work
    return batch


class DecodeContext:
    """The attention context of a decode step, with `index` on the model's device."""

    def __init__(self, pool: Pool, batch: DecodeBatch, index: Tensor) -> None:
        self.pool, self.batch, self.at = pool, batch, batch.views(index)
        self.table = Table(pool.block, self.at.positions, self.at.owner, self.at.filled, self.at.parts, self.at.work)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: AttentionLayer) -> Tensor:
        query, key = query.to(value.dtype), key.to(value.dtype)
        stores = self.pool.write(layer.number, self.at.block, self.at.offset, key, value)
        blocks = slice(self.batch.blocks) if self.batch.selection is None else self.batch.selection
        keys, values = (store[blocks] for store in stores)
        kv_heads, lanes, size = key.shape[1:]
        by_lane = query[0].transpose(0, 1).reshape(lanes, kv_heads, -1, size)
        shared = [
            Shared(prefix.keys[layer.number], prefix.values[layer.number], prefix.first, *where)
            for prefix, *where in self.batch.shared
        ]
        merged = attend_blocks(by_lane, keys, values, shared, self.table, *layer)
        return merged.to(value.dtype).view(1, lanes, -1, size)
