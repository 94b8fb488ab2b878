"""A decode step: one token for each of some rows, and its attention.

A step reads each prefix once for all its rows (one product of all their queries with its keys), and all blocks of the
pool in one batched product, whatever the rows' lengths. Every row's keys so come in parts: its own blocks and its
prefixes. A part's output counts by the softmax of the log-sum-exps of its row's parts, which is the merge of
`grpo.attention` of them all at once.

Whatever changes from step to step is in one tensor of indices. With fixed shapes (`grpo.graphs`) nothing else does:
rows keep their *seats* while others wait or have ended, and blocks and parts are counted in round numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from grpo.attention import Layer, score_mask
from grpo.kv_cache import Pool, Prefix, Span, prefix_part, spans
from kernels.blocks import Table, attend_blocks

Seats = list[tuple[int, Prefix]]
"""A row and its prefix for each token of a step, rows of one prefix side by side."""
ROUND_PARTS = 2
"""Parts per row are counted in multiples of this where shapes are fixed."""


@dataclass(frozen=True)
class Step:
    """What one token for each of some rows reads and where it is written."""

    spans: tuple[Span, ...]
    seats: int
    blocks: int
    """Blocks of the pool that are read: the first ones, or `selection`."""
    selection: Tensor | None
    index: Tensor
    """All indices one after the other, int64, on the CPU: see `parts`."""
    capacity: int
    """Blocks of the pool's stores, which move when it grows."""

    def parts(self, index: Tensor) -> tuple[Tensor, ...]:
        """Views of the index or a copy of it: ids, positions, block and offset to write to, all [seats], the seats in
        the caller's order [seats], each block's row and filled places [blocks], and each row's parts [seats, parts],
        blocks first, -1 where it has fewer."""
        rows, blocks, parts = index.split(
            [5 * self.seats, 2 * self.blocks, len(index) - 5 * self.seats - 2 * self.blocks]
        )
        return *rows.view(5, -1), *blocks.view(2, -1), parts.view(self.seats, -1)

    @property
    def shape(self) -> tuple[object, ...]:
        """Steps of equal shape differ in their indices alone."""
        runs = tuple((prefix.serial, tokens.start, tokens.stop) for prefix, tokens in self.spans)
        return self.seats, self.blocks, self.capacity, len(self.index), runs


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
    blocks = len(entries) if gathered else pool.span(len(seats)) if fixed else pool.high
    selected = np.arange(blocks) if gathered else entries
    chains = [prefix.chain for _, prefix in seats]
    runs = spans([prefix for _, prefix in seats], [1] * len(seats))
    width = most + max(map(len, chains))
    width = -(-width // ROUND_PARTS) * ROUND_PARTS if fixed else width

    index = torch.zeros(5 * len(seats) + 2 * blocks + len(seats) * width, dtype=torch.int64)
    selection = torch.from_numpy(entries).to(pool.device) if gathered else None
    step = Step(tuple(runs), len(seats), blocks, selection, index, len(pool.owner))
    ids, positions, block, offset, order, owner, filled, parts = (part.numpy() for part in step.parts(index))
    places = dict(zip(rows.tolist(), live, strict=True))
    order[: len(live)] = [places[row] for row in tokens]
    ids[live] = [tokens[row] for row in places]
    positions[live] = lengths + [seats[seat][1].length for seat in live]
    block[live], offset[live] = table[np.arange(len(live)), counts - 1], lengths % pool.block
    owner[selected] = np.repeat(live, counts)
    filled[selected] = (lengths[:, None] + 1 - place * pool.block)[valid]
    parts.fill(-1)
    own = np.full(valid.shape, -1)
    own[valid] = selected
    parts[live, :most] = own
    start = blocks
    for prefix, run in runs:
        depth = most + chains[run.start].index(prefix)
        parts[run, depth] = np.arange(start, start + run.stop - run.start)
        start += run.stop - run.start
    return step


class DecodePlan:
    """The attention of a step, with `index` where the model computes."""

    def __init__(self, pool: Pool, step: Step, index: Tensor) -> None:
        self.pool, self.spans, self.blocks, self.selection = pool, step.spans, step.blocks, step.selection
        self.ids, self.positions, self.block, self.offset, self.order, *table = step.parts(index)
        self.table = Table(*table)
        behind = (self.table.filled.unsqueeze(1) - 1 - torch.arange(pool.block, device=index.device))[:, None, None]
        self.mask = cache(partial(score_mask, behind))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        query, key = query.to(value.dtype), key.to(value.dtype)
        stores = self.pool.write(layer.number, self.block, self.offset, key, value)
        keys, values = (store[: self.blocks] if self.selection is None else store[self.selection] for store in stores)
        kv_heads, rows, size = key.shape[1:]
        by_row = query[0].transpose(0, 1).reshape(rows, kv_heads, -1, size)
        groups = by_row.shape[2]
        # All queries of a kv head that see a prefix are one long query: [1, kv_heads, rows * groups, D].
        long = by_row.transpose(0, 1).flatten(1, 2).unsqueeze(0)
        parts = [(long[:, :, :0], long[:, :, :0, 0].float())]
        for prefix, tokens in self.spans:
            mask = None
            if layer.window is not None:
                behind = self.positions[tokens].unsqueeze(1) - prefix.positions(query.device)
                mask = score_mask(behind.repeat_interleave(groups, 0), layer.window)
            queries = long[:, :, tokens.start * groups : tokens.stop * groups]
            parts.append(prefix_part(prefix, queries, mask, layer))
        outputs, lses = (torch.cat(tensors, 2)[0] for tensors in zip(*parts, strict=True))
        own_mask = partial(self.mask, layer.window)
        merged = attend_blocks(by_row, keys, values, (outputs, lses), self.table, layer.scaling, own_mask, layer.window)
        return merged.to(value.dtype).view(1, rows, -1, size)
