"""Evaluating a policy, scripted or a model, on many tasks of each scenario. Starts without torch.

Task i of an evaluation with seed S is the task that `grpo play --seed S+i --split heldout` shows.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tqdm import tqdm

from envs.protocol import Scenario, Split
from grpo.keys import stream_key
from grpo.run.intervals import mean_interval, rate_interval
from grpo.run.scripted import SCRIPT_TURNS, script_for, turns_of
from grpo.types import Episode, Request, Sampling
from rewards.score import Score

Evaluation = dict[str, Any]
"""`{"policy", "split", "seed", "scenarios": {NAME: ROW}}` with
`ROW = {"tasks", "reward_mean", "reward_ci95": [low, high], "success_rate", "parts": {PART: mean}}`."""


@dataclass(frozen=True)
class Tasks:
    """The tasks of an evaluation: `count` of each scenario, from `seed` on."""

    count: int
    seed: int
    split: Split


def evaluate_script(policy: str, scenarios: Mapping[str, Scenario], tasks: Tasks) -> Evaluation:
    """Plays every task of each scenario once by a script."""
    scores: dict[str, list[Score]] = {name: [] for name in scenarios}
    with tqdm(total=tasks.count * len(scenarios), desc=policy, unit="task", leave=False, disable=None) as bar:
        for name, scenario in scenarios.items():
            for task in range(tasks.seed, tasks.seed + tasks.count):
                env = scenario.env(task, tasks.split)
                script = script_for(policy, scenario, task, tasks.split)
                for _ in turns_of(env, script, env.reset(), SCRIPT_TURNS):
                    pass
                scores[name].append(env.score())
                bar.update()
    return summarise(policy, tasks, scores)


def evaluate_model(
    policy: str,
    play: Callable[[Sequence[Request], Sampling], list[Episode]],
    scenarios: Sequence[str],
    tasks: Tasks,
    sampling: Sampling,
    show_progress: bool = True,
) -> tuple[Evaluation, list[Episode]]:
    """Plays every task of each scenario once by `play`, an `Actor`'s; `policy` is the name in the result."""
    disable = None if show_progress else True
    names = tqdm(scenarios, desc="evaluating", unit="scenario", leave=False, disable=disable)
    episodes = {name: play(evaluation_requests(name, tasks), sampling) for name in names}
    scores = {name: [episode.score for episode in played] for name, played in episodes.items()}
    return summarise(policy, tasks, scores), [episode for played in episodes.values() for episode in played]


def evaluation_requests(scenario: str, tasks: Tasks) -> list[Request]:
    """One episode for each task. Its random stream depends on the scenario and the task alone."""
    stream = zlib.crc32(scenario.encode())
    return [
        Request(scenario, tasks.split, task, group, 0, stream_key(tasks.seed, stream, task, 0))
        for group, task in enumerate(range(tasks.seed, tasks.seed + tasks.count))
    ]


def summarise(policy: str, tasks: Tasks, scores: Mapping[str, Sequence[Score]]) -> Evaluation:
    """Means over the tasks of each scenario; the interval is that of `grpo.run.intervals.mean_interval`.

    A part that an episode's score lacks counts as 0 there.
    """
    rows = {name: _row(one) for name, one in scores.items()}
    return {"policy": policy, "split": tasks.split, "seed": tasks.seed, "scenarios": rows}


def _row(scores: Sequence[Score]) -> dict[str, Any]:
    rewards = [score.total for score in scores]
    names = dict.fromkeys(name for score in scores for name in score.parts)
    return {
        "tasks": len(scores),
        "reward_mean": fmean(rewards),
        "reward_ci95": list(mean_interval(rewards)),
        "success_rate": fmean(reward == 1.0 for reward in rewards),
        "parts": {name: fmean(score.parts.get(name, 0.0) for score in scores) for name in names},
    }


def evaluation_text(evaluation: Evaluation) -> str:
    """The evaluation as a table. The success rate carries Wilson's interval."""
    lines = [
        f"policy {evaluation['policy']}, split {evaluation['split']}, seed {evaluation['seed']}",
        f"{'scenario':28} {'tasks':>5}  {'reward':>6}  {'95 % interval':16} {'success':>7}  {'95 % interval':16}",
    ]
    for name, row in evaluation["scenarios"].items():
        low, high = row["reward_ci95"]
        successes = round(row["success_rate"] * row["tasks"])
        rate_low, rate_high = rate_interval(successes, row["tasks"])
        lines.append(
            f"{name:28} {row['tasks']:5}  {row['reward_mean']:6.3f}  [{low:.3f}, {high:.3f}]   "
            f"{row['success_rate']:7.3f}  [{rate_low:.3f}, {rate_high:.3f}]"
        )
        parts = ", ".join(f"{part} {value:.3f}" for part, value in row["parts"].items())
        lines.append(f"  {parts}")
    return "\n".join(lines)
