"""Reading `fields` and `update` of a create, edit or transition request into changes of an issue.

Every problem is collected before anything is written, so that a failed request changes nothing and reports all its
field errors at once, as Jira does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from envs.site import adf
from envs.site.http import jira_error
from envs.site.jira.common import (
    AUTOMATIC,
    INVALID_PAYLOAD,
    NOT_A_DOCUMENT,
    field_errors,
    find_issue,
    identifier,
    read_comment,
    too_long,
)
from envs.site.records import Issue, IssueType, Project, State

NO_SUMMARY = "You must specify a summary of the issue."
NO_PROJECT = "Specify a valid project ID or key"
NO_TYPE = "Specify a valid issue type"
NO_PARENT = "Issue type is a sub-task but parent issue key or id not specified."
NOT_AN_OBJECT = "data was not an object"
MAX_LABEL = 255
MAX_SUMMARY = 255


class FieldError(Exception):
    """A field's value cannot be taken; the message is for the client."""


@dataclass
class Target:
    """The issue that a request is about. `issue` is None while it is being created."""

    state: State
    project: Project | None
    type: IssueType | None
    issue: Issue | None = None


@dataclass
class Changes:
    """What a request sets: attributes of the issue's record by name, and new comments' bodies."""

    values: dict[str, Any] = field(default_factory=dict)
    comments: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Field:
    """A field that a screen shows."""

    name: str
    attribute: str
    read: Callable[[Target, Any], Any]
    verbs: tuple[str, ...] = ("set",)


Operations = dict[str, list[tuple[str, Any]]]
"""Field id -> its (verb, value) operations in order."""


def not_on_screen(name: str) -> str:
    return f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."


def read_operations(body: Mapping[Any, Any]) -> Operations:
    """The operations of a body's `fields` (each one a `set`) and `update`; raises 400 when they are malformed."""
    fields, update = body.get("fields"), body.get("update")
    if not isinstance(fields, dict | None) or not isinstance(update, dict | None):
        raise jira_error(400, INVALID_PAYLOAD)
    operations: Operations = {str(name): [("set", value)] for name, value in (fields or {}).items()}
    errors = {}
    for name, steps in (update or {}).items():
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise jira_error(400, INVALID_PAYLOAD)
        if name in operations:
            errors[str(name)] = f"Field '{name}' cannot appear in both 'fields' and 'update'"
        operations[str(name)] = [(str(verb), value) for step in steps for verb, value in step.items()]
    if errors:
        raise field_errors(errors)
    return operations


def read_changes(
    target: Target, operations: Operations, screen: Mapping[str, Field], errors: dict[str, str]
) -> Changes:
    """The changes that `operations` make through the fields of `screen`; adds to `errors` what cannot be done."""
    changes = Changes()
    for name, steps in operations.items():
        shown = screen.get(name)
        if shown is None:
            errors[name] = not_on_screen(name)
            continue
        for verb, value in steps:
            if verb not in shown.verbs:
                supported = ", ".join(f"'{v}'" for v in shown.verbs)
                errors[name] = (
                    f"Field with id '{name}' and name '{shown.name}' does not support operation '{verb}' "
                    f"Supported operation(s) are: {supported}"
                )
            elif name == "comment":
                _add_comment(value, changes, errors)
            else:
                _apply(target, shown, name, verb, value, changes, errors)
    return changes


def _apply(
    target: Target, shown: Field, name: str, verb: str, value: Any, changes: Changes, errors: dict[str, str]
) -> None:
    try:
        if verb == "set":
            changes.values[shown.attribute] = shown.read(target, value)
            return
        current = changes.values.get("labels", target.issue.labels if target.issue else ())
        label = _label(value)
        kept = tuple(other for other in current if other != label)
        changes.values["labels"] = kept if verb == "remove" else (current if label in current else (*current, label))
    except FieldError as error:
        errors[name] = str(error)


def _add_comment(value: Any, changes: Changes, errors: dict[str, str]) -> None:
    body = read_comment(value.get("body") if isinstance(value, dict) else None, errors)
    if body is not None:
        changes.comments.append(body)


