"""Properties that every checker must have for any trace, also one that no site gave, with negative controls."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.episode import Task
from envs.scenarios import SCENARIOS
from rewards.trace import Trace
from tests.support import broken, properties
from tests.support.checkers import CHECKERS
from tests.support.exploits import tasks_of
from tests.support.replay import answer_of, oracle_calls, play_calls
from tests.support.tiers import examples
from tests.support.traces import garbage_calls, mutations

SCENARIO = pytest.mark.parametrize("name", tuple(CHECKERS))
SOME = settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
NUMBERS = st.integers(0, 11)
CHECKS = (
    *(properties.assert_in_range, properties.assert_deterministic, properties.assert_unmutated),
    *(properties.assert_order_of_keys_is_nothing,),
)


@cache
def perfect(name: str, number: int) -> tuple[Task, Trace]:
    """A task and the trace of its oracle."""
    task = tasks_of(name, 12)[number]
    return task, play_calls(task, oracle_calls(task), answer_of(task)).trace


@SCENARIO
@SOME
@given(number=NUMBERS, data=st.data())
def test_any_trace_has_a_score(name: str, number: int, data: st.DataObject) -> None:
    """Mutations of good traces, and garbage: nothing raises, and the score depends on what was done alone."""
    task, trace = perfect(name, number)
    trace = data.draw(st.one_of(mutations(trace), mutations(trace), st.lists(garbage_calls(), max_size=6)))
    for check in CHECKS:
        check(CHECKERS[name], task.goal, trace)


@SCENARIO
def test_ids_may_be_strings_or_integers(name: str) -> None:
    for number in range(12):
        task, trace = perfect(name, number)
        properties.assert_ids_alike(CHECKERS[name], task.goal, trace)


@SCENARIO
def test_nothing_done_scores_nothing(name: str) -> None:
    for task in tasks_of(name, 12):
        properties.assert_empty_is_zero(CHECKERS[name], task.goal)


def test_every_process_gives_the_same_scores() -> None:
    properties.assert_same_in_every_process([(CHECKERS[name], *goal_and_trace(name)) for name in CHECKERS])


def goal_and_trace(name: str) -> tuple[Any, Trace]:
    task, trace = perfect(name, 3)
    return task.goal, trace


@pytest.mark.parametrize(
    ("check", "assertion"),
    [
        (broken.too_much, properties.assert_in_range),
        (broken.wrong_sum, properties.assert_in_range),
        (broken.almost_one, properties.assert_in_range),
        (broken.changing, properties.assert_deterministic),
        (broken.first_key, properties.assert_order_of_keys_is_nothing),
        (broken.consuming, properties.assert_unmutated),
        (broken.strings_only, properties.assert_ids_alike),
        (broken.trusting, properties.assert_in_range),
    ],
)
def test_a_broken_checker_fails(check: Any, assertion: Any) -> None:
    traces = [perfect("issue-create", number) for number in range(12)]
    with pytest.raises((AssertionError, KeyError)):
        for task, trace in traces:
            assertion(check, task.goal, [call for call in trace if isinstance(call.arguments, dict)])


def test_a_checker_that_depends_on_the_process_fails() -> None:
    with pytest.raises(AssertionError):
        properties.assert_same_in_every_process([(broken.hashing, *goal_and_trace("issue-read"))])


def test_a_checker_that_gives_something_for_nothing_fails() -> None:
    with pytest.raises(AssertionError):
        properties.assert_empty_is_zero(broken.always_half, SCENARIOS["issue-read"].task(0, "train").goal)
