"""AdamW, with its moments in fp32 or in half of that memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW, Optimizer

from grpo.config import Options


def adamw(module: nn.Module, options: Options) -> Optimizer:
    """AdamW (arXiv 1711.05101) over the trainable weights; norms and biases, which have one dimension, never decay.

    Its moments take 8 bytes a weight in fp32, half of that with `optimizer_states` bf16.
    """
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    settings: dict[str, Any] = {
        "lr": options.learning_rate, "betas": (options.beta1, options.beta2), "eps": options.adam_epsilon
    }  # fmt: skip
    if options.optimizer_states == "bf16":
        return HalfAdamW(groups, **settings)
    # CUDA's default holds the denominators of all weights in memory at once; the fused kernel holds none.
    return AdamW(groups, **settings | ({"fused": True} if weights[0].is_cuda else {}))


class HalfAdamW(Optimizer):
    """AdamW with its moments in bf16.

    They are rounded stochastically: the second moment moves by a thousandth of its value in a step, less than the
    spacing of bf16, and rounded to the nearest it would not move at all.
    """

    def __init__(self, params: Any, lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every weight that has a gradient."""
        for group in self.param_groups:
            for place, weight in enumerate(group["params"]):
                if weight.grad is not None:
                    self._update(place, weight, group, *group["betas"])

    def load_state_dict(self, state_dict: Any) -> None:
        """Any optimizer's method gives moments the type of their weights; here they become bf16 again."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state |= {name: state[name].bfloat16() for name in ("exp_avg", "exp_avg_sq")}

    def _update(self, place: int, weight: Tensor, group: dict[str, Any], beta1: float, beta2: float) -> None:
        state = self.state[weight]
        if not state:
            zeros = torch.zeros_like(weight, dtype=torch.bfloat16)
            state |= {"step": torch.tensor(0.0), "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
        state["step"] += 1
        count = int(state["step"])
        gradient, value = _local(weight.grad), _local(weight)
        first, second = _local(state["exp_avg"]), _local(state["exp_avg_sq"])
        mean = first.float().lerp_(gradient.float(), 1 - beta1)
        square = second.float().lerp_(gradient.float().square(), 1 - beta2)
        denominator = (square / (1 - beta2**count)).sqrt_().add_(group["eps"])
        value.mul_(1 - group["lr"] * group["weight_decay"])
        value.addcdiv_(mean, denominator, value=-group["lr"] / (1 - beta1**count))
        generator = torch.Generator(value.device).manual_seed(place << 32 | count)
        first.copy_(stochastic_bf16(mean, generator))
        second.copy_(stochastic_bf16(square, generator))


def stochastic_bf16(values: Tensor, generator: torch.Generator) -> Tensor:
    """fp32 -> bf16, up or down with the probabilities that keep the mean: noise below the cut, then the cut."""
    noise = torch.randint(0, 1 << 16, values.shape, dtype=torch.int32, device=values.device, generator=generator)
    return (values.view(torch.int32) + noise).bitwise_and_(-(1 << 16)).view(torch.float32).bfloat16()


def _local(tensor: Tensor | None) -> Tensor:
    """This rank's part of a sharded tensor, sharing its memory."""
    assert tensor is not None
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
