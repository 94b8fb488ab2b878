"""The ranking of episodes and the cost of each flaw, on the hand-written traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from rewards.discipline import COSTS, FREE_READS
from rewards.trace import Call, Kind
from tests.support.calls import document, issue, read, search_result, transitions, write
from tests.support.checkers import CHECKERS
from tests.support.examples import (
    CREATE_ALL,
    CREATE_FEW,
    EXAMPLES,
    LABELS_EDIT,
    LABELS_REPLACE,
    PAGE_HOME,
    PAGE_UNDER,
    READ_FIELDS,
    READ_TWO,
    SEARCH,
    Example,
)
from tests.support.properties import MALFORMED_CALL, STRAY_WRITES, UNKNOWN_CALLS, without

MOVE_ONE, MOVE_TWO = (example for example in EXAMPLES if example.scenario == "ticket-transition")
SATURATED = "ticket-transition-saturated"
UNSATURATED = [READ_FIELDS, READ_TWO, CREATE_ALL, CREATE_FEW, PAGE_UNDER, PAGE_HOME, MOVE_ONE, MOVE_TWO, LABELS_EDIT]
FAILURE = Call("getIssue", {"issueIdOrKey": "APB"}, 404, {"errorMessages": ["No."], "errors": {}}, Kind.READ)


def total(example: Example, trace: Sequence[Call], scenario: str | None = None) -> float:
    return CHECKERS[scenario or example.scenario](example.goal, trace).total


def assert_falling(example: Example, *traces: Sequence[Call]) -> None:
    """Each trace scores less than the one before it."""
    totals = [total(example, trace) for trace in traces]
    assert all(better > worse for better, worse in pairwise(totals)), totals


def with_arguments(call: Call, **arguments: Any) -> Call:
    """The call with some arguments added or replaced."""
    return replace(call, arguments={**call.arguments, **arguments})


def with_fields(call: Call, **fields: Any) -> Call:
    return with_arguments(call, fields={**call.arguments.get("fields", {}), **fields})


# What flaws cost


@pytest.mark.parametrize("example", UNSATURATED, ids=lambda e: f"{e.scenario}-{len(e.trace)}")
def test_each_flaw_costs_its_named_amount(example: Example) -> None:
    lookup = read("getAllLabels", {}, {"values": []})
    id_in_request = "APB-12" in example.goal["request"]
    flaws = [
        ([replace(lookup, status=500, body=None)], COSTS.failed_call),
        ([UNKNOWN_CALLS[0]], COSTS.unknown_tool),
        ([MALFORMED_CALL], COSTS.malformed_call),
        ([lookup, lookup], COSTS.repeated_call),
        ([FAILURE] if not id_in_request else [], COSTS.failed_call + COSTS.unseen_id),
    ]
    for calls, cost in flaws:
        if calls and "project APB" not in example.goal["request"]:
            assert total(example, [*calls, *example.trace]) == pytest.approx(1 - cost)


@pytest.mark.parametrize("example", UNSATURATED, ids=lambda e: f"{e.scenario}-{len(e.trace)}")
def test_a_few_more_reads_are_free(example: Example) -> None:
    reads = [read("findUsers", {"query": letter}, []) for letter in "abcdefghij"]
    totals = [total(example, [*reads[:count], *example.trace]) for count in range(len(reads))]
    assert totals[FREE_READS] == 1.0
    assert totals[-1] < 1.0
    costs = [before - after for before, after in pairwise(totals) if before > after]
    assert costs == pytest.approx([COSTS.extra_read] * len(costs))
    repeats = [reads[0]] * len(reads)
    assert total(example, [*repeats, *example.trace]) == pytest.approx(1 - COSTS.repeated_call * (len(reads) - 1))


def test_reading_again_is_a_repeat_unless_something_was_written_in_between() -> None:
    offers, move, others, final = MOVE_TWO.trace
    assert offers.arguments == others.arguments
    assert total(MOVE_TWO, [offers, move, others, final]) == 1.0
    assert total(MOVE_TWO, [offers, others, move, final]) == pytest.approx(1 - COSTS.repeated_call)
    assert total(MOVE_TWO, [offers, move, others, others, final]) == pytest.approx(1 - COSTS.repeated_call)


def test_a_stray_write_does_not_make_repeats_new() -> None:
    lookup = read("findUsers", {"query": "a"}, [])
    with_repeat = [lookup, lookup, *CREATE_FEW.trace]
    stray_between = total(CREATE_FEW, [lookup, STRAY_WRITES[0], *with_repeat[1:]])
    assert stray_between < total(CREATE_FEW, with_repeat)
    assert stray_between == pytest.approx(total(CREATE_FEW, [lookup, lookup, STRAY_WRITES[0], *CREATE_FEW.trace]))


# Ids


@pytest.mark.parametrize("example", [CREATE_ALL, PAGE_UNDER, MOVE_ONE, MOVE_TWO, LABELS_REPLACE, READ_FIELDS])
def test_a_lookup_after_the_use_does_not_launder_a_guess(example: Example) -> None:
    *lookups, final = example.trace
    assert_falling(example, example.trace, [*lookups[1:], final], [])
    assert total(example, [final, *lookups]) < 1.0 - COSTS.unseen_id


@pytest.mark.parametrize(
    "jql", ["key = NIM-7", 'parent in ("NIM-7")', "id = 10888", "assignee = 712020:55", "project = XYZ", "key >= NIM-7"]
)
def test_ids_in_queries_count(jql: str) -> None:
    search = read(SEARCH, {"jql": jql}, {"issues": [], "isLast": True})
    assert total(LABELS_EDIT, [search, *LABELS_EDIT.trace]) == pytest.approx(1 - COSTS.unseen_id)


@pytest.mark.parametrize(
    "jql",
    [
        *("key = apb-12", "project = APB AND labels = later", 'text ~ "NIM-7"', "assignee = currentUser()"),
        *('status = "In Progress"', "assignee in (EMPTY) ORDER BY key", 'project = "Some Project"', "priority = High"),
    ],
)
def test_names_search_words_and_ids_of_the_request_in_queries_do_not_count(jql: str) -> None:
    search = read(SEARCH, {"jql": jql}, {"issues": [], "isLast": True})
    assert total(LABELS_EDIT, [search, *LABELS_EDIT.trace]) == 1.0


def test_a_number_seen_as_another_things_id_is_no_transition() -> None:
    """Short numbers are common: a priority's id, a count, the version of the API."""
    search, _, move = MOVE_ONE.trace
    status = read("getIssue", {"issueIdOrKey": "NIM-4"}, issue("NIM-4", "10057", priority={"name": "Low", "id": "31"}))
    assert total(MOVE_ONE, [search, status, move]) < 1 - COSTS.unseen_id + 1e-9
    other = read("getTransitions", {"issueIdOrKey": "NIM-4"}, transitions(("Close", "Done", "31")))
    assert total(MOVE_ONE, [search, status, other, move]) == 1.0


