"""Jira's create metadata: the issue types of a project and the fields that creating an issue takes."""

from __future__ import annotations

import copy
from typing import Any

from envs.site.http import Request, Response, jira_error, operation
from envs.site.jira.field_values import NO_PROJECT, NO_TYPE
from envs.site.jira.parameters import page, query_integer
from envs.site.jira.render import project_json, type_details_json, type_json
from envs.site.jira.screens import CREATE_SCREEN
from envs.site.jira.system_fields import SCHEMAS
from envs.site.lookup import default_priority, find_project
from envs.site.records import IssueType, Project, State

META_LIMIT = 200


def _meta_project(state: State, request: Request) -> Project:
    """The project of a create-metadata request. Unlike other lists, these refuse a page size above the limit."""
    if query_integer(request, "maxResults", 0) > META_LIMIT:
        raise jira_error(400, f"Parameter 'maxResults' must not exceed the limit '{META_LIMIT}'")
    project = find_project(state, request.path["projectIdOrKey"])
    if project is None:
        raise jira_error(400, NO_PROJECT)
    return project


@operation("getCreateIssueMetaIssueTypes", "GET", "/rest/api/3/issue/createmeta/{projectIdOrKey}/issuetypes")
def get_create_issue_meta_issue_types(state: State, request: Request) -> Response:
    project = _meta_project(state, request)
    type_ids, position = page(request, project.issue_types, default=50, limit=META_LIMIT)
    types = [type_details_json(state.issue_types[type_id]) for type_id in type_ids]
    return Response(200, {"issueTypes": types, **position})


@operation(
    "getCreateIssueMetaIssueTypeId", "GET", "/rest/api/3/issue/createmeta/{projectIdOrKey}/issuetypes/{issueTypeId}"
)
def get_create_issue_meta_issue_type_id(state: State, request: Request) -> Response:
    project = _meta_project(state, request)
    type_id = request.path["issueTypeId"]
    if type_id not in project.issue_types:
        raise jira_error(400, NO_TYPE)
    # Issues of the highest level have no parent, so their screen lacks the field.
    screen = [name for name in CREATE_SCREEN if name != "parent" or state.issue_types[type_id].level < 1]
    names, position = page(request, screen, default=50, limit=META_LIMIT)
    fields = [_field_json(state, project, state.issue_types[type_id], name) for name in names]
    return Response(200, {"fields": fields, **position})


def _field_json(state: State, project: Project, issue_type: IssueType, name: str) -> dict[str, Any]:
    field = CREATE_SCREEN[name]
    default = {"priority": default_priority(state), "reporter": state.current_user}.get(name)
    metadata: dict[str, Any] = {
        "name": field.name,
        "fieldId": name,
        "key": name,
        "required": name in ("project", "issuetype", "summary") or (name == "parent" and issue_type.subtask),
        "hasDefaultValue": default is not None,
        "operations": list(field.verbs),
        "schema": copy.deepcopy(SCHEMAS[name]),
    }
    allowed_values: dict[str, list[dict[str, Any]]] = {
        "project": [project_json(state, project, ())],
        "issuetype": [type_json(issue_type)],
        "priority": [{"name": label, "id": number} for number, label in state.priorities.items()],
    }
    return metadata | ({"allowedValues": allowed_values[name]} if name in allowed_values else {})
