"""Batched generation over slots, with shared prefixes.

A *prefix* is computed once and kept for all rows that begin with it; it may continue another one (the tools of a
scenario, then the prompt of a task). A *row* is a slot that holds an open sequence: a prefix and its own tokens, whose
keys and values `grpo.engine.kv_cache` keeps. Rows get several tokens in a prefill (`Engine.extend`) and one each in a decode
step (`Engine.decode`; `grpo.engine.decode_step`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from grpo.engine.cuda_graphs import Recorder
from grpo.engine.decode_step import DecodePlan, Step, plan_step
from grpo.engine.kv_cache import Pool, Prefix, Span, prefix_part, spans
from grpo.models.attention import AttentionPlan, Layer, UnsupportedModel, is_recurrent, output_logits
from grpo.models.fast_layers import InferenceStates
from kernels.attention import attend_part, by_group, merge_part
from kernels.blocks import score_mask, window_mask

PREFILL_TOKENS = 4096
"""Tokens of one prefill pass."""
PREFILL_CHUNK = 256
"""Tokens of one row in a prefill pass: bounds the padding inside the attention."""


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
        self.rows, self.max_length = rows, max_length
        self.take(model)
        self.recorder = Recorder() if self._records() else None
        self.pool = Pool(rows, max_length, model.device, reserved=int(self.recorder is not None))
        self.clear()

    def take(self, model: PreTrainedModel) -> None:
        """Generates with this model from now on: another copy of the one the engine was made for."""
        self.model, self.hidden = model, InferenceStates(model)

    def _records(self) -> bool:
        """Whether decode steps are recorded as CUDA graphs."""
        return self.model.device.type == "cuda"

    def clear(self) -> None:
        """Closes every row and forgets every prefix; handles are void. Necessary after a weight update."""
        self.prefixes = 0
        self.open_rows: dict[int, Prefix] = {}
        self.length = torch.zeros(self.rows, dtype=torch.int64)
        """Own tokens of each row in the cache."""
        self.pool.release_all()
        self.hidden.forget()
        if self.recorder is not None:
            self.recorder.forget()

    @torch.inference_mode()
    def prefix(self, ids: Sequence[int], parent: Prefix | None = None) -> Prefix:
        """Computes the keys and values of `ids` after `parent`, once for all rows that will open with the handle."""
        self.prefixes += 1
        handle = Prefix(parent, len(ids), self.prefixes)
        if handle.length >= self.max_length:
            raise ValueError(f"a prefix of {handle.length} tokens leaves no room in rows of {self.max_length}")
        if ids:
            plan, last = _PrefixPlan(handle), torch.tensor([-1])
            self._forward(self._placed(ids), handle.positions(self.model.device), plan, last)
        return handle

    def open(self, row: int, prefix: Prefix) -> None:
        """Takes a free slot for a sequence that begins with `prefix`; its first `extend` must follow."""
        if not 0 <= row < self.rows or row in self.open_rows:
            raise ValueError(f"row {row} is not a free slot of {self.rows}")
        self.open_rows[row], self.length[row] = prefix, 0

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
        tokens, order = dict(zip(rows, ids, strict=True)), self._sorted(rows)
        index = self._grow(order, [1] * len(order))
        if self.recorder is None:
            seats = [(row, self.open_rows[row]) for row in order]
            step = plan_step(self.pool, seats, tokens, self.length, fixed=False)
            logits = self._decode_once(step, self._placed(step.index))
        else:
            seats = self.recorder.seated(rows, self.open_rows)
            step = plan_step(self.pool, seats, tokens, self.length, fixed=True)
            logits = self.recorder.run(step, self.model.device, partial(self._decode_once, step))[: len(rows)]
        self.length[index] += 1
        return logits

    def _decode_once(self, step: Step, index: Tensor) -> Tensor:
        """Logits [seats, V] in the caller's order of rows; nothing here waits for the device."""
        plan = DecodePlan(self.pool, step, index)
        return output_logits(self.model, self._forward(plan.ids, plan.positions, plan, plan.order))

    def _extend_once(self, rows: list[int], ids: list[list[int]]) -> Tensor:
        """Hidden states [R, H] after each row's last token."""
        counts = [len(row_ids) for row_ids in ids]
        index = self._grow(rows, counts)
        runs, count = spans([self.open_rows[row] for row in rows], counts), torch.tensor(counts)
        plan = _ExtendPlan(self.pool, index, self.length[index], self._positions(rows), count, runs)
        tokens = self._placed([id for row_ids in ids for id in row_ids])
        hidden = self._forward(tokens, plan.positions, plan, count.cumsum(0) - 1)
        self.length[index] += count
        return hidden

    def _sorted(self, rows: Iterable[int]) -> list[int]:
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
            self.pool.reserve(row, -(-(length + count) // self.pool.block))
        self.pool.compact()
        return index

    def _placed(self, ids: Sequence[int] | Tensor) -> Tensor:
        return torch.as_tensor(ids).to(self.model.device)

    def _forward(self, ids: Tensor, positions: Tensor, plan: AttentionPlan, wanted: Tensor) -> Tensor:
        """One unpadded pass: ids and positions [T], wanted [M] -> their hidden states [M, H] before the output head."""
        return self.hidden(ids, positions, plan, wanted)


def _merge_prefixes(runs: list[Span], query: Tensor, output: Tensor, lse: Tensor, layer: Layer, at: Tensor) -> None:
    """Adds the prefixes' part to output [B, heads, T, D] and lse [B, heads, T], in place; query like output, at [T]."""
    for prefix, tokens in runs:
        mask = window_mask(at[tokens], prefix.positions(at.device), layer.window, at.device)
        part = prefix_part(prefix, query[:, :, tokens], mask, layer)
        merge_part(output[:, :, tokens], lse[:, :, tokens], *part)


class _PrefixPlan:
    """The tokens of a new prefix: they see its ancestors and, causally, themselves."""

    def __init__(self, handle: Prefix) -> None:
        self.handle = handle
        self.runs: list[Span] = [(prefix, slice(0, handle.own_length)) for prefix in handle.chain[:-1]]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        query, key = query.to(value.dtype), key.to(value.dtype)
        positions = self.handle.positions(query.device)
        self.handle.keys[layer.number] = key.contiguous()
        self.handle.values[layer.number] = value.contiguous()
        heads, length, size = query.shape[1:]
        query, key, value = by_group(query, key, value)
        mask = window_mask(positions, positions, layer.window, query.device)
        output, lse = attend_part(query, key, value, layer.scaling, True, mask)
        _merge_prefixes(self.runs, query, output, lse, layer, positions)
        return output.permute(2, 1, 0, 3).reshape(1, length, heads, size)


class _ExtendPlan:
    """Several tokens for each of some rows; queries are padded inside the attention, own keys gathered once."""

    def __init__(self, pool: Pool, rows: Tensor, start: Tensor, first: Tensor, count: Tensor, runs: list[Span]) -> None:
        """rows [R] with start [R] own tokens in the cache; count [R] more come, from position first [R] on."""
        row = torch.repeat_interleave(torch.arange(len(rows)), count)
        place = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
        own = start[row] + place
        blocks = -(-int((start + count).max()) // pool.block)
        padded = start.unsqueeze(1) + torch.arange(int(count.max()))
        behind = padded.unsqueeze(-1) - torch.arange(blocks * pool.block)
        self.pool, self.runs, self.longest = pool, runs, behind.shape[1]
        self.mask = cache(partial(score_mask, behind.to(pool.device)))
        self.row, self.place, self.offset, self.positions = pool.own(row, place, own % pool.block, first[row] + place)
        self.block, self.table = pool.own(pool.table[rows[row], own // pool.block], pool.table[rows, :blocks])

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        query, key = query.to(value.dtype), key.to(value.dtype)
        stores = self.pool.write(layer.number, self.block, self.offset, key, value)
        # A row's blocks side by side: [R, blocks, kv_heads, pool.block, D] -> [R, kv_heads, blocks * pool.block, D]
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
        _merge_prefixes(self.runs, by_head, output, lse, layer, self.positions)
        return output.permute(2, 1, 0, 3).reshape(1, tokens, groups * kv_heads, size)
