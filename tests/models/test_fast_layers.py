"""Generation in few operations: where it is used, and where the modules compute. Patches survive copies."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from grpo.models.causal_lm import hidden_states
from grpo.models.compatibility import prepare
from grpo.models.fast_layers import FastLinear, InferenceStates, states_at
from grpo.models.lora import LoRALinear, add_adapters
from grpo.models.patching import Patched
from grpo.models.recompute import RecomputedLayer, recompute_layers
from grpo.models.token_tree import Node, TokenTree
from grpo.packing import Packed, pack
from tests.support.causal_models import hybrid_model, library_model, prepared, random_model

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6]


def packed_group() -> Packed:
    """Two siblings have the same first tokens, so that one hidden state is read twice."""
    sequences = [[*PROMPT, *completion] for completion in ([5, 3, 5, 8], [5, 3, 9], [7])]
    return pack(sequences, [[0] * len(PROMPT) + [1] * (len(ids) - len(PROMPT)) for ids in sequences])


def states(model: PreTrainedModel) -> Tensor:
    packed = packed_group()
    assert len(packed.predecessors.unique()) < len(packed.predecessors) < packed.ids.numel()
    return states_at(model, packed.ids, packed.positions, packed.tree, packed.predecessors)


def gradients(model: PreTrainedModel) -> dict[str, Tensor]:
    """Of a loss in which every token and feature has its own weight."""
    model.zero_grad()
    hidden = states(model)
    (hidden * torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def adapted(model: PreTrainedModel) -> PreTrainedModel:
    """The model with adapters that are no longer zero."""
    add_adapters(model, 2, 4.0, 0)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    return model


@torch.inference_mode()
def both_ways(model: PreTrainedModel, states: InferenceStates) -> tuple[Tensor, Tensor]:
    """Hidden states of one sequence by `states`, and by the model's modules."""
    ids, positions, tree = torch.tensor(PROMPT), torch.arange(8), TokenTree((Node(0, 8, 8),))
    places = torch.tensor([2, 7])
    by_modules = hidden_states(model, ids.unsqueeze(0), positions.unsqueeze(0), tree)[places]
    return states(ids, positions, tree, places), by_modules


@pytest.mark.parametrize("kind", ["qwen3, grouped queries, tied head", "llama, one kv head, biased"])
def test_a_standard_decoder_generates_in_few_operations(kind):
    model = random_model(kind)
    inference = InferenceStates(model)
    values, expected = both_ways(model, inference)
    assert inference.decoder is not None
    torch.testing.assert_close(values, expected, rtol=0, atol=2e-5)


def test_the_comparison_leaves_no_copies_of_the_weights():
    model = random_model("qwen3, grouped queries, tied head")
    with torch.inference_mode():
        assert InferenceStates(model).decoder is not None
    copies = [module.packed.value for module in model.modules() if isinstance(module, FastLinear)]
    assert copies and all(value is None for value in copies)


def test_new_weights_are_read_after_forget():
    model = random_model()
    inference = InferenceStates(model)
    before, _ = both_ways(model, inference)
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 1.1
    inference.forget()
    values, expected = both_ways(model, inference)
    torch.testing.assert_close(values, expected, rtol=0, atol=2e-5)
    assert not torch.allclose(before, expected, atol=1e-3)


def test_a_layer_that_only_looks_standard_keeps_its_modules(monkeypatch):
    model = library_model()
    norm_class = type(model.base_model.layers[0].input_layernorm)
    norm = norm_class.forward
    monkeypatch.setattr(norm_class, "forward", lambda self, hidden: 1.5 * norm(self, hidden))
    prepare(model)
    inference = InferenceStates(model)
    values, expected = both_ways(model, inference)
    assert inference.decoder is None and torch.equal(values, expected)


def test_other_models_generate_by_their_modules():
    for model in (hybrid_model(), random_model("gemma 3, a window in the first layer")):
        assert InferenceStates(model).decoder is None


def test_adapters_that_come_later_are_not_overlooked():
    """The weights alone would give the states of the base."""
    model = random_model()
    inference = InferenceStates(model)
    both_ways(model, inference)
    adapted(model)
    inference.forget()
    values, expected = both_ways(model, inference)
    torch.testing.assert_close(values, expected, rtol=0, atol=2e-5)


def test_autocast_computes_by_the_modules():
    model = random_model()
    inference = InferenceStates(model)
    with torch.autocast("cpu", torch.bfloat16):
        values, expected = both_ways(model, inference)
    assert torch.equal(values, expected)
    assert inference.decoder is not None, "autocast is no property of the model"


@pytest.mark.parametrize("patches", ["none", "adapters", "recomputed"])
def test_copies_and_pickles_stay_patched(patches):
    model = random_model()
    if patches == "adapters":
        adapted(model)
    if patches == "recomputed":
        recompute_layers(model)
    expected = states(model)
    kinds = [type(module) for module in model.modules()]
    assert any(issubclass(kind, Patched) for kind in kinds)
    assert any(issubclass(kind, LoRALinear) for kind in kinds) == (patches == "adapters")
    assert any(issubclass(kind, RecomputedLayer) for kind in kinds) == (patches == "recomputed")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(states(other), expected)
        assert [type(module) for module in other.modules()] == kinds
        assert other.base_model.layers[0].mlp is not model.base_model.layers[0].mlp


def test_recomputed_layers_have_the_same_gradients():
    model = random_model()
    plain, recomputed = gradients(model), copy.deepcopy(model)
    recompute_layers(recomputed)
    for name, gradient in gradients(recomputed).items():
        torch.testing.assert_close(gradient, plain[name], rtol=0, atol=0)


def test_a_model_in_half_precision_is_compared_in_its_own_type():
    model = prepared(library_model().bfloat16())
    inference = InferenceStates(model)
    values, expected = both_ways(model, inference)
    assert values.dtype == torch.bfloat16
    torch.testing.assert_close(values, expected, rtol=0, atol=0.1)
