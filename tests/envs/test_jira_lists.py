"""Jira's users, projects, issue types, fields and other lists."""

from __future__ import annotations

from typing import Any

import pytest

from envs.site.jira.issue_view import FIELDS
from envs.site.jira.system_fields import SCHEMAS
from envs.site.records import State
from tests.support.site import APB, EMMA, EPIC, MIA, MIA_SANTOS, NOAH, OMAR, ORC, SUBTASK, TASK, call


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
