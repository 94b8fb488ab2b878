"""Jira's comments, work logs and links."""

from __future__ import annotations

from typing import Any

import pytest

from envs.site.adf import document
from envs.site.http import Response
from envs.site.jira.render import duration
from envs.site.records import State
from tests.support.site import MIA, call, field


def test_comments_are_added_and_paged(state: State) -> None:
    response = call(state, "addComment", body={"body": document("Hello")}, issueIdOrKey="APB-10")
    assert response.status == 201
    assert response.body["author"]["accountId"] == MIA
    comments = call(state, "getComments", {"orderBy": "-created"}, issueIdOrKey="APB-10").body["comments"]
    assert comments[0] == response.body
    assert [comment["id"] for comment in comments] == [response.body["id"], "25002", "25001"]
    page = call(state, "getComments", {"startAt": 1, "maxResults": 1}, issueIdOrKey="APB-10").body
    assert [comment["id"] for comment in page["comments"]] == ["25002"]
    assert (page["startAt"], page["maxResults"], page["total"]) == (1, 1, 3)
    assert call(state, "getComments", {"orderBy": "author"}, issueIdOrKey="APB-10").status == 400


@pytest.mark.parametrize(
    "body", [None, {}, {"body": "Hello"}, {"body": None}, {"body": document("")}, {"body": document(" ")}]
)
def test_comments_must_be_documents_with_content(state: State, body: Any) -> None:
    before = state.copy()
    assert call(state, "addComment", body=body, issueIdOrKey="APB-3").status == 400
    assert state == before


def log(state: State, query: Any = None, **body: Any) -> Response:
    return call(state, "addWorklog", query, body, issueIdOrKey="APB-3")


def test_work_is_logged(state: State) -> None:
    start = "2026-01-04T10:00:00.000+0200"
    worklog = log(state, timeSpent="1w 2d 3h 30m", started=start, comment=document("Dug")).body
    assert (worklog["timeSpentSeconds"], worklog["timeSpent"]) == (214_200, "1w 2d 3h 30m")
    assert (worklog["started"], worklog["issueId"]) == ("2026-01-04T08:00:00.000+0000", "20003")
    assert log(state, timeSpentSeconds=90 * 60).body["timeSpent"] == "1h 30m"
    assert [entry["timeSpentSeconds"] for entry in field(state, "worklog")["worklogs"]] == [214_200, 5400]
    assert log(state, {"adjustEstimate": "new", "newEstimate": "2d"}, timeSpent="1h").status == 201


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({}, {}),
        ({}, {"timeSpent": "soon"}),
        ({}, {"timeSpent": 60}),
        ({}, {"timeSpentSeconds": 59}),
        ({}, {"timeSpentSeconds": 10**12}),
        ({}, {"timeSpentSeconds": 60.0}),
        ({}, {"timeSpent": "1h", "comment": "text"}),
        ({}, {"timeSpent": "1h", "started": "yesterday"}),
        ({}, {"timeSpent": "1h", "started": "0001-01-01T00:00:00.000+0100"}),
        ({"adjustEstimate": "new"}, {"timeSpent": "1h"}),
        ({"adjustEstimate": "manual"}, {"timeSpent": "1h"}),
        ({"adjustEstimate": "sometimes"}, {"timeSpent": "1h"}),
    ],
)
def test_bad_work_logs_are_refused(state: State, query: Any, body: Any) -> None:
    before = state.copy()
    assert log(state, query, **body).status == 400
    assert state == before


def test_durations_in_jiras_notation() -> None:
    assert duration(214_200) == "1w 2d 3h 30m"
    assert duration(60) == "1m"


def link(state: State, inward: Any = "APB-3", outward: Any = "ORC-2", **members: Any) -> Response:
    body = {"type": {"name": "Blocks"}, "inwardIssue": {"key": inward}, "outwardIssue": {"key": outward}, **members}
    return call(state, "linkIssues", body=body)


def test_a_link_shows_at_both_ends(state: State) -> None:
    response = link(state, comment={"body": document("Linked")})
    assert (response.status, response.body) == (201, None)
    inward_end, outward_end = field(state, "issuelinks")[-1], field(state, "issuelinks", "ORC-2")[-1]
    assert inward_end["id"] == outward_end["id"]
    assert inward_end["type"] == {"name": "Blocks", "inward": "is blocked by", "outward": "blocks", "id": "10100"}
    assert (inward_end["outwardIssue"]["key"], outward_end["inwardIssue"]["key"]) == ("ORC-2", "APB-3")
    assert field(state, "comment", "ORC-2")["total"] == 1


def test_a_second_link_of_the_same_type_changes_nothing(state: State) -> None:
    link(state)
    before = state.copy()
    assert link(state).status == 201
    assert state == before


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"type": {"name": "Feeds"}}, 404),
        ({"type": {"id": "1"}}, 404),
        ({"type": "Blocks"}, 400),
        ({"inwardIssue": {"key": "APB-99"}}, 404),
        ({"outwardIssue": {"id": 99}}, 404),
        ({"outwardIssue": "APB-2"}, 400),
        ({"outwardIssue": {"key": "APB-3"}}, 400),
        ({"comment": {"body": "text"}}, 400),
        ({"colour": "red"}, 400),
    ],
)
def test_bad_links_are_refused(state: State, members: Any, status: int) -> None:
    before = state.copy()
    assert link(state, **members).status == status
    assert state == before
