"""Attention over shared prefixes, for any `transformers` causal LM whose layers call the library's attention interface.

The library hands the registered function queries, keys and values but no mask; everything about who sees whom comes
from a *plan*, an object passed through the model's keyword arguments (`attention_plan=`): the tree of a packed training
row (`TokenTree`, here) or the caches of a generation step (`grpo.engine.engine`).

A part of the keys yields an output and a log-sum-exp; parts are merged exactly,

    L = log(e^{l1} + e^{l2}),   o = o1 e^{l1 - L} + o2 e^{l2 - L}

(the online softmax of Milakov & Gimelshein 2018, arXiv 1805.02867, used across key blocks by FlashAttention, arXiv
2205.14135). The backward pass of a part needs only the merged o and L, because its probabilities are e^{s - L} and the
row sums of (gradient * o) are those of the whole softmax.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from grpo.cli.main import UserError
from kernels.attention import PartsAttention
from kernels.blocks import window_mask

NAME = "grpo_shared_prefix"


class UnsupportedModel(UserError, ValueError):
    """The model has layers whose attention cannot share a prefix."""


class Layer(NamedTuple):
    """What an attention layer says of itself."""

    number: int
    scaling: float
    window: int | None
    """With a sliding window a token sees itself and the `window - 1` tokens before it."""


class AttentionPlan(Protocol):
    """Says which keys each query of this forward pass attends to."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        """query [1, heads, T, D], key and value [1, kv_heads, T, D] -> [1, T, heads, D]."""
        ...


def shared_prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    attention_plan: AttentionPlan | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The function registered with `transformers`. Without a plan it is plain causal attention over whole sequences."""
    for name in ("softcap", "s_aux"):
        if options.get(name) is not None:
            raise UnsupportedModel(f"attention with {name} cannot share a prefix yet: choose a model without it")
    if options.get("dropout"):
        raise UnsupportedModel("attention dropout cannot be shared by siblings of a prefix: set attention_dropout=0")
    window = options.get("sliding_window")
    if attention_plan is not None:
        if attention_mask is not None:
            raise UnsupportedModel("attention with a mask of the model's own cannot share a prefix")
        layer, size = Layer(int(module.layer_idx), scaling, window), value.shape[-1]  # type: ignore[arg-type]
        if query.shape[-1] != size:  # zeros add nothing to scores and are cut off the output
            width = max(query.shape[-1], size)
            query, key, value = (nn.functional.pad(part, (0, width - part.shape[-1])) for part in (query, key, value))
        return attention_plan.attend(query, key, value, layer)[..., :size].contiguous(), None  # models take views
    if attention_mask is not None or query.shape[2] != key.shape[2]:
        raise ValueError(f"{NAME} without a plan takes whole, unpadded sequences only")
    places = torch.arange(query.shape[2], device=query.device)
    mask = window_mask(places, places, window, query.device)
    output = nn.functional.scaled_dot_product_attention(
        query, key, value, mask, is_causal=mask is None, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
    )
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, shared_prefix_attention)


def layer_kinds(model: PreTrainedModel) -> list[str]:
    """What the configuration says of each layer; empty where it says nothing."""
    return list(getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ())


def is_recurrent(model: PreTrainedModel) -> bool:
    """Whether some layers carry a state from token to token, so that no two sequences can share one row."""
    return "linear_attention" in layer_kinds(model)


def hidden_states(model: PreTrainedModel, ids: Tensor, positions: Tensor, plan: AttentionPlan | None) -> Tensor:
    """ids and positions [B, T] -> hidden states [B * T, H] before the output head. With a plan B is 1."""
    options = {} if plan is None else {"attention_plan": plan}
    output = model.base_model(input_ids=ids, position_ids=positions, use_cache=False, **options)
    return output.last_hidden_state.flatten(0, 1)


def output_logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """hidden [T, H] -> the model's logits [T, V] in fp32, scale and soft cap included."""
    logits = model.get_output_embeddings()(hidden).float()
    scale, softcap = scale_and_softcap(model)
    logits = logits if scale == 1.0 else logits * scale
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def scale_and_softcap(model: PreTrainedModel) -> tuple[float, float | None]:
    """What a model multiplies its logits by (Cohere) or divides them by (Granite), in one number, and the bound of the
    tanh that they pass through then (Gemma 2), None without."""
    config = model.config.get_text_config(decoder=True)
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    return scale, getattr(config, "final_logit_softcapping", None)


class Node(NamedTuple):
    """Tokens [start, end) of a packed row; the tokens [end, stop) after it are its descendants."""

    start: int
    end: int
    stop: int


@dataclass(frozen=True)
class TokenTree:
    """A packed row in depth-first order: each node attends to its ancestors and, causally, to itself.

    A group is one node for the prompt and a child per completion; a chain of prefixes is a node under a node, and
    several groups side by side are several roots.
    """

    nodes: tuple[Node, ...]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        dtype = value.dtype  # under autocast the rotary embedding leaves query and key in fp32
        mask = functools.partial(self.mask, layer=layer, device=query.device)
        return PartsAttention.apply(query.to(dtype), key.to(dtype), value, layer.scaling, list(self.parts), mask)

    @property
    def parts(self) -> Iterator[tuple[slice, slice, bool]]:
        """Queries and the keys they see: every node's own, causally, then every node's for its descendants."""
        yield from ((slice(start, end), slice(start, end), True) for start, end, _ in self.nodes)
        yield from ((slice(end, stop), slice(start, end), False) for start, end, stop in self.nodes if stop > end)

    def mask(self, queries: slice, keys: slice, layer: Layer, device: torch.device) -> Tensor | None:
        """What hides keys beyond the layer's window, None where it hides none."""
        if layer.window is None:
            return None
        return window_mask(self.positions[queries], self.positions[keys], layer.window, device)

    @functools.cached_property
    def parents(self) -> list[Node | None]:
        """The node above each node; None above a root."""
        found, ancestors = list[Node | None](), list[Node]()
        for node in self.nodes:
            while ancestors and ancestors[-1].stop <= node.start:
                ancestors.pop()
            found.append(ancestors[-1] if ancestors else None)
            ancestors.append(node)
        return found

    @functools.cached_property
    def positions(self) -> Tensor:
        """[T]: each token's place in its own sequence."""
        places = [0] * max((node.end for node in self.nodes), default=0)
        for (start, end, _), parent in zip(self.nodes, self.parents, strict=True):
            first = places[parent.end - 1] + 1 if parent else 0
            places[start:end] = range(first, first + end - start)
        return torch.tensor(places)
