"""The KV cache of a generation: shared prefixes, and each sequence's own tokens in blocks.

The keys and values of a sequence's own tokens are stored in blocks of `BLOCK` tokens (as in PagedAttention, arXiv
2309.06180). A block belongs to one slot. It is written once and not copied when the sequence grows; when the sequence
is closed, the next ones take its blocks over.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from grpo.models.attention import AttentionLayer
from kernels.attention import attend_part

BLOCK = 64
"""Tokens of a cache block; on average half a block is unused per sequence."""
DENSE = 0.75
"""The pool is compacted when less than this fraction of its blocks is in use."""


@dataclass(eq=False)
class Prefix:
    """A handle on shared tokens whose keys and values are cached; made by `Engine.prefix`."""

    parent: Prefix | None
    own_length: int
    """Tokens after the parent's."""
    serial: int
    keys: dict[int, Tensor] = field(default_factory=dict)
    """Per attention layer [1, kv_heads, own_length, D]; values alike."""
    values: dict[int, Tensor] = field(default_factory=dict)

    @property
    def chain(self) -> tuple[Prefix, ...]:
        """The prefixes from the root to this one, without empty ones."""
        # Not cached: a tuple that holds its owner would keep keys and values until the garbage collector runs.
        above = self.parent.chain if self.parent is not None else ()
        return (*above, self) if self.own_length else above

    @cached_property
    def length(self) -> int:
        """Tokens of the whole chain."""
        return self.own_length + (self.parent.length if self.parent is not None else 0)

    @property
    def first(self) -> int:
        """The position of its first own token."""
        return self.length - self.own_length

    def positions(self, device: torch.device) -> Tensor:
        """[own_length]: the positions of its own tokens."""
        return torch.arange(self.first, self.length, device=device)

    @cached_property
    def addresses(self) -> list[int]:
        """Memory addresses of each layer's keys and values, for kernels that read several prefixes; 0 without any."""
        layers, both = range(max(self.keys, default=-1) + 1), (self.keys, self.values)
        return [store[layer].data_ptr() if layer in store else 0 for layer in layers for store in both]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """A sort key that makes the sequences of every prefix neighbours."""
        return tuple(prefix.serial for prefix in self.chain)


Span = tuple[Prefix, slice]
"""A prefix and the tokens of a pass that attend to it."""


def spans(prefixes: Sequence[Prefix], counts: Sequence[int]) -> list[Span]:
    """Each prefix with the tokens that attend to it, for sequences in order with `counts` tokens each.

    The sequences of a prefix are neighbours, so their tokens are one slice.
    """
    by_prefix: dict[Prefix, slice] = {}
    start = 0
    for handle, count in zip(prefixes, counts, strict=True):
        for prefix in handle.chain:
            begin = by_prefix[prefix].start if prefix in by_prefix else start
            by_prefix[prefix] = slice(begin, start + count)
        start += count
    return list(by_prefix.items())


def prefix_part(prefix: Prefix, query: Tensor, mask: Tensor | None, layer: AttentionLayer) -> tuple[Tensor, Tensor]:
    """`attend_part` of a prefix for query [B, heads, T, D]; a window needs a mask [T, own_length]."""
    keys, values = prefix.keys[layer.number], prefix.values[layer.number]
    if len(query) > 1:
        keys, values = (part.expand(len(query), -1, -1, -1) for part in (keys, values))
    return attend_part(query, keys, values, layer.scaling, mask=mask)


class Pool:
    """Keys and values of all sequences' own tokens in blocks, and which block belongs to which slot."""

    def __init__(self, slots: int, slot_tokens: int, device: torch.device, reserved: int = 0) -> None:
        """At most `slot_tokens` tokens in each of the slots; the first `reserved` blocks belong to no slot."""
        self.device, self.block, self.reserved = device, BLOCK, reserved
        self.table = torch.zeros(slots, -(-slot_tokens // self.block), dtype=torch.int64)
        """[slots, blocks]: a slot's blocks in order."""
        self.counts = [0] * slots
        self.owner = torch.zeros(0, dtype=torch.int64)
        """[capacity]: the slot that a block belongs to; `place` [capacity]: its place among the slot's blocks."""
        self.place = torch.zeros(0, dtype=torch.int64)

    def on_device(self, *indices: Tensor) -> list[Tensor]:
        """The tensors on the pool's device."""
        return [index.to(self.device, non_blocking=True) for index in indices]

    def used_blocks(self, step: int) -> int:
        """A number of blocks that covers all blocks in use, in multiples of `step`."""
        return min(-(-self.high // step) * step, len(self.owner))

    def release_all(self) -> None:
        self.counts = [0] * len(self.counts)
        self.free: list[int] = []
        self.high = self.reserved
        """Blocks from here on have not been used yet."""
        self.keys: dict[int, Tensor] = {}
        """Per layer [capacity, kv_heads, BLOCK, D]; values alike."""
        self.values: dict[int, Tensor] = {}

    def release(self, slot: int) -> None:
        for block in self.table[slot, : self.counts[slot]].tolist():
            heapq.heappush(self.free, block)
        self.counts[slot] = 0

    def reserve(self, slot: int, blocks: int) -> None:
        """Gives the slot blocks until it has `blocks`."""
        for place in range(self.counts[slot], blocks):
            if not self.free:
                self.free.append(self.high)
                self.high += 1
            block = heapq.heappop(self.free)
            if block >= len(self.owner):
                limit = self.reserved + self.table.numel()
                more = torch.zeros(min(max(64, len(self.owner)), limit - len(self.owner)), dtype=torch.int64)
                self.owner, self.place = torch.cat([self.owner, more]), torch.cat([self.place, more])
            self.table[slot, place], self.owner[block], self.place[block] = block, slot, place
        self.counts[slot] = max(self.counts[slot], blocks)

    def compact(self) -> None:
        """Moves the highest blocks into free ones when many are free, so that whole-pool products stay dense."""
        used = self.high - len(self.free)
        if used >= DENSE * self.high:
            return
        holes = [block for block in self.free if block < used]
        vacant = set(self.free)
        source = torch.tensor([block for block in range(used, self.high) if block not in vacant], dtype=torch.int64)
        target = torch.tensor(holes, dtype=torch.int64)
        for stored in (*self.keys.values(), *self.values.values()):
            stored[target.to(stored.device)] = stored[source.to(stored.device)]
        self.owner[target], self.place[target] = self.owner[source], self.place[source]
        self.table[self.owner[target], self.place[target]] = target
        self.free, self.high = [], used

    def write(self, layer: int, blocks: Tensor, offsets: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Stores key and value [1, kv_heads, T, D] at the places [T]; returns the layer's whole stores."""
        for stores, new in ((self.keys, key), (self.values, value)):
            store = stores.get(layer)
            if store is None or len(store) < len(self.owner) or store.dtype != new.dtype:
                larger = new.new_zeros(len(self.owner), new.shape[1], self.block, new.shape[3])
                if store is not None:
                    larger[: len(store)] = store
                stores[layer] = store = larger
            store[blocks, :, offsets] = new[0].transpose(0, 1)
        return self.keys[layer], self.values[layer]
