"""Batched generation over slots, with shared prefixes.

A *prefix* is computed once for all sequences that begin with it. It may continue another one (the tools of a scenario,
then the prompt of a task). A *slot* holds one open sequence: a prefix and its own tokens, whose keys and values are in
`grpo.engine.kv_cache`. A sequence gets several tokens in a prefill (`Engine.extend`) and one in a decode step
(`Engine.decode`; `grpo.engine.decode_step`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial

import torch
from torch import Tensor

from grpo.engine.cuda_graphs import Recorder
from grpo.engine.decode_step import DecodeBatch, DecodeContext, decode_batch
from grpo.engine.kv_cache import Pool, Prefix, Span, prefix_part, spans
from grpo.errors import UnsupportedModel
from grpo.models.attention import AttentionContext, AttentionLayer
from grpo.models.causal_lm import CausalLM, is_recurrent, output_logits
from grpo.models.compatibility import check_prepared
from grpo.models.fast_layers import InferenceStates
from kernels.attention import attend_part, by_group, merge_part
from kernels.blocks import score_mask, window_mask

PREFILL_TOKENS = 4096
"""Tokens of one prefill pass."""
PREFILL_CHUNK = 256
"""Tokens of one sequence in a prefill pass: bounds the padding inside the attention."""


class Engine:
    """Generates with a prepared model in `slots` of at most `max_length` tokens each, prefix included.

    The model is read, never changed, and may be trained between calls: `clear()` drops what its old weights computed.
    Runs under the caller's autocast, whose type the caches then have. Raises UnsupportedModel for a model that is not
    prepared or whose layers need the other engine.
    """

    recurrent = False

    def __init__(self, model: CausalLM, slots: int, max_length: int) -> None:
        if is_recurrent(model) != self.recurrent:
            raise UnsupportedModel(f"{type(self).__name__} with recurrent layers or without: take the other engine")
        self.slots, self.max_length = slots, max_length
        self.use(model)
        self.recorder = Recorder() if self._records() else None
        self.pool = Pool(slots, max_length, model.device, reserved=int(self.recorder is not None))
        self.clear()

    def use(self, model: CausalLM) -> None:
        """Generates with this model from now on: another copy of the one that the engine was made for."""
        check_prepared(model)
        self.model, self.states = model, InferenceStates(model)

    def _records(self) -> bool:
        """Whether decode steps are recorded as CUDA graphs."""
        return self.model.device.type == "cuda"

    def clear(self) -> None:
        """Closes every slot and forgets every prefix; handles are void. Necessary after a weight update."""
        self.prefixes = 0
        self.open_slots: dict[int, Prefix] = {}
        self.length = torch.zeros(self.slots, dtype=torch.int64)
        """Own tokens of each slot in the cache."""
        self.pool.release_all()
        self.states.forget()
        if self.recorder is not None:
            self.recorder.forget()

    @torch.inference_mode()
    def prefix(self, ids: Sequence[int], parent: Prefix | None = None) -> Prefix:
        """Computes the keys and values of `ids` after `parent`, once for all slots that will open with the handle."""
        self.prefixes += 1
        handle = Prefix(parent, len(ids), self.prefixes)
        if handle.length >= self.max_length:
            raise ValueError(f"a prefix of {handle.length} tokens leaves no room in slots of {self.max_length}")
        if ids:
            context, last = _PrefixContext(handle), torch.tensor([-1])
            self._forward(self._on_device(ids), handle.positions(self.model.device), context, last)
        return handle

    def open(self, slot: int, prefix: Prefix) -> None:
        """Takes a free slot for a sequence that begins with `prefix`; its first `extend` must follow."""
        if not 0 <= slot < self.slots or slot in self.open_slots:
            raise ValueError(f"slot {slot} is not a free one of {self.slots}")
        self.open_slots[slot], self.length[slot] = prefix, 0

    def close(self, slot: int) -> None:
        """Gives the slot and its cache blocks back."""
        del self.open_slots[slot]
        self.pool.release(slot)

    @torch.inference_mode()
    def extend(self, pending: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        """Appends one or more tokens to each slot; returns the logits [V] after each slot's last token, in fp32."""
        remaining = {slot: list(ids) for slot, ids in pending.items()}
        if not all(remaining.values()):
            raise ValueError("a slot to extend needs at least one token")
        logits: dict[int, Tensor] = {}
        while remaining:
            # Sequences of similar length share a pass.
            chunks: dict[int, list[int]] = {}
            for slot in sorted(remaining, key=lambda slot: -len(remaining[slot])):
                if sum(map(len, chunks.values())) < PREFILL_TOKENS:
                    chunks[slot] = remaining[slot][:PREFILL_CHUNK]
                    remaining[slot] = remaining[slot][PREFILL_CHUNK:]
            slots = self._sorted(chunks)
            hidden = self._extend_once(slots, [chunks[slot] for slot in slots])
            done = [place for place, slot in enumerate(slots) if not remaining[slot]]
            for place, slot_logits in zip(done, output_logits(self.model, hidden[done]), strict=True):
                logits[slots[place]] = slot_logits
                del remaining[slots[place]]
        return {slot: logits[slot] for slot in pending}

    @torch.inference_mode()
    def decode(self, slots: Sequence[int], ids: Sequence[int]) -> Tensor:
        """Appends one token to each of the slots; returns the next token's logits [len(slots), V] in fp32."""
        tokens, order = dict(zip(slots, ids, strict=True)), self._sorted(slots)
        index = self._grow(order, [1] * len(order))
        if self.recorder is None:
            lanes = [(slot, self.open_slots[slot]) for slot in order]
            batch = decode_batch(self.pool, lanes, tokens, self.length, fixed=False)
            logits = self._decode_once(batch, self._on_device(batch.index))
        else:
            lanes = self.recorder.lanes_for(slots, self.open_slots)
            batch = decode_batch(self.pool, lanes, tokens, self.length, fixed=True)
            logits = self.recorder.run(batch, self.model.device, partial(self._decode_once, batch))[: len(slots)]
        self.length[index] += 1
        return logits

    def _decode_once(self, batch: DecodeBatch, index: Tensor) -> Tensor:
        """Logits [lanes, V] in the caller's order of slots; nothing here waits for the device."""
        context = DecodeContext(self.pool, batch, index)
        at = context.at
        return output_logits(self.model, self._forward(at.ids, at.positions, context, at.order))

    def _extend_once(self, slots: list[int], ids: list[list[int]]) -> Tensor:
        """Hidden states [slots, H] after each slot's last token."""
        counts = [len(slot_ids) for slot_ids in ids]
        index = self._grow(slots, counts)
        runs, count = spans([self.open_slots[slot] for slot in slots], counts), torch.tensor(counts)
        context = _ExtendContext(self.pool, index, self.length[index], self._positions(slots), count, runs)
        tokens = self._on_device([id for slot_ids in ids for id in slot_ids])
        hidden = self._forward(tokens, context.positions, context, count.cumsum(0) - 1)
        self.length[index] += count
        return hidden

    def _sorted(self, slots: Iterable[int]) -> list[int]:
        """Slots of one prefix side by side. Raises KeyError for a slot that is not open."""
        return sorted(slots, key=lambda slot: self.open_slots[slot].order)

    def _positions(self, slots: list[int]) -> Tensor:
        """Position of each slot's next token."""
        return torch.tensor([self.open_slots[slot].length for slot in slots]) + self.length[slots]

    def _grow(self, slots: list[int], counts: list[int]) -> Tensor:
        """Makes room for `counts` more tokens; returns the slots as a tensor."""
        index = torch.tensor(slots)
        for slot, length, position, count in zip(
            slots, self.length[index].tolist(), self._positions(slots).tolist(), counts, strict=True
        ):
            if position + count > self.max_length:
                raise ValueError(f"slot {slot} would have {position + count} tokens, more than {self.max_length}")
            self.pool.reserve(slot, -(-(length + count) // self.pool.block))
        self.pool.compact()
        return index

    def _on_device(self, ids: Sequence[int] | Tensor) -> Tensor:
        return torch.as_tensor(ids).to(self.model.device)

    def _forward(self, ids: Tensor, positions: Tensor, context: AttentionContext, places: Tensor) -> Tensor:
        """One unpadded pass: ids and positions [T], places [M] -> hidden states [M, H] before the output head."""
        return self.states(ids, positions, context, places)


def _merge_prefixes(
    runs: list[Span], query: Tensor, output: Tensor, lse: Tensor, layer: AttentionLayer, positions: Tensor
) -> None:
    """Adds the prefixes' part to output [B, heads, T, D] and lse [B, heads, T], in place; query like output."""
    for prefix, tokens in runs:
        mask = window_mask(positions[tokens], prefix.positions(positions.device), layer.window, positions.device)
        part = prefix_part(prefix, query[:, :, tokens], mask, layer)
        merge_part(output[:, :, tokens], lse[:, :, tokens], *part)


class _PrefixContext:
    """The tokens of a new prefix attend to its ancestors and, causally, to themselves."""

    def __init__(self, handle: Prefix) -> None:
        self.handle = handle
        self.runs: list[Span] = [(prefix, slice(0, handle.own_length)) for prefix in handle.chain[:-1]]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: AttentionLayer) -> Tensor:
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


class _ExtendContext:
    """Several tokens for each of some slots. Queries are padded inside the attention, own keys gathered once."""

    def __init__(
        self, pool: Pool, slots: Tensor, start: Tensor, first: Tensor, count: Tensor, runs: list[Span]
    ) -> None:
        """Each of slots [R] has start [R] own tokens in the cache and gets count [R] more, from position first [R]."""
        row = torch.repeat_interleave(torch.arange(len(slots)), count)
        place = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
        own = start[row] + place
        blocks = -(-int((start + count).max()) // pool.block)
        padded = start.unsqueeze(1) + torch.arange(int(count.max()))
        behind = padded.unsqueeze(-1) - torch.arange(blocks * pool.block)
        self.pool, self.runs, self.longest = pool, runs, behind.shape[1]
        self.mask = cache(partial(score_mask, behind.to(pool.device)))
        indices = row, place, own % pool.block, first[row] + place
        self.row, self.place, self.offset, self.positions = pool.on_device(*indices)
        self.block, self.table = pool.on_device(pool.table[slots[row], own // pool.block], pool.table[slots, :blocks])

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: AttentionLayer) -> Tensor:
        query, key = query.to(value.dtype), key.to(value.dtype)
        stores = self.pool.write(layer.number, self.block, self.offset, key, value)
        # A slot's blocks side by side: [R, blocks, kv_heads, pool.block, D] -> [R, kv_heads, blocks * pool.block, D]
        keys, values = (store[self.table].transpose(1, 2).flatten(2, 3) for store in stores)
        by_head, _, _ = by_group(query, key, value)
        groups, kv_heads, tokens, size = by_head.shape
        padded = query.new_zeros(len(self.table), self.longest, groups, kv_heads, size)
        padded[self.row, self.place] = by_head.permute(2, 0, 1, 3)
        # Grouped heads follow one another in a long query, so that keys need not be repeated for them.
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
