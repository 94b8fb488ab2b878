"""Patched layers compute in fewer operations: where they do, where they do not, and that nothing else changes."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from grpo.models import fast_layers
from grpo.models.causal_lm import hidden_states
from grpo.models.compatibility import prepare
from grpo.models.fast_layers import FastLayer, states_at
from grpo.models.lora import add_adapters
from grpo.models.patching import unpatch
from grpo.models.recompute import recompute_layers
from grpo.packing import Packed, pack
from kernels import training_layer
from kernels.linear import AVAILABLE
from tests.support.causal_models import hybrid_model, library_model, prepared, random_model

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this PyTorch was built without oneDNN")
PROMPT = [3, 1, 4, 1, 5, 9, 2, 6]


def packed_group() -> Packed:
    """Two siblings have the same first tokens, so that one hidden state is read twice."""
    sequences = [[*PROMPT, *completion] for completion in ([5, 3, 5, 8], [5, 3, 9], [7])]
    return pack(sequences, [[0] * len(PROMPT) + [1] * (len(ids) - len(PROMPT)) for ids in sequences])


def states(model: PreTrainedModel) -> Tensor:
    packed = packed_group()
    return states_at(model, packed.ids, packed.positions, packed.tree, packed.predecessors)


def gradients(model: PreTrainedModel) -> dict[str, Tensor]:
    """Of a loss in which every token and feature has its own weight."""
    model.zero_grad()
    hidden = states(model)
    (hidden * torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def by_modules(model: PreTrainedModel) -> PreTrainedModel:
    """A copy whose layers compute by the library's modules."""
    other = copy.deepcopy(model)
    for layer in other.base_model.layers:
        if isinstance(layer, FastLayer):
            unpatch(layer)
    return other


@pytest.fixture
def calls(monkeypatch) -> list[tuple[object, ...]]:
    calls: list[tuple[object, ...]] = []

    def record(*arguments: object) -> Tensor:
        calls.append(arguments)
        return training_layer(*arguments)

    monkeypatch.setattr(fast_layers, "training_layer", record)
    return calls


@pytest.mark.parametrize(
    "kind", ["qwen3, grouped queries, tied head", "qwen3, a window in the second layer", "llama, one kv head, biased"]
)
def test_a_packed_group_has_the_states_and_gradients_of_the_modules(kind, calls):
    model = random_model(kind)
    calls.clear()
    modules, packed = by_modules(model), packed_group()
    assert len(packed.predecessors.unique()) < len(packed.predecessors) < packed.ids.numel()
    torch.testing.assert_close(states(model), states(modules), rtol=0, atol=2e-5)
    assert [arguments[-1] is not None for arguments in calls] == [False, True], "only the last layer leaves tokens out"
    expected = gradients(modules)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=2e-5)
    assert len(calls) == 4


def test_modules_compute_under_hooks_autocast_and_in_training_mode(calls):
    model = random_model()
    prepare(model)
    assert len(calls) == 2, "a short sequence, once"
    expected = states(by_modules(model))
    layer = model.base_model.layers[0]
    handle = layer.mlp.register_forward_hook(lambda *_: None)
    calls.clear()
    torch.testing.assert_close(states(model), expected, rtol=0, atol=2e-5)
    assert len(calls) == 1
    handle.remove()
    with torch.autocast("cpu", torch.bfloat16):
        states(model)
    states(model.train())
    model.eval()(input_ids=torch.tensor([PROMPT]))
    assert len(calls) == 1
    states(model)
    assert len(calls) == 3


def test_a_layer_that_only_looks_standard_keeps_its_modules(monkeypatch):
    model = library_model()
    norm_class = type(model.base_model.layers[0].input_layernorm)
    norm = norm_class.forward
    monkeypatch.setattr(norm_class, "forward", lambda self, hidden: 1.01 * norm(self, hidden))
    prepare(model)
    packed = packed_group()
    expected = hidden_states(model, packed.ids, packed.positions, packed.tree)[packed.predecessors]
    assert not any(isinstance(layer, FastLayer) for layer in model.modules())
    assert torch.equal(states(model), expected)


def test_other_models_keep_their_layers():
    half = prepared(library_model().bfloat16())
    for model in (half, hybrid_model(), random_model("gemma 3, a window in the first layer")):
        assert not any(isinstance(layer, FastLayer) for layer in model.modules())


def test_copies_and_pickles_stay_patched(calls):
    model = random_model()
    expected = states(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        calls.clear()
        assert torch.equal(states(other), expected) and len(calls) == 2
        assert type(other.base_model.layers[0]) is type(model.base_model.layers[0])
        assert other.base_model.layers[0].mlp is not model.base_model.layers[0].mlp


def test_recomputed_layers_and_adapters_stay_patched(calls):
    model = random_model()
    plain = gradients(model)
    recomputed = copy.deepcopy(model)
    recompute_layers(recomputed)
    calls.clear()
    for name, gradient in gradients(recomputed).items():
        torch.testing.assert_close(gradient, plain[name], rtol=0, atol=0)
    assert len(calls) == 4, "each layer forward, and again in the backward pass"
    add_adapters(model, 2, 4.0, 0)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    expected = gradients(by_modules(model))
    calls.clear()
    adapted = gradients(model)
    assert len(calls) == 2 and adapted.keys() == expected.keys()
    for name, gradient in adapted.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=2e-5)
