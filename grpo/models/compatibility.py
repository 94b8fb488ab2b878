"""Which models can share prefixes. Asked of each one before it is used: what is computed wrongly would be learned."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from grpo.models.attention import (
    NAME,
    Layer,
    Node,
    TokenTree,
    UnsupportedModel,
    hidden_states,
    is_recurrent,
    layer_kinds,
    output_logits,
)
from grpo.models.recurrence import drop_branches, use_branches
from kernels import agree

KINDS = {"full_attention", "sliding_attention", "linear_attention"}


@dataclass(frozen=True)
class Noting(TokenTree):
    """Notes what the layers say of themselves."""

    layers: list[Layer] = field(default_factory=list)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        self.layers.append(layer)
        return super().attend(query, key, value, layer)


def use_shared_prefix_attention(model: PreTrainedModel) -> None:
    """Switches a loaded model to `grpo.models.attention`. Raises UnsupportedModel where it cannot share a prefix.

    The first time, two short sequences are scored in the library's way and, as siblings, in ours, so that a model that
    does something else (biased scores, logits of its own, attention past the interface) is refused rather than trained
    wrongly.
    """
    before = model.config.get_text_config(decoder=True)._attn_implementation
    if before == NAME:
        return
    if unknown := set(layer_kinds(model)) - KINDS:
        raise UnsupportedModel(f"layers of type {', '.join(sorted(unknown))} cannot share a prefix yet")
    training = model.training
    try:
        # A caller's autocast would hide more than rounding in the weights' own type does.
        with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
            _compare(model.eval())
    except UnsupportedModel:
        model.set_attn_implementation(before)
        drop_branches(model)
        raise
    finally:
        model.train(training)


def _compare(model: PreTrainedModel) -> None:
    """Switches the model. Raises UnsupportedModel where it says something else then."""
    name, device = type(model).__name__, model.device
    ids = torch.arange(1, 9) % model.config.get_text_config(decoder=True).vocab_size
    # Two sequences that begin alike, and the same tokens as a tree.
    pair = torch.tensor([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 6, 7]])
    tree = Noting((Node(0, 4, 8), Node(4, 6, 6), Node(6, 8, 8)))
    expected = model(input_ids=ids[pair].to(device), use_cache=False).logits.flatten(0, 1).float()
    model.set_attn_implementation(NAME)
    mixers = use_branches(model)
    if is_recurrent(model) and not mixers:
        raise UnsupportedModel(f"{name} keeps its recurrent states in a way of its own")
    packed = hidden_states(model, ids.unsqueeze(0).to(device), tree.positions.unsqueeze(0).to(device), tree)
    found = output_logits(model, packed[pair.flatten()])
    if mixers and not (all(mixer.followed for mixer in mixers) and agree(found, expected, model.dtype)):
        # Not handed the tree, recurrent layers take whole sequences in training. Generation goes on from states too.
        embedded = model.get_input_embeddings()(ids.unsqueeze(0).to(device))
        if not all(mixer.goes_on(embedded) for mixer in mixers):
            raise UnsupportedModel(f"recurrent layers of {name} begin anew with every pass of several tokens")
        drop_branches(model)
        found = output_logits(model, hidden_states(model, ids[pair].to(device), tree.positions[pair].to(device), None))
    if not agree(found, expected, model.dtype):
        raise UnsupportedModel(f"{name} is more than standard attention layers and an output head")
    if len({layer.number for layer in tree.layers}) < len(tree.layers):
        raise UnsupportedModel(f"{name} attends several times in a layer, which has room for one set of keys")
    if any(layer.window is None and _slides(model, layer.number) for layer in tree.layers):
        raise UnsupportedModel(f"{name} does not tell its attention about the sliding window of its configuration")


def _slides(model: PreTrainedModel, layer: int) -> bool:
    """Whether the configuration gives this layer a sliding window."""
    config, kinds = model.config.get_text_config(decoder=True), layer_kinds(model)
    if kinds:
        return kinds[layer] == "sliding_attention"
    return getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)
