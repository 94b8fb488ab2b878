"""Jira's screens: the fields that creating, editing and transitioning an issue may set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from envs.site.jira.field_values import (
    Target,
    read_assignee,
    read_description,
    read_labels,
    read_parent,
    read_priority,
    read_project,
    read_reporter,
    read_resolution,
    read_summary,
    read_type,
    read_type_change,
)


@dataclass(frozen=True)
class Field:
    """A field of a screen."""

    name: str
    attribute: str
    """The attribute of the issue's record."""
    read: Callable[[Target, Any], Any]
    """Reads the value of a `set`; raises FieldError."""
    verbs: tuple[str, ...] = ("set",)


_SHARED: Mapping[str, Field] = {
    "summary": Field("Summary", "summary", read_summary),
    "description": Field("Description", "description", read_description),
    "priority": Field("Priority", "priority_id", read_priority),
    "labels": Field("Labels", "labels", read_labels, ("add", "remove", "set")),
    "assignee": Field("Assignee", "assignee", read_assignee),
    "reporter": Field("Reporter", "reporter", read_reporter),
    "parent": Field("Parent", "parent_id", read_parent),
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
    "issuetype": Field("Issue Type", "type_id", read_type_change),
    **_SHARED,
    "comment": COMMENT,
}
TRANSITION_SCREEN: Mapping[str, Field] = {"comment": COMMENT}
RESOLUTION_SCREEN: Mapping[str, Field] = {
    "resolution": Field("Resolution", "resolution", read_resolution),
    "comment": COMMENT,
}
