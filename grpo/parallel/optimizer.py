"""AdamW and its learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn
from torch.optim import AdamW, Optimizer

from grpo.parallel.half_adamw import HalfAdamW

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}
"""From the share of the steps after warm-up that are done, in [0, 1), to a factor of the learning rate."""


def rate_factor(step: int, steps: int, warmup_steps: int, schedule: str) -> float:
    """The factor of the learning rate at `step`, counted from 0: 1/w, 2/w, ..., 1 in warm-up, then the schedule."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return SCHEDULES[schedule]((step - warmup_steps) / max(1, steps - warmup_steps))


def adamw(
    model: nn.Module,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float,
    states: str = "fp32",
) -> Optimizer:
    """AdamW (arXiv 1711.05101) over the trainable weights; norms and biases, which have one dimension, never decay.

    Its moments are kept in fp32, 8 bytes a weight, or with `states` "bf16" in half of that.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    # In CUDA's default the moments' denominators of all weights stand in memory at once; the fused kernel keeps none.
    fused = {"fused": True} if states == "fp32" and weights[0].is_cuda else {}
    kind = {"fp32": AdamW, "bf16": HalfAdamW}[states]
    return kind([group for group in groups if group["params"]], lr=learning_rate, betas=betas, eps=epsilon, **fused)
