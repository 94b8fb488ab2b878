"""Models that would be trained wrongly are refused, at the first attempt and at the second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    DiffLlamaConfig,
    DiffLlamaForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    JambaConfig,
    JambaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MiniMaxConfig,
    MiniMaxForCausalLM,
    PhimoeConfig,
    PhimoeForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from grpo.errors import UnsupportedModel, UserError
from grpo.models.attention import NAME
from grpo.models.compatibility import prepare
from tests.support.causal_models import SHAPE, VOCABULARY

HEADS = SHAPE | {"num_key_value_heads": 2}
SIZES = {name: value for name, value in HEADS.items() if name != "head_dim"}
NEO = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_heads": 4, "num_layers": 2, "initializer_range": 0.3}
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1, "pad_token_id": 0}


def model_with_a_mask() -> PreTrainedModel:
    """A model whose layers choose the keys that they attend to, as those with an indexer do."""
    model = LlamaForCausalLM(LlamaConfig(**HEADS))

    def choose(module: Any, arguments: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        length = options["hidden_states"].shape[1]
        return arguments, options | {"attention_mask": torch.ones(1, 1, length, length, dtype=torch.bool).tril()}

    model.model.layers[0].self_attn.register_forward_pre_hook(choose, with_kwargs=True)
    return model


def model_with_doubled_logits() -> PreTrainedModel:
    """A model that changes its logits in a way that its configuration does not show."""
    model = LlamaForCausalLM(LlamaConfig(**HEADS))
    forward = model.forward

    def doubled(*arguments: Any, **options: Any) -> Any:
        output = forward(*arguments, **options)
        output.logits = 2 * output.logits
        return output

    model.forward = doubled
    return model


UNSUPPORTED: dict[str, tuple[Callable[[], PreTrainedModel], str]] = {
    "logits of its own": (model_with_doubled_logits, "Llama.* more than standard attention"),
    "attention past the interface": (
        lambda: GPTNeoForCausalLM(GPTNeoConfig(**NEO, attention_types=[[["global", "local"], 1]])),
        "GPTNeo.* more than standard attention",
    ),
    "attention twice in a layer": (
        lambda: DiffLlamaForCausalLM(DiffLlamaConfig(**HEADS)),
        "DiffLlama.* attends several times",
    ),
    "a window that attention is not told": (
        lambda: PhimoeForCausalLM(PhimoeConfig(**SIZES, **EXPERTS, sliding_window=9)),
        "Phimoe.* sliding window",
    ),
    "a mask of its own": (model_with_a_mask, "a mask of the model's own"),
    "capped scores": (lambda: Gemma2ForCausalLM(Gemma2Config(**HEADS)), "softcap"),
    "chunks": (
        lambda: LlamaForCausalLM(LlamaConfig(**HEADS, layer_types=["full_attention", "chunked_attention"])),
        "chunked_attention",
    ),
    "states that a pass of several tokens ignores": (
        lambda: JambaForCausalLM(
            JambaConfig(
                **SIZES, attn_layer_period=2, attn_layer_offset=1, num_experts=1, mamba_d_state=4, pad_token_id=0
            )
        ),
        "Jamba.* begin anew",
    ),
    "the same in every layer": (
        lambda: MambaForCausalLM(MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4)),
        "Mamba.* begin anew",
    ),
    "states of its own": (
        lambda: MiniMaxForCausalLM(
            MiniMaxConfig(**HEADS, **EXPERTS, layer_types=["linear_attention", "full_attention"], block_size=4)
        ),
        "MiniMax.* states in a way of its own",
    ),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_models_that_cannot_share_a_prefix_are_refused(kind):
    make, reason = UNSUPPORTED[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    training = model.training
    for _ in range(2):
        with pytest.raises(UnsupportedModel, match=reason) as refusal:
            prepare(model)
        assert isinstance(refusal.value, UserError)
    assert model.training is training
    assert model.config._attn_implementation != NAME


def test_the_same_model_without_a_window_is_accepted():
    model = PhimoeForCausalLM(PhimoeConfig(**SIZES, **EXPERTS, sliding_window=None))
    prepare(model)
    assert model.config._attn_implementation == NAME


def test_bf16_rounding_through_many_layers_is_accepted():
    """Single logits of this model differ by a tenth of their spread."""
    wide = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 32, "num_key_value_heads": 2, "vocab_size": 4000}
    shape = SHAPE | wide | {"num_hidden_layers": 24, "initializer_range": 0.1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen3ForCausalLM(Qwen3Config(**shape)).eval().bfloat16()
    prepare(model)
    assert model.config._attn_implementation == NAME
