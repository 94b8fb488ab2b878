"""Tools: a thin layer over the site's operations.

A tool has the operation's id as its name. Its arguments are the operation's path and query parameters and the members
of its body, side by side and nested as in the API. This module checks their types; the API checks everything else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envs.protocol import Tool
from envs.site.http import OPERATIONS, Response, fill
from envs.site.site import Site

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": ["string", "integer"]}
COUNT: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
TEXTS: Schema = {"type": "array", "items": TEXT}
IDS: Schema = {"type": "array", "items": ID}
OBJECTS: Schema = {"type": "array", "items": OBJECT}

ISSUE = {"issueIdOrKey": ID}
PAGE = {"id": ID}
LIMIT = {"limit": COUNT, "cursor": TEXT}


@dataclass(frozen=True)
class OperationTool:
    """One operation as a tool: the arguments that go into the path, the query and the body."""

    tool: Tool
    path: tuple[str, ...]
    query: tuple[str, ...]
    body: tuple[str, ...]
    body_argument: str | None = None
    """The argument that is the entire body, for operations whose body is a list."""

    def call(self, site: Site, arguments: Mapping[str, Any]) -> Response:
        """Sends the request with `arguments`, which must be valid."""
        operation = OPERATIONS[self.tool.name]
        body: Any = {name: arguments[name] for name in self.body if name in arguments} if self.body else None
        if self.body_argument:
            body = arguments[self.body_argument]
        path = fill(operation.path, {name: arguments[name] for name in self.path})
        query = {name: arguments[name] for name in self.query if name in arguments}
        return site.request(operation.method, path, query, body)


TOOLS: dict[str, OperationTool] = {}


def _tool(
    effect: Any,
    name: str,
    description: str,
    path: Mapping[str, Schema] | None = None,
    query: Mapping[str, Schema] | None = None,
    body: Mapping[str, Schema] | None = None,
    required: tuple[str, ...] = (),
    body_argument: str | None = None,
) -> None:
    path, query, body = path or {}, query or {}, body or {}
    members = {body_argument: OBJECTS} if body_argument else dict(body)
    parameters: Schema = {"type": "object", "properties": {**path, **query, **members}}
    all_required = [*path, *required, *([body_argument] if body_argument else [])]
    if all_required:
        parameters["required"] = all_required
    TOOLS[name] = OperationTool(
        Tool(name, description, parameters, effect), tuple(path), tuple(query), tuple(body), body_argument
    )


def _read(name: str, description: str, **parts: Any) -> None:
    _tool("read", name, description, **parts)


def _write(name: str, description: str, **parts: Any) -> None:
    _tool("write", name, description, **parts)


# Jira
_SEARCH = {"jql": TEXT, "fields": TEXTS, "maxResults": COUNT, "nextPageToken": TEXT}
_PAGED = {"startAt": COUNT, "maxResults": COUNT}
_read("getIssue", "Get an issue.", path=ISSUE, query={"fields": TEXTS, "expand": TEXT})
_read("searchAndReconsileIssuesUsingJql", "Search issues by JQL.", query=_SEARCH, required=("jql",))
_read("searchAndReconsileIssuesUsingJqlPost", "Search issues by JQL.", body=_SEARCH, required=("jql",))
_read("getComments", "Get an issue's comments.", path=ISSUE, query={**_PAGED, "orderBy": TEXT})
_read("getTransitions", "Get the transitions that an issue offers now.", path=ISSUE, query={"expand": TEXT})
_read("getProject", "Get a project.", path={"projectIdOrKey": ID}, query={"expand": TEXT})
_read("searchProjects", "Search projects by name or key.", query={"query": TEXT, **_PAGED})
_read("getCreateIssueMetaIssueTypes", "Get a project's issue types.", path={"projectIdOrKey": ID}, query=_PAGED)
_read(
    "getCreateIssueMetaIssueTypeId",
    "Get the fields of an issue type.",
    path={"projectIdOrKey": ID, "issueTypeId": ID},
    query=_PAGED,
)
_read("findUsers", "Find users by name.", query={"query": TEXT, "accountId": TEXT, **_PAGED})
_read(
    "findAssignableUsers",
    "Find users who can be assigned issues.",
    query={"query": TEXT, "project": TEXT, "issueKey": TEXT, **_PAGED},
)
_read("getCurrentUser", "Get the current user.")
_read("getPriorities", "Get all priorities.")
_read("getStatuses", "Get all statuses.")
_read("getAllLabels", "Get all labels.", query=_PAGED)
_read("getFields", "Get all fields.")
_read("getIssueAllTypes", "Get all issue types.")
_read("getIssueTypesForProject", "Get issue types by project id.", query={"projectId": ID}, required=("projectId",))
_read("getIssueLinkTypes", "Get all issue link types.")
_read("getServerInfo", "Get the server's version.")

_CREATE_FIELDS: Schema = {
    "type": "object",
    "properties": {
        "project": OBJECT,
        "issuetype": OBJECT,
        "summary": TEXT,
        "description": OBJECT,
        "priority": OBJECT,
        "labels": TEXTS,
        "assignee": OBJECT,
        "parent": OBJECT,
    },
}
_write(
    "createIssue",
    "Create an issue or sub-task. Fields that are left out get their defaults.",
    body={"fields": _CREATE_FIELDS, "update": OBJECT},
    required=("fields",),
)
_write(
    "editIssue",
    "Edit an issue. `fields` sets, and replaces whole lists; `update` adds and removes.",
    path=ISSUE,
    query={"notifyUsers": FLAG},
    body={"fields": OBJECT, "update": OBJECT},
)
_write("deleteIssue", "Delete an issue.", path=ISSUE, query={"deleteSubtasks": FLAG})
_write(
    "assignIssue",
    "Assign an issue to a user.",
    path=ISSUE,
    body={"accountId": {"type": ["string", "null"]}},
    required=("accountId",),
)
_write("addComment", "Add a comment to an issue.", path=ISSUE, body={"body": OBJECT}, required=("body",))
_write(
    "doTransition",
    "Perform a transition of an issue. Take no more moves than needed.",
    path=ISSUE,
    body={"transition": OBJECT, "fields": OBJECT, "update": OBJECT},
    required=("transition",),
)
_write("addWorklog", "Log work on an issue.", path=ISSUE, body={"timeSpentSeconds": COUNT, "comment": OBJECT})
_write(
    "linkIssues",
    "Link two issues.",
    body={"type": OBJECT, "inwardIssue": OBJECT, "outwardIssue": OBJECT},
    required=("type", "inwardIssue", "outwardIssue"),
)

# Confluence
_BODY_FORMAT = {"body-format": TEXT}
_read("getSpaces", "Get spaces.", query={"keys": TEXTS, "ids": IDS, **LIMIT})
_read("getSpaceById", "Get a space.", path=PAGE)
_read("getSpaceLabels", "Get a space's labels.", path=PAGE, query=LIMIT)
_read("getPages", "Get pages.", query={"title": TEXT, "space-id": IDS, "id": IDS, **LIMIT})
_read("getPagesInSpace", "Get a space's pages.", path=PAGE, query={"title": TEXT, "depth": TEXT, **LIMIT})
_read("getPageById", "Get a page.", path=PAGE, query=_BODY_FORMAT)
_read("getChildPages", "Get a page's child pages.", path=PAGE, query=LIMIT)
_read("getPageDirectChildren", "Get a page's direct children.", path=PAGE, query=LIMIT)
_read("getPageLabels", "Get a page's labels.", path=PAGE, query=LIMIT)
_read("getPageVersions", "Get a page's versions.", path=PAGE, query=LIMIT)
_read("getPageFooterComments", "Get a page's footer comments.", path=PAGE, query={**_BODY_FORMAT, **LIMIT})

_write(
    "createPage",
    "Create a page in a space, under its homepage unless parentId is given.",
    query={"root-level": FLAG},
    body={"spaceId": ID, "title": TEXT, "parentId": ID, "body": OBJECT, "status": TEXT},
    required=("spaceId",),
)
_write(
    "updatePage",
    "Update a page. version.number is one more than now.",
    path=PAGE,
    body={"id": ID, "status": TEXT, "title": TEXT, "parentId": ID, "body": OBJECT, "version": OBJECT},
    required=("status", "title", "body", "version"),
)
_write("deletePage", "Delete a page.", path=PAGE, query={"purge": FLAG})
_write("createFooterComment", "Comment on a page.", body={"pageId": ID, "body": OBJECT}, required=("pageId", "body"))
_write("addLabelsToContent", "Add labels to a page.", path=PAGE, body_argument="labels")


_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def argument_error(schema: Schema, arguments: Any) -> str | None:
    """Why `arguments` do not match a tool's schema; None if they do. Checks only the names and types in the schema."""
    if not isinstance(arguments, dict):
        return "The arguments must be an object."
    properties = schema["properties"]
    unknown_names = [name for name in arguments if name not in properties]
    if unknown_names:
        return f"Unknown argument '{unknown_names[0]}'."
    missing_names = [name for name in schema.get("required", ()) if name not in arguments]
    if missing_names:
        return f"Missing argument '{missing_names[0]}'."
    return next(
        (error for name, value in arguments.items() if (error := _type_error(name, properties[name], value))), None
    )


def _type_error(name: str, schema: Schema, value: Any) -> str | None:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(_is_a(value, kind) for kind in kinds):
        return f"Argument '{name}' must be of type {' or '.join(kinds)}."
    if isinstance(value, list):
        errors = (_type_error(f"{name}[{index}]", schema["items"], item) for index, item in enumerate(value))
        return next((error for error in errors if error), None)
    if isinstance(value, dict):
        members = schema.get("properties", {})
        errors = (_type_error(f"{name}.{key}", members[key], item) for key, item in value.items() if key in members)
        return next((error for error in errors if error), None)
    return None


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, _PYTHON_TYPES[kind])
