"""Small random causal LMs of several architectures, and their results without caches, packing or shared prefixes.

`library_model` and `library_hybrid` are unchanged models of the library. `random_model` and `hybrid_model` are the same
models, prepared as `grpo.models.checkpoint.load` prepares a model.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from grpo.models.compatibility import prepare
from grpo.models.patching import Patched, unpatch
from grpo.sampling import cut_logits
from grpo.types import Sampling

VOCABULARY = 61
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "head_dim": 8,
    "initializer_range": 0.3,
    "max_position_embeddings": 512,
}
MODELS = {
    "qwen3, grouped queries, tied head": (Qwen3ForCausalLM, Qwen3Config, {"num_key_value_heads": 2}),
    "qwen3, as many kv heads, untied": (
        Qwen3ForCausalLM,
        Qwen3Config,
        {"num_key_value_heads": 4, "tie_word_embeddings": False},
    ),
    "qwen3, a window in the second layer": (
        Qwen3ForCausalLM,
        Qwen3Config,
        {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    ),
    "gemma 3, a window in the first layer": (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        {
            "num_key_value_heads": 2,
            "sliding_window": 9,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 8,
        },
    ),
    "llama, one kv head, biased": (LlamaForCausalLM, LlamaConfig, {"num_key_value_heads": 1, "attention_bias": True}),
}


def prepared(model: PreTrainedModel) -> PreTrainedModel:
    """The same model after `prepare`."""
    prepare(model)
    return model


def library_model(kind: str = "qwen3, grouped queries, tied head", seed: int = 0) -> PreTrainedModel:
    """One of MODELS in float32, the same for equal seeds. Does not change the global random state."""
    model_class, config_class, settings = MODELS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config_class(**{"tie_word_embeddings": True} | SHAPE | settings)).eval()


def random_model(kind: str = "qwen3, grouped queries, tied head", seed: int = 0) -> PreTrainedModel:
    """`library_model`, prepared."""
    return prepared(library_model(kind, seed))


def library_hybrid(seed: int = 0, layers: int = 4) -> PreTrainedModel:
    """A small random Qwen3.5 in float32: three gated linear layers, and an attention layer if `layers` is four."""
    settings = {
        "num_hidden_layers": layers,
        "num_key_value_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "tie_word_embeddings": True,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3_5ForCausalLM(Qwen3_5TextConfig(**SHAPE | settings)).eval()


def hybrid_model(seed: int = 0, layers: int = 4) -> PreTrainedModel:
    """`library_hybrid`, prepared."""
    return prepared(library_hybrid(seed, layers))


def other_model(model_class: type[PreTrainedModel], config_class: type) -> PreTrainedModel:
    """A library model of a class that is not in MODELS. Biases and norms differ from their initial values."""
    torch.manual_seed(0)
    model = model_class(config_class(**SHAPE | {"num_key_value_heads": 2, "pad_token_id": 0})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def library_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of the model with the same weights, but the library's original modules and attention."""
    twin = copy.deepcopy(model)
    for module in twin.modules():
        while isinstance(module, Patched):
            unpatch(module)
    twin.set_attn_implementation("eager")
    return twin


def next_logits(model: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    """Logits [V] after `ids`, from a forward pass of `library_copy(model)` over all of them."""
    return batch_next_logits(model, [ids])[0]


@torch.no_grad()
def batch_next_logits(model: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> Tensor:
    """`next_logits` [N, V] of N sequences. They are padded on the right, which a causal model ignores."""
    last = torch.tensor([len(ids) - 1 for ids in sequences])
    ids = pad_sequence([torch.tensor(ids) for ids in sequences], batch_first=True)
    return model(input_ids=ids, use_cache=False).logits[torch.arange(len(ids)), last]


def naive_logprobs(
    model: PreTrainedModel, sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[int]], sampling: Sampling
) -> tuple[Tensor, Tensor]:
    """Log-prob and entropy [M] of the masked tokens from a right-padded batch; `model` is a `library_copy`."""
    longest = max(map(len, sequences))
    ids, scored, real = (torch.zeros(len(sequences), longest, dtype=torch.int64) for _ in range(3))
    for row, (sequence, mask) in enumerate(zip(sequences, masks, strict=True)):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        scored[row, : len(sequence)] = torch.tensor(mask)
        real[row, : len(sequence)] = 1
    logits = model(input_ids=ids, attention_mask=real, use_cache=False).logits[:, :-1][scored[:, 1:].bool()]
    targets = ids[:, 1:][scored[:, 1:].bool()]
    log_probability = cut_logits(logits, sampling, keep=targets).log_softmax(-1)
    finite = log_probability.masked_fill(log_probability == float("-inf"), 0.0)
    return log_probability.gather(-1, targets[:, None])[:, 0], -(log_probability.exp() * finite).sum(-1)
