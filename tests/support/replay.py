"""Episodes of real responses: calls played on a fresh site, other good ways to a goal, and bad ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

from envs.atlassian import AtlassianEnv, Task
from envs.protocol import ToolCall, Turn
from envs.scenarios import SCENARIOS
from envs.scripts import oracle_turns
from rewards import Check
from rewards.discipline import FREE_READS
from rewards.trace import Call, Kind
from tests.support import truth

Calls = list[tuple[str, Any]]
SEARCH = "searchAndReconsileIssuesUsingJql"


def oracle_calls(scenario: str, seed: int, split: Any = "train") -> Calls:
    return [
        (call.name, call.arguments) for turn in oracle_turns(SCENARIOS[scenario], seed, split) for call in turn.calls
    ]


def required(env: AtlassianEnv) -> list[int]:
    """The indices of the calls that an episode needs: writes, and reads that alone gave what a later call uses.

    A value is taken for given when it stands in the request or in another response before its use, as text.
    """
    return [i for i, call in enumerate(env.trace) if call.kind == Kind.WRITE or _is_the_only_source(env, i)]


def _is_the_only_source(env: AtlassianEnv, index: int) -> bool:
    shown = _strings(env.trace[index].body)
    for place in range(index + 1, len(env.trace)):
        others = [call.body for call in (*env.trace[:index], *env.trace[index + 1 : place])]
        given = env.task.prompt + json.dumps(others)
        if any(value in shown and value not in given for value in _strings(env.trace[place].arguments)):
            return True
    return False


def _strings(value: Any) -> set[str]:
    if isinstance(value, dict | list):
        return set().union(*map(_strings, value.values() if isinstance(value, dict) else value))
    return {value} if isinstance(value, str) else set()


def play(task: Task, calls: Sequence[tuple[str, Any]]) -> AtlassianEnv:
    """The finished episode; the arguments are copied, as if they came over a wire."""
    scenario = SCENARIOS[task.scenario]
    env = AtlassianEnv(task, scenario.tools, scenario.check)
    for name, arguments in calls:
        env.step(Turn("", (ToolCall(name, deepcopy(arguments)),)))
    return env


def is_true(env: AtlassianEnv) -> bool:
    """Whether the goal holds at the end of an episode and nothing else was changed."""
    bodies = [call.body for call in env.trace if call.ok]
    goal = {**env.task.goal, "scenario": env.task.scenario}
    return truth.holds(goal, env.task.site().snapshot(), env.site.snapshot(), bodies)


def is_blameless(env: AtlassianEnv) -> bool:
    """Whether no call of an episode failed, was repeated without a write in between, or used an id that nobody gave."""
    known = truth.known_ids(env.task.goal, env.task.site().snapshot(), env.site.snapshot())
    heard = [(call.arguments, call.body) for call in env.trace]
    forms = [json.dumps([call.name, call.arguments], sort_keys=True) for call in env.trace]
    ends = [place + 1 for place, call in enumerate(env.trace) if call.kind == Kind.WRITE]
    between = [forms[i:j] for i, j in pairwise([0, *ends, len(forms)])]
    distinct = all(len(set(part)) == len(part) for part in between)
    return distinct and all(call.ok for call in env.trace) and not truth.guesses(env.task.prompt, heard, known)


def is_plain(env: AtlassianEnv) -> bool:
    """Whether an episode is so plain that a perfect score depends on the site alone.

    It has no more writes than it takes, so few reads that they are free in any case, asks for nothing that is not
    there, be it an issue or a field, and its goal wants no value that the site would choose by itself.
    """
    reads = [call for call in env.trace if call.kind == Kind.READ]
    told = [call.body for call in reads if isinstance(call.body, list)]
    told += [part for call in reads if isinstance(call.body, dict) for part in call.body.values()]
    writes = len(env.trace) - len(reads)
    nothing: tuple[Any, ...] = ([], {})
    asks_for_defaults = _wants_a_default(env.task)
    little = len(reads) <= FREE_READS and writes <= _writes(env.task)
    return little and not asks_for_defaults and not any(part in nothing for part in told)


def _wants_a_default(task: Task) -> bool:
    """Whether the request names the priority or the resolution that there would be anyway."""
    state, priority = task.site().state, task.goal.get("priority")
    middle = list(state.priorities)[len(state.priorities) // 2]
    first = next(iter(state.resolutions.values()))
    return (priority is not None and priority["id"] == middle) or task.goal.get("resolution") == first


def _writes(task: Task) -> int:
    return len(task.goal["moves"][0]) if "moves" in task.goal else 1


def contradictions(check: Check, episodes: Sequence[AtlassianEnv]) -> list[Sequence[Call]]:
    """The traces that score 1.0 although the site is not as it should be."""
    perfect = [env for env in episodes if check(env.task.goal, env.trace).total == 1.0]
    return [env.trace for env in perfect if not is_true(env)]