def _summary(_: Target, value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise FieldError("Operation value must be a string")
    if value is None or not value.strip():
        raise FieldError(NO_SUMMARY)
    if len(value.splitlines()) > 1 or value[-1] in "\r\n":
        raise FieldError("The summary is invalid because it contains newline characters.")
    if len(value) > MAX_SUMMARY:
        raise FieldError(f"Summary can't exceed {MAX_SUMMARY} characters.")
    return value


def _description(_: Target, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not adf.is_document(value):
        raise FieldError(NOT_A_DOCUMENT)
    if len(adf.text(value)) > adf.MAX_CHARACTERS:
        raise FieldError(too_long())
    return adf.copy(value)


def _named(value: Any, names: Mapping[str, str], message: str) -> str:
    """The id of `{"id": ...}` or `{"name": ...}` among `names` (id -> name); `message` says that there is none."""
    if not isinstance(value, dict):
        raise FieldError(NOT_AN_OBJECT)
    if "id" in value:
        wanted = identifier(value["id"])
        found = wanted if wanted in names else None
    else:
        found = next((number for number, name in names.items() if name == value.get("name")), None)
    if found is None:
        raise FieldError(message)
    return found


def _priority(target: Target, value: Any) -> str:
    if value is None:
        raise FieldError("Priority is required.")
    return _named(value, target.state.priorities, "The priority selected is invalid.")


def _label(value: Any) -> str:
    if not isinstance(value, str):
        raise FieldError("Operation value must be a string")
    if not value:
        raise FieldError("A label cannot be empty.")
    if any(character.isspace() for character in value):
        raise FieldError(f"The label '{value}' contains spaces which is invalid.")
    if len(value) > MAX_LABEL:
        raise FieldError(f"The label '{value[:30]}...' exceeds the limit of {MAX_LABEL} characters.")
    return value


def _labels(_: Target, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise FieldError("data was not an array")
    for index, label in enumerate(value):
        if not isinstance(label, str):
            raise FieldError(f"string expected at index {index}")
    return tuple(dict.fromkeys(map(_label, value)))


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


def _user(target: Target, value: Any) -> str:
    if not isinstance(value, dict):
        raise FieldError(NOT_AN_OBJECT)
    if "accountId" not in value and "id" not in value:
        raise FieldError("expected Object containing an 'accountId' property")
    return read_account(target.state, value.get("accountId", value.get("id")))


def _assignee(target: Target, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        account_id = value.get("accountId", value.get("id", ""))
        if account_id is None:
            return None
        if identifier(account_id) == AUTOMATIC:
            return target.project.lead if target.project else None
    return _user(target, value)


def _reporter(target: Target, value: Any) -> str:
    if value is None:
        raise FieldError("Reporter is required.")
    return _user(target, value)


def read_project(state: State, value: Any) -> Project:
    """The project of `{"id": ...}` or `{"key": ...}`; raises FieldError."""
    if value is not None and not isinstance(value, dict):
        raise FieldError(NOT_AN_OBJECT)
    wanted = value or {}
    if "id" in wanted:
        project = state.projects.get(identifier(wanted["id"]) or "")
    else:
        project = next((p for p in state.projects.values() if p.key == wanted.get("key")), None)
    if project is None:
        raise FieldError(NO_PROJECT)
    return project


def read_type(state: State, project: Project | None, value: Any) -> IssueType:
    """The issue type of `{"id": ...}` or `{"name": ...}` in `project` (anywhere for None); raises FieldError."""
    if value is None:
        raise FieldError(NO_TYPE)
    offered = project.issue_types if project else tuple(state.issue_types)
    return state.issue_types[_named(value, {i: state.issue_types[i].name for i in offered}, NO_TYPE)]


def _edited_type(target: Target, value: Any) -> str:
    found = read_type(target.state, target.project, value)
    # Moving between levels would break the issue's place in the hierarchy, which Jira allows only in its move wizard.
    if target.type is not None and found.level != target.type.level:
        raise FieldError("The issue type selected is invalid.")
    return found.id


def _parent(target: Target, value: Any) -> str | None:
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


_SHARED: Mapping[str, Field] = {
    "summary": Field("Summary", "summary", _summary),
    "description": Field("Description", "description", _description),
    "priority": Field("Priority", "priority_id", _priority),
    "labels": Field("Labels", "labels", _labels, ("add", "remove", "set")),
    "assignee": Field("Assignee", "assignee", _assignee),
    "reporter": Field("Reporter", "reporter", _reporter),
    "parent": Field("Parent", "parent_id", _parent),
}
COMMENT = Field("Comment", "comments", lambda _, value: value, ("add",))
CREATE_SCREEN: Mapping[str, Field] = {
    "project": Field("Project", "project_id", lambda target, value: read_project(target.state, value).id),
    "issuetype": Field(
        "Issue Type", "type_id", lambda target, value: read_type(target.state, target.project, value).id
    ),
    **_SHARED,
}
EDIT_SCREEN: Mapping[str, Field] = {
    "issuetype": Field("Issue Type", "type_id", _edited_type),
    **_SHARED,
    "comment": COMMENT,
}


def _resolution(target: Target, value: Any) -> str:
    if value is None:
        raise FieldError("Resolution is required.")
    names = target.state.resolutions
    return names[_named(value, names, "The resolution selected is invalid.")]


TRANSITION_SCREEN: Mapping[str, Field] = {"comment": COMMENT}
RESOLUTION_SCREEN: Mapping[str, Field] = {
    "resolution": Field("Resolution", "resolution", _resolution),
    "comment": COMMENT,
}
