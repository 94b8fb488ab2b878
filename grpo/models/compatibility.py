"""Preparing a model, once, where it is loaded; and what a model family needs to be supported.

There is no list of families. Each model is compared with the library's own computation before it is used, because a
model that is computed wrongly would learn wrongly. Its layers have to

1. be of the types in `SHAREABLE`, as far as the configuration names types;
2. call the library's attention interface, once per layer, and tell it about a sliding window;
3. if they are recurrent, have mixers that take the library's cache and continue from a state
   (`grpo.models.recurrence`).

Its chat template has to carry tool calls in a known format (`grpo.chat.template.ChatFormat`).
"""

from __future__ import annotations

import torch

from grpo.errors import UnsupportedModel
from grpo.models.attention import NAME, AttentionLayer
from grpo.models.causal_lm import CausalLM, hidden_states, is_recurrent, layer_types, output_logits, text_config
from grpo.models.fast_layers import FastLinear, RecordingTree, patch_linears
from grpo.models.recurrence import patch_mixers, unpatch_mixers
from grpo.models.token_tree import Node
from kernels import agree, keep_freed_memory

SHAREABLE = {"full_attention", "sliding_attention", "linear_attention"}
"""Types of layers whose prefixes can be shared."""


def prepare(model: CausalLM) -> None:
    """Alters a loaded model, on its device, so that sequences can share prefixes; again, it does nothing.

    `grpo.models.patching` lists the alterations. Two short sequences are scored in the library's way and, as siblings,
    in ours. Raises UnsupportedModel if the logits differ: the model then has biased attention scores, attention that
    bypasses the library's interface, or logits that are computed otherwise.
    """
    if is_prepared(model):
        return
    if unknown := set(layer_types(model)) - SHAREABLE:
        raise UnsupportedModel(f"layers of type {', '.join(sorted(unknown))} cannot share a prefix yet")
    patch_linears(model)
    library_attention, training = text_config(model)._attn_implementation, model.training
    try:
        # A caller's autocast would hide more than rounding in the weights' own type does.
        with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
            _share_prefixes(model.eval())
    except UnsupportedModel:
        model.set_attn_implementation(library_attention)
        unpatch_mixers(model)
        raise
    finally:
        model.train(training)
    if model.device.type == "cpu":
        keep_freed_memory()


def is_prepared(model: CausalLM) -> bool:
    """Whether `prepare` has altered the model."""
    # Two models can share a configuration object, so the modules count as well.
    patched = any(isinstance(module, FastLinear) for module in model.modules())
    return patched and text_config(model)._attn_implementation == NAME


def check_prepared(model: CausalLM) -> None:
    """Raises UnsupportedModel for a model that is not prepared: it would ignore the attention context."""
    if not is_prepared(model):
        raise UnsupportedModel("the model is not prepared: call grpo.prepare(model) once, after it is on its device")


def _share_prefixes(model: CausalLM) -> None:
    """Switches attention and recurrent mixers to ours. Raises UnsupportedModel if siblings' logits differ then."""
    name, device = type(model).__name__, model.device
    ids = torch.arange(1, 9) % text_config(model).vocab_size
    # Two sequences with a common beginning, and the same tokens as a tree.
    pair = torch.tensor([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 6, 7]])
    tree = RecordingTree((Node(0, 4, 8), Node(4, 6, 6), Node(6, 8, 8)))
    expected = model(input_ids=ids[pair].to(device), use_cache=False).logits.flatten(0, 1).float()
    model.set_attn_implementation(NAME)
    mixers = patch_mixers(model)
    if is_recurrent(model) and not mixers:
        raise UnsupportedModel(f"{name} keeps its recurrent states in a way of its own")
    packed = hidden_states(model, ids.unsqueeze(0).to(device), tree.positions.unsqueeze(0).to(device), tree)
    logits = output_logits(model, packed[pair.flatten()])
    if mixers and not (all(mixer.received_tree for mixer in mixers) and agree(logits, expected, model.dtype)):
        # Mixers that are not handed the tree take whole sequences in training. Generation still continues from states.
        embedded = model.get_input_embeddings()(ids.unsqueeze(0).to(device))
        if not all(mixer.continues(embedded) for mixer in mixers):
            raise UnsupportedModel(f"recurrent layers of {name} begin anew with every pass of several tokens")
        unpatch_mixers(model)
        states = hidden_states(model, ids[pair].to(device), tree.positions[pair].to(device), None)
        logits = output_logits(model, states)
    if not agree(logits, expected, model.dtype):
        raise UnsupportedModel(f"{name} is more than standard attention layers and an output head")
    if len({layer.number for layer in tree.layers}) < len(tree.layers):
        raise UnsupportedModel(f"{name} attends several times in a layer, which has room for one set of keys")
    if any(layer.window is None and _has_window(model, layer) for layer in tree.layers):
        raise UnsupportedModel(f"{name} does not tell its attention about the sliding window of its configuration")


def _has_window(model: CausalLM, layer: AttentionLayer) -> bool:
    """Whether the configuration gives this layer a sliding window."""
    config, types = text_config(model), layer_types(model)
    if types:
        return types[layer.number] == "sliding_attention"
    return getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)
