"""Generation with hybrid models, partly recurrent (Qwen3.5: gated linear attention beside full attention).

Attention layers do as in `grpo.engine.engine`. A recurrent layer has a state per row, which begins as a copy of the
prefix's: what a prefix computed once serves all rows that open with it. States do not mix: every row is a sequence of
its own in a pass, so that neighbours never share one, and no padding enters them.

A recorded decode step (`grpo.engine.cuda_graphs`) reads and writes states where they lie: there every seat has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from grpo.engine.decode_step import DecodePlan
from grpo.engine.engine import PREFILL_CHUNK, PREFILL_TOKENS, Engine
from grpo.engine.kv_cache import Prefix
from grpo.models.attention import AttentionPlan, Layer
from grpo.models.recurrence import State, States


class RecurrentEngine(Engine):
    """`Engine` for a model with recurrent layers. Rows to extend share a pass when they get equally many tokens."""

    recurrent = True

    def clear(self) -> None:
        super().clear()
        self.states: dict[int, State] = {}
        """Of open rows that are not seated."""
        self.prefix_states: dict[Prefix | None, State] = {None: {}}
        self.seated: dict[int, int] = {}
        """The seats of rows whose states lie there."""
        self.seats = _Seats(self.model.config, [{}])
        self.places: list[int] = []

    @torch.inference_mode()
    def prefix(self, ids: Sequence[int], parent: Prefix | None = None) -> Prefix:
        self._before = self._after = [self.prefix_states[parent]]
        handle = super().prefix(ids, parent)
        (self.prefix_states[handle],) = self._after
        return handle

    def open(self, row: int, prefix: Prefix) -> None:
        super().open(row, prefix)
        self.states[row] = self.prefix_states[prefix]

    def close(self, row: int) -> None:
        super().close(row)
        self.states.pop(row, None)
        self.seated.pop(row, None)

    @torch.inference_mode()
    def extend(self, pending: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        # Never more rows than a pass has room for: all of them then stay equally long in every pass.
        left, together = sorted(pending, key=lambda row: len(pending[row])), PREFILL_TOKENS // PREFILL_CHUNK
        logits: dict[int, Tensor] = {}
        while left:
            rows = [row for row in left[:together] if len(pending[row]) == len(pending[left[0]])]
            logits |= super().extend({row: pending[row] for row in rows})
            left = left[len(rows) :]
        return logits

    @torch.inference_mode()
    def decode(self, rows: Sequence[int], ids: Sequence[int]) -> Tensor:
        if self.recorder is not None:
            self._sit([row for row, _ in self.recorder.seated(rows, self.open_rows)], rows)
            return super().decode(rows, ids)
        order = self._sorted(rows)
        self._before = [self.states[row] for row in order]
        logits = super().decode(rows, ids)
        self.states.update(zip(order, self._after, strict=True))
        return logits

    def _extend_once(self, rows: list[int], ids: list[list[int]]) -> Tensor:
        self._rise([row for row in rows if row in self.seated])
        self._before = [self.states[row] for row in rows]
        hidden = super()._extend_once(rows, ids)
        self.states.update(zip(rows, self._after, strict=True))
        return hidden

    def _sit(self, places: list[int], rows: Sequence[int]) -> None:
        """Brings the states of these rows to their seats and takes others away: a step changes those of all seats."""
        self._rise([row for row in self.seated if places != self.places or row not in rows])
        if len(places) != len(self.places):
            self.seats = _Seats(self.model.config, [self.states[rows[0]]] * len(places))
        self.places, seat_of = places, {row: seat for seat, row in enumerate(places)}
        if new := {row: seat_of[row] for row in rows if row not in self.seated}:
            self.seats.put(list(new.values()), [self.states.pop(row) for row in new])
        self.seated |= new

    def _rise(self, rows: Sequence[int]) -> None:
        """Takes rows' states from their seats."""
        if rows:
            self.states |= zip(rows, self.seats.split([self.seated.pop(row) for row in rows]), strict=True)

    def _forward(self, ids: Tensor, positions: Tensor, plan: AttentionPlan, wanted: Tensor) -> Tensor:
        """The tokens as a batch of equally long rows, each with its state."""
        seated = isinstance(plan, DecodePlan) and self.recorder is not None
        cache = self.seats if seated else States(self.model.config, self._before)
        count = len(self.places if seated else self._before)
        rows = torch.stack([ids, positions]).unflatten(1, (count, -1))
        options = {"past_key_values": cache, "use_cache": True, "attention_plan": _Flattened(plan, count)}
        hidden = self.model.base_model(input_ids=rows[0], position_ids=rows[1], **options).last_hidden_state
        if not seated:
            self._after = cache.split()
        return hidden.flatten(0, 1)[wanted]


class _Seats(States):
    """States that stay where they lie: every seat has one, which a step writes over."""

    def update_recurrent_state(self, states: Tensor, layer_idx: int, *_: Any, **__: Any) -> Tensor:
        kept: Tensor = self.layers[layer_idx].recurrent_states[0]
        return kept.copy_(states)

    def put(self, seats: list[int], rows: Sequence[State]) -> None:
        """Writes the states of rows to seats."""
        for layer, *kept in self.kept():
            for part, store in enumerate(kept):
                store[seats] = torch.cat([row[layer][part] for row in rows])


class _Flattened:
    """A plan for one row of tokens, asked with a batch of rows."""

    def __init__(self, plan: AttentionPlan, rows: int) -> None:
        self.plan, self.rows = plan, rows

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        query, key, value = (part.transpose(0, 1).flatten(1, 2).unsqueeze(0) for part in (query, key, value))
        return self.plan.attend(query, key, value, layer).unflatten(1, (self.rows, -1)).squeeze(0)
