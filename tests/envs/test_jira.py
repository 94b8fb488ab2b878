"""Jira's issues: creating, editing, deleting and assigning them."""

from __future__ import annotations

from typing import Any

import pytest

from envs.site.adf import document
from envs.site.http import Response, dispatch
from envs.site.records import State
from tests.support.site import (
    APB,
    BUG,
    EMMA,
    HIGH,
    LOW,
    MEDIUM,
    MIA,
    NOAH,
    OMAR,
    START,
    SUBTASK,
    TASK,
    TO_DO,
    call,
    field,
)


def create(state: State, update: Any = None, **fields: Any) -> Response:
    """createIssue, by default with a valid project, type and summary. A field with the value None is left out."""
    values = {"project": {"key": "APB"}, "issuetype": {"name": "Task"}, "summary": "New", **fields}
    body = {"fields": {name: value for name, value in values.items() if value is not None}}
    return call(state, "createIssue", body=body if update is None else {**body, "update": update})


def errors(response: Response, status: int = 400) -> dict[str, str]:
    assert response.status == status, response.body
    return dict(response.body["errors"])


def edit(state: State, key: str = "APB-3", **body: Any) -> Response:
    return call(state, "editIssue", body=body, issueIdOrKey=key)


# Creating.


def test_create_answers_with_the_next_key_and_a_new_id(state: State) -> None:
    first, second = create(state), create(state)
    assert first.status == 201
    assert first.body == {
        "id": "30001",
        "key": "APB-11",
        "self": "https://synthetic.atlassian.net/rest/api/3/issue/30001",
    }
    assert (second.body["id"], second.body["key"]) == ("30002", "APB-12")


def test_create_defaults(state: State) -> None:
    issue = state.issues[create(state).body["id"]]
    assert (issue.status_id, issue.priority_id, issue.reporter, issue.assignee) == (TO_DO, MEDIUM, MIA, None)
    assert (issue.labels, issue.description, issue.parent_id, issue.resolution) == ((), None, None, None)
    assert issue.created == issue.updated == state.clock == START + 60


def test_create_takes_every_field_by_name_or_by_id(state: State) -> None:
    text = document("Details")
    by_name = {"priority": {"name": "High"}, "labels": ["b", "a", "b"], "assignee": {"accountId": EMMA}}
    named = create(state, **by_name, description=text, parent={"key": "apb-1"}, reporter={"accountId": OMAR})
    by_id = {"project": {"id": APB}, "issuetype": {"id": TASK}, "priority": {"id": HIGH}, "assignee": {"id": EMMA}}
    numbered = create(state, **by_id, parent={"id": 20001}, labels=["b", "a"], description=text, reporter={"id": OMAR})
    for response in (named, numbered):
        issue = state.issues[response.body["id"]]
        assert (issue.priority_id, issue.labels, issue.assignee) == (HIGH, ("b", "a"), EMMA)
        assert (issue.description, issue.parent_id, issue.reporter, issue.type_id) == (text, "20001", OMAR, TASK)


def test_create_through_update_operations(state: State) -> None:
    update = {"labels": [{"add": "x"}, {"add": "y"}, {"remove": "x"}], "summary": [{"set": "Other"}]}
    response = call(
        state, "createIssue", body={"fields": {"project": {"id": 10001}, "issuetype": {"id": TASK}}, "update": update}
    )
    issue = state.issues[response.body["id"]]
    assert (issue.summary, issue.labels) == ("Other", ("y",))


REQUIRED = {
    "project": "Specify a valid project ID or key",
    "issuetype": "Specify a valid issue type",
    "summary": "You must specify a summary of the issue.",
}


def test_create_reports_every_missing_field(state: State) -> None:
    assert errors(call(state, "createIssue", body={"fields": {}})) == REQUIRED
    assert errors(call(state, "createIssue", body={})) == REQUIRED
    for name, message in REQUIRED.items():
        assert errors(create(state, **{name: None})) == {name: message}


