"""Jira's workflows, comments, work logs and links, and the site's users, projects and lists."""

from __future__ import annotations

from typing import Any

import pytest

from envs.site.adf import document
from envs.site.http import Response
from envs.site.jira.issue_view import FIELDS
from envs.site.jira.render import duration
from envs.site.jira.system_fields import SCHEMAS
from envs.site.records import State
from tests.support.site import (
    APB,
    DONE,
    EMMA,
    EPIC,
    IN_PROGRESS,
    MIA,
    MIA_SANTOS,
    NOAH,
    OMAR,
    ORC,
    START,
    SUBTASK,
    TASK,
    TO_DO,
    call,
    small_state,
)


@pytest.fixture
def state() -> State:
    return small_state()


def field(state: State, name: str, key: str = "APB-3") -> Any:
    return call(state, "getIssue", {"fields": name}, issueIdOrKey=key).body["fields"].get(name)


# Transitions.


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


# Comments, work logs, links.


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


# Users, projects and lists.


def test_users_are_found_by_the_start_of_a_name(state: State) -> None:
    def search(operation: str = "findUsers", **query: Any) -> list[str]:
        return [user["accountId"] for user in call(state, operation, query).body]

    assert search(query="mia") == [MIA, MIA_SANTOS]
    assert search(query="Mia S") == search(query="santos") == [MIA_SANTOS]
    assert search(query="antos") == search(query="Noah") == search(accountId=NOAH) == search(property="x") == []
    assert search(query="") == [MIA, EMMA, MIA_SANTOS, OMAR]
    assert search(query="", startAt=1, maxResults=2) == [EMMA, MIA_SANTOS]
    assert search(accountId=OMAR) == [OMAR]
    assert search("findAssignableUsers", project="APB", query="emma") == [EMMA]
    assert search("findAssignableUsers", issueKey="apb-3") == [MIA, EMMA, MIA_SANTOS, OMAR]


@pytest.mark.parametrize(
    ("operation", "query", "status"),
    [
        ("findUsers", {}, 400),
        ("findUsers", {"query": "a", "accountId": MIA}, 400),
        ("findUsers", {"query": "a", "startAt": "x"}, 400),
        ("findAssignableUsers", {"query": "a"}, 400),
        ("findAssignableUsers", {"project": "NOPE"}, 404),
        ("findAssignableUsers", {"issueId": "99"}, 404),
    ],
)
def test_bad_user_searches_are_refused(state: State, operation: str, query: Any, status: int) -> None:
    assert call(state, operation, query).status == status


def test_projects(state: State) -> None:
    project = call(state, "getProject", {"expand": "issueTypes"}, projectIdOrKey="orc").body
    assert (project["name"], project["key"], project["id"]) == ("Orchard", "ORC", ORC)
    assert [kind["name"] for kind in project["issueTypes"]] == ["Epic", "Task", "Bug", "Sub-task"]
    assert call(state, "getProject", projectIdOrKey=APB).body["key"] == "APB"
    missing = call(state, "getProject", projectIdOrKey="NOPE")
    assert (missing.status, missing.body["errorMessages"]) == (404, ["No project could be found with key 'NOPE'."])


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({}, ["APB", "ORC"]),
        ({"query": "orch"}, ["ORC"]),
        ({"keys": ["orc", "NOPE"]}, ["ORC"]),
        ({"id": APB}, ["APB"]),
        ({"orderBy": "-key"}, ["ORC", "APB"]),
        ({"orderBy": "issueCount"}, ["ORC", "APB"]),
        ({"orderBy": "-lastIssueUpdatedDate"}, ["ORC", "APB"]),
        ({"maxResults": 1}, ["APB"]),
        ({"startAt": 1}, ["ORC"]),
        ({"status": "archived"}, []),
        ({"typeKey": "business"}, []),
    ],
)
def test_projects_are_searched(state: State, query: Any, keys: list[str]) -> None:
    body = call(state, "searchProjects", query).body
    assert [project["key"] for project in body["values"]] == keys
    assert body["isLast"] is ("nextPage" not in body)


def test_create_metadata(state: State) -> None:
    types = call(state, "getCreateIssueMetaIssueTypes", projectIdOrKey="orc").body
    assert [(kind["name"], kind["subtask"]) for kind in types["issueTypes"]][-1] == ("Sub-task", True)
    assert call(state, "getCreateIssueMetaIssueTypes", {"maxResults": 201}, projectIdOrKey="ORC").status == 400

    def required(kind: str) -> list[str]:
        body = call(state, "getCreateIssueMetaIssueTypeId", projectIdOrKey="ORC", issueTypeId=kind).body
        return [field["fieldId"] for field in body["fields"] if field["required"]]

    assert required(TASK) == ["project", "issuetype", "summary"]
    assert required(SUBTASK) == ["project", "issuetype", "summary", "parent"]
    epic = call(state, "getCreateIssueMetaIssueTypeId", projectIdOrKey="ORC", issueTypeId=EPIC).body["fields"]
    assert "parent" not in [field["key"] for field in epic]


def test_types_of_a_project_and_level(state: State) -> None:
    def names(**query: Any) -> list[str]:
        return [kind["name"] for kind in call(state, "getIssueTypesForProject", query).body]

    assert names(projectId=ORC) == ["Epic", "Task", "Bug", "Sub-task"]
    assert (names(projectId=ORC, level=-1), names(projectId=ORC, level=7)) == (["Sub-task"], [])
    assert len(call(state, "getIssueAllTypes").body) == 5


def test_lists_and_single_records(state: State) -> None:
    assert call(state, "getCurrentUser").body["accountId"] == MIA
    assert call(state, "getPriorities").body[0] == {"name": "Highest", "id": "1"}
    assert call(state, "getAllLabels").body["values"] == ["billing", "urgent", "web"]
    assert call(state, "getAllLabels", {"startAt": 1, "maxResults": 1}).body["values"] == ["urgent"]
    assert call(state, "getIssueLinkTypes").body["issueLinkTypes"][0]["outward"] == "blocks"
    info = call(state, "getServerInfo").body
    assert info["deploymentType"] == "Cloud"
    assert all(type(number) is int for number in info["versionNumbers"])


def test_every_field_that_an_issue_shows_is_listed(state: State) -> None:
    assert [field["id"] for field in call(state, "getFields").body] == list(FIELDS) == list(SCHEMAS)


def test_unused_statuses_are_listed_too(state: State) -> None:
    assert {TO_DO, DONE} <= {status["id"] for status in call(state, "getStatuses").body}
