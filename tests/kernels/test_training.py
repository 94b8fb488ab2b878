"""Decoder layers with explicit gradients must agree with the library's modules and autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from grpo.models.fast_layers import patch_linears
from kernels import training_layer
from kernels.decoder import turns
from kernels.training import _Added, _Gated, _Normed, _Rotated
from tests.support.causal_models import VOCABULARY, library_model, other_model

KINDS = (
    "qwen3, grouped queries, tied head",
    "qwen3, as many kv heads, untied",
    "qwen3, a window in the second layer",
    "llama, one kv head, biased",
    "qwen2, biased queries, keys and values",
)
READ = torch.tensor([8, 3, 11, 0])


def model_of(kind: str) -> PreTrainedModel:
    return library_model(kind) if "qwen2" not in kind else other_model(Qwen2ForCausalLM, Qwen2Config)


def causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    output = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    return output.transpose(1, 2)


def states(base: Any, ids: Tensor, read: Tensor) -> Tensor:
    """Hidden states of the `read` tokens after the last norm; the last layer computes no others."""
    hidden = base.embed_tokens(ids.unsqueeze(0))
    cosine, sine = turns(*base.rotary_emb(hidden, torch.arange(len(ids)).unsqueeze(0)))
    for layer in base.layers:
        hidden = training_layer(
            layer, hidden, cosine, sine, causal, read.unique() if layer is base.layers[-1] else None
        )
    return base.norm(hidden)[0, read]


def gradients(model: PreTrainedModel, hidden: Tensor) -> dict[str, Tensor]:
    """Of a loss in which every token and feature has its own weight."""
    model.zero_grad()
    weight = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2), dtype=hidden.dtype)
    (hidden * weight).sum().backward()
    return {
        name: weight.grad.clone() for name, weight in model.base_model.named_parameters() if weight.grad is not None
    }


def test_each_function_has_the_gradient_of_its_output():
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(lambda *inputs: _Normed.apply(*inputs, 1e-6), (random(3, 2, 4), random(4)))
    cosine, sine = torch.rand(2, 3, 1, 4, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: _Rotated.apply(x, cosine, sine), (random(3, 2, 4),))
    assert torch.autograd.gradcheck(_Gated.apply, (random(3, 4), random(3, 4)))
    assert torch.autograd.gradcheck(_Added.apply, (random(3, 4), random(2, 4), random(2), random(3, 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_states_and_gradients_are_those_of_the_library(kind):
    model = model_of(kind)
    patch_linears(model)
    ids = torch.randint(VOCABULARY, (12,), generator=torch.Generator().manual_seed(1))
    tokens = 12 if "window" not in kind else 4  # the library's masks are not those of `causal` beyond a window
    read = READ % tokens
    expected = model.base_model(input_ids=ids[None, :tokens], use_cache=False).last_hidden_state[0][read]
    by_library = gradients(model, expected)
    hidden = states(model.base_model, ids[:tokens], read)
    torch.testing.assert_close(hidden, expected, rtol=2e-5, atol=2e-5)
    ours = gradients(model, hidden)
    assert ours.keys() == by_library.keys()
    for name, gradient in by_library.items():
        torch.testing.assert_close(ours[name], gradient, rtol=2e-5, atol=2e-5 * gradient.abs().max().item())


def test_frozen_weights_get_no_gradient():
    model = library_model()
    frozen = model.base_model.layers[1].mlp.down_proj.weight.requires_grad_(False)
    by_name = gradients(model, states(model.base_model, torch.arange(9), READ % 9))
    assert frozen.grad is None and "layers.1.mlp.down_proj.weight" not in by_name
    assert "layers.0.mlp.down_proj.weight" in by_name and "layers.1.mlp.up_proj.weight" in by_name
