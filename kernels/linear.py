"""Single-precision linear layers on a CPU by oneDNN instead of the BLAS that PyTorch was built with.

PyTorch hands fp32 products to its BLAS. For the few rows of a decode step oneDNN is 1.5 to 2.5 times as fast, since it
keeps weights in the order in which it reads them; for the many rows of training about 1.2 times (docs/performance.md).
Other types, devices and builds without oneDNN get what PyTorch does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

# oneDNN compiles a kernel for every shape and keeps the last 1,024 of them, more than half a megabyte each, unless told
# so before its first use.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
PACKED_ROWS = 256
"""Inputs of more rows are multiplied as fast with a weight as it lies."""


def product(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input [..., in] and weight [out, in] -> [..., out]. Not differentiable where oneDNN does it."""
    if not _is_served(input, weight):
        return nn.functional.linear(input, weight, bias)
    output: Tensor = torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")
    return output


def added_product(residual: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`residual` [..., out] plus `product` of the others. Not differentiable where oneDNN does it."""
    if not _is_served(input, weight):
        return residual + nn.functional.linear(input, weight, bias)
    output: Tensor = torch.ops.mkldnn._linear_pointwise.binary(input, residual, weight, bias, "add")
    return output


def fast_linear(input: Tensor, weight: Tensor, bias: Tensor | None, packed: PackedWeight) -> Tensor:
    """`nn.functional.linear` by oneDNN where that can, gradients included; `packed` holds the copy of this weight."""
    if not _is_served(input, weight) or weight.is_inference():
        return nn.functional.linear(input, weight, bias)
    if torch.is_grad_enabled() and (input.requires_grad or weight.requires_grad):
        packed.forget()
        output: Tensor = _Product.apply(input, weight, bias)
        return output
    rows = input.numel() // input.shape[-1]
    return product(input, packed.of(weight, rows) if rows <= PACKED_ROWS else weight, bias)


class PackedWeight:
    """A weight in oneDNN's order, which is made when it is first used and again when the weight has changed.

    It is not part of the layer: copies and pickles of a layer begin without it.
    """

    def __init__(self) -> None:
        self.value: Tensor | None = None
        self.key = (0, 0)

    def of(self, weight: Tensor, rows: int) -> Tensor:
        """`weight` for inputs of about so many rows."""
        key = (weight.data_ptr(), weight._version)
        if self.value is None or self.key != key:
            self.value, self.key = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows), key
        return self.value

    def forget(self) -> None:
        self.value = None

    def __reduce__(self) -> tuple[type[PackedWeight], tuple[()]]:
        return PackedWeight, ()


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(input, weight)
        return product(input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        return product_gradients(gradient, input, weight, ctx.needs_input_grad)


def product_gradients(
    gradient: Tensor, input: Tensor, weight: Tensor, needed: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Those of `product` by input, weight and bias, as far as they are needed."""
    by_input = product(gradient, weight.T) if needed[0] else None
    rows = gradient.flatten(0, -2)
    # Here, with both sides transposed, PyTorch's own product is the faster one.
    by_weight = rows.T @ input.flatten(0, -2) if needed[1] else None
    return by_input, by_weight, rows.sum(0) if needed[2] else None


def _is_served(input: Tensor, weight: Tensor) -> bool:
    return (
        AVAILABLE
        and type(input) is Tensor
        and input.device.type == weight.device.type == "cpu"
        and input.dtype == weight.dtype == torch.float32
        and input.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )
