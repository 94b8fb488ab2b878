"""The models that are measured, and their floating-point operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SHAPE: dict[str, Any] = {"hidden": 256, "layers": 4, "heads": 4, "kv_heads": 2, "intermediate": 640, "vocabulary": 4096}
"""A Qwen3 of 3.8 million parameters."""
QWEN3_1_7B = {"hidden": 2048, "layers": 28, "heads": 16, "kv_heads": 8, "intermediate": 6144, "vocabulary": 151_936}


def cases(small: Sequence[dict[str, Any]], large: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings to measure on this machine: the small model's cases, and on a GPU also Qwen3-1.7B's."""
    device = device_settings()
    shapes = [SHAPE | case for case in small] + ([QWEN3_1_7B | large] if device["device"] == "cuda" else [])
    return [device | shape for shape in shapes]


def device_settings() -> dict[str, Any]:
    """Device and precision: fp32 on a CPU, bf16 on a GPU."""
    if torch.cuda.is_available():
        return {"device": "cuda", "dtype": "bfloat16", "device_name": torch.cuda.get_device_name()}
    return {"device": "cpu", "dtype": "float32", "threads": torch.get_num_threads()}


def model_config(settings: dict[str, Any]) -> PreTrainedConfig:
    """A Qwen3 (or with `hybrid` a Qwen3.5) of the settings' shape. It has no stop token."""
    size, heads, kv_heads = settings["hidden"] // settings["heads"], settings["heads"], settings["kv_heads"]
    shape: dict[str, Any] = {
        "vocab_size": settings["vocabulary"],
        "hidden_size": settings["hidden"],
        "intermediate_size": settings["intermediate"],
        "num_hidden_layers": settings["layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": size,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
    if not settings.get("hybrid"):
        return Qwen3Config(**shape)
    linear = {"key_head_dim": size, "value_head_dim": size, "num_key_heads": kv_heads, "num_value_heads": heads}
    return Qwen3_5TextConfig(**shape, **{f"linear_{name}": value for name, value in linear.items()})


def random_model(settings: dict[str, Any]) -> PreTrainedModel:
    """A model of `model_config` with random weights."""
    torch.manual_seed(0)
    model_class = Qwen3_5ForCausalLM if settings.get("hybrid") else Qwen3ForCausalLM
    return model_class(model_config(settings)).eval().to(settings["device"], getattr(torch, settings["dtype"]))


def forward_flops(config: PreTrainedConfig, tokens: float, pairs: float, scored: float) -> float:
    """Floating-point operations of a forward pass.

    `tokens`: tokens that pass through the layers. `pairs`: query-key pairs in attention. `scored`: tokens that reach
    the output head. In gated linear attention, each token reads its head's state twice and writes it once. A backward
    pass costs twice as much as a forward pass.
    """
    c = config.get_text_config(decoder=True)
    queries, keys = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    attention = 2 * c.hidden_size * (2 * queries + 2 * keys) * tokens + 4 * queries * pairs
    recurrent = (c.layer_types or []).count("linear_attention")
    total = (c.num_hidden_layers - recurrent) * attention
    if recurrent:
        read = c.linear_num_key_heads * c.linear_key_head_dim
        written = c.linear_num_value_heads * c.linear_value_head_dim
        matrices = c.hidden_size * (2 * read + 3 * written)
        total += recurrent * (2 * matrices + 6 * written * c.linear_key_head_dim) * tokens
    mlp = 2 * c.hidden_size * 3 * c.intermediate_size * tokens
    return float(total + c.num_hidden_layers * mlp + 2 * c.hidden_size * c.vocab_size * scored)
