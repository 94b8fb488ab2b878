"""Trainers on the bandit environment, and random episodes."""

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
from grpo.models.causal_lm import CausalLM
from grpo.models.checkpoint import Checkpoint
from grpo.parallel.actor import Actor
from grpo.parallel.optimizer import adamw
from grpo.parallel.policy import TrainingPolicy
from grpo.parallel.ranks import Ranks
from grpo.run.metrics import Stopwatch, step_metrics
from grpo.trainer import Example, StepResult, Trainer
from grpo.types import Episode, Request, Sampling, StopReason
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


class BanditTrainer(Trainer):
    """A trainer that is assembled as in a run, with the actor that plays its episodes."""

    policy: TrainingPolicy

    def __init__(self, actor: Actor, options: Options) -> None:
        self.actor = actor
        policy = TrainingPolicy(actor.checkpoint.model, options, actor.ranks)
        actor.use(policy.rollout_model)
        super().__init__(policy, adamw(policy, options), actor.play, list(actor.scenarios), options, actor.ranks)

    @property
    def model(self) -> CausalLM:
        """The model in training."""
        return self.policy.model


def trainer(**changes: Any) -> BanditTrainer:
    return trainer_of(Options(**{**SMALL, **changes}), bandit.scenario())


def trainer_of(options: Options, *scenarios: Scenario, ranks: Ranks | None = None) -> BanditTrainer:
    """A trainer of the bandit's random policy on `scenarios`."""
    model, chat = bandit.policy()
    engine = Engine(model, options.rows, max_length=64)
    by_name = {scenario.name: scenario for scenario in scenarios}
    checkpoint = Checkpoint(model, chat.tokenizer)
    return BanditTrainer(Actor(checkpoint, chat, engine, by_name, options.limits, ranks or Ranks()), options)


def random_examples(seed: int = 0, count: int = 8) -> list[Example]:
    """Episodes of random ids with shared prompts, injected tokens in the middle, and advantages."""
    draw = random.Random(seed)
    examples = []
    for index in range(count):
        group = index // 3
        prompt = [0, 1, 2, 3 + group]
        turns = [([draw.randrange(8) for _ in range(draw.randint(1, 3))], bit) for bit in (1, 0, 1)]
        ids = prompt + [id for tokens, _ in turns for id in tokens]
        mask = [0] * len(prompt) + [bit for tokens, bit in turns for _ in tokens]
        examples.append(Example(episode(ids, mask, group=group, sibling=index % 3), draw.uniform(-1, 1)))
    return examples


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
    """An optimizer that records the gradient of each step and does not change the weights."""

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


def gradient(examples: Sequence[Example], **changes: Any) -> list[Tensor]:
    """The gradient of one optimizer step on `examples`, before clipping."""
    bandit_trainer = trainer(**{"grad_clip": 0.0, "importance_cap": 0.0, **changes})
    recorder = record_gradients(bandit_trainer)
    bandit_trainer.optimizer_step(examples)
    return recorder.gradients[0]


def record_gradients(bandit_trainer: BanditTrainer) -> Recorder:
    """Replaces the trainer's optimizer by a `Recorder`."""
    recorder = Recorder(bandit_trainer.model)
    bandit_trainer.optimizer = recorder  # type: ignore[assignment]
    return recorder


def naive_logprobs(model: PreTrainedModel, one: Episode, temperature: float) -> Tensor:
    """Log-probs [K] of the sampled tokens, from a plain forward pass over one episode."""
    logits = model(input_ids=torch.tensor([one.ids]), use_cache=False).logits[0, :-1] / temperature
    scored = logits.log_softmax(-1).gather(1, torch.tensor(one.ids[1:]).unsqueeze(1)).squeeze(1)
    return scored[torch.tensor(one.mask[1:], dtype=torch.bool)]


def assert_close(ours: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    scale = max(float(gradient.abs().max()) for gradient in expected)
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=2e-6 * scale)


def reference_model(bandit_trainer: BanditTrainer) -> CausalLM:
    """The model behind the KL's reference policy."""
    assert isinstance(bandit_trainer.policy.reference, TrainingPolicy)
    return bandit_trainer.policy.reference.model


def weights(bandit_trainer: BanditTrainer) -> list[Tensor]:
    return [weight.detach().clone() for weight in bandit_trainer.model.parameters()]


def same(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def deterministic(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in ("timing", "memory")}


def metrics_of(result: StepResult) -> dict[str, Any]:
    """The metrics of a step that do not depend on the machine."""
    return deterministic(step_metrics(result, Stopwatch()))


def run(bandit_trainer: BanditTrainer) -> list[dict[str, Any]]:
    """Trains to the end and returns the metrics of each step."""
    log: list[dict[str, Any]] = []
    bandit_trainer.run(lambda result: log.append(metrics_of(result)))
    return log


def scripted(rewards: Callable[[Request], float]) -> Callable[[Sequence[Request], Sampling], list[Episode]]:
    """A function that returns episodes whose rewards depend on the request only."""

    def play(requests: Sequence[Request], sampling: Sampling) -> list[Episode]:
        episodes = [episode([0, 1, 2, 3], [0, 0, 1, 1], rewards(request)) for request in requests]
        return [replace(one, request=request) for one, request in zip(episodes, requests, strict=True)]

    return play