# issue-read


def test_reading_more_or_less_than_asked_scores_less() -> None:
    search, get = READ_FIELDS.trace

    def asking(*fields: str, **more: Any) -> list[Call]:
        arguments = {"issueIdOrKey": "APB-12", **({"fields": list(fields)} if fields else {}), **more}
        content = dict.fromkeys(fields or ("summary", "status", "priority", "assignee", "labels", "created"))
        return [search, read("getIssue", arguments, issue("APB-12", "10023", **content))]

    assert total(READ_FIELDS, asking("priority", "summary", "status")) == 1.0
    assert total(READ_FIELDS, [search, get]) == 1.0
    assert_falling(
        READ_FIELDS, asking("status", "priority"), asking("status", "priority", "labels"), asking(), [search]
    )
    assert_falling(READ_FIELDS, asking("status", "priority"), asking("status"), asking("labels"), [])
    assert_falling(READ_FIELDS, asking("status", "priority"), asking("status", "priority", expand="names"))
    assert_falling(READ_FIELDS, asking("status", "priority", "labels"), asking("*all"))


def test_the_wrong_issue_is_worth_little() -> None:
    search, get = READ_FIELDS.trace
    wrong = replace(get, arguments={**get.arguments, "issueIdOrKey": "APB-13"}, body=issue("APB-13", "10024"))
    assert total(READ_FIELDS, [search, wrong]) < 0.4


def test_writing_while_reading_costs() -> None:
    comment = write("addComment", {"issueIdOrKey": "APB-12", "body": document("x")}, 201, {"id": "1"})
    assert total(READ_FIELDS, [*READ_FIELDS.trace, comment]) < 1 - COSTS.stray_write + 1e-9


def test_half_of_the_comments_is_less_than_all() -> None:
    comments, *rest = READ_TWO.trace
    page = {"comments": [{"id": "20001"}], "maxResults": 1, "startAt": 0, "total": 2}
    half = replace(comments, body=page, arguments={"issueIdOrKey": "APB-12", "maxResults": 1})
    other = replace(
        half, body={**page, "comments": [{"id": "20002"}], "startAt": 1}, arguments={**half.arguments, "startAt": 1}
    )
    assert total(READ_TWO, [half, other, *rest]) == 1.0
    assert_falling(READ_TWO, [half, other, *rest], [half, *rest], rest)
    as_field = read(
        "getIssue", {"issueIdOrKey": "APB-12", "fields": ["comment"]}, issue("APB-12", "10023", comment=page)
    )
    all_as_field = replace(as_field, body=issue("APB-12", "10023", comment={**page, "total": 1}))
    assert total(READ_TWO, [all_as_field, *rest]) == 1.0
    assert total(READ_TWO, [as_field, *rest]) == pytest.approx(total(READ_TWO, [half, *rest]))


