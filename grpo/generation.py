"""Batched generation over slots, with shared prefixes and a paged key/value cache.

A *prefix* is computed once and kept for all rows that begin with it; it may continue another one (the tools of a
scenario, then the prompt of a task). A *row* is a slot that holds an open sequence: a prefix and its own tokens. Own
keys and values lie in blocks of `BLOCK` tokens (as in PagedAttention, arXiv 2309.06180), each of one row, written once
and not copied when a row grows; a closed row's blocks are taken over by the next ones.

A decode step reads each prefix once for all its rows (one product of all their queries with its keys), and all blocks
of the pool in one batched product, whatever the rows' lengths; the parts are merged as `grpo.attention` says.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel

from grpo.attention import (
    MASKED,
    AttentionPlan,
    Layer,
    UnsupportedModel,
    attend_part,
    by_group,
    hidden_states,
    is_recurrent,
    merge_part,
    output_logits,
    score_mask,
    use_shared_prefix_attention,
    window_mask,
)

BLOCK = 64
"""Tokens of a cache block: half of it is wasted per row on average."""
PREFILL_TOKENS = 4096
"""Tokens of one prefill pass."""
PREFILL_CHUNK = 256
"""Tokens of one row in a prefill pass: bounds the padding inside the attention."""
DENSE = 0.75
"""The pool is compacted when less than this fraction of its blocks is in use."""


@dataclass(eq=False)
class Prefix:
    """A handle on shared tokens whose keys and values are kept; made by `Engine.prefix`."""

    parent: Prefix | None
    own_length: int
    serial: int
    keys: dict[int, Tensor] = field(default_factory=dict)
    """Per attention layer [1, kv_heads, own_length, D]; values alike."""
    values: dict[int, Tensor] = field(default_factory=dict)

    @property
    def chain(self) -> tuple[Prefix, ...]:
        """The prefixes from the root to this one, those without tokens left out."""
        # Not kept: a tuple that holds its owner would keep keys and values until the garbage collector runs.
        above = self.parent.chain if self.parent is not None else ()
        return (*above, self) if self.own_length else above

    @cached_property
    def length(self) -> int:
        """Tokens of the whole chain."""
        return self.own_length + (self.parent.length if self.parent is not None else 0)

    def positions(self, device: torch.device) -> Tensor:
        """[own_length]: the places of its own tokens."""
        return torch.arange(self.length - self.own_length, self.length, device=device)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Sorting rows by it makes the rows of every prefix neighbours."""
        return tuple(prefix.serial for prefix in self.chain)