CANNOT = "Field '{}' cannot be set. It is not on the appropriate screen, or unknown."
BAD_FIELDS: list[tuple[str, Any, str]] = [
    ("project", {"key": "NOPE"}, REQUIRED["project"]),
    ("project", {"key": "apb"}, REQUIRED["project"]),
    ("project", {"id": "99"}, REQUIRED["project"]),
    ("project", "APB", "data was not an object"),
    ("issuetype", {"name": "Chore"}, REQUIRED["issuetype"]),
    ("issuetype", {"id": 1.5}, REQUIRED["issuetype"]),
    ("issuetype", "Task", "data was not an object"),
    ("summary", "  ", REQUIRED["summary"]),
    ("summary", 5, "Operation value must be a string"),
    ("summary", "a\nb", "The summary is invalid because it contains newline characters."),
    ("summary", "a\n", "The summary is invalid because it contains newline characters."),
    ("summary", "x" * 256, "Summary can't exceed 255 characters."),
    ("description", "plain", "Operation value must be an Atlassian Document"),
    ("description", {"type": "doc", "content": []}, "Operation value must be an Atlassian Document"),
    ("priority", {"name": "Urgent"}, "The priority selected is invalid."),
    ("priority", "High", "data was not an object"),
    ("labels", ["x y"], "The label 'x y' contains spaces which is invalid."),
    ("labels", ["ok", ""], "A label cannot be empty."),
    ("labels", "web", "data was not an array"),
    ("labels", ["web", 3], "string expected at index 1"),
    ("assignee", {"accountId": "nobody"}, "User 'nobody' does not exist."),
    ("assignee", {"accountId": NOAH}, f"User '{NOAH}' cannot be assigned issues."),
    ("assignee", {"displayName": "Emma Richards"}, "expected Object containing an 'accountId' property"),
    ("assignee", EMMA, "data was not an object"),
    ("reporter", {"id": "nobody"}, "User 'nobody' does not exist."),
    ("parent", "APB-1", "data was not an object"),
    ("parent", {"key": "APB-99"}, "Could not find issue by id or key."),
    ("parent", {"key": "APB-2"}, "Given parent issue does not belong to appropriate hierarchy."),
    ("status", {"name": "Done"}, CANNOT.format("status")),
    ("resolution", {"name": "Fixed"}, CANNOT.format("resolution")),
    ("comment", {"body": document("x")}, CANNOT.format("comment")),
    ("customfield_1", 1, CANNOT.format("customfield_1")),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_FIELDS)
def test_create_refuses(state: State, name: str, value: Any, message: str) -> None:
    before = state.copy()
    assert errors(create(state, **{name: value})) == {name: message}
    assert state == before


def test_all_field_errors_are_reported_together_and_nothing_is_written(state: State) -> None:
    before = state.copy()
    # The hierarchy cannot be checked, since the type is wrong too, but a parent that is not an object is an error.
    bad_values = {name: value for name, value, _ in BAD_FIELDS} | {"parent": "APB-1"}
    assert set(errors(create(state, **bad_values))) == set(bad_values)
    assert state == before


def test_summary_at_the_limit_is_accepted(state: State) -> None:
    assert create(state, summary="x" * 255).status == 201


# The hierarchy.


def test_subtask_needs_a_parent_of_its_project(state: State) -> None:
    missing = {"issuetype": "Issue type is a sub-task but parent issue key or id not specified."}
    assert errors(create(state, issuetype={"name": "Sub-task"})) == missing
    assert errors(call(state, "createIssue", body=_subtask(None))) == missing
    wrong = "Given parent issue does not belong to "
    assert errors(create(state, **_subtask({"key": "ORC-2"})["fields"])) == {"parent": f"{wrong}the same project."}
    for parent in ("APB-1", "APB-4"):
        assert errors(create(state, **_subtask({"key": parent})["fields"])) == {
            "parent": f"{wrong}appropriate hierarchy."
        }
    created = create(state, **_subtask({"key": "APB-3"})["fields"])
    assert field(state, "parent", created.body["key"])["key"] == "APB-3"
    assert [child["key"] for child in field(state, "subtasks")] == ["APB-11"]


