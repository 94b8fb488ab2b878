"""A step's episodes and updates as plain numbers, ready for JSON."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean, pstdev
from typing import Any

import torch

from grpo.trainer import StepResult, has_variance
from grpo.types import Episode, StopReason
from rewards.trace import Kind


def step_metrics(result: StepResult, watch: Stopwatch) -> dict[str, Any]:
    """One step's numbers: deterministic, but for `timing` and `memory`."""
    metrics: dict[str, Any] = {"step": result.step, "learning_rate": result.learning_rate}
    metrics |= episode_metrics(result.groups) | update_metrics(result.sums)
    tokens = {"rollout": metrics["sampled_tokens"], "update": metrics["trained_tokens"]}
    tokens["step"] = metrics["sampled_tokens"]
    return metrics | {"timing": watch.report(tokens), "memory": peak_memory()}


def episode_metrics(groups: Sequence[Sequence[Episode]]) -> dict[str, Any]:
    """Rewards, lengths, stop reasons and tool calls of one or more groups of siblings."""
    episodes = [episode for group in groups for episode in group]
    scenarios: dict[str, list[Episode]] = {}
    for episode in episodes:
        scenarios.setdefault(episode.request.scenario, []).append(episode)
    lengths = [len(episode.ids) - episode.prompt_length for episode in episodes]
    sampled = [sum(episode.mask) for episode in episodes]
    reasons = Counter(episode.stop_reason for episode in episodes)
    calls = [call for episode in episodes for call in episode.trace if call.kind != Kind.ANSWER]
    kinds = Counter(call.kind for call in calls)
    total = len(episodes)
    return {
        "episodes": total,
        "sampled_tokens": sum(sampled),
        **_rewards(episodes),
        "groups_without_variance": fmean(not has_variance(group) for group in groups),
        "scenarios": {
            name: {**_rewards(played), "episodes": len(played), "parts": _parts(played)}
            for name, played in sorted(scenarios.items())
        },
        "sampled_entropy": -sum(sum(episode.logprobs) for episode in episodes) / max(1, sum(sampled)),
        "length_mean": fmean(lengths),
        "length_max": max(lengths),
        "sampled_mean": fmean(sampled),
        "turns_mean": fmean(episode.turns for episode in episodes),
        "stop_reasons": {reason.value: reasons[reason] / total for reason in StopReason},
        "truncated": fmean(episode.stop_reason.truncated for episode in episodes),
        "tool_calls": len(calls) / total,
        "tool_calls_failed": sum(not call.ok for call in calls) / total,
        "tool_calls_malformed": kinds[Kind.MALFORMED] / total,
        "tool_calls_unknown": kinds[Kind.UNKNOWN] / total,
    }


def _rewards(episodes: Sequence[Episode]) -> dict[str, float]:
    rewards = [episode.reward for episode in episodes]
    return {
        "reward_mean": fmean(rewards),
        "reward_std": pstdev(rewards),
        "success_rate": fmean(reward == 1.0 for reward in rewards),
    }


def _parts(episodes: Sequence[Episode]) -> dict[str, float]:
    """Means of the score's parts; a part that some episodes lack counts as 0 there."""
    names = sorted({name for episode in episodes for name in episode.score.parts})
    return {name: fmean(episode.score.parts.get(name, 0.0) for episode in episodes) for name in names}


def update_metrics(totals: Mapping[str, float]) -> dict[str, float]:
    """Means over the trained tokens from the sums of `grpo.losses.policy_loss`, merged over a step's micro-batches.

    Without a trained token (no group had variance, or the gradient was not finite) there are only counts.
    """
    tokens, steps = totals.get("tokens", 0.0), totals.get("optimizer_steps", 0.0)
    result = {"trained_tokens": tokens, "optimizer_steps": steps, "skipped_steps": totals.get("skipped_steps", 0.0)}
    if not tokens:
        return result
    summed = ("clip_low", "clip_high", "entropy", "kl_old", "kl_reference", "logprob_gap")
    result |= {name: totals[name] / tokens for name in summed if name in totals}
    result |= {name: value for name, value in totals.items() if name.endswith(("_min", "_max"))}
    result |= {name: totals[name] / steps for name in ("loss", "grad_norm")}
    return result


class Stopwatch:
    """Seconds per named stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of the block to stage `name`; work queued on a GPU is waited for."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def report(self, tokens: Mapping[str, float]) -> dict[str, float]:
        """Seconds of each stage and of all, and tokens per second of the stages in `tokens`; the watch starts anew."""
        seconds = self.seconds | {"step": sum(self.seconds.values())}
        report = {f"{name}_seconds": value for name, value in seconds.items()}
        rates = {name: count / seconds[name] for name, count in tokens.items() if seconds.get(name)}
        self.seconds = {}
        return report | {f"{name}_tokens_per_second": rate for name, rate in rates.items()}


def peak_memory() -> dict[str, float]:
    """The most memory this process has held so far, in MB, and on a GPU if there is one."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}
    if torch.cuda.is_initialized():
        peak["gpu_peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
    return peak
