"""Properties of every checker, on the hand-written traces, on mutations of them, and on garbage."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewards.trace import Call, Kind
from tests.support import broken, properties
from tests.support.checkers import CHECKERS
from tests.support.examples import CREATE_ALL, CREATE_FEW, EXAMPLES, READ_FIELDS, Example
from tests.support.tiers import examples
from tests.support.traces import garbage_traces, mutations


def example_id(example: Example) -> str:
    return f"{example.scenario}-{len(example.trace)}"


ALL = pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
FIRSTS = {example.scenario: example for example in reversed(EXAMPLES)}.values()
"""The first example of each scenario."""
ALL_IN_THE_FULL_TIER = pytest.mark.parametrize(
    "example",
    [pytest.param(e, marks=[] if e in FIRSTS else pytest.mark.full, id=example_id(e)) for e in EXAMPLES],
)
SOME_DATA = settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ANY_EXAMPLE = st.sampled_from(EXAMPLES)


def check_of(example: Example) -> Any:
    return CHECKERS[example.scenario]


def test_there_is_a_checker_for_each_scenario() -> None:
    assert set(CHECKERS) == {example.scenario for example in EXAMPLES}


@ALL
def test_the_shortest_trace_scores_one(example: Example) -> None:
    properties.assert_perfect(check_of(example), example.goal, example.trace)


@ALL
def test_an_empty_trace_scores_zero(example: Example) -> None:
    properties.assert_empty_is_zero(check_of(example), example.goal)


@ALL
def test_dropping_a_required_call_lowers(example: Example) -> None:
    all_calls = range(len(example.trace))
    properties.assert_dropping_a_call_lowers(check_of(example), example.goal, example.trace, all_calls)


@ALL
def test_dropping_a_required_argument_lowers(example: Example) -> None:
    properties.assert_dropping_an_argument_lowers(check_of(example), example.goal, example.trace, example.required)


@ALL
def test_refused_calls_cost_and_correcting_them_pays(example: Example) -> None:
    last = example.trace[-1]
    failure = Call(last.name, {"issueIdOrKey": "APB-12"}, 400, {"errorMessages": ["No."]}, last.kind)
    properties.assert_correcting_pays(check_of(example), example.goal, example.trace, failure)


@SOME_DATA
@given(st.data())
def test_insertions_never_raise_the_score(data: st.DataObject) -> None:
    example = data.draw(ANY_EXAMPLE)
    trace = data.draw(st.one_of(st.just(list(example.trace)), mutations(example)))
    check = check_of(example)
    properties.assert_no_duplicate_raises(check, example.goal, trace)
    properties.assert_no_insertion_raises(
        check, example.goal, trace, [*properties.UNKNOWN_CALLS, properties.MALFORMED_CALL]
    )
    properties.assert_no_insertion_raises(check, example.goal, trace, properties.STRAY_WRITES)


@SOME_DATA
@given(st.data())
def test_scores_of_mutated_traces(data: st.DataObject) -> None:
    example = data.draw(ANY_EXAMPLE)
    _assert_sound_scoring(example, data.draw(mutations(example)))


@SOME_DATA
@given(st.data())
def test_scores_of_garbage(data: st.DataObject) -> None:
    example = data.draw(ANY_EXAMPLE)
    _assert_sound_scoring(example, data.draw(garbage_traces()))


def _assert_sound_scoring(example: Example, trace: list[Call]) -> None:
    check = check_of(example)
    properties.assert_in_range(check, example.goal, trace)
    properties.assert_deterministic(check, example.goal, trace)
    properties.assert_unmutated(check, example.goal, trace)


@SOME_DATA
@given(st.data())
def test_keys_in_any_order_and_ids_of_any_type_score_alike(data: st.DataObject) -> None:
    example = data.draw(ANY_EXAMPLE)
    selection = data.draw(st.lists(st.sampled_from(example.trace), max_size=6))
    for trace in (list(example.trace), selection):
        properties.assert_order_of_keys_is_nothing(check_of(example), example.goal, trace)
        properties.assert_ids_alike(check_of(example), example.goal, trace)


@ALL_IN_THE_FULL_TIER
def test_neither_depth_nor_size_matters(example: Example) -> None:
    """The places that checkers read hold values nested beyond Python's recursion limit, and unprintable numbers."""
    names = ("fields", "update", "body", "transition", "jql", "issues", "content")
    odd = [1 << 20_000, float("nan"), object(), *(_nested(name, 1500) for name in names)]
    last = example.trace[-1]
    for place, value in enumerate(odd):
        name = names[place % len(names)]
        description = {"type": "doc", "version": 1, "content": [value]}
        calls = [
            Call(last.name, last.arguments | {name: value}, last.status, {"id": value}, last.kind),
            Call(last.name, {"fields": {"description": description, "labels": [value]}}, 201, value, Kind.WRITE),
            Call(last.name, value, last.status, {name: [{"id": value, "key": value}]}, last.kind),
        ]
        properties.assert_in_range(check_of(example), example.goal, [*example.trace[:-1], *calls, *calls])


