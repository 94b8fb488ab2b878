"""Generation with hybrid models, partly recurrent (Qwen3.5: gated linear attention beside full attention).

Attention layers work as in `grpo.engine.engine`. A recurrent layer has one state per sequence, which begins as a copy
of the prefix's: a prefix is computed once for all slots that open with it. Every sequence is a row of its own in a
pass, so states never mix, and no padding enters them.

A recorded decode step (`grpo.engine.cuda_graphs`) reads and writes states in place: there every lane has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from grpo.engine.decode_step import DecodeContext
from grpo.engine.engine import PREFILL_CHUNK, PREFILL_TOKENS, Engine
from grpo.engine.kv_cache import Prefix
from grpo.models.attention import AttentionContext, AttentionLayer
from grpo.models.recurrence import State, States


class HybridEngine(Engine):
    """`Engine` for a model with recurrent layers. Slots to extend share a pass if they get equally many tokens."""

    recurrent = True

    def clear(self) -> None:
        super().clear()
        self.slot_states: dict[int, State] = {}
        """Of open slots whose state is not in a lane."""
        self.prefix_states: dict[Prefix | None, State] = {None: {}}
        self.lane_of: dict[int, int] = {}
        """The lanes of slots whose state is there."""
        self.lane_states = _LaneStates(self.model.config, [{}])
        self.lane_slots: list[int] = []
        """The slot of each lane."""

    @torch.inference_mode()
    def prefix(self, ids: Sequence[int], parent: Prefix | None = None) -> Prefix:
        self._before = self._after = [self.prefix_states[parent]]
        handle = super().prefix(ids, parent)
        (self.prefix_states[handle],) = self._after
        return handle

    def open(self, slot: int, prefix: Prefix) -> None:
        super().open(slot, prefix)
        self.slot_states[slot] = self.prefix_states[prefix]

    def close(self, slot: int) -> None:
        super().close(slot)
        self.slot_states.pop(slot, None)
        self.lane_of.pop(slot, None)

    @torch.inference_mode()
    def extend(self, pending: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        # Never more slots than a pass has room for: then all of them stay equally long in every pass.
        remaining, limit = sorted(pending, key=lambda slot: len(pending[slot])), PREFILL_TOKENS // PREFILL_CHUNK
        logits: dict[int, Tensor] = {}
        while remaining:
            slots = [slot for slot in remaining[:limit] if len(pending[slot]) == len(pending[remaining[0]])]
            logits |= super().extend({slot: pending[slot] for slot in slots})
            remaining = remaining[len(slots) :]
        return logits

    @torch.inference_mode()
    def decode(self, slots: Sequence[int], ids: Sequence[int]) -> Tensor:
        if self.recorder is not None:
            self._enter_lanes([slot for slot, _ in self.recorder.lanes_for(slots, self.open_slots)], slots)
            return super().decode(slots, ids)
        order = self._sorted(slots)
        self._before = [self.slot_states[slot] for slot in order]
        logits = super().decode(slots, ids)
        self.slot_states.update(zip(order, self._after, strict=True))
        return logits

    def _extend_once(self, slots: list[int], ids: list[list[int]]) -> Tensor:
        self._leave_lanes([slot for slot in slots if slot in self.lane_of])
        self._before = [self.slot_states[slot] for slot in slots]
        hidden = super()._extend_once(slots, ids)
        self.slot_states.update(zip(slots, self._after, strict=True))
        return hidden

    def _enter_lanes(self, lane_slots: list[int], slots: Sequence[int]) -> None:
        """Moves the states of these slots into their lanes and all others out: a step changes every lane's state."""
        self._leave_lanes([slot for slot in self.lane_of if lane_slots != self.lane_slots or slot not in slots])
        if len(lane_slots) != len(self.lane_slots):
            self.lane_states = _LaneStates(self.model.config, [self.slot_states[slots[0]]] * len(lane_slots))
        self.lane_slots, lanes = lane_slots, {slot: lane for lane, slot in enumerate(lane_slots)}
        if new := {slot: lanes[slot] for slot in slots if slot not in self.lane_of}:
            self.lane_states.put(list(new.values()), [self.slot_states.pop(slot) for slot in new])
        self.lane_of |= new

    def _leave_lanes(self, slots: Sequence[int]) -> None:
        """Moves the states of these slots out of their lanes."""
        if slots:
            states = self.lane_states.split([self.lane_of.pop(slot) for slot in slots])
            self.slot_states |= zip(slots, states, strict=True)

    def _forward(self, ids: Tensor, positions: Tensor, context: AttentionContext, places: Tensor) -> Tensor:
        """The tokens as a batch of equally long rows, each with its state."""
        in_lanes = isinstance(context, DecodeContext) and self.recorder is not None
        cache = self.lane_states if in_lanes else States(self.model.config, self._before)
        count = len(self.lane_slots if in_lanes else self._before)
        rows = torch.stack([ids, positions]).unflatten(1, (count, -1))
        options = {"past_key_values": cache, "use_cache": True, "attention_context": _BatchContext(context, count)}
        hidden: Tensor = self.model.base_model(input_ids=rows[0], position_ids=rows[1], **options).last_hidden_state
        if not in_lanes:
            self._after = cache.split()
        return hidden.flatten(0, 1)[places]


class _LaneStates(States):
    """States at fixed addresses, one per lane, which a step overwrites."""

    def update_recurrent_state(self, states: Tensor, layer_idx: int, *_: Any, **__: Any) -> Tensor:
        store: Tensor = self.layers[layer_idx].recurrent_states[0]
        return store.copy_(states)

    def put(self, lanes: list[int], states: Sequence[State]) -> None:
        """Writes states to lanes."""
        for layer, *stores in self.by_layer():
            for part, store in enumerate(stores):
                store[lanes] = torch.cat([state[layer][part] for state in states])


class _BatchContext:
    """Serves a batch of rows by a context for one row of tokens."""

    def __init__(self, context: AttentionContext, rows: int) -> None:
        self.context, self.rows = context, rows

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: AttentionLayer) -> Tensor:
        query, key, value = (part.transpose(0, 1).flatten(1, 2).unsqueeze(0) for part in (query, key, value))
        return self.context.attend(query, key, value, layer).unflatten(1, (self.rows, -1)).squeeze(0)
