"""Work for several processes that a test starts; they import it by name."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.tensor import DTensor
from torch.nn import Parameter

from grpo.config import Options
from grpo.ranks import Ranks
from grpo.trainer import Trainer
from tests.support import bandit
from tests.support.training import SMALL, made_rows, run, trainer_of


def made(ranks: Ranks, **changes: Any) -> Trainer:
    return trainer_of(Options(**{**SMALL, **changes}), bandit.scenario(), ranks=ranks)


def write_gradient(out: str, count: int, changes: dict[str, Any], ranks: Ranks) -> int:
    """The gradient that the optimizer would get for `count` episodes, whole, by the names of the weights."""
    trainer = made(ranks, grad_clip=0.0, importance_cap=0.0, token_budget=20, **changes)
    found: dict[str, torch.Tensor] = {}

    def step() -> None:
        for name, weight in trainer.model.named_parameters():
            found[name] = whole(weight)

    trainer.optimizer.step = step  # type: ignore[method-assign, assignment]
    trainer.optimizer_step(made_rows(count=count))
    if ranks.first:
        torch.save(found, out)
    return 0


def write_steps(out: str, changes: dict[str, Any], ranks: Ranks) -> int:
    """Metrics and weights of a short run, the acting model's weights, and how many of them each rank stored."""
    trainer = made(ranks, **changes)
    content = {
        "metrics": run(trainer),
        "weights": trainer.learner.weights(),
        "acting": trainer.learner.acting.state_dict(),
        "stored": ranks.together(sum(local_size(weight) for weight in trainer.model.parameters())),
    }
    if ranks.first:
        torch.save(content, out)
    return 0


def whole(weight: Parameter) -> torch.Tensor:
    assert weight.grad is not None
    return (weight.grad.full_tensor() if isinstance(weight.grad, DTensor) else weight.grad).detach().clone()


def local_size(weight: torch.Tensor) -> int:
    return (weight.to_local() if isinstance(weight, DTensor) else weight).numel()
