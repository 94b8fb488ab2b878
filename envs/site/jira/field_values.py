"""Reading the values of an issue's fields from a request, one function a field.

A reader takes the issue that the request is about and the JSON value. It returns the value for the issue's record, or
raises FieldError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envs.site import adf
from envs.site.jira.parameters import AUTOMATIC, NOT_A_DOCUMENT, too_long
from envs.site.lookup import find_issue, identifier
from envs.site.records import Issue, IssueType, Project, State

NO_SUMMARY = "You must specify a summary of the issue."
NO_PROJECT = "Specify a valid project ID or key"
NO_TYPE = "Specify a valid issue type"
NO_PARENT = "Issue type is a sub-task but parent issue key or id not specified."
NOT_AN_OBJECT = "data was not an object"
MAX_LABEL = 255
MAX_SUMMARY = 255


class FieldError(Exception):
    """A field's value is invalid; the client sees the message."""


@dataclass
class Target:
    """The issue that a request is about. On creation, `issue` is None, and so are a project and type until read."""

    state: State
    project: Project | None
    type: IssueType | None
    issue: Issue | None = None


def read_summary(_: Target, value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise FieldError("Operation value must be a string")
    if value is None or not value.strip():
        raise FieldError(NO_SUMMARY)
    if len(value.splitlines()) > 1 or value[-1] in "\r\n":
        raise FieldError("The summary is invalid because it contains newline characters.")
    if len(value) > MAX_SUMMARY:
        raise FieldError(f"Summary can't exceed {MAX_SUMMARY} characters.")
    return value


def read_description(_: Target, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not adf.is_document(value):
        raise FieldError(NOT_A_DOCUMENT)
    if len(adf.text(value)) > adf.MAX_CHARACTERS:
        raise FieldError(too_long())
    return adf.copy(value)


def _read_reference(value: Any, names: Mapping[str, str], message: str) -> str:
    """The id that `{"id": ...}` or `{"name": ...}` refers to in `names` (id -> name); `message` if there is none."""
    if not isinstance(value, dict):
        raise FieldError(NOT_AN_OBJECT)
    if "id" in value:
        id = identifier(value["id"])
    else:
        id = next((key for key, name in names.items() if name == value.get("name")), None)
    if id is None or id not in names:
        raise FieldError(message)
    return id


def read_priority(target: Target, value: Any) -> str:
    if value is None:
        raise FieldError("Priority is required.")
    return _read_reference(value, target.state.priorities, "The priority selected is invalid.")


def read_label(value: Any) -> str:
    if not isinstance(value, str):
        raise FieldError("Operation value must be a string")
    if not value:
        raise FieldError("A label cannot be empty.")
    if any(character.isspace() for character in value):
        raise FieldError(f"The label '{value}' contains spaces which is invalid.")
    if len(value) > MAX_LABEL:
        raise FieldError(f"The label '{value[:30]}...' exceeds the limit of {MAX_LABEL} characters.")
    return value


def read_labels(_: Target, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise FieldError("data was not an array")
    for index, label in enumerate(value):
        if not isinstance(label, str):
            raise FieldError(f"string expected at index {index}")
    return tuple(dict.fromkeys(map(read_label, value)))


def read_account(state: State, account_id: Any) -> str:
    """The account id of an active user; raises FieldError."""
    name = identifier(account_id)
    if name is None:
        raise FieldError("data was not a string")
    if name not in state.users:
        raise FieldError(f"User '{name[:128]}' does not exist.")
    if not state.users[name].active:
        raise FieldError(f"User '{name}' cannot be assigned issues.")
    return name


def _read_user(target: Target, value: Any) -> str:
    if not isinstance(value, dict):
        raise FieldError(NOT_AN_OBJECT)
    if "accountId" not in value and "id" not in value:
        raise FieldError("expected Object containing an 'accountId' property")
    return read_account(target.state, value.get("accountId", value.get("id")))


def read_assignee(target: Target, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        account_id = value.get("accountId", value.get("id", ""))
        if account_id is None:
            return None
        if identifier(account_id) == AUTOMATIC:
            return target.project.lead if target.project else None
    return _read_user(target, value)


def read_reporter(target: Target, value: Any) -> str:
    if value is None:
        raise FieldError("Reporter is required.")
    return _read_user(target, value)


def read_project(state: State, value: Any) -> Project:
    """The project of `{"id": ...}` or `{"key": ...}`; raises FieldError."""
    if value is not None and not isinstance(value, dict):
        raise FieldError(NOT_AN_OBJECT)
    reference = value or {}
    if "id" in reference:
        project = state.projects.get(identifier(reference["id"]) or "")
    else:
        project = next((p for p in state.projects.values() if p.key == reference.get("key")), None)
    if project is None:
        raise FieldError(NO_PROJECT)
    return project


def read_type(state: State, project: Project | None, value: Any) -> IssueType:
    """The issue type of `{"id": ...}` or `{"name": ...}` in `project` (any type if None); raises FieldError."""
    if value is None:
        raise FieldError(NO_TYPE)
    type_ids = project.issue_types if project else tuple(state.issue_types)
    return state.issue_types[_read_reference(value, {i: state.issue_types[i].name for i in type_ids}, NO_TYPE)]


def read_type_change(target: Target, value: Any) -> str:
    issue_type = read_type(target.state, target.project, value)
    # A change of level would break the issue's place in the hierarchy. Jira allows it only in its move wizard.
    if target.type is not None and issue_type.level != target.type.level:
        raise FieldError("The issue type selected is invalid.")
    return issue_type.id


def read_parent(target: Target, value: Any) -> str | None:
    subtask = target.type is not None and target.type.subtask
    if value is None:
        if subtask:
            raise FieldError(NO_PARENT)
        return None
    if not isinstance(value, dict):
        raise FieldError(NOT_AN_OBJECT)
    state = target.state
    parent = state.issues.get(identifier(value["id"]) or "") if "id" in value else find_issue(state, value.get("key"))
    if parent is None:
        raise FieldError("Could not find issue by id or key.")
    if target.type is None:
        return parent.id
    if state.issue_types[parent.type_id].level != target.type.level + 1:
        raise FieldError("Given parent issue does not belong to appropriate hierarchy.")
    if subtask and target.project is not None and parent.project_id != target.project.id:
        raise FieldError("Given parent issue does not belong to the same project.")
    return parent.id


def read_resolution(target: Target, value: Any) -> str:
    if value is None:
        raise FieldError("Resolution is required.")
    names = target.state.resolutions
    return names[_read_reference(value, names, "The resolution selected is invalid.")]
