"""All implementations of a part of attention must agree."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from kernels.attention import attend_part, attend_part_backward, plain_part, plain_part_backward
from tests.support.live_memory import LiveMemory


def largest_error(values: list[Tensor], expected: list[Tensor]) -> float:
    """The largest relative error among the tensors."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(values, expected, strict=True))


def parts(causal: bool, dtype: torch.dtype) -> tuple[list[Tensor], Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    query, key, value, gradient = (torch.randn(2, 3, 9, 8, generator=generator).to(dtype) for _ in range(4))
    mask = None if causal else torch.where(torch.rand(2, 1, 9, 9, generator=generator) < 0.3, -1e30, 0.0)
    return [query, key, value, gradient], mask


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_the_plain_implementation_agrees_with_the_fused_one(causal, dtype, tolerance):
    """Devices without a fused operation use the plain implementation."""
    (query, key, value, gradient), mask = parts(causal, dtype)
    mask = None if mask is None else mask.to(dtype)
    fused = attend_part(query, key, value, 0.3, causal, mask)
    plain = plain_part(query, key, value, 0.3, causal, mask)
    assert largest_error([part.double() for part in plain], [part.double() for part in fused]) < tolerance
    arguments = (gradient, (query, key, value), fused, 0.3, causal, mask)
    plain_gradients = [part.double() for part in plain_part_backward(*arguments)]
    assert largest_error(plain_gradients, [part.double() for part in attend_part_backward(*arguments)]) < tolerance


def cuda_part(dtype: torch.dtype, tokens: int = 512) -> int:
    """Peak bytes of the forward and backward pass of a part on a fake CUDA device."""
    with FakeTensorMode():
        query, key, value, gradient = (torch.empty(1, 2, tokens, 64, dtype=dtype, device="cuda:0") for _ in range(4))
        with LiveMemory() as memory:
            merged = attend_part(query, key, value, 0.3, True)
            parts = attend_part_backward(gradient, (query, key, value), merged, 0.3, True, None)
    assert merged[1].shape == (1, 2, tokens) and merged[1].dtype == torch.float32
    assert [part.shape for part in (merged[0], *parts)] == [query.shape] * 4
    return memory.peak


def test_half_precision_on_cuda_never_materialises_the_scores(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    scores = 4 * 2 * 512 * 512
    assert cuda_part(torch.bfloat16) < scores / 2 and cuda_part(torch.float32) > scores
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert cuda_part(torch.bfloat16) > scores
