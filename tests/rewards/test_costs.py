"""What flaws of the way cost, what is free, and what the closing answer is worth: on good ways of every scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from envs.episode import Task
from envs.scenarios import NAMES, SCENARIOS
from rewards.discipline import FREE_READS, READS_FOR_EACH, SHARES
from rewards.trace import Call, Kind, Trace
from tests.support.exploits import tasks_of
from tests.support.replay import answer_of, judge_of, oracle_calls, play_calls, start

SCENARIO = pytest.mark.parametrize("name", NAMES)
COUNT = 8
SEARCH = "searchAndReconsileIssuesUsingJql"
REFUSED = Call("getIssue", {"issueIdOrKey": "x"}, 404, {"errorMessages": ["No."], "errors": {}}, Kind.READ)
UNKNOWN = Call("getIssueByKey", {}, 404, {"error": "Unknown tool"}, Kind.UNKNOWN)
MALFORMED = Call("", '{"name": ', 400, {"error": "Malformed"}, Kind.MALFORMED)


def good(name: str, condition: Callable[[Task], bool] = lambda task: True) -> list[tuple[Task, Trace]]:
    """Tasks that can be done, with their perfect traces."""
    tasks = [task for task in tasks_of(name, 40) if not task.goal.get("impossible") and condition(task)][:COUNT]
    return [(task, play_calls(task, oracle_calls(task), answer_of(task)).trace) for task in tasks]


def score(task: Task, trace: Trace) -> float:
    return SCENARIOS[task.scenario].check(task.goal, trace).total


def look(number: int) -> Call:
    """A successful read that shows nothing."""
    return Call("findUsers", {"query": f"nobody{number}"}, 200, [], Kind.READ)


@SCENARIO
@pytest.mark.parametrize(
    ("flaw", "calls"),
    [
        ("unknown_tool", [UNKNOWN]),
        ("malformed_call", [MALFORMED]),
        ("failed_call", [replace(look(0), status=500)]),
        ("repeated_call", [look(0), look(0)]),
        ("unseen_id", [replace(look(0), arguments={"accountId": "712020:00000"})]),
    ],
)
def test_each_flaw_takes_its_share_and_each_further_one_costs(name: str, flaw: str, calls: list[Call]) -> None:
    for task, trace in good(name):
        assert score(task, [*calls, *trace]) == pytest.approx(1 - 0.2 * SHARES[flaw])
        totals = [score(task, [*calls * times, *trace]) for times in range(6)]
        assert all(one > other for one, other in pairwise(totals))
        assert totals[-1] > 0.8


@SCENARIO
def test_reads_are_free_within_an_allowance_that_scales_with_the_task(name: str) -> None:
    for task, trace in good(name):
        reads = sum(call.kind == Kind.READ for call in trace)
        free = FREE_READS + READS_FOR_EACH * judge_of(task).needed - reads
        assert free >= FREE_READS
        totals = [score(task, [*map(look, range(count)), *trace]) for count in (free, free + 1, free + 2)]
        assert totals == pytest.approx([1.0, 1 - 0.2 * 0.15, 1 - 0.2 * (1 - 0.85**2)])


@SCENARIO
def test_the_same_read_after_a_write_is_a_check(name: str) -> None:
    for task, trace in good(name, lambda task: "questions" not in task.goal):
        writes = [place for place, call in enumerate(trace) if call.kind == Kind.WRITE]
        (*_, last) = writes
        before = [look(0), *trace[: last + 1], look(0), *trace[last + 1 :]]
        assert score(task, before) == 1.0
        assert score(task, [look(0), look(0), *trace]) < 1.0


def test_a_write_that_changes_nothing_is_a_repeat() -> None:
    for task, trace in good("issue-labels"):
        write = next(call for call in reversed(trace) if call.kind == Kind.WRITE)
        assert score(task, [*trace, write]) == pytest.approx(1 - 0.2 * SHARES["repeated_call"])


@SCENARIO
def test_a_side_effect_costs_and_to_take_it_back_costs_less(name: str) -> None:
    for task, trace in good(name):
        issue = next(
            issue
            for issue in start(task).issues.values()
            if not any(issue.id == entry["id"] for entry in task.goal.get("issues", ()))
        )
        page = next(page for page in start(task).pages if start(task).pages[page].parent_id)
        label = {"issueIdOrKey": issue.key, "update": {"labels": [{"add": "junk"}]}}
        on = Call("editIssue", label, 204, None, Kind.WRITE)
        off = replace(on, arguments={**label, "update": {"labels": [{"remove": "junk"}]}})
        request = {"id": page, "labels": [{"prefix": "global", "name": "junk"}]}
        assert score(task, [*trace, on]) < score(task, [*trace, on, off]) < 1.0
        assert score(task, [*trace, on, on]) < score(task, [*trace, on])
        assert score(task, [*trace, Call("addLabelsToContent", request, 200, {}, Kind.WRITE)]) < 0.8


def test_an_issue_found_by_a_listing_is_not_found() -> None:
    def is_found_first(task: Task) -> bool:
        questions = task.goal.get("questions", ())
        one = len(task.goal.get("lookups", ())) == 1 and all("issue" in question for question in questions)
        return one and len(questions) > 0 and len(start(task).issues) > 40

    for task, _ in good("issue-read", is_found_first):
        everything = [(SEARCH, {"jql": "created > -9999d", "fields": ["*all"], "maxResults": 100})]
        few = [(SEARCH, {"jql": "created > -9999d", "fields": ["*all"], "maxResults": 12})]
        for calls in (everything, few):
            trace = play_calls(task, calls, answer_of(task)).trace
            assert SCENARIOS[task.scenario].check(task.goal, trace).parts["arguments"] == 0.0


# The closing answer


def with_answer(trace: Trace, answer: str) -> list[Call]:
    return [*trace[:-1], replace(trace[-1], arguments=answer)]


def test_the_answer_counts_where_something_was_asked() -> None:
    for task, trace in good("issue-read"):
        empty, none_read = score(task, with_answer(trace, "")), score(task, trace[-1:])
        assert score(task, trace) == 1.0
        assert 0 < empty == score(task, with_answer(trace, "I have looked it up.")) < 0.8
        assert none_read == 0.0
        wrong = {"status": "No Such Status", "assignee": "Nobody Else"}.get(task.goal["questions"][0]["field"], "x")
        assert score(task, with_answer(trace, wrong)) == empty


def test_an_answer_with_a_wrong_value_of_the_same_kind_is_wrong() -> None:
    tables: dict[str, Callable[[Task], Any]] = {
        "status": lambda task: [one.name for one in start(task).statuses.values()],
        "priority": lambda task: start(task).priorities.values(),
        "assignee": lambda task: [user.display_name for user in start(task).users.values()],
        "reporter": lambda task: [user.display_name for user in start(task).users.values()],
    }
    seen = set()
    for task, trace in good("issue-read", lambda task: task.goal["questions"][0]["field"] in tables):
        field = task.goal["questions"][0]["field"]
        right = {value for question in task.goal["questions"] for value in question["values"]}
        other = next(one for one in tables[field](task) if one not in right and one not in task.prompt)
        for answer in (f"{trace[-1].arguments} or {other}", f"{other}; {trace[-1].arguments}"):
            assert score(task, with_answer(trace, answer)) < 0.8
        seen.add(field)
    assert len(seen) > 1


@SCENARIO
def test_to_deny_a_request_that_can_be_met_costs(name: str) -> None:
    for task, trace in good(name):
        assert score(task, with_answer(trace, f"{trace[-1].arguments} Cannot: I do not know.")) < 1.0


@SCENARIO
def test_a_request_that_cannot_be_met_needs_a_look_an_answer_and_no_write(name: str) -> None:
    tasks = [task for task in tasks_of(name, 80) if task.goal.get("impossible")]
    assert tasks
    for task in tasks[:COUNT]:
        trace = play_calls(task, oracle_calls(task), answer_of(task)).trace
        assert score(task, trace) == 1.0
        assert score(task, trace[-1:]) == 0.0
        assert score(task, with_answer(trace, "Done.")) < 0.5
        write = Call("editIssue", {"issueIdOrKey": "x", "fields": {"summary": "x"}}, 204, None, Kind.WRITE)
        assert score(task, [*trace[:-1], write, trace[-1]]) < 0.8
