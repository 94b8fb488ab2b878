"""On real sites: shortcuts to a reward that skip the task must not pay, and harmless detours must not cost much."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import pytest

from envs.episode import AtlassianEnv
from envs.protocol import ToolCall, Turn
from envs.scenarios import SCENARIOS
from envs.scripts import oracle_turns
from rewards.discipline import COSTS
from tests.support.tiers import examples

SEARCH = "searchAndReconsileIssuesUsingJql"
Calls = list[tuple[str, dict[str, Any]]]


def score(scenario: str, seed: int, calls: Iterable[tuple[str, dict[str, Any]]]) -> float:
    env = SCENARIOS[scenario].env(seed, "train")
    env.reset()
    for name, arguments in calls:
        env.step(Turn("", (ToolCall(name, deepcopy(arguments)),)))
    return env.score().total


def oracle(scenario: str, seed: int) -> Calls:
    turns = oracle_turns(SCENARIOS[scenario], seed, "train")
    return [(call.name, call.arguments) for turn in turns for call in turn.calls]


def goal(scenario: str, seed: int) -> dict[str, Any]:
    env = SCENARIOS[scenario].env(seed, "train")
    assert isinstance(env, AtlassianEnv)
    return env.task.goal


@pytest.mark.parametrize("page", [{}, {"maxResults": 3}])
@pytest.mark.parametrize("query", ["project is not EMPTY", "created > -9999d"])
def test_a_list_of_all_issues_counts_as_reading_none(query: str, page: dict[str, Any]) -> None:
    for seed in range(20):
        fields = {name for read in goal("issue-read", seed)["reads"] for name in read.get("fields", ["comment"])}
        list_all = (SEARCH, {"jql": query, "fields": sorted(fields), **page})
        assert score("issue-read", seed, [list_all]) == 0.0


def test_a_search_that_finds_the_issue_counts_as_reading_it() -> None:
    for seed in range(40):
        if len(reads := goal("issue-read", seed)["reads"]) == 1 and "fields" in reads[0]:
            (read,) = reads
            if (key := read["issue"]["key"]) in goal("issue-read", seed)["request"]:
                assert score("issue-read", seed, [(SEARCH, {"jql": f"key = {key}", "fields": read["fields"]})]) == 1.0


def test_the_transitions_of_another_project_are_no_lookup() -> None:
    """Their ids are sometimes the same numbers, as with seed 163, which the quick tier includes too."""
    cases, seeds = 0, examples(200)
    for seed in range(200 - seeds, 200):
        calls = oracle("ticket-transition", seed)
        lookups = [place for place, (name, _) in enumerate(calls) if name == "getTransitions"]
        if len(lookups) != 1 or score("ticket-transition", seed, calls) != 1.0:
            continue
        (place,), key = lookups, goal("ticket-transition", seed)["issue"]["key"]
        env = SCENARIOS["ticket-transition"].env(seed, "train")
        env.reset()
        env.step(Turn("", (ToolCall(SEARCH, {"jql": "key is not EMPTY", "fields": ["summary"]}),)))
        others = {issue["key"].split("-")[0]: issue["key"] for issue in env.trace[0].body["issues"]}
        others.pop(key.split("-")[0])
        for other in others.values():
            elsewhere = [*calls[:place], ("getTransitions", {"issueIdOrKey": other}), *calls[place + 1 :]]
            assert score("ticket-transition", seed, elsewhere) <= 0.8
            cases += 1
    assert cases > seeds / 10


def test_an_edit_that_changes_nothing_costs_a_repeat() -> None:
    for seed in range(10):
        calls = oracle("issue-labels", seed)
        again = score("issue-labels", seed, [*calls, calls[-1]])
        assert again == pytest.approx(1 - COSTS.repeated_call)
        key = goal("issue-labels", seed)["issue"]["key"]
        for label in goal("issue-labels", seed)["add"]:
            idle = ("editIssue", {"issueIdOrKey": key, "update": {"labels": [{"add": label}]}})
            assert score("issue-labels", seed, [*calls, idle]) == pytest.approx(1 - COSTS.repeated_call)
