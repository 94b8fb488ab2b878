"""Metrics of a step, and the hints for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from grpo.config import Options
from grpo.run.diagnostics import before_training, hints
from grpo.run.metrics import Stopwatch, episode_metrics, peak_memory, update_metrics
from grpo.types import Episode, StopReason
from rewards.trace import Call, Kind
from tests.support.training import episode

HEALTHY: dict[str, Any] = {
    "reward_mean": 0.6,
    "truncated": 0.2,
    "stop_reasons": {"done": 0.8, "max_turns": 0.05, "turn_tokens": 0.15, "max_tokens": 0.0},
    "groups_without_variance": 0.9,
    "sampled_entropy": 0.3,
    "logprob_gap": 1e-5,
    "skipped_steps": 0.0,
}


def one_hint(options: Options | None = None, **changes: Any) -> str:
    (hint,) = hints({**HEALTHY, **changes}, options or Options())
    return hint


def test_a_healthy_step_has_no_hint() -> None:
    assert hints(HEALTHY, Options()) == []
    assert hints({name: value for name, value in HEALTHY.items() if name != "logprob_gap"}, Options()) == []


def test_a_large_model_with_the_defaults_of_the_tiny_one_gets_a_hint() -> None:
    large = 600_000_000
    assert before_training(Options(), 2_000_000) == []
    assert before_training(Options(learning_rate=1e-6, adam_epsilon=1e-8), large) == []
    (both,) = before_training(Options(), large)
    assert both.startswith("learning_rate 0.0004 and adam_epsilon 1e-06 were found")
    (one,) = before_training(Options(learning_rate=2e-6), large)
    assert one.startswith("adam_epsilon 1e-06 was found") and "adam_epsilon 1e-08 (" in one


@pytest.mark.parametrize(
    ("reason", "option"),
    [("max_turns", "max_turns"), ("turn_tokens", "max_turn_tokens"), ("max_tokens", "max_episode_tokens")],
)
def test_truncation_names_the_limit_that_was_hit_most(reason: str, option: str) -> None:
    shares = {"done": 0.5, "max_turns": 0.1, "turn_tokens": 0.1, "max_tokens": 0.1, reason: 0.3}
    hint = one_hint(truncated=0.5, stop_reasons=shares)
    assert "50%" in hint and f"Raise {option}," in hint and f"{option} = {getattr(Options(), option)}" in hint


def test_groups_without_variance_are_trouble_or_success() -> None:
    assert "group_size (12)" in one_hint(groups_without_variance=1.0)
    assert "nothing left to teach" in one_hint(groups_without_variance=1.0, reward_mean=0.99)


def test_collapsed_entropy_is_distinguished_from_success() -> None:
    assert "entropy_coef" in one_hint(sampled_entropy=0.001)
    assert hints({**HEALTHY, "sampled_entropy": 0.001, "reward_mean": 0.97}, Options()) == []


def test_a_skipped_step_has_a_hint() -> None:
    assert "infinite or NaN" in one_hint(skipped_steps=1.0)


def test_a_log_prob_gap_names_the_remedy() -> None:
    assert "keep importance_cap on" in one_hint(logprob_gap=0.1)
    assert "set importance_cap" in one_hint(Options(importance_cap=0.0), logprob_gap=0.1)


def groups() -> list[list[Episode]]:
    calls = (
        Call("get", {}, 200, {}, Kind.READ),
        Call("get", {}, 404, {}, Kind.READ),
        Call("invent", {}, 404, {}, Kind.UNKNOWN),
        Call("", "{", 400, {}, Kind.MALFORMED),
    )
    first = episode([1, 2, 3, 4], [0, 0, 1, 1], 1.0)
    second = episode([1, 2, 3], [0, 0, 1], 0.5, sibling=1, stop_reason=StopReason.MAX_TURNS)
    other = dataclasses.replace(first.request, scenario="other", group=1)
    third = dataclasses.replace(episode([1, 2, 3, 4, 5], [0, 0, 1, 0, 1], 0.25), request=other, trace=calls, turns=3)
    return [[first, second], [third]]


def test_episode_metrics_count_episodes_and_calls() -> None:
    metrics = episode_metrics(groups())
    assert metrics["episodes"] == 3 and metrics["sampled_tokens"] == 5
    assert metrics["reward_mean"] == pytest.approx(7 / 12) and metrics["success_rate"] == pytest.approx(1 / 3)
    assert metrics["groups_without_variance"] == 0.5
    assert metrics["scenarios"]["echo"]["reward_mean"] == 0.75 and metrics["scenarios"]["echo"]["reward_std"] == 0.25
    assert metrics["scenarios"]["other"] == {
        "reward_mean": 0.25,
        "reward_std": 0.0,
        "success_rate": 0.0,
        "episodes": 1,
        "parts": {"word": 0.25},
    }
    assert metrics["stop_reasons"] == pytest.approx(
        {"done": 2 / 3, "max_turns": 1 / 3, "turn_tokens": 0.0, "max_tokens": 0.0}
    )
    assert metrics["truncated"] == pytest.approx(1 / 3)
    assert (metrics["length_mean"], metrics["length_max"]) == (2.0, 3)
    assert metrics["turns_mean"] == pytest.approx(5 / 3)
    assert metrics["tool_calls"] == pytest.approx(4 / 3) and metrics["tool_calls_failed"] == pytest.approx(1)
    assert metrics["tool_calls_malformed"] == metrics["tool_calls_unknown"] == pytest.approx(1 / 3)
    assert metrics["sampled_entropy"] == pytest.approx(1.0), "minus the mean recorded log-prob"


def test_update_metrics_are_means_over_tokens_and_steps() -> None:
    totals = {"tokens": 4.0, "entropy": 2.0, "ratio_max": 1.5, "loss": 0.6, "grad_norm": 4.0, "optimizer_steps": 2.0}
    metrics = update_metrics(totals)
    assert metrics["entropy"] == 0.5 and metrics["ratio_max"] == 1.5
    assert (metrics["loss"], metrics["grad_norm"], metrics["trained_tokens"]) == (0.3, 2.0, 4.0)
    assert update_metrics({}) == {"trained_tokens": 0.0, "optimizer_steps": 0.0, "skipped_steps": 0.0}


def test_the_stopwatch_adds_stages_up_and_memory_is_positive() -> None:
    watch = Stopwatch()
    for name in ("one", "two", "one"):
        with watch.stage(name):
            pass
    report = watch.report({"one": 10, "step": 20, "absent": 1})
    assert report["step_seconds"] == pytest.approx(report["one_seconds"] + report["two_seconds"])
    assert report["one_tokens_per_second"] == pytest.approx(10 / report["one_seconds"])
    assert "absent_tokens_per_second" not in report
    assert 1 < peak_memory()["peak_mb"] < 1e6
