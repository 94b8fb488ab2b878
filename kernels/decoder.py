"""The forward pass of a standard decoder in few operations, for generation.

A decode step multiplies a few rows by small matrices, so launching operations takes much of its time. Here a norm is
one operation, query and key heads share the norm and the rotary embedding, and no module is called.

In fp32 on a CPU, oneDNN computes the products. The query, key and value projections are then one product, gate and up
are another, and the residual is added inside the preceding product. oneDNN needs copies of the weights in its own
order, so a `FusedDecoder` that was created before an update still computes with the old weights. In all other cases
the weights are not copied.

Supported are Llama-style layers: RMS norm, attention with rotary embedding (with or without a norm of queries and keys
per head), RMS norm, gated MLP (Zhang & Sennrich 2019, arXiv 1910.07467; Su et al. 2021, arXiv 2104.09864; Shazeer
2020, arXiv 2002.05202). `is_standard` looks only at the names and types of a model's modules. To find out whether the
modules compute the standard functions, the caller must compare outputs once (`agree`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear, rms_norm, silu

from kernels.linear import AVAILABLE

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Layer number, query [1, heads, T, D], key and value [1, kv_heads, T, D] -> [1, T, heads, D]."""

_PACKING_ROWS = 32
"""The number of rows for which oneDNN orders the weights; the products work for any number."""

_BASE = {"embed_tokens", "layers", "norm", "rotary_emb"}
_LAYER = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}
_PROJECTIONS = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
_MLP = {"gate_proj", "up_proj", "down_proj"}


def is_standard(base: Any) -> bool:
    """Whether `FusedDecoder` supports the modules of a model without its output head.

    All weights must have one type and be on one device. Autocast is not supported.
    """
    if _children(base) != _BASE or torch.is_autocast_enabled(base.embed_tokens.weight.device.type):
        return False
    kinds = {(weight.device, weight.dtype) for weight in base.parameters()}
    plain = len(kinds) == 1 and all(map(_is_plain, base.modules()))
    return plain and all(_is_standard_layer(layer, base) for layer in base.layers)


