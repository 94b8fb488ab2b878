"""Muon in fp32 (Jordan 2024, https://kellerjordan.github.io/posts/muon/).

`torch.optim.Muon` orthogonalises in bf16. A CPU without bf16 units takes six times as long for that as for fp32, which
is longer than a whole training step of the embedded policy.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.775, 2.0315)
STEPS = 5


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum whose update of each matrix is replaced by the nearest orthogonal one."""

    def __init__(
        self, matrices: Iterable[Tensor], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(list(matrices), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in (one for one in group["params"] if one.grad is not None):
                average = self.state[matrix].setdefault("average", torch.zeros_like(matrix))
                average.lerp_(matrix.grad, 1 - group["momentum"])
                update = orthogonal(matrix.grad.lerp(average, group["momentum"]))
                scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix [A, B] with singular values near 1 and the singular vectors of `matrix`, by Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(STEPS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
