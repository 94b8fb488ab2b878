"""The decoder in few operations must agree with the library's modules, and must refuse non-standard models."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

import kernels.decoder
from grpo.engine.engine import Engine
from grpo.models.causal_lm import hidden_states
from kernels import FusedDecoder, is_packed, is_standard
from kernels.linear import AVAILABLE
from tests.support.causal_models import (
    VOCABULARY,
    library_copy,
    library_hybrid,
    library_model,
    next_logits,
    other_model,
    prepared,
    random_model,
)

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this PyTorch was built without oneDNN")

STANDARD = (
    "qwen3, grouped queries, tied head",
    "qwen3, as many kv heads, untied",
    "qwen3, a window in the second layer",
    "llama, one kv head, biased",
)
OTHERS = {
    "scaled embedding and norms of 1 + weight": (GemmaForCausalLM, GemmaConfig),
    "norms after attention and MLP": (Olmo2ForCausalLM, Olmo2Config),
}


def causal(number: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention over the full sequence, in every layer."""
    output = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    return output.transpose(1, 2)


@pytest.mark.parametrize("tokens", [1, 9, 300])
@pytest.mark.parametrize("kind", STANDARD)
@torch.no_grad()
def test_it_agrees_with_the_library(kind, tokens):
    model = library_model(kind if "window" not in kind or tokens < 10 else STANDARD[0])
    ids = torch.randint(VOCABULARY, (tokens,), generator=torch.Generator().manual_seed(1))
    positions = torch.arange(tokens)
    expected = library_copy(model).base_model(input_ids=ids[None], use_cache=False).last_hidden_state[0]
    assert is_standard(model.base_model)
    torch.testing.assert_close(
        FusedDecoder(model.base_model)(ids, positions, causal, positions), expected, rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("kind", STANDARD)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 2e-5), (torch.bfloat16, 0.1)])
@torch.no_grad()
def test_other_types_use_pytorchs_products(kind, dtype, tolerance):
    model = library_model(kind).to(dtype)
    ids = torch.randint(VOCABULARY, (9,), generator=torch.Generator().manual_seed(1))
    selection = torch.tensor([8, 3])
    expected = library_copy(model).base_model(input_ids=ids[None], use_cache=False).last_hidden_state[0]
    assert is_standard(model.base_model) and not is_packed(model.base_model)
    output = FusedDecoder(model.base_model)(ids, torch.arange(9), causal, selection)
    torch.testing.assert_close(output, expected[selection], rtol=0, atol=tolerance)


@torch.no_grad()
def test_it_launches_few_operations(monkeypatch):
    """At most half of those of the library's modules, without attention and views."""
    # On CUDA, a norm is one operation. The copy takes its place.
    monkeypatch.setattr(kernels.decoder, "rms_norm", lambda hidden, *_, **__: hidden.clone())
    model = prepared(library_model().bfloat16())
    ids, context, decoder = torch.arange(4), Copying(), FusedDecoder(model.base_model)
    with OperationCount() as modules:
        hidden_states(model, ids[None], ids[None], context)
    with OperationCount() as fused:
        decoder(ids, ids, lambda number, *arguments: context.attend(*arguments, None), ids)
    assert 0 < fused.count <= 0.5 * modules.count, (fused.count, modules.count)


class Copying:
    """Returns the queries instead of attention."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: object) -> Tensor:
        return query.transpose(1, 2)


class OperationCount(TorchDispatchMode):
    """Counts operations other than views."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not function.is_view
        return function(*args, **(kwargs or {}))


@torch.no_grad()
def test_biases_of_queries_keys_and_values_only():
    model = other_model(Qwen2ForCausalLM, Qwen2Config)
    ids = torch.arange(9)
    expected = library_copy(model).base_model(input_ids=ids[None], use_cache=False).last_hidden_state[0]
    torch.testing.assert_close(FusedDecoder(model.base_model)(ids, ids, causal, ids), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", OTHERS)
def test_the_engine_runs_the_modules_of_other_models(kind):
    model = prepared(other_model(*OTHERS[kind]))
    library, engine = library_copy(model), Engine(model, 1, 64)
    assert engine.states.decoder is None
    engine.open(0, engine.prefix([3, 1, 4]))
    logits = engine.extend({0: [1, 5]})[0]
    torch.testing.assert_close(logits, next_logits(library, [3, 1, 4, 1, 5]), rtol=0, atol=1e-4)


def test_non_standard_models():
    base = library_model().base_model
    assert is_standard(base)
    assert not is_standard(library_hybrid().base_model)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_standard(base)
    handle = base.layers[0].register_forward_hook(lambda *_: None)
    assert not is_standard(base)
    handle.remove()
    assert is_standard(base)
    base.layers[1].mlp.down_proj.bfloat16()
    assert not is_standard(base), "weights of two types"
    base.layers[1].mlp.down_proj = nn.Sequential(base.layers[1].mlp.down_proj)
    assert not is_standard(base)


def test_the_engine_uses_new_weights_after_clear():
    model = random_model()
    engine = Engine(model, 1, 64)
    assert engine.states.decoder is not None

    def answer() -> Tensor:
        engine.clear()
        engine.open(0, engine.prefix([3, 1, 4]))
        return engine.extend({0: [1, 5]})[0]

    before = answer()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.1
    after = answer()
    assert (after - before).abs().max() > 0.01
    torch.testing.assert_close(after, next_logits(library_copy(model), [3, 1, 4, 1, 5]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_engine_detects_a_layer_that_only_looks_standard(monkeypatch, dtype):
    """The outputs are compared before the fused decoder is used."""
    model = library_model().to(dtype)
    assert Engine(prepared(library_model().to(dtype)), 1, 64).states.decoder is not None
    kind = type(model.base_model.layers[1].post_attention_layernorm)
    norm = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, hidden: 1.5 * norm(self, hidden))
    assert is_standard(model.base_model)
    assert Engine(prepared(model), 1, 64).states.decoder is None
