"""Layers that compute in fewer operations: where they do, where they do not, and that nothing else changes."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from grpo.logprobs import Packed, pack
from grpo.models import fast_layers as fused
from grpo.models.attention import hidden_states
from grpo.models.compatibility import prepare
from grpo.models.fast_layers import FastLayer, keep_modules, prepare, states_at
from grpo.models.lora import add_adapters
from grpo.models.patching import swap_back
from grpo.parallel.policy import checkpoint_layer, decoder_layers
from kernels import training_layer
from kernels.linear import AVAILABLE
from tests.support.causal_models import hybrid_model, random_model

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this PyTorch was built without oneDNN")
PROMPT = [3, 1, 4, 1, 5, 9, 2, 6]


def packed_group() -> Packed:
    """Two siblings say the same first: a place is wanted twice."""
    rows = [[*PROMPT, *own] for own in ([5, 3, 5, 8], [5, 3, 9], [7])]
    return pack(rows, [[0] * len(PROMPT) + [1] * (len(row) - len(PROMPT)) for row in rows])


def states(model: PreTrainedModel) -> Tensor:
    packed = packed_group()
    return states_at(model, packed.ids, packed.positions, packed.tree, packed.predecessors)


def gradients(model: PreTrainedModel) -> dict[str, Tensor]:
    """Of a loss in which every wanted token and feature counts otherwise."""
    model.zero_grad()
    hidden = states(model)
    (hidden * torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def by_modules(model: PreTrainedModel) -> PreTrainedModel:
    """A copy that computes by the library's modules."""
    other = copy.deepcopy(model)
    for layer in other.base_model.layers:
        if isinstance(layer, FastLayer):
            swap_back(layer)
    return other


@pytest.fixture
def calls(monkeypatch) -> list[tuple[object, ...]]:
    noted: list[tuple[object, ...]] = []

    def note(*given: object) -> Tensor:
        noted.append(given)
        return training_layer(*given)

    monkeypatch.setattr(fused, "training_layer", note)
    return noted


@pytest.mark.parametrize(
    "kind", ["qwen3, grouped queries, tied head", "qwen3, a window in the second layer", "llama, one kv head, biased"]
)
def test_a_packed_group_has_the_states_and_gradients_of_the_modules(kind, calls):
    model = random_model(kind)
    prepare(model)
    calls.clear()
    modules, packed = by_modules(model), packed_group()
    assert len(packed.predecessors.unique()) < len(packed.predecessors) < packed.ids.numel()
    torch.testing.assert_close(states(model), states(modules), rtol=0, atol=2e-5)
    assert [given[-1] is not None for given in calls] == [False, True], "only the last layer leaves tokens out"
    expected = gradients(modules)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=2e-5)
    assert len(calls) == 4


def test_modules_compute_where_something_hangs_on_them_or_more_is_asked(calls):
    model = random_model()
    prepare(model)
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


def test_a_layer_that_does_more_than_it_seems_is_found_out(monkeypatch):
    model = random_model()
    kind = type(model.base_model.layers[0].input_layernorm)
    norm = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, hidden: 1.01 * norm(self, hidden))
    prepare(model)
    packed = packed_group()
    expected = hidden_states(model, packed.ids, packed.positions, packed.tree)[packed.predecessors]
    prepare(model)
    assert not any(isinstance(layer, FastLayer) for layer in model.modules())
    assert torch.equal(states(model), expected)


def test_other_models_keep_their_layers():
    kept = random_model()
    keep_modules(kept)
    for model in (kept, hybrid_model(), random_model("gemma 3, a window in the first layer")):
        prepare(model)
        assert not any(isinstance(layer, FastLayer) for layer in model.modules())


def test_copies_and_pickles_compute_so_too(calls):
    model = random_model()
    prepare(model)
    expected = states(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        calls.clear()
        assert torch.equal(states(other), expected) and len(calls) == 2
        assert type(other.base_model.layers[0]) is type(model.base_model.layers[0])
        assert other.base_model.layers[0].mlp is not model.base_model.layers[0].mlp


def test_checkpointed_layers_and_adapters_compute_so_too(calls):
    model = random_model()
    prepare(model)
    plain = gradients(model)
    checkpointed = copy.deepcopy(model)
    for layer in decoder_layers(checkpointed):
        checkpoint_layer(layer)
    calls.clear()
    for name, gradient in gradients(checkpointed).items():
        torch.testing.assert_close(gradient, plain[name], rtol=0, atol=0)
    assert len(calls) == 4, "each layer forward, and again in the backward pass"
    add_adapters(model, 2, 4.0, 0)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    expected = gradients(by_modules(model))
    calls.clear()
    found = gradients(model)
    assert len(calls) == 2 and found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=2e-5)