def _nested(name: str, depth: int) -> Any:
    value: Any = "APB-12"
    for _ in range(depth):
        value = {name: [value]}
    return value


def test_scores_are_the_same_in_every_process() -> None:
    cases = []
    for example in EXAMPLES:
        calls = example.trace
        traces = [calls, *(calls[:i] + calls[i + 1 :] for i in range(len(calls)))]
        cases += [(check_of(example), example.goal, trace) for trace in traces]
    properties.assert_same_in_every_process(cases)


CONTROLS = [
    (properties.assert_in_range, broken.too_much),
    (properties.assert_in_range, broken.wrong_sum),
    (properties.assert_in_range, broken.almost_one),
    (properties.assert_deterministic, broken.changing),
    (properties.assert_order_of_keys_is_nothing, broken.first_key),
    (properties.assert_ids_alike, broken.strings_only),
    (properties.assert_unmutated, broken.consuming),
    (properties.assert_perfect, broken.always_half),
    (properties.assert_no_duplicate_raises, broken.more_is_better),
    (properties.assert_no_duplicate_raises, broken.any_success),
]
"""Each property with a checker for which it must fail."""


@pytest.mark.parametrize(("property_", "check"), CONTROLS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("example", [READ_FIELDS, CREATE_ALL], ids=lambda e: e.scenario)
def test_each_property_fails_for_a_broken_checker(property_: Any, check: Any, example: Example) -> None:
    goal, trace = deepcopy((example.goal, example.trace))
    with pytest.raises(AssertionError):
        property_(check, goal, trace)


def test_each_property_with_more_arguments_fails_for_a_broken_checker() -> None:
    goal, trace = CREATE_FEW.goal, CREATE_FEW.trace
    failure = Call("createIssue", {}, 400, None, Kind.WRITE)
    with pytest.raises(AssertionError):
        properties.assert_empty_is_zero(broken.always_one, goal)
    with pytest.raises(AssertionError):
        properties.assert_dropping_a_call_lowers(broken.any_success, CREATE_ALL.goal, CREATE_ALL.trace, [0])
    with pytest.raises(AssertionError):
        properties.assert_dropping_an_argument_lowers(broken.any_success, goal, trace, CREATE_FEW.required)
    with pytest.raises(AssertionError):
        properties.assert_no_insertion_raises(broken.more_is_better, goal, trace, properties.UNKNOWN_CALLS)
    with pytest.raises(AssertionError):
        properties.assert_no_insertion_raises(broken.any_success, goal, trace, properties.STRAY_WRITES)
    with pytest.raises(AssertionError):
        properties.assert_correcting_pays(broken.first_write_decides, goal, trace, failure)
    with pytest.raises(AssertionError):
        properties.assert_same_in_every_process([(broken.hashing, goal, trace)])
    with pytest.raises((AttributeError, TypeError)):
        properties.assert_in_range(broken.trusting, goal, [Call("x", None, 200, None, Kind.READ)])