def test_a_search_that_returns_the_fields_is_a_read() -> None:
    jql = 'project = APB AND summary ~ "Repair the login form"'
    body = search_result(
        issue("APB-12", "10023", status={"name": "To Do"}, priority={"name": "High"}), issue("APB-13", "10024")
    )
    assert total(READ_FIELDS, [read(SEARCH, {"jql": jql, "fields": ["status", "priority"]}, body)]) == 1.0
    assert total(READ_FIELDS, [read(SEARCH, {"jql": jql}, {"issues": [{"id": "10023"}]})]) < 0.5


# Creating


@pytest.mark.parametrize("example", [CREATE_ALL, CREATE_FEW, PAGE_UNDER, PAGE_HOME])
def test_undoing_loses_the_credit_and_many_guesses_pay_little(example: Example) -> None:
    *lookups, create = example.trace
    undo = "deleteIssue" if create.name == "createIssue" else "deletePage"
    deletion = write(undo, {"issueIdOrKey" if undo == "deleteIssue" else "id": create.body["id"]})
    without_thing = total(example, [*example.trace, deletion])
    assert without_thing < 0.4
    again = replace(create, body={**create.body, "id": "10999", "key": "APB-99"})
    assert total(example, [*example.trace, deletion, again]) <= without_thing
    guesses = [with_fields(with_arguments(create, title=text), summary=text) for text in "abcdef"]
    assert total(example, [*lookups, *guesses]) < 0.3
    assert total(example, [*lookups, create, *guesses]) < 0.3


def test_every_wrong_argument_costs() -> None:
    for example in (CREATE_ALL, CREATE_FEW, PAGE_UNDER, PAGE_HOME):
        *lookups, create = example.trace
        totals = []
        for place, path in example.required:
            if place == len(lookups) and len(path) <= 2:
                totals.append(total(example, [*lookups, replace(create, arguments=without(create.arguments, path))]))
        assert max(totals) < 0.97, totals


def test_each_additional_field_costs_unless_it_is_empty() -> None:
    (create,) = CREATE_FEW.trace
    extras: list[dict[str, Any]] = [{"priority": {"name": "Low"}}, {"labels": ["x"]}, {"assignee": {"id": "5"}}]
    for extra in (*extras, {"duedate": "2026-01-01"}):
        assert total(CREATE_FEW, [with_fields(create, **extra)]) < 0.95
    empty: list[dict[str, Any]] = [{"priority": None}, {"labels": []}, {"assignee": {"accountId": None}}]
    for nothing in (*empty, {"parent": None}):
        assert total(CREATE_FEW, [with_arguments(with_fields(create, **nothing), update={})]) == 1.0


@pytest.mark.parametrize("name", ["status", "root-level", "private", "subtype"])
def test_a_page_of_another_kind_is_not_the_page(name: str) -> None:
    lookup, create = PAGE_HOME.trace
    value = {"status": "draft", "subtype": "live"}.get(name, True)
    assert total(PAGE_HOME, [lookup, with_arguments(create, **{name: value})]) < 0.95


def test_a_body_with_additional_content_is_not_the_text() -> None:
    lookup, create = PAGE_HOME.trace
    good = "<p>Soup on Monday</p>"
    for value in (
        good + good,
        good + "<ac:image />",
        "<p>Soup on Tuesday</p>",
        "<p>Soup on</p><p>Monday</p>",
        good + "<hr/>",
    ):
        other_body = with_arguments(create, body={"storage": {"value": value}})
        assert total(PAGE_HOME, [lookup, other_body]) < 0.95
    both = {"storage": {"value": good}, "wiki": {"value": "Soup on Monday"}}
    assert total(PAGE_HOME, [lookup, with_arguments(create, body=both)]) < 0.95


# Moving


def move(id: str, **more: Any) -> Call:
    return write("doTransition", {"issueIdOrKey": "NIM-4", "transition": {"id": id}, **more})


COMMENT = {"comment": [{"add": {"body": document("Not now.")}}]}
RESOLUTION = {"resolution": {"name": "Won't Do"}}


