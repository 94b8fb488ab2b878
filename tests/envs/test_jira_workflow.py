"""Jira's workflows: transitions, their screens, and statuses."""

from __future__ import annotations

from typing import Any

import pytest

from envs.site.adf import document
from envs.site.http import Response
from envs.site.records import State
from tests.support.site import DONE, IN_PROGRESS, START, TO_DO, call, field


def transitions(state: State, key: str = "APB-3", **query: Any) -> list[Any]:
    response = call(state, "getTransitions", query, issueIdOrKey=key)
    assert response.status == 200
    return list(response.body["transitions"])


def move(state: State, transition: Any, key: str = "APB-3", **members: Any) -> Response:
    return call(state, "doTransition", body={"transition": {"id": transition}, **members}, issueIdOrKey=key)


def test_transitions_are_those_of_the_status_and_the_project(state: State) -> None:
    start = {"name": "Start work", "to": {"id": IN_PROGRESS, "name": "In Progress"}, "id": "11"}
    assert transitions(state) == [start]
    assert list(transitions(state)[0]) == ["name", "to", "id"]
    assert [t["id"] for t in transitions(state, "ORC-2")] == ["12", "22"]
    assert transitions(state, transitionId="11") == [start]
    assert transitions(state, transitionId="21") == transitions(state, transitionId="x") == []


def test_expanded_transitions_show_the_screen(state: State) -> None:
    moves = transitions(state, "APB-4", expand="transitions.fields")
    resolutions = {t["id"]: t["fields"].get("resolution", {}).get("allowedValues") for t in moves}
    assert resolutions == {
        "21": None,
        "31": [{"name": "Fixed", "id": "10000"}, {"name": "Declined", "id": "10001"}],
        "41": None,
    }


@pytest.mark.parametrize("expand", ["transitions", "transitions.fields", "names,transitions"])
def test_expand_adds_the_transitions_to_an_issue(state: State, expand: str) -> None:
    body = call(state, "getIssue", {"expand": expand, "fields": "summary"}, issueIdOrKey="APB-4").body
    assert body["transitions"] == transitions(state, "APB-4", expand=expand)
    assert "transitions" not in call(state, "getIssue", {"expand": "names"}, issueIdOrKey="APB-4").body


@pytest.mark.parametrize("number", ["11", 11])
def test_a_transition_moves_the_issue(state: State, number: Any) -> None:
    response = move(state, number)
    assert (response.status, response.body) == (204, None)
    assert field(state, "status") == {"name": "In Progress", "id": IN_PROGRESS}
    assert state.issues["20003"].updated == state.clock == START + 60


def test_done_takes_two_moves_and_sets_a_resolution(state: State) -> None:
    assert move(state, "31").status == 400
    assert move(state, "11").status == 204
    assert move(state, "31", fields={"resolution": {"name": "Declined"}}).status == 204
    assert field(state, "resolution") == {"name": "Declined", "id": "10001"}
    assert move(state, "61").status == 204
    assert field(state, "resolution") is None


def test_done_without_a_resolution_sets_the_default(state: State) -> None:
    assert move(state, "22", "ORC-2").status == 204
    assert field(state, "resolution", "ORC-2") == {"name": "Fixed", "id": "10000"}


def test_a_move_can_add_a_comment(state: State) -> None:
    update = {"comment": [{"add": {"body": document("Moved")}}], "resolution": [{"set": {"id": 10001}}]}
    assert move(state, "31", "APB-4", update=update).status == 204
    assert state.clock == START + 60
    issue = state.issues["20004"]
    assert ([comment.body for comment in issue.comments], issue.resolution) == ([document("Moved")], "Declined")
    assert issue.comments[0].created == issue.updated == state.clock


INTEGER, UNAVAILABLE = "'transition' identifier must be an integer", "Transition id '{}' is not valid for this issue."
BAD_TRANSITIONS: list[tuple[Any, str]] = [
    ({}, "Missing 'transition' identifier"),
    ({"transition": None}, "Missing 'transition' identifier"),
    ({"transition": {}}, "Missing 'transition' identifier"),
    ({"transition": {"name": "Start work"}}, "Missing 'transition' identifier"),
    ({"transition": "11"}, INTEGER),
    ({"transition": {"id": "Start work"}}, INTEGER),
    ({"transition": {"id": 11.0}}, INTEGER),
    ({"transition": {"id": True}}, INTEGER),
    ({"transition": {"id": ["11"]}}, INTEGER),
    ({"transition": {"id": "31"}}, UNAVAILABLE.format(31)),
    ({"transition": {"id": "12"}}, UNAVAILABLE.format(12)),
]


@pytest.mark.parametrize(("body", "message"), BAD_TRANSITIONS)
def test_bad_transitions_are_refused(state: State, body: Any, message: str) -> None:
    before = state.copy()
    response = call(state, "doTransition", body=body, issueIdOrKey="APB-3")
    assert (response.status, response.body) == (400, {"errorMessages": [message], "errors": {}})
    assert state == before


CANNOT = "Field '{}' cannot be set. It is not on the appropriate screen, or unknown."


@pytest.mark.parametrize(
    ("key", "transition", "members", "errors"),
    [
        ("APB-3", "11", {"fields": {"resolution": {"name": "Fixed"}}}, {"resolution": CANNOT.format("resolution")}),
        ("ORC-2", "22", {"fields": {"resolution": {"name": "Fixed"}}}, {"resolution": CANNOT.format("resolution")}),
        ("APB-3", "11", {"fields": {"summary": "x"}}, {"summary": CANNOT.format("summary")}),
        (
            "APB-4",
            "31",
            {"fields": {"resolution": {"name": "Odd"}}},
            {"resolution": "The resolution selected is invalid."},
        ),
        ("APB-4", "31", {"fields": {"resolution": "Fixed"}}, {"resolution": "data was not an object"}),
        (
            *("APB-3", "11", {"update": {"comment": [{"add": {"body": "x"}}]}}),
            {"comment": "Operation value must be an Atlassian Document"},
        ),
    ],
)
def test_only_fields_of_the_screen_are_set(
    state: State, key: str, transition: str, members: Any, errors: dict[str, str]
) -> None:
    before = state.copy()
    response = move(state, transition, key, **members)
    assert (response.status, response.body) == (400, {"errorMessages": [], "errors": errors})
    assert state == before


def test_statuses_have_categories(state: State) -> None:
    categories = {status["name"]: status["statusCategory"]["key"] for status in call(state, "getStatuses").body}
    assert categories == {"To Do": "new", "In Progress": "indeterminate", "In Review": "indeterminate", "Done": "done"}


def test_unused_statuses_are_listed_too(state: State) -> None:
    assert {TO_DO, DONE} <= {status["id"] for status in call(state, "getStatuses").body}
