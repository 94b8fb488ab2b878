"""The forward pass of a standard decoder in few operations, for generation.

A decode step multiplies a few rows with small matrices, and much of its time goes into starting operations. Here a norm
is one of them, query and key heads share norm and rotary embedding, and no module is called. In fp32 on a CPU the
query, key and value projections are one product besides, gate and up another one, and the residual is added within
the product before it, by oneDNN, which gets copies of the weights in its order: a `FusedDecoder` made before an update
computes with the weights of then. Elsewhere weights are read where they lie.

Served are layers of the kind that Llama began: RMS norm, attention with rotary embedding (queries and keys normed per
head, or not), RMS norm, gated MLP (Zhang & Sennrich 2019, arXiv 1910.07467; Su et al. 2021, arXiv 2104.09864; Shazeer
2020, arXiv 2002.05202). `is_standard` looks at a model's modules; whether they compute what their names say, the
caller finds by comparing outputs once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch.nn.functional import embedding, linear, rms_norm, silu

from kernels.linear import AVAILABLE

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Layer number, query [1, heads, T, D], key and value [1, kv_heads, T, D] -> [1, T, heads, D]."""

_PACKED_FOR_ROWS = 32
"""The rows that oneDNN is told to expect when it orders the weights; any number is served."""

_BASE = {"embed_tokens", "layers", "norm", "rotary_emb"}
_LAYER = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}
_PROJECTIONS = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
_MLP = {"gate_proj", "up_proj", "down_proj"}


def is_standard(base: Any) -> bool:
    """Whether a model without its output head is made of the modules that `FusedDecoder` computes, with weights of one
    type on one device."""
    if _children(base) != _BASE or torch.is_autocast_enabled(base.embed_tokens.weight.device.type):
        return False
    kinds = {(weight.device, weight.dtype) for weight in base.parameters()}
    plain = len(kinds) == 1 and all(map(_is_plain, base.modules()))
    return plain and all(_is_standard_layer(layer, base) for layer in base.layers)