def _subtask(parent: Any) -> dict[str, Any]:
    return {"fields": {"project": {"key": "APB"}, "issuetype": {"id": SUBTASK}, "summary": "Part", "parent": parent}}


def test_epic_has_no_parent(state: State) -> None:
    wrong = {"parent": "Given parent issue does not belong to appropriate hierarchy."}
    assert errors(create(state, issuetype={"name": "Epic"}, parent={"key": "APB-1"})) == wrong


def test_standard_issue_moves_between_epics(state: State) -> None:
    assert edit(state, fields={"parent": {"key": "APB-1"}}).status == 204
    assert field(state, "parent") == {"fields": {"summary": "Invoice overhaul"}, "key": "APB-1", "id": "20001"}
    assert edit(state, fields={"parent": None}).status == 204
    assert field(state, "parent") is None


def test_subtask_cannot_lose_its_parent(state: State) -> None:
    message = "Issue type is a sub-task but parent issue key or id not specified."
    assert errors(edit(state, "APB-4", fields={"parent": None})) == {"parent": message}


def test_type_changes_within_its_level_only(state: State) -> None:
    assert edit(state, fields={"issuetype": {"name": "Bug"}}).status == 204
    assert field(state, "issuetype")["id"] == BUG
    for name in ("Epic", "Sub-task"):
        assert errors(edit(state, fields={"issuetype": {"name": name}})) == {
            "issuetype": "The issue type selected is invalid."
        }
    assert "issuetype" in errors(edit(state, "ORC-2", fields={"issuetype": {"name": "Story"}}))


# Editing.


def test_edit_answers_204_or_with_the_issue(state: State) -> None:
    response = edit(state, fields={"summary": "Renamed"})
    assert (response.status, response.body) == (204, None)
    query = {"returnIssue": "True"}
    response = call(state, "editIssue", query, {"fields": {"priority": {"id": 4}}}, issueIdOrKey="APB-3")
    assert response.status == 200
    assert response.body["fields"]["priority"]["id"] == LOW
    assert response.body["fields"]["summary"] == "Renamed"
    assert call(state, "editIssue", {"returnIssue": "maybe"}, {"fields": {}}, issueIdOrKey="APB-3").status == 400


def test_each_write_advances_the_clock_and_updates_the_issue_once(state: State) -> None:
    edit(state, fields={"summary": "One", "labels": []}, update={"priority": [{"set": {"name": "Low"}}]})
    assert state.issues["20003"].updated == state.clock == START + 60
    edit(state, fields={})
    assert state.clock == START + 60


def test_label_operations(state: State) -> None:
    steps = [{"add": "new"}, {"add": "web"}, {"remove": "urgent"}, {"remove": "absent"}]
    assert edit(state, update={"labels": steps}).status == 204
    assert field(state, "labels") == ["web", "new"]
    edit(state, update={"labels": [{"set": ["only"]}, {"add": "more"}]})
    assert field(state, "labels") == ["only", "more"]
    edit(state, fields={"labels": ["b", "a", "b"]})
    assert field(state, "labels") == ["b", "a"]
    message = "The label 'x y' contains spaces which is invalid."
    assert errors(edit(state, update={"labels": [{"add": "ok"}, {"add": "x y"}]})) == {"labels": message}
    assert field(state, "labels") == ["b", "a"]


