"""Functions that a test runs in several processes, which import them by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from grpo.config import Options
from grpo.parallel.ranks import Ranks
from tests.support import bandit
from tests.support.training import SMALL, BanditTrainer, random_examples, run, trainer_of


def trainer_on(ranks: Ranks, **changes: Any) -> BanditTrainer:
    return trainer_of(Options(**{**SMALL, **changes}), bandit.scenario(), ranks=ranks)


def gradients(counts: Sequence[int], changes: dict[str, Any], ranks: Ranks) -> list[Tensor]:
    """The gradient that the optimizer receives for each count of episodes, gathered and flattened."""
    trainer = trainer_on(ranks, grad_clip=0.0, importance_cap=0.0, token_budget=20, **changes)
    flat: list[Tensor] = []
    trainer.optimizer.step = lambda: flat.append(  # type: ignore[method-assign, assignment, misc]
        torch.cat([full_tensor(p.grad).flatten() for p in trainer.model.parameters() if p.grad is not None])
    )
    for count in counts:
        trainer.optimizer_step(random_examples(count=count))
    return flat


def steps(changes: dict[str, Any], ranks: Ranks) -> dict[str, Any]:
    """Metrics and weights of a short run, the rollout model's weights, and the number of stored values per rank."""
    trainer = trainer_on(ranks, **changes)
    return {
        "metrics": run(trainer),
        "weights": trainer.policy.weights(),
        "rollout_model": trainer.policy.rollout_model.state_dict(),
        "stored": ranks.gather(sum(local(weight).numel() for weight in trainer.model.parameters())),
    }


def write_results(
    out: str, counts: Sequence[int], layouts: Sequence[dict[str, Any]], runs: Sequence[dict[str, Any]], ranks: Ranks
) -> int:
    """Writes `gradients` of each layout and `steps` of each run to a file, so that the processes start only once."""
    results = {
        "gradients": [gradients(counts, changes, ranks) for changes in layouts],
        "runs": [steps(changes, ranks) for changes in runs],
    }
    if ranks.first:
        torch.save(results, out)
    return 0


def full_tensor(value: Tensor) -> Tensor:
    return (value.full_tensor() if isinstance(value, DTensor) else value).detach().clone()


def local(value: Tensor) -> Tensor:
    return value.to_local() if isinstance(value, DTensor) else value