def agree(values: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Whether two computations of the same [T, *] tensor, done in this type, differ only by rounding."""
    difference, spread = values.float() - expected.float(), expected.float().std()
    if dtype in (torch.float16, torch.bfloat16):
        # The mean decides: after many layers, single elements of a correct model can differ by a fifth of the spread.
        return bool(difference.square().mean().sqrt() < 0.1 * spread)
    return bool(difference.abs().max() < 1e-3 * spread)


def is_packed(base: Any) -> bool:
    """Whether `FusedDecoder` computes with oneDNN, on copies of the weights."""
    weight = base.embed_tokens.weight
    return AVAILABLE and weight.device.type == "cpu" and weight.dtype == torch.float32


def is_plain_linear(module: nn.Module) -> bool:
    """Whether the module is an `nn.Linear` and nothing more; a subclass says so by a class attribute of this name."""
    return bool(getattr(module, "is_plain_linear", type(module) is nn.Linear))


def _is_standard_layer(layer: Any, base: Any) -> bool:
    if _children(layer) != _LAYER or not _MLP <= _children(layer.mlp) <= _MLP | {"act_fn"}:
        return False
    attention = layer.self_attn
    if _children(attention) not in (_PROJECTIONS, _PROJECTIONS | _HEAD_NORMS):
        return False
    projections = [getattr(attention, name) for name in _PROJECTIONS] + [getattr(layer.mlp, name) for name in _MLP]
    head_norms = [getattr(attention, name) for name in _HEAD_NORMS if hasattr(attention, name)]
    norms = [base.norm, layer.input_layernorm, layer.post_attention_layernorm, *head_norms]
    size = getattr(attention, "head_dim", None)
    return (
        all(map(is_plain_linear, projections))
        and all(hasattr(norm, "variance_epsilon") for norm in norms)
        and all(norm.weight.shape == (size,) for norm in head_norms)
        and 2 * getattr(base.rotary_emb, "inv_freq", torch.empty(0)).numel() == size
    )


class FusedDecoder:
    """Computes the hidden states of a model for which `is_standard` holds."""

    def __init__(self, base: Any) -> None:
        product = _PackedProduct if is_packed(base) else _PlainProducts
        with torch.no_grad():
            self.embedding, self.rotary, self.norm = base.embed_tokens.weight, base.rotary_emb, _Norm(base.norm)
            self.layers = [_FusedLayer(number, layer, product) for number, layer in enumerate(base.layers)]

    def __call__(self, ids: Tensor, positions: Tensor, attend: Attend, selection: Tensor) -> Tensor:
        """ids [T], positions [T], selection [M] of token indices -> their hidden states [M, H] after the last norm."""
        hidden = embedding(ids, self.embedding)
        cosine, sine = turns(*self.rotary(hidden, positions.unsqueeze(0)))
        for layer in self.layers[:-1]:
            hidden = layer(hidden, cosine, sine, attend)
        return self.norm(self.layers[-1](hidden, cosine, sine, attend, selection))


def turns(cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    """Converts the output of a model's rotary embedding, [1, T, D] each, for use with `Tensor.roll`: [T, 1, D] each.

    The embedding swaps the halves of the features and negates the first half. A roll by D / 2 swaps the halves; the
    sign goes into the sine.
    """
    first, second = sine[0].chunk(2, -1)
    return cosine[0].unsqueeze(1), torch.cat([-first, second], -1).unsqueeze(1)


class _FusedLayer:
    def __init__(self, number: int, layer: Any, product: type[_PackedProduct | _PlainProducts]) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.number, self.size = number, attention.head_dim
        self.attention_norm, self.mlp_norm = _Norm(layer.input_layernorm), _Norm(layer.post_attention_layernorm)
        self.query_key_value = product(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output, self.down = product(attention.o_proj), product(mlp.down_proj)
        self.gate_up = product(mlp.gate_proj, mlp.up_proj)
        self.heads, kv_heads = (part.out_features // self.size for part in (attention.q_proj, attention.k_proj))
        self.query_key_heads = self.heads + kv_heads
        self.head_norm_epsilon = None
        if hasattr(attention, "q_norm"):
            self.head_norm_epsilon = attention.q_norm.variance_epsilon
            self.head_norm_weight = torch.cat(
                [attention.q_norm.weight.expand(self.heads, -1), attention.k_norm.weight.expand(kv_heads, -1)]
            )

    def __call__(
        self, hidden: Tensor, cosine: Tensor, sine: Tensor, attend: Attend, selection: Tensor | None = None
    ) -> Tensor:
        """hidden [T, H] -> hidden states after the layer, of the tokens in `selection` or of all tokens."""
        heads = self.query_key_value(self.attention_norm(hidden)).unflatten(-1, (-1, self.size))
        query_key, value = heads[:, : self.query_key_heads], heads[:, self.query_key_heads :]
        if self.head_norm_epsilon is not None:
            query_key = rms_norm(query_key, (self.size,), eps=self.head_norm_epsilon) * self.head_norm_weight
        query_key = torch.addcmul(query_key * cosine, query_key.roll(self.size // 2, -1), sine)
        query, key, value = (
            part.transpose(0, 1).unsqueeze(0)
            for part in (query_key[:, : self.heads], query_key[:, self.heads :], value)
        )
        attention = attend(self.number, query, key, value).reshape(len(hidden), -1)
        if selection is not None:
            attention, hidden = attention[selection], hidden[selection]
        hidden = self.output.add_to(hidden, attention)
        gate, up = self.gate_up.outputs(self.mlp_norm(hidden))
        return self.down.add_to(hidden, silu(gate) * up)


class _Norm:
    def __init__(self, norm: Any) -> None:
        self.weight, self.epsilon = norm.weight, norm.variance_epsilon

    def __call__(self, hidden: Tensor) -> Tensor:
        return rms_norm(hidden, self.weight.shape, self.weight, self.epsilon)


class _PackedProduct:
    """Linear layers of the same input as one oneDNN product."""

    def __init__(self, *linears: nn.Linear) -> None:
        weight = torch.cat([linear.weight for linear in linears])
        self.sizes = [linear.out_features for linear in linears]
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, _PACKING_ROWS)
        has_bias = any(linear.bias is not None for linear in linears)
        biases = (torch.zeros(linear.out_features) if linear.bias is None else linear.bias for linear in linears)
        self.bias = torch.cat(tuple(biases)) if has_bias else None

    def __call__(self, input: Tensor) -> Tensor:
        """The outputs of all layers, concatenated."""
        output: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
        return output

    def outputs(self, input: Tensor) -> tuple[Tensor, ...]:
        """The output of each layer."""
        return self(input).split(self.sizes, -1)

    def add_to(self, residual: Tensor, input: Tensor) -> Tensor:
        """The residual plus the output of the only layer."""
        output: Tensor = torch.ops.mkldnn._linear_pointwise.binary(input, residual, self.weight, self.bias, "add")
        return output


class _PlainProducts:
    """`_PackedProduct` with PyTorch's products, for any device and type."""

    def __init__(self, *linears: nn.Linear) -> None:
        self.linears = linears

    def __call__(self, input: Tensor) -> Tensor:
        return torch.cat(self.outputs(input), -1)

    def outputs(self, input: Tensor) -> tuple[Tensor, ...]:
        return tuple(linear(input, module.weight, module.bias) for module in self.linears)

    def add_to(self, residual: Tensor, input: Tensor) -> Tensor:
        (output,) = self.outputs(input)
        return residual + output


def _children(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}


def _is_plain(module: nn.Module) -> bool:
    """Whether a module has no hooks, its class's own `forward`, and ordinary tensors (not sharded) as parameters."""
    has_hooks = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    parameters = module._parameters.values()
    return not has_hooks and all(type(part.data) is Tensor for part in parameters if part is not None)
