"""Inputs and results of log-prob functions, and the error between two results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Inputs = tuple[Tensor, Tensor, Tensor, Tensor | None]


def inputs(
    tokens: int, vocabulary: int, bias: bool = False, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, 24, generator=generator, dtype=torch.float64).to(dtype)
    weight = torch.randn(vocabulary, 24, generator=generator, dtype=torch.float64).to(dtype)
    ids = torch.randint(vocabulary, (tokens,), generator=generator)
    return (
        hidden,
        weight,
        ids,
        torch.randn(vocabulary, generator=generator, dtype=torch.float64).to(dtype) if bias else None,
    )


def results(
    function: Callable[..., tuple[Tensor, Tensor]],
    dtype: torch.dtype,
    arguments: Inputs,
    temperature: float,
    softcap: float | None,
) -> list[Tensor]:
    """Values and gradients of a fixed mixture of log-probs and entropies, as float64."""
    hidden, weight, ids, bias = arguments
    leaves = [part.to(dtype).requires_grad_() for part in (hidden, weight, bias) if part is not None]
    values = function(leaves[0], leaves[1], ids, temperature, leaves[2] if len(leaves) > 2 else None, softcap)
    direction = torch.linspace(-1, 1, len(ids), dtype=torch.float64)
    mixture = (values[0].double() * direction + values[1].double() * direction.flip(0)).sum()
    return [part.double() for part in (*values, *torch.autograd.grad(mixture, leaves))]


def errors(values: Sequence[Tensor], exact: Sequence[Tensor]) -> list[float]:
    """Errors relative to 1 + |exact|: absolute for small results, since 1 - p of a certain token is only rounding."""
    return [float((a - b).detach().norm() / (1 + b.detach().norm())) for a, b in zip(values, exact, strict=True)]
