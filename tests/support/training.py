"""Trainers on the bandit environment, and made-up episodes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from envs.protocol import Scenario
from grpo.config import Options
from grpo.engine.engine import Engine
from grpo.models.checkpoint import Checkpoint
from grpo.parallel.actor import Actor
from grpo.parallel.policy import TrainingPolicy
from grpo.parallel.ranks import Ranks
from grpo.trainer import Trainer
from grpo.types import Episode, Request, StopReason
from rewards.score import Score
from tests.support import bandit

SMALL: dict[str, Any] = {
    "prompts_per_step": 3,
    "group_size": 12,
    "rows": 12,
    "max_turns": 1,
    "max_turn_tokens": 4,
    "max_episode_tokens": 4,
    "steps": 2,
    "learning_rate": 3e-3,
    "temperature": 1.3,
}


def trainer(**changes: Any) -> Trainer:
    return trainer_of(Options(**{**SMALL, **changes}), bandit.scenario())


def trainer_of(options: Options, *scenarios: Scenario, ranks: Ranks | None = None) -> Trainer:
    """Trains the bandit's random policy on `scenarios`."""
    model, chat = bandit.policy()
    engine = Engine(model, options.rows, max_length=64)
    by_name = {scenario.name: scenario for scenario in scenarios}
    checkpoint = Checkpoint(model, chat.tokenizer)
    return Trainer(Actor(checkpoint, chat, engine, by_name, options.limits, ranks or Ranks()), options)


def made_rows(seed: int = 0, count: int = 8) -> list[Row]:
    """Episodes of random ids with shared prompts, injected tokens in the middle, and advantages."""
    draw = random.Random(seed)
    rows = []
    for index in range(count):
        group = index // 3
        prompt = [0, 1, 2, 3 + group]
        turns = [([draw.randrange(8) for _ in range(draw.randint(1, 3))], bit) for bit in (1, 0, 1)]
        ids = prompt + [id for said, _ in turns for id in said]
        mask = [0] * len(prompt) + [bit for said, bit in turns for _ in said]
        rows.append(Row(episode(ids, mask, group=group, sibling=index % 3), draw.uniform(-1, 1)))
    return rows


def episode(
    ids: Sequence[int],
    mask: Sequence[int],
    reward: float = 0.0,
    group: int = 0,
    sibling: int = 0,
    stop_reason: StopReason = StopReason.DONE,
) -> Episode:
    request = Request("echo", "train", 0, group, sibling, 0)
    logprobs = [-1.0 * bit for bit in mask]
    prompt_length = list(mask).index(1) if 1 in mask else len(mask)
    score = Score(reward, {"word": reward})
    return Episode(request, list(ids), list(mask), logprobs, prompt_length, stop_reason, score, (), (), 1)


class Recorder:
    """Stands for an optimizer: keeps the gradients of its steps and leaves the weights alone."""

    def __init__(self, model: nn.Module) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": list(model.parameters()), "lr": 0.0}]
        self.gradients: list[list[Tensor]] = []

    def step(self) -> None:
        self.gradients.append(gradients_of(self.param_groups[0]["params"]))

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self.param_groups[0]["params"]:
            weight.grad = None


def gradients_of(weights: Sequence[nn.Parameter]) -> list[Tensor]:
    return [torch.zeros_like(weight) if weight.grad is None else weight.grad.clone() for weight in weights]


def gradient(rows: Sequence[Row], **changes: Any) -> list[Tensor]:
    """What one optimizer step on `rows` would get, before any clipping."""
    made = trainer(**{"grad_clip": 0.0, "importance_cap": 0.0, **changes})
    made.optimizer = Recorder(made.model)  # type: ignore[assignment]
    made.optimizer_step(rows)
    return made.optimizer.gradients[0]  # type: ignore[attr-defined]


def naive_logprobs(model: PreTrainedModel, one: Episode, temperature: float) -> Tensor:
    """[K], from a plain forward pass over one episode."""
    logits = model(input_ids=torch.tensor([one.ids]), use_cache=False).logits[0, :-1] / temperature
    scored = logits.log_softmax(-1).gather(1, torch.tensor(one.ids[1:]).unsqueeze(1)).squeeze(1)
    return scored[torch.tensor(one.mask[1:], dtype=torch.bool)]


def assert_close(ours: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    scale = max(float(gradient.abs().max()) for gradient in expected)
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=2e-6 * scale)


def reference_model(made: Trainer) -> PreTrainedModel:
    """The model behind the KL's reference policy."""
    assert isinstance(made.learner.reference, TrainingPolicy)
    return made.learner.reference.model


def weights(made: Trainer) -> list[Tensor]:
    return [weight.detach().clone() for weight in made.model.parameters()]


def same(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def deterministic(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in ("timing", "memory")}


def run(made: Trainer) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = []
    made.run(lambda metrics, episodes: log.append(deterministic(metrics)))
    return log


def scripted(rewards: Callable[[Request], float]) -> Callable[..., list[Episode]]:
    """A rollout whose rewards are a function of the request."""

    def fake(engine: Any, chat: Any, scenarios: Any, requests: Sequence[Request], *rest: Any) -> list[Episode]:
        made = [episode([0, 1, 2, 3], [0, 0, 1, 1], rewards(request)) for request in requests]
        return [replace(one, request=request) for one, request in zip(made, requests, strict=True)]

    return fake