def agree(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Whether two computations of the same [T, *], in this type, differ by rounding alone."""
    if isinstance(found, FakeTensor):
        return True  # without values to compare
    apart, spread = found.float() - expected.float(), expected.float().std()
    if dtype in (torch.float16, torch.bfloat16):
        # By the whole: through many layers some places of correct models come a fifth of the spread apart.
        return bool(apart.square().mean().sqrt() < 0.1 * spread)
    return bool(apart.abs().max() < 1e-3 * spread)


def is_packed(base: Any) -> bool:
    """Whether `FusedDecoder` computes by oneDNN, with copies of the weights."""
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
    """Hidden states of a model for which `is_standard` holds."""

    def __init__(self, base: Any) -> None:
        product = _Joined if is_packed(base) else _Plain
        with torch.no_grad():
            self.embedding, self.rotary, self.norm = base.embed_tokens.weight, base.rotary_emb, _Norm(base.norm)
            self.layers = [_FusedLayer(number, layer, product) for number, layer in enumerate(base.layers)]

    def __call__(self, ids: Tensor, positions: Tensor, attend: Attend, wanted: Tensor) -> Tensor:
        """ids and positions [T], wanted [M] places of tokens -> hidden states [M, H] of those after the last norm."""
        hidden = embedding(ids, self.embedding)
        cosine, sine = turns(*self.rotary(hidden, positions.unsqueeze(0)))
        for layer in self.layers[:-1]:
            hidden = layer(hidden, cosine, sine, attend)
        return self.norm(self.layers[-1](hidden, cosine, sine, attend, wanted))


def turns(cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    """What a model's rotary embedding gives for a row, [1, T, D] each, for a roll of the features: [T, 1, D] each.

    A half turn of the features is a roll by half of them with the sign of the first half changed, which the sine has.
    """
    first, second = sine[0].chunk(2, -1)
    return cosine[0].unsqueeze(1), torch.cat([-first, second], -1).unsqueeze(1)


class _FusedLayer:
    def __init__(self, number: int, layer: Any, product: type[_Joined | _Plain]) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.number, self.size = number, attention.head_dim
        self.before, self.between = _Norm(layer.input_layernorm), _Norm(layer.post_attention_layernorm)
        self.input = product(attention.q_proj, attention.k_proj, attention.v_proj)
        self.output, self.down = product(attention.o_proj), product(mlp.down_proj)
        self.gate_up = product(mlp.gate_proj, mlp.up_proj)
        self.heads, kv_heads = (part.out_features // self.size for part in (attention.q_proj, attention.k_proj))
        self.keyed = self.heads + kv_heads
        self.head_norm = None
        if hasattr(attention, "q_norm"):
            self.head_norm = attention.q_norm.variance_epsilon
            self.head_weight = torch.cat(
                [attention.q_norm.weight.expand(self.heads, -1), attention.k_norm.weight.expand(kv_heads, -1)]
            )

    def __call__(
        self, hidden: Tensor, cosine: Tensor, sine: Tensor, attend: Attend, wanted: Tensor | None = None
    ) -> Tensor:
        """Hidden states after the layer, of the wanted tokens or of all."""
        by_head = self.input(self.before(hidden)).unflatten(-1, (-1, self.size))
        keyed, value = by_head[:, : self.keyed], by_head[:, self.keyed :]
        if self.head_norm is not None:
            keyed = rms_norm(keyed, (self.size,), eps=self.head_norm) * self.head_weight
        keyed = torch.addcmul(keyed * cosine, keyed.roll(self.size // 2, -1), sine)
        query, key, value = (
            part.transpose(0, 1).unsqueeze(0) for part in (keyed[:, : self.heads], keyed[:, self.heads :], value)
        )
        attended = attend(self.number, query, key, value).reshape(len(hidden), -1)
        if wanted is not None:
            attended, hidden = attended[wanted], hidden[wanted]
        hidden = self.output.added_to(hidden, attended)
        gate, up = self.gate_up.each(self.between(hidden))
        return self.down.added_to(hidden, silu(gate) * up)


class _Norm:
    def __init__(self, norm: Any) -> None:
        self.weight, self.epsilon = norm.weight, norm.variance_epsilon

    def __call__(self, hidden: Tensor) -> Tensor:
        return rms_norm(hidden, self.weight.shape, self.weight, self.epsilon)


class _Joined:
    """Linear layers of one input as one product, by oneDNN."""

    def __init__(self, *linears: nn.Linear) -> None:
        weight = torch.cat([linear.weight for linear in linears])
        self.sizes = [linear.out_features for linear in linears]
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, _PACKED_FOR_ROWS)
        biased = any(linear.bias is not None for linear in linears)
        biases = (torch.zeros(linear.out_features) if linear.bias is None else linear.bias for linear in linears)
        self.bias = torch.cat(tuple(biases)) if biased else None

    def __call__(self, input: Tensor) -> Tensor:
        """The outputs side by side."""
        output: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
        return output

    def each(self, input: Tensor) -> tuple[Tensor, ...]:
        """The outputs one by one."""
        return self(input).split(self.sizes, -1)

    def added_to(self, residual: Tensor, input: Tensor) -> Tensor:
        output: Tensor = torch.ops.mkldnn._linear_pointwise.binary(input, residual, self.weight, self.bias, "add")
        return output


class _Plain:
    """`_Joined` by PyTorch's products, for any device and type."""

    def __init__(self, *linears: nn.Linear) -> None:
        self.linears = linears

    def __call__(self, input: Tensor) -> Tensor:
        return torch.cat(self.each(input), -1)

    def each(self, input: Tensor) -> tuple[Tensor, ...]:
        return tuple(linear(input, of.weight, of.bias) for of in self.linears)

    def added_to(self, residual: Tensor, input: Tensor) -> Tensor:
        (output,) = self.each(input)
        return residual + output


def _children(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}


def _is_plain(module: nn.Module) -> bool:
    """Whether it computes with tensors of this process, and nothing hangs on its calls."""
    hooked = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    parameters = module._parameters.values()
    return not hooked and all(type(part.data) in (Tensor, FakeTensor) for part in parameters if part is not None)
