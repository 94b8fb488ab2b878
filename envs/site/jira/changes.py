"""The `fields` and `update` of a create, edit or transition request, as changes of an issue.

All problems are collected before anything is written. A failed request therefore changes nothing, and reports all its
field errors at once, as Jira does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from envs.site.http import jira_error
from envs.site.jira.comments import new_comment, read_comment
from envs.site.jira.field_values import FieldError, Target, read_label
from envs.site.jira.parameters import INVALID_PAYLOAD, field_errors
from envs.site.jira.screens import Field
from envs.site.records import Issue, State


@dataclass
class Changes:
    """The changes that a request makes to an issue."""

    values: dict[str, Any] = field(default_factory=dict)
    """Attribute of the issue's record -> its new value."""
    comments: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of new comments."""


Operations = dict[str, list[tuple[str, Any]]]
"""Field id -> its (verb, value) operations, in order."""


def not_on_screen(name: str) -> str:
    return f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."


def read_operations(body: Mapping[Any, Any]) -> Operations:
    """The operations of a body's `update` and `fields`; each of `fields` is a `set`. Raises 400 for malformed ones."""
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
    """The changes that `operations` make through the fields of `screen`. Failures go into `errors`."""
    changes = Changes()
    for name, steps in operations.items():
        screen_field = screen.get(name)
        if screen_field is None:
            errors[name] = not_on_screen(name)
            continue
        for verb, value in steps:
            _apply(target, screen_field, name, verb, value, changes, errors)
    return changes


def _apply(
    target: Target, screen_field: Field, name: str, verb: str, value: Any, changes: Changes, errors: dict[str, str]
) -> None:
    if verb not in screen_field.verbs:
        verbs = ", ".join(f"'{v}'" for v in screen_field.verbs)
        errors[name] = (
            f"Field with id '{name}' and name '{screen_field.name}' does not support operation '{verb}' "
            f"Supported operation(s) are: {verbs}"
        )
        return
    if name == "comment":
        _add_comment(value, changes, errors)
        return
    try:
        if verb == "set":
            changes.values[screen_field.attribute] = screen_field.read(target, value)
            return
        # Only labels have the verbs `add` and `remove`.
        labels = changes.values.get("labels", target.issue.labels if target.issue else ())
        label = read_label(value)
        if verb == "remove":
            changes.values["labels"] = tuple(item for item in labels if item != label)
        else:
            changes.values["labels"] = labels if label in labels else (*labels, label)
    except FieldError as error:
        errors[name] = str(error)


def _add_comment(value: Any, changes: Changes, errors: dict[str, str]) -> None:
    body = read_comment(value.get("body") if isinstance(value, dict) else None, errors)
    if body is not None:
        changes.comments.append(body)


def apply_changes(state: State, issue: Issue, changes: Changes) -> Issue:
    """Writes validated changes to `issue` as one write. Without changes nothing is written."""
    if not changes.values and not changes.comments:
        return issue
    now = state.tick()
    comments = issue.comments + tuple(new_comment(state, body, now) for body in changes.comments)
    state.issues[issue.id] = replace(issue, **changes.values, comments=comments, updated=now)
    return state.issues[issue.id]
