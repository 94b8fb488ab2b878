"""A standard decoder layer for training on a CPU: few operations forward and backward, little kept.

What `kernels.decoder` does for generation, with gradients. A layer written for all devices passes over its activations
once for each elementwise operation and keeps what each of them read; here norm, rotary embedding and gate are one
function each, with the backward pass written down, and residuals are added within the product before them.

With x̂ = x / rms(x) the norm's gradients are (Zhang & Sennrich 2019, arXiv 1910.07467)

    y = x̂ w,   dL/dw = sum_t dy x̂,   dL/dx = (dy w - x̂ mean(dy w x̂)) / rms(x)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from kernels.decoder import is_plain_linear
from kernels.linear import added_product, product_gradients


def training_layer(
    layer: Any,
    hidden: Tensor,
    cosine: Tensor,
    sine: Tensor,
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    wanted: Tensor | None = None,
) -> Tensor:
    """hidden [1, T, H] -> hidden states [1, T, H] after the layer, right at the wanted places [M], or at all.

    `layer` is one of those that `kernels.decoder.is_standard` knows; its linear layers may be other modules. Cosine and
    sine are those of `kernels.decoder.turns`; attend is called with query [1, heads, T, D], key and value
    [1, kv_heads, T, D]. Differentiable in the weights.
    """
    attention, mlp, inner = layer.self_attn, layer.mlp, hidden
    normed = _normed(layer.input_layernorm, hidden)
    query, key, value = (
        project(normed).unflatten(-1, (-1, attention.head_dim))
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    if hasattr(attention, "q_norm"):
        query, key = _normed(attention.q_norm, query), _normed(attention.k_norm, key)
    query, key = _Rotated.apply(query, cosine, sine), _Rotated.apply(key, cosine, sine)
    attended = attend(*(part.transpose(1, 2) for part in (query, key, value))).flatten(2)
    if wanted is not None:
        attended, inner = attended[:, wanted], hidden[:, wanted]
    inner = _added(attention.o_proj, attended, inner)
    normed = _normed(layer.post_attention_layernorm, inner)
    inner = _added(mlp.down_proj, _Gated.apply(mlp.gate_proj(normed), mlp.up_proj(normed)), inner)
    return inner if wanted is None else hidden.index_copy(1, wanted, inner)


def _normed(norm: Any, hidden: Tensor) -> Tensor:
    normed: Tensor = _Normed.apply(hidden, norm.weight, norm.variance_epsilon)
    return normed


def _added(module: nn.Module, input: Tensor, residual: Tensor) -> Tensor:
    if not is_plain_linear(module):
        return residual + module(input)
    added: Tensor = _Added.apply(input, module.weight, module.bias, residual)
    return added


class _Normed(torch.autograd.Function):
    """x [..., H] and weight [H] -> the RMS norm [..., H]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        scale = x.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        by_feature = (gradient * x).flatten(0, -2)
        by_weight = by_feature.T @ scale.flatten() if ctx.needs_input_grad[1] else None
        # mean(dy w x̂) x̂ / rms is x times this:
        share = (by_feature @ weight).view_as(scale).mul_(scale.pow(3).div_(-x.shape[-1]))
        return (gradient * weight).mul_(scale).addcmul_(x, share), by_weight, None


class _Rotated(torch.autograd.Function):
    """x [..., T, heads, D] and what `kernels.decoder.turns` gives for it, which rolls its features twice to undo it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return (x * cosine).addcmul_(x.roll(x.shape[-1] // 2, -1), sine)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        cosine, sine = ctx.saved_tensors
        turned = (gradient * sine).roll(gradient.shape[-1] // 2, -1)
        return turned.addcmul_(gradient, cosine), None, None


class _Gated(torch.autograd.Function):
    """gate and up [..., I] -> silu(gate) * up (Shazeer 2020, arXiv 2002.05202)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(gradient * up, gate), silu(gate).mul_(gradient)


class _Added(torch.autograd.Function):
    """input [..., in], weight [out, in], bias [out] or None, residual [..., out] -> residual + linear layer."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor) -> Tensor:
        ctx.save_for_backward(input, weight)
        return added_product(residual, input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        return *product_gradients(gradient, input, weight, ctx.needs_input_grad), gradient
