"""Hidden states for generation, by `kernels.FusedDecoder` where that computes what the model does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel

from grpo.attention import AttentionPlan, Layer, Node, TokenTree, hidden_states
from kernels import FusedDecoder, forget_packed, is_standard
from kernels.decoder import Attend

PROBE = 8
"""Tokens of the sequence by which the two are compared."""


class InferenceStates:
    """`grpo.attention.hidden_states` of one unpadded row without gradients, in fewer operations where that can be."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self.layers = model, _standard_layers(model)

    def forget(self) -> None:
        """Drops the copies of the weights, which are made when they are needed. Necessary after an update."""
        self.__dict__.pop("fused", None)
        forget_packed(self.model)

    @cached_property
    def fused(self) -> FusedDecoder | None:
        base = self.model.base_model
        return FusedDecoder(base) if self.layers and is_standard(base) else None

    def __call__(self, ids: Tensor, positions: Tensor, plan: AttentionPlan) -> Tensor:
        """ids and positions [T] -> hidden states [T, H] before the output head."""
        if self.fused is None or torch.is_autocast_enabled("cpu"):
            return hidden_states(self.model, ids.unsqueeze(0), positions.unsqueeze(0), plan)
        return self.fused(ids, positions, _attend(plan, self.layers))


def _attend(plan: AttentionPlan, layers: Sequence[Layer]) -> Attend:
    return lambda number, query, key, value: plan.attend(query, key, value, layers[number])


@dataclass(frozen=True)
class _Noting(TokenTree):
    """Notes what the layers say of themselves."""

    layers: list[Layer] = field(default_factory=list)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        self.layers.append(layer)
        return super().attend(query, key, value, layer)


def _standard_layers(model: PreTrainedModel) -> list[Layer]:
    """The attention layers, if `FusedDecoder` computes what the model does: a short sequence says so. Else none."""
    base = model.base_model
    if not is_standard(base):
        return []
    plan, positions = _Noting((Node(0, PROBE, PROBE),)), torch.arange(PROBE)
    ids = (positions + 1) % base.embed_tokens.num_embeddings
    with torch.inference_mode():
        expected = hidden_states(model, ids.unsqueeze(0), positions.unsqueeze(0), plan)
        layers = list(plan.layers)
        found = FusedDecoder(base)(ids, positions, _attend(plan, layers))
    return layers if (found - expected).abs().max() < 1e-4 * expected.std() else []