class Engine:
    """Generates with `model` in `rows` slots of at most `max_length` tokens each, prefix included.

    The model is read, never changed, and may be trained between calls: `clear()` forgets what its old weights computed.
    Runs under the caller's autocast, whose type the caches then have. Raises UnsupportedModel for a model whose
    attention cannot share a prefix.
    """

    recurrent = False

    def __init__(self, model: PreTrainedModel, rows: int, max_length: int) -> None:
        if is_recurrent(model) != self.recurrent:
            raise UnsupportedModel(f"{type(self).__name__} with recurrent layers or without: take the other engine")
        use_shared_prefix_attention(model)
        self.model, self.rows, self.max_length = model, rows, max_length
        self.pool = _Pool(rows, -(-max_length // BLOCK), model.device)
        self.clear()

    def clear(self) -> None:
        """Closes every row and forgets every prefix; handles are void. Necessary after a weight update."""
        self.prefixes = 0
        self.open_rows: dict[int, Prefix] = {}
        self.length = torch.zeros(self.rows, dtype=torch.int64)
        """Own tokens of each row in the cache."""
        self.pool.release_all()

    @torch.inference_mode()
    def prefix(self, ids: Sequence[int], parent: Prefix | None = None) -> Prefix:
        """Computes the keys and values of `ids` after `parent`, once for all rows that will open with the handle."""
        self.prefixes += 1
        handle = Prefix(parent, len(ids), self.prefixes)
        start = handle.length - len(ids)
        if handle.length >= self.max_length:
            raise ValueError(f"a prefix of {handle.length} tokens leaves no room in rows of {self.max_length}")
        if ids:
            self._forward(list(ids), range(start, start + len(ids)), _PrefixPlan(handle))
        return handle

    def open(self, row: int, prefix: Prefix) -> None:
        """Takes a free slot for a sequence that begins with `prefix`; its first `extend` must follow."""
        if not 0 <= row < self.rows or row in self.open_rows:
            raise ValueError(f"row {row} is not a free slot of {self.rows}")
        self.open_rows[row] = prefix
        self.length[row] = 0

    def close(self, row: int) -> None:
        """Gives the slot and its cache blocks back."""
        del self.open_rows[row]
        self.pool.release(row)

    @torch.inference_mode()
    def extend(self, pending: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        """Appends one or more tokens to each row given; returns the logits [V] after each row's last token, in fp32."""
        left = {row: list(ids) for row, ids in pending.items()}
        if not all(left.values()):
            raise ValueError("a row to extend needs at least one token")
        logits: dict[int, Tensor] = {}
        while left:
            # Rows of similar length share a pass.
            taken: dict[int, list[int]] = {}
            for row in sorted(left, key=lambda row: -len(left[row])):
                if sum(map(len, taken.values())) < PREFILL_TOKENS:
                    taken[row], left[row] = left[row][:PREFILL_CHUNK], left[row][PREFILL_CHUNK:]
            rows = self._sorted(taken)
            hidden = self._extend_once(rows, [taken[row] for row in rows])
            done = [place for place, row in enumerate(rows) if not left[row]]
            for place, row_logits in zip(done, output_logits(self.model, hidden[done]), strict=True):
                logits[rows[place]] = row_logits
                del left[rows[place]]
        return {row: logits[row] for row in pending}

    @torch.inference_mode()
    def decode(self, rows: Sequence[int], ids: Sequence[int]) -> Tensor:
        """Appends one token to each of the rows; returns the next token's logits [len(rows), V] in fp32."""
        order = self._sorted(rows)
        token = dict(zip(rows, ids, strict=True))
        index = self._grow(order, [1] * len(order))
        spans = _spans([self.open_rows[row] for row in order], [1] * len(order))
        positions = self._positions(order)
        plan = _DecodePlan(self.pool, index, self.length[index] + 1, spans, positions)
        hidden = self._forward([token[row] for row in order], positions.tolist(), plan)
        self.length[index] += 1
        place = {row: place for place, row in enumerate(order)}
        return output_logits(self.model, hidden[[place[row] for row in rows]])

    def _extend_once(self, rows: list[int], ids: list[list[int]]) -> Tensor:
        """Hidden states [R, H] after each row's last token."""
        counts = [len(row_ids) for row_ids in ids]
        index = self._grow(rows, counts)
        spans, count = _spans([self.open_rows[row] for row in rows], counts), torch.tensor(counts)
        plan = _ExtendPlan(self.pool, index, self.length[index], self._positions(rows), count, spans)
        hidden = self._forward([id for row_ids in ids for id in row_ids], plan.positions.tolist(), plan)
        self.length[index] += count
        return hidden[count.cumsum(0) - 1]

    def _sorted(self, rows: Sequence[int] | Mapping[int, object]) -> list[int]:
        """Rows of one prefix side by side. Raises KeyError for a row that is not open."""
        return sorted(rows, key=lambda row: self.open_rows[row].order)

    def _positions(self, rows: list[int]) -> Tensor:
        """Position of each row's next token."""
        return torch.tensor([self.open_rows[row].length for row in rows]) + self.length[rows]

    def _grow(self, rows: list[int], counts: list[int]) -> Tensor:
        """Makes room for so many tokens more; returns the rows as a tensor [R]."""
        index = torch.tensor(rows)
        for row, length, position, count in zip(
            rows, self.length[index].tolist(), self._positions(rows).tolist(), counts, strict=True
        ):
            if position + count > self.max_length:
                raise ValueError(f"row {row} would have {position + count} tokens, more than {self.max_length}")
            self.pool.reserve(row, -(-(length + count) // BLOCK))
        self.pool.compact()
        return index

    def _forward(self, ids: Sequence[int], positions: Sequence[int], plan: AttentionPlan) -> Tensor:
        """One unpadded pass: T tokens -> hidden states [T, H] before the output head."""
        rows = torch.tensor([list(ids), list(positions)], device=self.model.device)
        return hidden_states(self.model, rows[:1], rows[1:], plan)


Span = tuple[Prefix, slice]
"""A prefix and the tokens of a pass that attend to it."""


def _spans(prefixes: Sequence[Prefix], counts: Sequence[int]) -> list[Span]:
    """For rows in order, with so many tokens each: every prefix and its tokens, which are neighbours."""
    spans: dict[Prefix, slice] = {}
    start = 0
    for handle, count in zip(prefixes, counts, strict=True):
        for prefix in handle.chain:
            begin = spans[prefix].start if prefix in spans else start
            spans[prefix] = slice(begin, start + count)
        start += count
    return list(spans.items())


def _merge_prefixes(
    spans: Sequence[Span], query: Tensor, output: Tensor, lse: Tensor, layer: Layer, positions: Tensor
) -> None:
    """Adds the prefixes' part to output [B, heads, T, D] and lse [B, heads, T], in place; query like output.

    positions [T] are the queries' places in their rows.
    """
    for prefix, tokens in spans:
        keys, values = (part[layer.number].expand(len(query), -1, -1, -1) for part in (prefix.keys, prefix.values))
        mask = window_mask(positions[tokens], prefix.positions(positions.device), layer.window)
        part = attend_part(query[:, :, tokens], keys, values, layer.scaling, mask=mask)
        merge_part(output[:, :, tokens], lse[:, :, tokens], *part)


class _Pool:
    """Keys and values of all rows' own tokens in blocks, and which block belongs to whom."""

    def __init__(self, rows: int, row_blocks: int, device: torch.device) -> None:
        self.device = device
        self.table = torch.zeros(rows, row_blocks, dtype=torch.int64)
        """[rows, blocks]: a row's blocks in order."""
        self.counts = [0] * rows
        self.owner = torch.zeros(0, dtype=torch.int64)
        """[capacity]: the row that a block belongs to; `place` [capacity]: which of the row's blocks it is."""
        self.place = torch.zeros(0, dtype=torch.int64)
        self.keys: dict[int, Tensor] = {}
        """Per layer [capacity, kv_heads, BLOCK, D]; values alike."""
        self.values: dict[int, Tensor] = {}

    def own(self, *indices: Tensor) -> list[Tensor]:
        """The tensors on the pool's device."""
        return [index.to(self.device, non_blocking=True) for index in indices]

    def release_all(self) -> None:
        self.counts = [0] * len(self.counts)
        self.free: list[int] = []
        self.high = 0
        """Blocks from here on have not been used yet."""

    def release(self, row: int) -> None:
        for block in self.table[row, : self.counts[row]].tolist():
            heapq.heappush(self.free, block)
        self.counts[row] = 0

    def reserve(self, row: int, blocks: int) -> None:
        """Gives the row blocks until it has so many."""
        for place in range(self.counts[row], blocks):
            if not self.free:
                self.free.append(self.high)
                self.high += 1
            block = heapq.heappop(self.free)
            if block >= len(self.owner):
                more = torch.zeros(max(64, len(self.owner)), dtype=torch.int64)
                self.owner, self.place = torch.cat([self.owner, more]), torch.cat([self.place, more])
            self.table[row, place], self.owner[block], self.place[block] = block, row, place
        self.counts[row] = max(self.counts[row], blocks)

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
            if store is None or len(store) < self.high or store.dtype != new.dtype:
                grown = new.new_zeros(len(self.owner), new.shape[1], BLOCK, new.shape[3])
                if store is not None:
                    grown[: len(store)] = store
                stores[layer] = store = grown
            store[blocks, :, offsets] = new[0].transpose(0, 1)
        return self.keys[layer], self.values[layer]


class _Masks(dict[int | None, Tensor]):
    """The masks of a pass by window, made when the first layer asks."""

    def __init__(self, behind: Tensor) -> None:
        self.behind = behind

    def __missing__(self, window: int | None) -> Tensor:
        self[window] = score_mask(self.behind, window)
        return self[window]


class _PrefixPlan:
    """The tokens of a new prefix: they see its ancestors and, causally, themselves."""

    def __init__(self, handle: Prefix) -> None:
        self.handle = handle
        self.spans: list[Span] = [(prefix, slice(0, handle.own_length)) for prefix in handle.chain[:-1]]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        query, key = query.to(value.dtype), key.to(value.dtype)
        positions = self.handle.positions(query.device)
        self.handle.keys[layer.number] = key.contiguous()
        self.handle.values[layer.number] = value.contiguous()
        heads, length, size = query.shape[1:]
        query, key, value = by_group(query, key, value)
        mask = window_mask(positions, positions, layer.window)
        output, lse = attend_part(query, key, value, layer.scaling, True, mask)
        _merge_prefixes(self.spans, query, output, lse, layer, positions)
        return output.permute(2, 1, 0, 3).reshape(1, length, heads, size)


class _ExtendPlan:
    """Several tokens for each of some rows; queries are padded inside the attention, own keys gathered once."""

    def __init__(
        self, pool: _Pool, rows: Tensor, start: Tensor, first: Tensor, count: Tensor, spans: list[Span]
    ) -> None:
        """rows [R] with start [R] own tokens in the cache; count [R] more come, from position first [R] on."""
        row = torch.repeat_interleave(torch.arange(len(rows)), count)
        place = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
        own = start[row] + place
        blocks = -(-int((start + count).max()) // BLOCK)
        padded = start.unsqueeze(1) + torch.arange(int(count.max()))
        behind = padded.unsqueeze(-1) - torch.arange(blocks * BLOCK)
        self.pool, self.spans, self.longest, self.masks = pool, spans, behind.shape[1], _Masks(behind.to(pool.device))
        self.row, self.place, self.offset, self.positions = pool.own(row, place, own % BLOCK, first[row] + place)
        self.block, self.table = pool.own(pool.table[rows[row], own // BLOCK], pool.table[rows, :blocks])

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        query, key = query.to(value.dtype), key.to(value.dtype)
        stores = self.pool.write(layer.number, self.block, self.offset, key, value)
        # A row's blocks side by side: [R, blocks, kv_heads, BLOCK, D] -> [R, kv_heads, blocks * BLOCK, D]
        keys, values = (store[self.table].transpose(1, 2).flatten(2, 3) for store in stores)
        by_head, _, _ = by_group(query, key, value)
        groups, kv_heads, tokens, size = by_head.shape
        padded = query.new_zeros(len(self.table), self.longest, groups, kv_heads, size)
        padded[self.row, self.place] = by_head.permute(2, 0, 1, 3)
        # Grouped heads lie one after the other in a long query, so that keys need not be repeated for them.
        long = padded.permute(0, 3, 2, 1, 4).flatten(2, 3)
        mask = self.masks[layer.window].repeat(1, groups, 1).unsqueeze(1)
        part, part_lse = attend_part(long, keys, values, layer.scaling, mask=mask)
        part, part_lse = (
            padding.unflatten(2, (groups, self.longest)).transpose(1, 3)[self.row, self.place].transpose(0, 1)
            for padding in (part, part_lse)
        )
        output, lse = (tokens_first.transpose(1, 2).contiguous() for tokens_first in (part, part_lse))
        _merge_prefixes(self.spans, by_head, output, lse, layer, self.positions)
        return output.permute(2, 1, 0, 3).reshape(1, tokens, groups * kv_heads, size)


class _DecodePlan:
    """One token for each of some rows."""

    def __init__(self, pool: _Pool, rows: Tensor, length: Tensor, spans: list[Span], positions: Tensor) -> None:
        """rows [R] in the order of the tokens, length [R] with the new token counted."""
        blocks = -(-length // BLOCK)
        place = torch.arange(int(blocks.max()))
        valid = place < blocks.unsqueeze(1)
        table = pool.table[rows, : len(place)]
        entries = table[valid]
        # Whole-pool products read without copying; a small part of the pool is cheaper gathered.
        gathered = 2 * len(entries) < pool.high
        count = len(entries) if gathered else pool.high
        selected = torch.arange(count) if gathered else entries
        tokens = torch.zeros(count, dtype=torch.int64)
        tokens[selected] = (length.unsqueeze(1) - place * BLOCK)[valid]
        owner = torch.zeros(count, dtype=torch.int64)
        owner[selected] = torch.arange(len(rows)).repeat_interleave(blocks)
        parts = torch.full(table.shape, count).masked_scatter_(valid, selected)
        behind = (tokens.unsqueeze(1) - 1 - torch.arange(BLOCK))[:, None, None]
        self.pool, self.spans, self.high = pool, spans, pool.high
        self.selection = entries.to(pool.device) if gathered else None
        last, starts = pool.table[rows, blocks - 1], blocks.cumsum(0) - blocks
        self.masks = _Masks(behind.to(pool.device))
        self.block, self.offset, self.owner, self.positions = pool.own(last, (length - 1) % BLOCK, owner, positions)
        self.selected, self.starts, self.parts = pool.own(selected, starts, parts)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        query, key = query.to(value.dtype), key.to(value.dtype)
        stores = self.pool.write(layer.number, self.block, self.offset, key, value)
        keys, values = (store[: self.high] if self.selection is None else store[self.selection] for store in stores)
        rows, heads, size = query.shape[2], query.shape[1], query.shape[3]
        kv_heads = key.shape[1]
        groups = heads // kv_heads
        by_row = query[0].transpose(0, 1).reshape(rows, kv_heads, groups, size)
        own = (by_row, *self._own(by_row * layer.scaling, keys, values, self.masks[layer.window]))
        # All queries of a kv head as one long query: [1, kv_heads, R * groups, D], log-sum-exps likewise.
        long, output, lse = (part.transpose(0, 1).flatten(1, 2).unsqueeze(0) for part in own)
        spans = [(prefix, slice(tokens.start * groups, tokens.stop * groups)) for prefix, tokens in self.spans]
        _merge_prefixes(spans, long, output, lse, layer, self.positions.repeat_interleave(groups))
        return output.view(kv_heads, rows, groups, size).transpose(0, 1).reshape(1, rows, heads, size)

    def _own(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """query [R, kv_heads, groups, D] times the scaling -> output of the same shape, lse [R, kv_heads, groups]."""
        scores = (query[self.owner] @ keys.transpose(-1, -2)).float() + mask
        largest = scores.amax(-1)
        weights = (scores - largest.unsqueeze(-1)).exp_()
        block_lse = largest + weights.sum(-1).log()
        padded = torch.cat([block_lse, block_lse.new_full((1, *block_lse.shape[1:]), MASKED)])
        lse = padded[self.parts].logsumexp(1)
        weights *= (largest - lse[self.owner]).exp_().unsqueeze(-1)
        parts = (weights.to(values.dtype) @ values).float()
        output = torch.nn.functional.embedding_bag(self.selected, parts.flatten(1), self.starts, mode="sum")
        return output.view(query.shape).to(values.dtype), lse
