"""Families whose layers differ in shape: packing, training and decoding must agree with the library."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from grpo.config import Options
from grpo.engine.engine import Engine
from grpo.logprobs import token_logprobs
from grpo.models.checkpoint import Checkpoint, save
from grpo.packing import pack
from grpo.run.memory import plan, shape_of
from grpo.types import Sampling
from tests.support import bandit
from tests.support.causal_models import SHAPE, VOCABULARY, library_copy, naive_logprobs, prepared
from tests.support.shadow import Shadow, play, small_pieces

HEADS = SHAPE | {"num_key_value_heads": 2}
PLAIN = {name: value for name, value in SHAPE.items() if name != "head_dim"}
SIZES = PLAIN | {"num_key_value_heads": 2}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0}
LATENT = {"q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 6}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
ROUTED = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": VOCABULARY, "initializer_range": 0.3, "n_positions": 512, **GPT},
    "opt": PLAIN | {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0, "init_std": 0.3},
    "gpt_neox": PLAIN,
    "phi3": SIZES | {"pad_token_id": 0, "sliding_window": 9},
    "starcoder2": SIZES,
    "gemma": HEADS,
    "granite": SIZES | {"logits_scaling": 8.0, "residual_multiplier": 0.5, "attention_multiplier": 0.5},
    "cohere": SIZES | {"logit_scale": 0.25, "pad_token_id": 0},
    "mixtral": SIZES | EXPERTS,
    "jetmoe": SIZES | EXPERTS | {"kv_channels": 8},
    "deepseek_v3": SIZES | LATENT | ROUTED | {"num_key_value_heads": 4, "first_k_dense_replace": 1},
    "deepseek_v2": SIZES | LATENT | ROUTED | {"num_key_value_heads": 4, "v_head_dim": 12},
}
QUICK = ("gpt2", "phi3", "granite", "mixtral", "deepseek_v3")
"""Families of the quick tier: fused and split projections, a window, scaled logits, experts, latent attention."""


def families(names: Iterable[str], quick: Iterable[str] = QUICK) -> list[Any]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.full) for name in names]


def library_family(name: str) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **FAMILIES[name])).eval()
        with torch.no_grad():
            for weight in model.parameters():  # biases and norms as well
                weight += 0.1 * torch.randn_like(weight)
    return model


def family(name: str) -> PreTrainedModel:
    return prepared(library_family(name))


@pytest.mark.parametrize("name", families(FAMILIES))
def test_siblings_have_the_log_probs_and_gradients_that_they_have_alone(name):
    model, draw = family(name), random.Random(0)
    library = library_copy(model)
    prompt, *tails = ([draw.randrange(VOCABULARY) for _ in range(count)] for count in (20, 7, 12, 1))
    sequences, masks = [prompt + tail for tail in tails], [[0] * 20 + [1] * len(tail) for tail in tails]
    weigh = torch.linspace(-1, 1, 20)
    values = token_logprobs(model, pack(sequences, masks), Sampling())[0]
    alone = [naive_logprobs(library, [one], [mask], Sampling())[0] for one, mask in zip(sequences, masks, strict=True)]
    torch.testing.assert_close(values, torch.cat(alone), rtol=0, atol=1e-5)
    (values * weigh).sum().backward()
    (torch.cat(alone) * weigh).sum().backward()
    expected = {key: weight.grad for key, weight in library.named_parameters() if weight.grad is not None}
    scale = max(float(gradient.abs().max()) for gradient in expected.values())
    for key, weight in model.named_parameters():
        if key in expected or weight.grad is not None:
            torch.testing.assert_close(weight.grad, expected[key], rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("name", families(FAMILIES))
def test_the_engine_gives_the_logits_of_a_forward_pass(name, monkeypatch):
    small_pieces(monkeypatch)
    assert play(Shadow(family(name), 6), steps=12) < 1e-4


@pytest.mark.parametrize("name", families(sorted(FAMILIES), quick=("gpt2", "deepseek_v3")))
def test_its_memory_is_planned(name, tmp_path):
    model = family(name)
    cache = Engine(model, 2, 20).prefix([1] * 5)
    held = sum(part.nbytes for side in (cache.keys, cache.values) for part in side.values())
    shape = shape_of(model.config)
    assert held == 4 * 5 * 2 * shape.keys * shape.attention_layers
    assert plan(options_for(model, tmp_path), 0).weights == sum(weight.nbytes for weight in model.parameters())


def options_for(model: PreTrainedModel, folder: Path) -> Options:
    save(Checkpoint(model, bandit.tokenizer()), folder / "one")
    limits: dict[str, Any] = {"max_turn_tokens": 4, "max_episode_tokens": 8}
    return Options(model=str(folder / "one"), env="tests.support.bandit:scenario", **limits)
