"""Losses and advantages in float64, written from the papers' equations one episode at a time.

This module shares nothing with `grpo.losses`: it uses lists of ragged episodes and plain loops, no packing and no
aggregation weights. The papers *maximise* their objectives, so a loss is minus an objective.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sequence64:
    """One episode of K sampled tokens; tensors are float64 [K]. Gradients flow into `now` and `entropy`."""

    now: Tensor
    old: Tensor
    sampled: Tensor
    reference: Tensor
    entropy: Tensor
    advantage: float


# --- advantages of one group ---------------------------------------------------------------------------------------


def grpo_advantages(rewards: Sequence[float], epsilon: float) -> list[float]:
    """DeepSeekMath, section 4.1.2: (r_i - mean(r)) / std(r), here the sample deviation plus epsilon."""
    mean, deviation = statistics.mean(rewards), statistics.stdev(rewards)
    return [(reward - mean) / (deviation + epsilon) for reward in rewards]


def dr_grpo_advantages(rewards: Sequence[float]) -> list[float]:
    """Dr. GRPO: r_i - mean(r)."""
    mean = statistics.mean(rewards)
    return [reward - mean for reward in rewards]


def rloo_advantages(rewards: Sequence[float]) -> list[float]:
    """RLOO: r_i minus the mean of the others."""
    others = [[reward for j, reward in enumerate(rewards) if j != i] for i in range(len(rewards))]
    return [reward - statistics.mean(rest) for reward, rest in zip(rewards, others, strict=True)]


# --- the papers' objectives ----------------------------------------------------------------------------------------


def _clipped(ratio: Tensor, advantage: float, low: float, high: float) -> Tensor:
    bounded = torch.clamp(ratio, 1 - low, 1 + high)
    return torch.min(ratio * advantage, bounded * advantage)


def grpo_objective(episodes: Sequence[Sequence64], epsilon: float, beta: float) -> Tensor:
    """DeepSeekMath eq. 3 with the estimator of eq. 4."""
    outer = torch.zeros((), dtype=torch.float64)
    for episode in episodes:
        inner = torch.zeros((), dtype=torch.float64)
        for now, old, reference in zip(episode.now, episode.old, episode.reference, strict=True):
            divergence = torch.exp(reference) / torch.exp(now) - torch.log(torch.exp(reference) / torch.exp(now)) - 1
            inner = inner + _clipped(torch.exp(now) / torch.exp(old), episode.advantage, epsilon, epsilon)
            inner = inner - beta * divergence
        outer = outer + inner / len(episode.now)
    return outer / len(episodes)


def dapo_objective(episodes: Sequence[Sequence64], low: float, high: float) -> Tensor:
    """DAPO: one mean over all tokens, two clip ranges."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for episode in episodes:
        for now, old in zip(episode.now, episode.old, strict=True):
            total = total + _clipped(torch.exp(now) / torch.exp(old), episode.advantage, low, high)
            count += 1
    return total / count


def dr_grpo_objective(episodes: Sequence[Sequence64], epsilon: float, longest: int) -> Tensor:
    """Dr. GRPO: the sum over tokens divided by a constant, the mean over episodes."""
    total = torch.zeros((), dtype=torch.float64)
    for episode in episodes:
        for now, old in zip(episode.now, episode.old, strict=True):
            total = total + _clipped(torch.exp(now) / torch.exp(old), episode.advantage, epsilon, epsilon)
    return total / longest / len(episodes)


def gspo_objective(episodes: Sequence[Sequence64], low: float, high: float) -> Tensor:
    """GSPO eq. 5 and 7: one ratio per episode, the geometric mean of its tokens' ratios."""
    total = torch.zeros((), dtype=torch.float64)
    for episode in episodes:
        likelihood = torch.exp(episode.now.sum()) / torch.exp(episode.old.sum())
        total = total + _clipped(likelihood ** (1 / len(episode.now)), episode.advantage, low, high)
    return total / len(episodes)


def cispo_gradient(episodes: Sequence[Sequence64], low: float, high: float) -> list[Tensor]:
    """MiniMax-M1 eq. 4 and 5: the gradient in each log-prob is clip(r) A / (number of tokens)."""
    count = sum(len(episode.now) for episode in episodes)
    gradients = []
    for episode in episodes:
        ratios = (episode.now - episode.old).detach().tolist()
        ratios = [math.exp(ratio) for ratio in ratios]
        weights = [min(max(ratio, 1 - low), 1 + high) for ratio in ratios]
        gradients.append(torch.tensor([weight * episode.advantage / count for weight in weights], dtype=torch.float64))
    return gradients


def reinforce_objective(episodes: Sequence[Sequence64], normaliser: float) -> Tensor:
    """Williams (1992): sum of advantage times log-prob."""
    return torch.stack([episode.advantage * episode.now.sum() for episode in episodes]).sum() / normaliser


# --- every combination: one loss per episode and token, from the names of its terms ---------------------------------


def combined_loss(
    episodes: Sequence[Sequence64],
    *,
    ratio: str,
    objective: str,
    clip_low: float,
    clip_high: float,
    kl: str,
    kl_coef: float,
    aggregation: str,
    loss_constant: int,
    entropy_coef: float,
    importance_cap: float,
) -> Tensor:
    """The loss that `grpo.losses.policy_loss` should return, summed over all micro-batches."""
    losses: list[list[Tensor]] = []
    for episode in episodes:
        mean_difference = sum(now - old for now, old in zip(episode.now, episode.old, strict=True)) / len(episode.now)
        tokens = []
        for place, now in enumerate(episode.now):
            old, reference = episode.old[place], episode.reference[place]
            moved = torch.exp(now - old if ratio == "token" else mean_difference)
            if objective == "clip":
                gain = _clipped(moved, episode.advantage, clip_low, clip_high)
            else:
                weight = min(max(float(moved.detach()), 1 - clip_low), 1 + clip_high)
                gain = weight * episode.advantage * now
            if importance_cap:
                gain = gain * min(math.exp(float(old) - float(episode.sampled[place])), importance_cap)
            penalty = {"k2": (now - reference) ** 2 / 2, "k3": torch.exp(reference - now) - (reference - now) - 1}
            tokens.append(-gain + kl_coef * penalty.get(kl, 0.0) - entropy_coef * episode.entropy[place])
        losses.append(tokens)
    return _AGGREGATIONS[aggregation](losses, loss_constant)


def _total(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).sum()


_AGGREGATIONS: dict[str, Callable[[list[list[Tensor]], int], Tensor]] = {
    "token_mean": lambda losses, constant: _total([_total(one) for one in losses]) / sum(map(len, losses)),
    "sequence_mean": lambda losses, constant: _total([_total(one) / len(one) for one in losses]) / len(losses),
    "constant": lambda losses, constant: _total([_total(one) / constant for one in losses]) / len(losses),
}