def test_other_update_operations(state: State) -> None:
    text = document("Described")
    update = {
        "summary": [{"set": "Set"}],
        "description": [{"set": text}],
        "assignee": [{"set": {"accountId": MIA}}],
        "comment": [{"add": {"body": document("Said")}}],
    }
    assert edit(state, update=update).status == 204
    issue = state.issues["20003"]
    assert (issue.summary, issue.description, issue.assignee) == ("Set", text, MIA)
    assert [comment.body for comment in issue.comments] == [document("Said")]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"update": {"summary": [{"add": "x"}]}}, "summary"),
        ({"update": {"labels": [{"edit": "x"}]}}, "labels"),
        ({"update": {"comment": [{"set": {"body": document("x")}}]}}, "comment"),
        ({"update": {"comment": [{"add": {"body": "x"}}]}}, "comment"),
        ({"update": {"comment": [{"add": {"body": document(" ")}}]}}, "comment"),
        ({"update": {"status": [{"set": "x"}]}}, "status"),
        ({"fields": {"project": {"key": "ORC"}}}, "project"),
        ({"fields": {"resolution": {"name": "Fixed"}}}, "resolution"),
        ({"fields": {"priority": None}}, "priority"),
        ({"fields": {"reporter": None}}, "reporter"),
        ({"fields": {"labels": ["x"]}, "update": {"labels": [{"add": "y"}]}}, "labels"),
    ],
)
def test_edit_refuses(state: State, body: Any, name: str) -> None:
    before = state.copy()
    assert set(errors(edit(state, **body))) == {name}
    assert state == before


@pytest.mark.parametrize(
    "body", [None, [], "x", 3, {"fields": []}, {"update": []}, {"update": {"labels": {"add": "x"}}}]
)
def test_malformed_bodies_are_refused(state: State, body: Any) -> None:
    for operation, path in (("editIssue", {"issueIdOrKey": "APB-3"}), ("createIssue", {})):
        response = call(state, operation, body=body, **path)
        assert response.status == 400
        assert response.body["errorMessages"] == [
            "Invalid request payload. Refer to the REST API documentation and try again."
        ]
    assert edit(state).body["errorMessages"] == ["one of 'fields' or 'update' required"]


def test_edit_ignores_a_transition(state: State) -> None:
    assert edit(state, fields={"summary": "x"}, transition={"id": "11"}).status == 204
    assert field(state, "status")["name"] == "To Do"


# Deleting and assigning.


def test_delete_needs_a_parameter_to_delete_subtasks(state: State) -> None:
    before = state.copy()
    response = call(state, "deleteIssue", issueIdOrKey="APB-2")
    assert response.status == 400
    assert "APB-2" in response.body["errorMessages"][0]
    assert call(state, "deleteIssue", {"deleteSubtasks": "False"}, issueIdOrKey="APB-2").status == 400
    assert state == before
    assert call(state, "deleteIssue", {"deleteSubtasks": "True"}, issueIdOrKey="APB-2").status == 204
    for key in ("APB-2", "APB-4"):
        assert call(state, "getIssue", issueIdOrKey=key).status == 404


def test_delete_leaves_nothing_dangling(state: State) -> None:
    for key in ("APB-1", "APB-10"):
        assert call(state, "deleteIssue", issueIdOrKey=key).status == 204
    assert field(state, "parent", "APB-2") is None
    assert field(state, "issuelinks") == []
    assert create(state).body["key"] == "APB-11"


def assign(state: State, body: Any) -> Response:
    return call(state, "assignIssue", body=body, issueIdOrKey="APB-3")


def test_assign(state: State) -> None:
    assert assign(state, {"accountId": MIA}).status == 204
    assert field(state, "assignee")["accountId"] == MIA
    assert assign(state, {"accountId": None}).status == 204
    assert field(state, "assignee") is None
    assert assign(state, {"accountId": "-1"}).status == 204
    assert field(state, "assignee")["accountId"] == state.projects[APB].lead
    path = "/rest/api/latest/issue/APB-3/assignee"
    assert dispatch(state, "PUT", path, None, {"accountId": OMAR}).status == 204


@pytest.mark.parametrize(
    "body", [{}, {"name": "emma"}, {"accountId": "nobody"}, {"accountId": NOAH}, {"accountId": 1.5}]
)
def test_assign_refuses(state: State, body: Any) -> None:
    before = state.copy()
    assert assign(state, body).status == 400
    assert state == before
