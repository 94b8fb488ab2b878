"""Hints where runs go wrong in practice: the symptom, and what to change."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from grpo.config import Options

TRUNCATED_SHARE = 0.2
COLLAPSED_ENTROPY = 0.01
"""Nats per sampled token: at most one token in a hundred is still a real choice."""
SOLVED_REWARD = 0.95
"""Above it, little entropy and equal groups are success, not collapse."""
LOGPROB_GAP = 0.02
"""Mean absolute difference in nats; fp32 on both sides stays below 1e-4, bf16 near 0.01."""
PRETRAINED_WEIGHTS = 50_000_000
"""Models with at least this many weights are assumed to be pretrained."""
USUAL = {"learning_rate": 1e-6, "adam_epsilon": 1e-8}
TUNED_ON_TINY = {one.name: one.default for one in dataclasses.fields(Options) if one.name in USUAL}

LOSS_NEAR_ZERO = (
    "A loss near zero is normal: before the second optimizer step every ratio is 1, and advantages sum to zero within "
    "each group (weighted by length, under a mean over tokens). Its gradient is what trains; read the reward."
)


def before_training(options: Options, weights: int) -> list[str]:
    """Hints on options that depend on the model's size and were left at their defaults."""
    unchanged = [f"{name} {value:g}" for name, value in TUNED_ON_TINY.items() if getattr(options, name) == value]
    if weights < PRETRAINED_WEIGHTS or not unchanged:
        return []
    usual = ", ".join(f"{name} {value:g}" for name, value in USUAL.items())
    return [
        f"{' and '.join(unchanged)} {'was' if len(unchanged) == 1 else 'were'} found on a policy of two million "
        f"weights. For a pretrained model start from {usual} (adapters: 10 times that rate)."
    ]


def hints(metrics: Mapping[str, Any], options: Options) -> list[str]:
    """The hints for one step's metrics, most often none."""
    candidates = (
        _truncated(metrics, options),
        _no_variance(metrics, options),
        _collapsed(metrics),
        _logprob_gap(metrics, options),
        _skipped(metrics),
    )
    return [hint for hint in candidates if hint]


def _truncated(metrics: Mapping[str, Any], options: Options) -> str | None:
    if metrics["truncated"] <= TRUNCATED_SHARE:
        return None
    shares = {name: share for name, share in metrics["stop_reasons"].items() if name != "done" and share > 0}
    limit = max(shares, key=lambda name: shares[name])
    name = {"max_turns": "max_turns", "turn_tokens": "max_turn_tokens", "max_tokens": "max_episode_tokens"}[limit]
    return (
        f"{metrics['truncated']:.0%} of the episodes were cut off, most by {name} = {getattr(options, name)}: they are "
        f"scored on what they had done by then. Raise {name}, or leave them out of the loss with mask_truncated."
    )


def _no_variance(metrics: Mapping[str, Any], options: Options) -> str | None:
    if metrics["groups_without_variance"] < 1:
        return None
    if metrics["reward_mean"] >= SOLVED_REWARD:
        return "Every group got equal rewards because nearly all succeed: these tasks have nothing left to teach."
    return (
        f"All groups had equal rewards (mean {metrics['reward_mean']:.2f}), so this step taught nothing. Raise "
        f"group_size ({options.group_size}) or temperature ({options.temperature}), turn on dynamic_sampling, or start "
        "from a policy that sometimes succeeds."
    )


def _collapsed(metrics: Mapping[str, Any]) -> str | None:
    if metrics["sampled_entropy"] >= COLLAPSED_ENTROPY or metrics["reward_mean"] >= SOLVED_REWARD:
        return None
    return (
        f"Entropy has collapsed to {metrics['sampled_entropy']:.4f} nats per token at reward "
        f"{metrics['reward_mean']:.2f}: siblings are nearly the same. "
        "Raise clip_high or entropy_coef, lower learning_rate, or go back to an earlier checkpoint."
    )


def _skipped(metrics: Mapping[str, Any]) -> str | None:
    if not metrics["skipped_steps"]:
        return None
    return (
        "The gradient was infinite or NaN, so the weights were left as they were. If it happens again, lower "
        "learning_rate or importance_cap, or compute in fp32."
    )


def _logprob_gap(metrics: Mapping[str, Any], options: Options) -> str | None:
    gap = metrics.get("logprob_gap", 0.0)
    if gap <= LOGPROB_GAP:
        return None
    remedy = "keep importance_cap on" if options.importance_cap else "set importance_cap to 2"
    return (
        f"Sampler and trainer disagree by {gap:.3f} nats per token: the policy that acted is not the one that is "
        f"updated. Compute both in fp32 and look for a model with dropout or a stale cache; meanwhile {remedy}."
    )
