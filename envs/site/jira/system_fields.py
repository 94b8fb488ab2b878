"""Jira's system fields: their names, JSON types and names in JQL."""

from __future__ import annotations

from typing import Any

from envs.site.http import Request, Response, operation
from envs.site.records import State

_FIELDS: tuple[tuple[str, str, str, bool, tuple[str, ...]], ...] = (
    ("summary", "Summary", "string", True, ("summary",)),
    ("status", "Status", "status", False, ("status",)),
    ("issuetype", "Issue Type", "issuetype", True, ("issuetype", "type")),
    ("priority", "Priority", "priority", True, ("priority",)),
    ("assignee", "Assignee", "user", True, ("assignee",)),
    ("reporter", "Reporter", "user", True, ("reporter",)),
    ("labels", "Labels", "array", True, ("labels",)),
    ("project", "Project", "project", False, ("project",)),
    ("parent", "Parent", "issuelink", False, ("parent",)),
    ("description", "Description", "string", True, ("description",)),
    ("resolution", "Resolution", "resolution", True, ()),
    ("created", "Created", "datetime", False, ("created", "createdDate")),
    ("updated", "Updated", "datetime", False, ("updated", "updatedDate")),
    ("subtasks", "Sub-tasks", "array", False, ()),
    ("issuelinks", "Linked Issues", "array", True, ()),
    ("comment", "Comment", "comments-page", True, ("comment",)),
    ("worklog", "Log Work", "array", True, ()),
)
"""(id, name, schema type, orderable, names in JQL)."""
_ITEMS = {"labels": "string", "subtasks": "issuelinks", "issuelinks": "issuelinks", "worklog": "worklog"}


def _schema(id: str, kind: str) -> dict[str, str]:
    """The JSON type of a field; for an array, with the type of its items."""
    items = {"items": _ITEMS[id]} if id in _ITEMS else {}
    return {"type": kind, **items, "system": id}


SCHEMAS = {id: _schema(id, kind) for id, _, kind, _, _ in _FIELDS}
"""Field id -> its JSON type."""


@operation("getFields", "GET", "/rest/api/3/field")
def get_fields(state: State, request: Request) -> Response:
    return Response(200, [_field_json(*row) for row in _FIELDS])


def _field_json(id: str, name: str, kind: str, orderable: bool, clauses: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "id": id,
        "key": id,
        "custom": False,
        "orderable": orderable,
        "navigable": id not in ("comment", "worklog"),
        "searchable": bool(clauses),
        "clauseNames": list(clauses),
        "schema": SCHEMAS[id].copy(),
    }
