"""A standard decoder in fewer operations, through `kernels`, where these compute what the model computes.

`FastLinear` and `FastLayer` are patches (`grpo.models.patching`): the same modules and weights under the same hooks, so
that sharding, checkpointing and adapters work as before. `InferenceStates` is for generation.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor

from grpo.models.attention import AttentionContext, AttentionLayer
from grpo.models.causal_lm import CausalLM, hidden_states
from grpo.models.patching import Patched, patch, unpatch
from grpo.models.token_tree import Node, TokenTree
from kernels import (
    FusedDecoder,
    PackedWeight,
    agree,
    fast_linear,
    is_packed,
    is_standard,
    keep_freed_memory,
    training_layer,
)
from kernels.decoder import turns

PROBE_TOKENS = 8
"""Length of the sequence that the two computations are compared on."""


@dataclass(frozen=True)
class RecordingTree(TokenTree):
    """A tree that records the settings of the layers that attend by it."""

    layers: list[AttentionLayer] = field(default_factory=list)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: AttentionLayer) -> Tensor:
        self.layers.append(layer)
        return super().attend(query, key, value, layer)


@dataclass(frozen=True)
class ScoredTree(TokenTree):
    """A tree that knows which tokens' hidden states are read: the last layer need not compute the others."""

    read: Tensor


def states_at(model: CausalLM, ids: Tensor, positions: Tensor, tree: TokenTree | None, places: Tensor) -> Tensor:
    """`hidden_states` of a packed row, or of padded ones without a tree, at `places` [M] -> [M, H]."""
    if tree is not None and ids.device.type == "cpu":
        # Sequences may share tokens. Which ones is not known of fake tensors (`grpo.cli.plan`).
        tree = ScoredTree(tree.nodes, places if isinstance(places, FakeTensor) else places.unique())
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


class FastLayer(Patched):
    """Patch of a decoder layer: computes by `kernels.training_layer` where that is possible."""

    attention_layer: AttentionLayer
    is_last: bool

    def forward(
        self,
        hidden_states: Tensor,
        *arguments: Any,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        attention_context: AttentionContext | None = None,
        **options: Any,
    ) -> Tensor:
        """hidden_states [1, T, H] -> [1, T, H]."""
        if attention_context is None or position_embeddings is None or not self._is_served(hidden_states):
            options |= {"position_embeddings": position_embeddings, "attention_context": attention_context}
            output: Tensor = super().forward(hidden_states, *arguments, **options)
            return output
        attend = functools.partial(attention_context.attend, layer=self.attention_layer)
        read = getattr(attention_context, "read", None) if self.is_last else None
        return training_layer(self, hidden_states, *turns(*position_embeddings), attend, read)

    def _is_served(self, hidden: Tensor) -> bool:
        """In fp32 on a CPU, without dropout, and without hooks on the modules inside."""
        return (
            hidden.device.type == "cpu"
            and hidden.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and not self.training
            and not any(
                module._forward_hooks or module._forward_pre_hooks for module in self.modules() if module is not self
            )
        )


def patch_layers(model: CausalLM) -> None:
    """Patches the layers of a standard decoder in fp32 on a CPU with `FastLayer`. Keeps freed memory from now on.

    A short sequence, scored before and after, shows whether the layers compute what their modules' names say.
    """
    if model.device.type == "cpu":
        keep_freed_memory()
    base = model.base_model
    if not is_standard(base) or not is_packed(base):
        return
    training = model.training
    model.eval()
    expected, attention_layers = _probe_states(model)
    for layer, attention_layer in zip(base.layers, attention_layers, strict=True):
        patch(layer, FastLayer)
        layer.attention_layer, layer.is_last = attention_layer, layer is base.layers[-1]
    states, _ = _probe_states(model)
    model.train(training)
    forget_packed(model)
    if not agree(states, expected, states.dtype):
        for layer in base.layers:
            unpatch(layer)


@torch.no_grad()
def _probe_states(model: CausalLM) -> tuple[Tensor, list[AttentionLayer]]:
    """Hidden states of a short sequence by the model's modules, and the settings of its attention layers."""
    tree, ids, positions = _probe(model)
    return hidden_states(model, ids.unsqueeze(0), positions.unsqueeze(0), tree), tree.layers


def _probe(model: CausalLM) -> tuple[RecordingTree, Tensor, Tensor]:
    positions = torch.arange(PROBE_TOKENS, device=model.device)
    tree = RecordingTree((Node(0, PROBE_TOKENS, PROBE_TOKENS),))
    return tree, (positions + 1) % model.base_model.embed_tokens.num_embeddings, positions


class InferenceStates:
    """`hidden_states` of one unpadded row of a prepared model, without gradients, in fewer operations if possible."""

    def __init__(self, model: CausalLM) -> None:
        self.model = model

    def forget(self) -> None:
        """Drops the copies of the weights, which are made when they are needed. Necessary after an update."""
        self.__dict__.pop("decoder", None)
        forget_packed(self.model)

    @cached_property
    def decoder(self) -> tuple[FusedDecoder, list[AttentionLayer]] | None:
        """The model in fewer operations, with the settings of its layers; None where that would compute otherwise."""
        base = self.model.base_model
        if not is_standard(base) or isinstance(base.embed_tokens.weight.data, FakeTensor):  # no values to compare
            return None
        if is_packed(base):
            # `patch_layers` has compared.
            fast = isinstance(base.layers[0], FastLayer)
            return (FusedDecoder(base), [layer.attention_layer for layer in base.layers]) if fast else None
        expected, layers = _probe_states(self.model)
        decoder = FusedDecoder(base), layers
        tree, ids, positions = _probe(self.model)
        states = _fused_states(decoder, ids, positions, tree, positions)
        return decoder if agree(states, expected, states.dtype) else None

    def __call__(self, ids: Tensor, positions: Tensor, context: AttentionContext, places: Tensor) -> Tensor:
        """ids and positions [T], places [M] of tokens -> their hidden states [M, H] before the output head."""
        if self.decoder is None or torch.is_autocast_enabled(ids.device.type):
            return hidden_states(self.model, ids.unsqueeze(0), positions.unsqueeze(0), context)[places]
        return _fused_states(self.decoder, ids, positions, context, places)


def _fused_states(
    decoder: tuple[FusedDecoder, list[AttentionLayer]],
    ids: Tensor,
    positions: Tensor,
    context: AttentionContext,
    places: Tensor,
) -> Tensor:
    fused, layers = decoder

    def attend(number: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return context.attend(query, key, value, layers[number])

    return fused(ids, positions, attend, places)