def test_better_moves_rank_above_worse_ones() -> None:
    search, offers, best = MOVE_ONE.trace
    later = read("getTransitions", {"issueIdOrKey": "NIM-4"}, transitions(("Finish", "Done", "32")))
    detour = [search, offers, move("21"), later, move("32", fields=RESOLUTION, update=COMMENT)]
    without_comment = [search, offers, move("31", fields=RESOLUTION)]
    bare = [search, offers, move("31")]
    assert_falling(MOVE_ONE, [search, offers, best], without_comment, bare, [search, offers], [search], [])
    assert_falling(MOVE_ONE, [search, offers, best], detour, [search, offers, move("21")])
    wrong = [search, offers, move("31", fields={"resolution": {"name": "Done"}}, update=COMMENT)]
    assert_falling(MOVE_ONE, [search, offers, best], wrong, bare)
    twice = [search, offers, move("31", fields=RESOLUTION, update={"comment": COMMENT["comment"] * 2})]
    assert_falling(MOVE_ONE, [search, offers, best], twice)
    back = [search, offers, best, write("doTransition", {"issueIdOrKey": "NIM-4", "transition": {"id": "12"}})]
    assert total(MOVE_ONE, back) < 0.6
    assert total(MOVE_ONE, [*back, best]) <= total(MOVE_ONE, back)
    assert total(MOVE_ONE, [*back, best], SATURATED) <= total(MOVE_ONE, back, SATURATED)


def test_each_of_two_moves_counts_on_any_shortest_path() -> None:
    offers, first, others, second = MOVE_TWO.trace
    assert_falling(MOVE_TWO, MOVE_TWO.trace, [offers, first, others], [offers, first], [offers], [])
    assert_falling(MOVE_TWO, MOVE_TWO.trace, [offers, first, second], [first, second])
    waiting = replace(others, body=transitions(("Resume", "Review", "61")))
    to = {"issueIdOrKey": "APB-12"}
    assert total(MOVE_TWO, [offers, write("doTransition", {**to, "transition": {"id": 51}}), waiting]) < 0.8
    other_way = [write("doTransition", {**to, "transition": {"id": id}}) for id in (51, 61)]
    assert total(MOVE_TWO, [offers, other_way[0], waiting, other_way[1]]) == 1.0


def test_the_reward_of_the_paper_saturates_and_the_default_does_not() -> None:
    search, offers, best = MOVE_ONE.trace
    for sloppy in ([search, offers, move("31")], [move("31")], [search, FAILURE, offers, move("31"), UNKNOWN_CALLS[0]]):
        assert total(MOVE_ONE, sloppy, SATURATED) > 0.93
        assert total(MOVE_ONE, sloppy) < 0.8
    assert total(MOVE_ONE, [search, offers, best], SATURATED) == 1.0
    assert total(MOVE_ONE, [search, offers], SATURATED) < 0.4


# Labels


def edit(labels: list[str] | None = None, *operations: dict[str, Any]) -> Call:
    change = {"fields": {"labels": labels}} if labels is not None else {"update": {"labels": list(operations)}}
    return write("editIssue", {"issueIdOrKey": "NIM-4", **change})


def test_losing_labels_costs_and_so_does_guessing_them() -> None:
    search, replacement = LABELS_REPLACE.trace
    lookup = replace(search, body=search_result(issue("NIM-4", "10057", summary="Export fails")))
    two_of_three = [search, edit(["export", "csv"])]
    one_of_three = [search, edit(["csv"])]
    assert_falling(LABELS_REPLACE, [search, replacement], [lookup, replacement], two_of_three, one_of_three)
    assert_falling(LABELS_REPLACE, [search, edit(None, {"add": "csv"})], one_of_three, [search])
    others: list[dict[str, Any]] = [{"summary": "x"}, {"description": None}, {"assignee": None}]
    for extra in others:
        assert total(LABELS_REPLACE, [search, with_fields(replacement, **extra)]) < 0.8 - COSTS.stray_write


def test_labels_may_come_one_by_one_but_not_back_and_forth() -> None:
    steps = [{"add": "web"}, {"add": "urgent"}, {"remove": "later"}]
    calls = [write("editIssue", {"issueIdOrKey": "APB-12", "update": {"labels": [step]}}) for step in steps]
    assert total(LABELS_EDIT, calls) == 1.0
    assert_falling(LABELS_EDIT, calls, calls[:2], calls[:1], [])
    undo = write("editIssue", {"issueIdOrKey": "APB-12", "update": {"labels": [{"remove": "web"}]}})
    assert_falling(LABELS_EDIT, calls, [*calls, undo])
    assert total(LABELS_EDIT, [*calls, undo, calls[0]]) <= total(LABELS_EDIT, [*calls, undo])


# Corrections


@pytest.mark.parametrize("example", UNSATURATED, ids=lambda e: f"{e.scenario}-{len(e.trace)}")
def test_any_number_of_failed_attempts_ranks_below_correcting_them(example: Example) -> None:
    *lookups, final = example.trace
    if final.kind != Kind.WRITE:
        return
    for count in range(1, 4):
        failures = [
            replace(final, arguments={**final.arguments, f"wrong{n}": 1}, status=400, body=None) for n in range(count)
        ]
        correction = total(example, [*lookups, *failures, final])
        assert total(example, [*lookups, *failures]) < correction
        assert correction == pytest.approx(1 - count * COSTS.failed_call)
