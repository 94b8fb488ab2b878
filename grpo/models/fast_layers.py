"""Faster linear layers for training, and a standard decoder in fewer operations for generation, through `kernels`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from grpo.models.attention import AttentionContext, AttentionLayer
from grpo.models.causal_lm import CausalLM, hidden_states
from grpo.models.patching import Patched, patch
from grpo.models.token_tree import Node, TokenTree
from kernels import FusedDecoder, PackedWeight, agree, fast_linear, is_standard

PROBE_TOKENS = 8
"""Length of the sequence that the two computations are compared on."""


@dataclass(frozen=True)
class RecordingTree(TokenTree):
    """A tree that records the settings of the layers that attend by it."""

    layers: list[AttentionLayer] = field(default_factory=list)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: AttentionLayer) -> Tensor:
        self.layers.append(layer)
        return super().attend(query, key, value, layer)


def states_at(model: CausalLM, ids: Tensor, positions: Tensor, tree: TokenTree | None, places: Tensor) -> Tensor:
    """`hidden_states` of a packed row, or of padded ones without a tree, at `places` [M] -> [M, H]."""
    # Sequences share places. Indexing would add their gradients in any order if there are several threads.
    return nn.functional.embedding(places, hidden_states(model, ids, positions, tree))


class FastLinear(Patched):
    """Patch of an `nn.Linear`: fp32 products on a CPU go through oneDNN."""

    is_plain_linear = True
    packed: PackedWeight

    def forward(self, input: Tensor) -> Tensor:
        return fast_linear(input, self.weight, self.bias, self.packed)  # type: ignore[arg-type]


def patch_linears(model: CausalLM) -> None:
    """Patches every `nn.Linear` of a model with `FastLinear`."""
    for module in model.modules():
        if type(module) is nn.Linear:
            patch(module, FastLinear).packed = PackedWeight()


def forget_packed(model: CausalLM) -> None:
    """Drops the copies of a model's weights; a layer that needs its copy makes it again."""
    for module in model.modules():
        if isinstance(module, FastLinear):
            module.packed.forget()


class InferenceStates:
    """`hidden_states` of one unpadded row of a prepared model, without gradients, in fewer operations if possible."""

    def __init__(self, model: CausalLM) -> None:
        self.model = model

    def forget(self) -> None:
        """Drops the copies of the weights, which are made when they are needed. Necessary after an update."""
        self.__dict__.pop("decoder", None)
        forget_packed(self.model)

    @cached_property
    def decoder(self) -> FusedDecoder | None:
        """The model in fewer operations; None if that would not compute what the model computes."""
        base = self.model.base_model
        return FusedDecoder(base) if is_standard(base) and self.attention_layers else None

    @cached_property
    def attention_layers(self) -> list[AttentionLayer]:
        """The settings of the layers; empty if a short sequence shows that `FusedDecoder` computes otherwise."""
        base = self.model.base_model
        tree, (ids, positions) = RecordingTree((Node(0, PROBE_TOKENS, PROBE_TOKENS),)), _probe(self.model)
        expected = hidden_states(self.model, ids.unsqueeze(0), positions.unsqueeze(0), tree)
        states = _fused_states(FusedDecoder(base), tree.layers, ids, positions, tree, positions)
        forget_packed(self.model)  # The comparison made copies that generation by `FusedDecoder` never reads.
        return tree.layers if agree(states, expected, states.dtype) else []

    def __call__(self, ids: Tensor, positions: Tensor, context: AttentionContext, places: Tensor) -> Tensor:
        """ids and positions [T], places [M] of tokens -> their hidden states [M, H] before the output head."""
        if torch.is_autocast_enabled(ids.device.type) or self.decoder is None:
            return hidden_states(self.model, ids.unsqueeze(0), positions.unsqueeze(0), context)[places]
        return _fused_states(self.decoder, self.attention_layers, ids, positions, context, places)


def _probe(model: CausalLM) -> tuple[Tensor, Tensor]:
    """ids and positions [T] of a short sequence."""
    positions = torch.arange(PROBE_TOKENS, device=model.device)
    return (positions + 1) % model.base_model.embed_tokens.num_embeddings, positions


def _fused_states(
    decoder: FusedDecoder,
    layers: list[AttentionLayer],
    ids: Tensor,
    positions: Tensor,
    context: AttentionContext,
    places: Tensor,
) -> Tensor:
    def attend(number: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return context.attend(query, key, value, layers[number])

    return decoder(ids, positions, attend, places)
