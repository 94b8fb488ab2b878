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
from functools import cache, cached_property, partial

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
    is_recurrent,
    merge_part,
    output_logits,
    score_mask,
    use_shared_prefix_attention,
    window_mask,
)
from grpo.fused import InferenceStates

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
        self.rows, self.max_length = rows, max_length
        self.take(model)
        self.pool = _Pool(rows, -(-max_length // BLOCK), model.device)
        self.clear()

    def take(self, model: PreTrainedModel) -> None:
        """Generates with this model from now on: another copy of the one the engine was made for."""
        self.model, self.hidden = model, InferenceStates(model)

    def clear(self) -> None:
        """Closes every row and forgets every prefix; handles are void. Necessary after a weight update."""
        self.prefixes = 0
        self.open_rows: dict[int, Prefix] = {}
        self.length = torch.zeros(self.rows, dtype=torch.int64)
        """Own tokens of each row in the cache."""
        self.pool.release_all()
        self.hidden.forget()

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
        return self.hidden(rows[0], rows[1], plan)


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


def _prefix_part(prefix: Prefix, query: Tensor, positions: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
    """`attend_part` of a prefix for query [B, heads, T, D]; positions [T] are the queries' places in their rows."""
    mask = None if layer.window is None else window_mask(positions, prefix.positions(query.device), layer.window)
    keys, values = (part[layer.number].expand(len(query), -1, -1, -1) for part in (prefix.keys, prefix.values))
    return attend_part(query, keys, values, layer.scaling, mask=mask)


def _merge_prefixes(spans: list[Span], query: Tensor, output: Tensor, lse: Tensor, layer: Layer, at: Tensor) -> None:
    """Adds the prefixes' part to output [B, heads, T, D] and lse [B, heads, T], in place; query like output, at [T]."""
    for prefix, tokens in spans:
        part = _prefix_part(prefix, query[:, :, tokens], at[tokens], layer)
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

    def own(self, *indices: Tensor) -> list[Tensor]:
        """The tensors on the pool's device."""
        return [index.to(self.device, non_blocking=True) for index in indices]

    def release_all(self) -> None:
        self.counts = [0] * len(self.counts)
        self.free: list[int] = []
        self.high = 0
        """Blocks from here on have not been used yet."""
        self.keys: dict[int, Tensor] = {}
        """Per layer [capacity, kv_heads, BLOCK, D]; values alike."""
        self.values: dict[int, Tensor] = {}

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
        self.pool, self.spans, self.longest = pool, spans, behind.shape[1]
        self.mask = cache(partial(score_mask, behind.to(pool.device)))
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
        mask = self.mask(layer.window).repeat(1, groups, 1).unsqueeze(1)
        part, part_lse = attend_part(long, keys, values, layer.scaling, mask=mask)
        part, part_lse = (
            padding.unflatten(2, (groups, self.longest)).transpose(1, 3)[self.row, self.place].transpose(0, 1)
            for padding in (part, part_lse)
        )
        output, lse = (tokens_first.transpose(1, 2).contiguous() for tokens_first in (part, part_lse))
        _merge_prefixes(self.spans, by_head, output, lse, layer, self.positions)
        return output.permute(2, 1, 0, 3).reshape(1, tokens, groups * kv_heads, size)


class _DecodePlan:
    """One token for each of some rows.

    Every row's keys come in parts: its own blocks and its prefixes. A part's output counts by the softmax of the
    log-sum-exps of its row's parts, which is `grpo.attention`'s merge of them all at once.
    """

    def __init__(self, pool: _Pool, rows: Tensor, length: Tensor, spans: list[Span], positions: Tensor) -> None:
        """rows [R] in the order of the tokens, length [R] with the new token counted."""
        blocks = -(-length // BLOCK)
        place = torch.arange(int(blocks.max()))
        valid = place < blocks.unsqueeze(1)
        entries = pool.table[rows, : len(place)][valid]
        # Whole-pool products read without copying; a small part of the pool is cheaper gathered.
        gathered = 2 * len(entries) < pool.high
        count = len(entries) if gathered else pool.high
        selected = torch.arange(count) if gathered else entries
        filled, owner = torch.zeros(2, count, dtype=torch.int64)
        filled[selected] = (length.unsqueeze(1) - place * BLOCK)[valid]
        owner[selected] = torch.arange(len(rows)).repeat_interleave(blocks)
        behind = (filled.unsqueeze(1) - 1 - torch.arange(BLOCK))[:, None, None]
        self.pool, self.spans, self.high = pool, spans, pool.high
        self.selection = entries.to(pool.device) if gathered else None
        self.mask = cache(partial(score_mask, behind.to(pool.device)))
        last, offset = pool.table[rows, blocks - 1], (length - 1) % BLOCK
        self.block, self.offset, self.owner, self.positions = pool.own(last, offset, owner, positions)
        # The parts are `count` blocks, then each prefix once for each of its rows; sorted by row they are its bag.
        row = torch.cat([owner[selected], *(torch.arange(tokens.start, tokens.stop) for _, tokens in spans)])
        total = count + len(row) - len(entries)
        row, order = row.sort(stable=True)
        part = torch.cat([selected, torch.arange(count, total)])[order]
        sizes = torch.bincount(row)
        starts = sizes.cumsum(0) - sizes
        seat = torch.arange(len(row)) - starts[row]
        table = torch.full((len(rows), int(sizes.max())), total).index_put_((row, seat), part)
        shares = torch.zeros(total, dtype=torch.int64).index_put_((part,), row * table.shape[1] + seat)
        self.bags, self.starts, self.table, self.shares = pool.own(part, starts, table, shares)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        query, key = query.to(value.dtype), key.to(value.dtype)
        stores = self.pool.write(layer.number, self.block, self.offset, key, value)
        keys, values = (store[: self.high] if self.selection is None else store[self.selection] for store in stores)
        kv_heads, rows, size = key.shape[1:]
        by_row = query[0].transpose(0, 1).reshape(rows, kv_heads, -1, size)
        groups = by_row.shape[2]
        scores = ((by_row * layer.scaling)[self.owner] @ keys.transpose(-1, -2)).float() + self.mask(layer.window)
        chances = scores.softmax(-1)
        # A block's largest score has the chance e^{score - lse}.
        parts = [((chances.to(values.dtype) @ values).float(), scores.amax(-1) - chances.amax(-1).log())]
        # All queries of a kv head that see a prefix are one long query: [1, kv_heads, rows * groups, D].
        long, positions = by_row.transpose(0, 1).flatten(1, 2).unsqueeze(0), self.positions.repeat_interleave(groups)
        for prefix, tokens in self.spans:
            queries = slice(tokens.start * groups, tokens.stop * groups)
            part = _prefix_part(prefix, long[:, :, queries], positions[queries], layer)
            output, lse = (tensor[0].unflatten(1, (-1, groups)).transpose(0, 1).float() for tensor in part)
            parts.append((output, lse))
        outputs, lses = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        by_bag = torch.cat([lses, lses.new_full((1, kv_heads, groups), MASKED)])[self.table]
        weighted = outputs * by_bag.softmax(1).flatten(0, 1)[self.shares].unsqueeze(-1)
        merged = torch.nn.functional.embedding_bag(self.bags, weighted.flatten(1), self.starts, mode="sum")
        return merged.to(value.dtype).view(1, rows, -1, size)
