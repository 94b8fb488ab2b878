"""x"""

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
    """The project of a create-metadata request, which unlike other lists refuses too large a page."""
    if query_integer(request, "maxResults", 0) > META_LIMIT:
        raise jira_error(400, f"Parameter 'maxResults' must not exceed the limit '{META_LIMIT}'")
    project = find_project(state, request.path["projectIdOrKey"])
    if project is None:
        raise jira_error(400, NO_PROJECT)
    return project


@operation("getCreateIssueMetaIssueTypes", "GET", "/rest/api/3/issue/createmeta/{projectIdOrKey}/issuetypes")
def get_create_issue_meta_issue_types(state: State, request: Request) -> Response:
    project = _meta_project(state, request)
    shown, position = page(request, project.issue_types, default=50, limit=META_LIMIT)
    types = [type_details_json(state.issue_types[number]) for number in shown]
    return Response(200, {"issueTypes": types, **position})


@operation(
    "getCreateIssueMetaIssueTypeId", "GET", "/rest/api/3/issue/createmeta/{projectIdOrKey}/issuetypes/{issueTypeId}"
)
def get_create_issue_meta_issue_type_id(state: State, request: Request) -> Response:
    project = _meta_project(state, request)
    number = request.path["issueTypeId"]
    if number not in project.issue_types:
        raise jira_error(400, NO_TYPE)
    # The parent is on the screen of every type but the highest, whose issues have none.
    names = [name for name in CREATE_SCREEN if name != "parent" or state.issue_types[number].level < 1]
    shown, position = page(request, names, default=50, limit=META_LIMIT)
    fields = [_field_json(state, project, state.issue_types[number], name) for name in shown]
    return Response(200, {"fields": fields, **position})


def _field_json(state: State, project: Project, issue_type: IssueType, name: str) -> dict[str, Any]:
    field = CREATE_SCREEN[name]
    default = {"priority": default_priority(state), "reporter": state.current_user}.get(name)
    shown: dict[str, Any] = {
        "name": field.name,
        "fieldId": name,
        "key": name,
        "required": name in ("project", "issuetype", "summary") or (name == "parent" and issue_type.subtask),
        "hasDefaultValue": default is not None,
        "operations": list(field.verbs),
        "schema": copy.deepcopy(SCHEMAS[name]),
    }
    allowed: dict[str, list[dict[str, Any]]] = {
        "project": [project_json(state, project, ())],
        "issuetype": [type_json(issue_type)],
        "priority": [{"name": label, "id": number} for number, label in state.priorities.items()],
    }
    return shown | ({"allowedValues": allowed[name]} if name in allowed else {})
