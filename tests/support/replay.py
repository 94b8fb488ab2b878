"""Plays calls on a fresh site, and judges the resulting episodes independently of their scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, fields, is_dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from envs.episode import AtlassianEnv, Task
from envs.protocol import Split, ToolCall, Turn
from envs.scenarios import SCENARIOS
from envs.scenarios.drafting import Checker
from envs.scripts import oracle_turns
from envs.site.records import State
from envs.site.site import Site
from rewards.discipline import FREE_READS
from rewards.trace import Call, Kind
from tests.support import truth

Calls = list[tuple[str, Any]]
Snapshot = dict[str, Any]
SEARCH = "searchAndReconsileIssuesUsingJql"


def oracle_calls(scenario: str, seed: int, split: Any = "train") -> Calls:
    """The calls of the oracle for a task."""
    return [
        (call.name, call.arguments) for turn in oracle_turns(SCENARIOS[scenario], seed, split) for call in turn.calls
    ]


def required(env: AtlassianEnv) -> list[int]:
    """The indices of the calls that an episode needs: writes, and reads that are the only source of a later argument.

    A value has another source if the request or another earlier response contains it as text.
    """
    return [i for i, call in enumerate(env.trace) if call.kind == Kind.WRITE or _is_the_only_source(env, i)]


def _is_the_only_source(env: AtlassianEnv, index: int) -> bool:
    """Whether a later call uses a string from the response to call `index` that has no other source."""
    response = _strings(env.trace[index].body)
    for place in range(index + 1, len(env.trace)):
        others = [call.body for call in (*env.trace[:index], *env.trace[index + 1 : place])]
        other_sources = env.task.prompt + json.dumps(others)
        if any(value in response and value not in other_sources for value in _strings(env.trace[place].arguments)):
            return True
    return False


def _strings(value: Any) -> set[str]:
    """All strings in nested data, except the names of members."""
    if isinstance(value, dict | list):
        return set().union(*map(_strings, value.values() if isinstance(value, dict) else value))
    return {value} if isinstance(value, str) else set()


def play(task: Task, calls: Sequence[tuple[str, Any]]) -> AtlassianEnv:
    """Plays the calls and returns the finished episode. Arguments are copied, as if they came over a network."""
    scenario = SCENARIOS[task.scenario]
    env = AtlassianEnv(task, scenario.tools, scenario.check)
    for name, arguments in calls:
        env.step(Turn("", (ToolCall(name, deepcopy(arguments)),)))
    return env


def is_true(env: AtlassianEnv) -> bool:
    """Whether the goal holds at the end of an episode and nothing else has changed."""
    bodies = [call.body for call in env.trace if call.ok]
    goal = {**env.task.goal, "scenario": env.task.scenario}
    return truth.holds(goal, *snapshots(env), bodies)


def is_blameless(env: AtlassianEnv) -> bool:
    """Whether no call failed, was repeated without a write in between, or used an id that was not seen before."""
    site_ids = truth.site_ids(env.task.goal, *snapshots(env))
    exchanges = [(call.arguments, call.body) for call in env.trace]
    forms = [json.dumps([call.name, call.arguments], sort_keys=True) for call in env.trace]
    ends = [place + 1 for place, call in enumerate(env.trace) if call.kind == Kind.WRITE]
    between = [forms[i:j] for i, j in pairwise([0, *ends, len(forms)])]
    distinct = all(len(set(part)) == len(part) for part in between)
    return distinct and all(call.ok for call in env.trace) and not truth.guesses(env.task.prompt, exchanges, site_ids)


def snapshots(env: AtlassianEnv) -> tuple[Snapshot, Snapshot]:
    """The site before and after an episode, as plain data.

    Records are frozen, and a copy of a site shares the records that it has not written. The second snapshot therefore
    takes such records from the first one, which is ten times faster than converting them again.
    """
    state, before = _start(env.task.site_seed, env.task.split)
    after = {field.name: getattr(env.site.state, field.name) for field in fields(State)}
    for name, table in after.items():
        if isinstance(table, dict):
            old_records, old_data = getattr(state, name), before[name]
            after[name] = {
                id: old_data[id] if record is old_records.get(id) else _plain(record) for id, record in table.items()
            }
    return before, after


@lru_cache(maxsize=64)
def _start(site_seed: int, split: Split) -> tuple[State, Snapshot]:
    """The state of a fresh site and its snapshot."""
    site = Site.from_seed(site_seed, split)
    return site.state, site.snapshot()


def _plain(record: Any) -> Any:
    """A record as plain data."""
    return asdict(record) if is_dataclass(record) else record


def is_plain(env: AtlassianEnv) -> bool:
    """Whether an episode is so simple that only the site decides whether its score is perfect.

    Such an episode has no more writes than necessary and no more reads than are free. All its reads found something.
    Its goal has no value that the site would also choose by default.
    """
    reads = [call for call in env.trace if call.kind == Kind.READ]
    answers = [call.body for call in reads if isinstance(call.body, list)]
    answers += [part for call in reads if isinstance(call.body, dict) for part in call.body.values()]
    writes = len(env.trace) - len(reads)
    nothing: tuple[Any, ...] = ([], {})
    is_short = len(reads) <= FREE_READS and writes <= _needed_writes(env.task)
    return is_short and not _asks_for_a_default(env.task) and not any(answer in nothing for answer in answers)


def _asks_for_a_default(task: Task) -> bool:
    """Whether the request names the priority or the resolution that the site would set anyway."""
    state, priority = task.site().state, task.goal.get("priority")
    middle = list(state.priorities)[len(state.priorities) // 2]
    first = next(iter(state.resolutions.values()))
    return (priority is not None and priority["id"] == middle) or task.goal.get("resolution") == first


def _needed_writes(task: Task) -> int:
    return len(task.goal["moves"][0]) if "moves" in task.goal else 1


def contradictions(check: Checker, episodes: Sequence[AtlassianEnv]) -> list[Sequence[Call]]:
    """The traces that score 1.0 although the goal does not hold on the site."""
    perfect = [env for env in episodes if check(env.task.goal, env.trace).total == 1.0]
    return [env.trace for env in perfect if not is_true(env)]
