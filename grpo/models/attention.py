"""Attention over shared prefixes, for any `transformers` causal LM whose layers call the library's attention interface.

The library hands the registered function queries, keys and values but no mask. Which key a query attends to comes from
an *attention context*, an object passed through the model's keyword arguments (`attention_context=`): the tree of a
packed training batch (`grpo.models.token_tree`) or the caches of a generation step (`grpo.engine`).

A part of the keys yields an output and a log-sum-exp. Parts are merged exactly,

    L = log(e^{l1} + e^{l2}),   o = o1 e^{l1 - L} + o2 e^{l2 - L}

(the online softmax of Milakov & Gimelshein 2018, arXiv 1805.02867, used across key blocks by FlashAttention, arXiv
2205.14135). The backward pass of a part needs only the merged o and L, because its probabilities are e^{s - L} and the
row sums of (gradient * o) are those of the whole softmax.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from grpo.errors import UnsupportedModel
from kernels.blocks import window_mask

NAME = "grpo_shared_prefix"


class AttentionLayer(NamedTuple):
    """The settings of one attention layer."""

    number: int
    scaling: float
    window: int | None
    """With a sliding window a token sees itself and the `window - 1` tokens before it."""


class AttentionContext(Protocol):
    """Which keys each query of one forward pass attends to."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: AttentionLayer) -> Tensor:
        """query [1, heads, T, D], key and value [1, kv_heads, T, D] -> [1, T, heads, D]."""
        ...


def shared_prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    attention_context: AttentionContext | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The function registered with `transformers`. Without a context it is causal attention over whole sequences."""
    for name in ("softcap", "s_aux"):
        if options.get(name) is not None:
            raise UnsupportedModel(f"attention with {name} cannot share a prefix yet: choose a model without it")
    if options.get("dropout"):
        raise UnsupportedModel("attention dropout cannot be shared by siblings of a prefix: set attention_dropout=0")
    window = options.get("sliding_window")
    if attention_context is not None:
        if attention_mask is not None:
            raise UnsupportedModel("attention with a mask of the model's own cannot share a prefix")
        layer, size = AttentionLayer(int(module.layer_idx), scaling, window), value.shape[-1]  # type: ignore[arg-type]
        if query.shape[-1] != size:  # zeros add nothing to scores and are cut off the output
            width = max(query.shape[-1], size)
            query, key, value = (nn.functional.pad(part, (0, width - part.shape[-1])) for part in (query, key, value))
        output = attention_context.attend(query, key, value, layer)
        return output[..., :size].contiguous(), None  # models take views of it
    if attention_mask is not None or query.shape[2] != key.shape[2]:
        raise ValueError(f"{NAME} without a context takes whole, unpadded sequences only")
    places = torch.arange(query.shape[2], device=query.device)
    mask = window_mask(places, places, window, query.device)
    output = nn.functional.scaled_dot_product_attention(
        query, key, value, mask, is_causal=mask is None, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
    )
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, shared_prefix_attention)
