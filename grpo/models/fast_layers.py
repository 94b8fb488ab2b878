"""A standard decoder in fewer operations, by `kernels` where that computes what the model does.

`use_fast_layers` lets the layers of a loaded model do so in training: the same modules and weights under the same
hooks, so that sharding, checkpointing and adapters work as before. `InferenceStates` is for generation.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from transformers import PreTrainedModel

from grpo.models.attention import AttentionPlan, Layer, Node, TokenTree, hidden_states
from grpo.models.compatibility import Noting, use_shared_prefix_attention
from grpo.models.patching import Swapped, swap, swap_back
from kernels import FusedDecoder, agree, forget_packed, is_packed, is_standard, keep_freed_memory, training_layer
from kernels.decoder import turns

PROBE = 8
"""Tokens of the sequence by which the two are compared."""
_TRIED: WeakSet[PreTrainedModel] = WeakSet()


def wanted_states(model: PreTrainedModel, ids: Tensor, positions: Tensor, tree: TokenTree | None, at: Tensor) -> Tensor:
    """`grpo.models.attention.hidden_states` of a packed row, or of padded ones without a tree, at the places [M] -> [M, H]."""
    if tree is not None and ids.device.type == "cpu":
        # Sequences may share tokens. Which ones is not known of fake tensors (`grpo.cli.plan`).
        tree = _Wanting(tree.nodes, at if isinstance(at, FakeTensor) else at.unique())
    # Sequences share places, whose gradients indexing would add in any order where there are several threads.
    return nn.functional.embedding(at, hidden_states(model, ids, positions, tree))


@dataclass(frozen=True)
class _Wanting(TokenTree):
    """Says which tokens' hidden states are read in the end: the last layer need not compute the others."""

    wanted: Tensor


class FastLayer(Swapped):
    """A decoder layer that computes by `kernels.training_layer` where that can be; made by `use_fast_layers`."""

    noted: Layer
    last: bool

    def forward(
        self,
        hidden_states: Tensor,
        *given: Any,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        attention_plan: AttentionPlan | None = None,
        **named: Any,
    ) -> Tensor:
        """hidden_states [1, T, H] -> [1, T, H]."""
        if attention_plan is None or position_embeddings is None or not self._is_served(hidden_states):
            named |= {"position_embeddings": position_embeddings, "attention_plan": attention_plan}
            output: Tensor = super().forward(hidden_states, *given, **named)
            return output
        attend = functools.partial(attention_plan.attend, layer=self.noted)
        wanted = getattr(attention_plan, "wanted", None) if self.last else None
        return training_layer(self, hidden_states, *turns(*position_embeddings), attend, wanted)

    def _is_served(self, hidden: Tensor) -> bool:
        """In fp32 on a CPU, without dropout, and with nothing that hangs on the calls of the modules inside."""
        return (
            hidden.device.type == "cpu"
            and hidden.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and not self.training
            and not any(
                module._forward_hooks or module._forward_pre_hooks for module in self.modules() if module is not self
            )
        )


def use_fast_layers(model: PreTrainedModel) -> None:
    """`use_shared_prefix_attention`; then makes the layers of a standard decoder `FastLayer`s. On a CPU freed memory is
    kept from now on.

    A short sequence, scored before and after, says whether the layers compute what their modules' names say.
    """
    use_shared_prefix_attention(model)
    if model.device.type == "cpu":
        keep_freed_memory()
    base = model.base_model
    if model in _TRIED or not is_standard(base) or not is_packed(base) or isinstance(base.layers[0], FastLayer):
        return
    _TRIED.add(model)
    training = model.training
    model.eval()
    expected, layers = _probed(model)
    for layer, noted in zip(base.layers, layers, strict=True):
        swap(layer, FastLayer)
        layer.noted, layer.last = noted, layer is base.layers[-1]
    found, _ = _probed(model)
    model.train(training)
    forget_packed(model)
    if not agree(found, expected, found.dtype):
        for layer in base.layers:
            swap_back(layer)


@torch.no_grad()
def _probed(model: PreTrainedModel) -> tuple[Tensor, list[Layer]]:
    """Hidden states of a short sequence by the model's modules, and what its layers say of themselves."""
    plan, ids, positions = _probe(model)
    return hidden_states(model, ids.unsqueeze(0), positions.unsqueeze(0), plan), plan.layers


def _probe(model: PreTrainedModel) -> tuple[Noting, Tensor, Tensor]:
    positions = torch.arange(PROBE, device=model.device)
    return Noting((Node(0, PROBE, PROBE),)), (positions + 1) % model.base_model.embed_tokens.num_embeddings, positions


def keep_modules(model: PreTrainedModel) -> None:
    """Lets this model's layers compute by their own modules, as on a GPU."""
    _TRIED.add(model)


class InferenceStates:
    """`grpo.models.attention.hidden_states` of one unpadded row without gradients, in fewer operations where that can be."""

    def __init__(self, model: PreTrainedModel) -> None:
        use_fast_layers(model)
        self.model = model

    def forget(self) -> None:
        """Drops the copies of the weights, which are made when they are needed. Necessary after an update."""
        self.__dict__.pop("fused", None)
        forget_packed(self.model)

    @cached_property
    def fused(self) -> tuple[FusedDecoder, list[Layer]] | None:
        base = self.model.base_model
        if not is_standard(base) or isinstance(
            base.embed_tokens.weight.data, FakeTensor
        ):  # `grpo.cli.plan` has no values
            return None
        if is_packed(base):
            # Compared when the layers were made.
            fast = isinstance(base.layers[0], FastLayer)
            return (FusedDecoder(base), [layer.noted for layer in base.layers]) if fast else None
        expected, layers = _probed(self.model)
        fused = FusedDecoder(base), layers
        plan, ids, positions = _probe(self.model)
        found = _few_operations(fused, ids, positions, plan, positions)
        return fused if agree(found, expected, found.dtype) else None

    def __call__(self, ids: Tensor, positions: Tensor, plan: AttentionPlan, wanted: Tensor) -> Tensor:
        """ids and positions [T], wanted [M] places of tokens -> their hidden states [M, H] before the output head."""
        if self.fused is None or torch.is_autocast_enabled(ids.device.type):
            return hidden_states(self.model, ids.unsqueeze(0), positions.unsqueeze(0), plan)[wanted]
        return _few_operations(self.fused, ids, positions, plan, wanted)


def _few_operations(
    fused: tuple[FusedDecoder, list[Layer]], ids: Tensor, positions: Tensor, plan: AttentionPlan, wanted: Tensor
) -> Tensor:
    decoder, layers = fused

    def attend(number: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return plan.attend(query, key, value, layers[number])

    return decoder(ids, positions, attend, wanted)
