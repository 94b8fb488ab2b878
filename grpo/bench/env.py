"""Measures the cost of an episode without a policy."""

from __future__ import annotations

import json
import time
from statistics import median
from typing import Any

from envs.protocol import Turn
from envs.scenarios import NAMES, SCENARIOS
from envs.scenarios.drafting import AtlassianScenario
from envs.scripts import oracle_turns

CALLS = 4
LIMIT_MS = 2.0
"""Limit for an episode of four calls. At this cost, a rollout of 64 rows waits a few percent of its time."""


def report(tasks: int, as_json: bool) -> int:
    """Measures `tasks` episodes of each scenario and prints the result. Returns the exit status."""
    rows = [bench_env(SCENARIOS[name], tasks) for name in NAMES]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    print(f"an episode: copy the site, reset, {CALLS} calls, score; medians over {tasks} tasks")
    print(f"{'scenario':20} {'episode':>10} {'slowest':>10} {'new task':>10}")
    for row in rows:
        values = (row["episode_ms"], row["episode_max_ms"], row["new_task_ms"])
        print(f"{row['scenario']:20} " + " ".join(f"{value:7.3f} ms" for value in values))
    worst = max(row["episode_ms"] for row in rows)
    print(f"the slowest scenario takes {worst:.3f} ms: {'under' if worst < LIMIT_MS else 'NOT under'} {LIMIT_MS:g} ms")
    return 0


def bench_env(scenario: AtlassianScenario, tasks: int) -> dict[str, Any]:
    """Times a scenario's episodes in ms.

    `episode_ms` is the median cost of an episode: a sibling's copy of the site, reset, the calls of `four_calls` and
    scoring. `new_task_ms` is the cost of the first environment of a task, when goal and site are generated.
    """
    episodes, new_tasks = [], []
    for seed in range(tasks):
        start = time.perf_counter()
        env = scenario.env(seed, "train")
        new_tasks.append(time.perf_counter() - start)
        turns = four_calls(scenario, seed)
        start = time.perf_counter()
        env = scenario.env(seed, "train")
        env.reset()
        for turn in turns:
            env.step(turn)
        env.score()
        episodes.append(time.perf_counter() - start)
        assert len(env.trace) == CALLS
    return {
        "scenario": scenario.name,
        "episode_ms": 1e3 * median(episodes),
        "episode_max_ms": 1e3 * max(episodes),
        "new_task_ms": 1e3 * median(new_tasks),
    }


def four_calls(scenario: AtlassianScenario, seed: int) -> list[Turn]:
    """Four turns with one call each, from the oracle. If it makes fewer than four, its last call is repeated."""
    calls = [call for turn in oracle_turns(scenario, seed, "train") for call in turn.calls]
    calls = (calls + [calls[-1]] * CALLS)[:CALLS]
    return [Turn("", (call,)) for call in calls]
