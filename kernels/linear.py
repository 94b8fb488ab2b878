"""fp32 linear layers on a CPU, computed by oneDNN instead of the BLAS that PyTorch was built with.

PyTorch sends fp32 products to its BLAS. oneDNN is 1.5 to 2.5 times as fast for the few rows of a decode step, because
it stores weights in the order in which it reads them. For the many rows of training it is about 1.2 times as fast
(docs/performance.md). PyTorch computes other types, other devices, and everything in builds without oneDNN.
"""

from __future__ import annotations

import os
from typing import Any

# oneDNN compiles a kernel for every shape. By default it caches the last 1,024 of them, at more than half a megabyte
# each. The variable only works if it is set before oneDNN's first use.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
PACKED_ROWS = 256
"""Beyond this number of input rows, a packed weight is no faster than a plain one."""


def product(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input [..., in], weight [out, in], bias [out] -> [..., out]. Not differentiable where oneDNN computes it."""
    if not _uses_onednn(input, weight):
        return nn.functional.linear(input, weight, bias)
    output: Tensor = torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")
    return output


def fast_linear(input: Tensor, weight: Tensor, bias: Tensor | None, packed: PackedWeight) -> Tensor:
    """`nn.functional.linear` by oneDNN where possible, gradients included; `packed` holds the copy of this weight."""
    if not _uses_onednn(input, weight) or weight.is_inference():
        return nn.functional.linear(input, weight, bias)
    if torch.is_grad_enabled() and (input.requires_grad or weight.requires_grad):
        packed.forget()
        output: Tensor = _Product.apply(input, weight, bias)
        return output
    rows = input.numel() // input.shape[-1]
    return product(input, packed.of(weight, rows) if rows <= PACKED_ROWS else weight, bias)


class PackedWeight:
    """A copy of a weight in oneDNN's order, packed on first use and again whenever the weight has changed.

    The copy is not part of the layer's state: copies and pickles of a layer start without it.
    """

    def __init__(self) -> None:
        self.value: Tensor | None = None
        self.key = (0, 0)

    def of(self, weight: Tensor, rows: int) -> Tensor:
        """`weight` in oneDNN's order, for inputs of about `rows` rows."""
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
        needed = ctx.needs_input_grad
        by_input = product(gradient, weight.T) if needed[0] else None
        rows = gradient.flatten(0, -2)
        # Both sides are transposed here, and PyTorch's product is then faster than oneDNN's.
        by_weight = rows.T @ input.flatten(0, -2) if needed[1] else None
        return by_input, by_weight, rows.sum(0) if needed[2] else None


def _uses_onednn(input: Tensor, weight: Tensor) -> bool:
    return (
        AVAILABLE
        and type(input) is Tensor
        and input.device.type == weight.device.type == "cpu"
        and input.dtype == weight.dtype == torch.float32
        and input.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )
