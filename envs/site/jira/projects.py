"""Jira's projects and issue types, and what creating an issue takes in each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from envs.site.http import BASE_URL, Request, Response, jira_error, operation
from envs.site.jira.catalogue import SCHEMAS
from envs.site.jira.common import (
    as_integer,
    default_priority,
    find_project,
    page,
    query_integer,
    type_json,
    user_json,
)
from envs.site.jira.fields import CREATE_SCREEN, NO_PROJECT, NO_TYPE
from envs.site.records import IssueType, Project, State


def type_details_json(issue_type: IssueType) -> dict[str, Any]:
    return type_json(issue_type) | {"hierarchyLevel": issue_type.level}


def project_json(state: State, project: Project, expand: tuple[str, ...]) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": project.name, "key": project.key, "id": project.id}
    if "lead" in expand:
        shown["lead"] = user_json(state.users[project.lead])
    if "issueTypes" in expand:
        shown["issueTypes"] = [type_json(state.issue_types[number]) for number in project.issue_types]
    return shown


def _require_project(state: State, name: str) -> Project:
    project = find_project(state, name)
    if project is None:
        what = "id" if as_integer(name) is not None else "key"
        raise jira_error(404, f"No project could be found with {what} '{name[:100]}'.")
    return project


@operation("getProject", "GET", "/rest/api/3/project/{projectIdOrKey}")
def get_project(state: State, request: Request) -> Response:
    project = _require_project(state, request.path["projectIdOrKey"])
    # A single project always shows its lead and its issue types, asked for or not.
    return Response(200, project_json(state, project, ("lead", "issueTypes")))


def _count(state: State, project: Project) -> int:
    return sum(issue.project_id == project.id for issue in state.issues.values())


def _last_update(state: State, project: Project) -> int:
    return max((issue.updated for issue in state.issues.values() if issue.project_id == project.id), default=0)


_ORDERS: Mapping[str, Callable[[State, Project], Any]] = {
    "key": lambda state, project: project.key,
    "name": lambda state, project: project.name.casefold(),
    "owner": lambda state, project: state.users[project.lead].display_name.casefold(),
    "issueCount": _count,
    "lastIssueUpdatedDate": _last_update,
    # No project has a category, an archiving date or a deletion date: all are equal.
    **{name: lambda state, project: 0 for name in ("category", "archivedDate", "deletedDate")},
}


@operation("searchProjects", "GET", "/rest/api/3/project/search")
def search_projects(state: State, request: Request) -> Response:
    # A "+" that was not percent-encoded arrives as a space.
    order = (request.first("orderBy") or "key").strip()
    rank = _ORDERS.get(order.removeprefix("-").removeprefix("+"))
    if rank is None:
        raise jira_error(400, f"The value '{order[:100]}' of parameter 'orderBy' is not supported.")
    found = [project for project in state.projects.values() if _is_wanted(project, request)]
    found.sort(key=lambda project: project.key)
    found.sort(key=lambda project: rank(state, project), reverse=order.startswith("-"))
    shown, position = page(request, found, default=50, limit=100)
    expand = request.values("expand")
    body: dict[str, Any] = {"values": [project_json(state, project, expand) for project in shown]}
    following = position["startAt"] + len(shown)
    body |= {"isLast": following >= position["total"], **position}
    if not body["isLast"]:
        query = f"startAt={following}&maxResults={position['maxResults']}"
        body["nextPage"] = f"{BASE_URL}/rest/api/3/project/search?{query}"
    return Response(200, body)


def _is_wanted(project: Project, request: Request) -> bool:
    ids, keys, states = request.values("id"), request.values("keys"), request.values("status")
    query = (request.first("query") or "").casefold()
    return (
        (not ids or project.id in ids)
        and (not keys or project.key in {key.upper() for key in keys})
        and (not states or "live" in states)
        and (query in project.name.casefold() or query in project.key.casefold())
        and "software" in (request.values("typeKey") or ("software",))
        and "categoryId" not in request.query
    )


@operation("getIssueAllTypes", "GET", "/rest/api/3/issuetype")
def get_issue_all_types(state: State, request: Request) -> Response:
    return Response(200, [type_details_json(issue_type) for issue_type in state.issue_types.values()])


@operation("getIssueTypesForProject", "GET", "/rest/api/3/issuetype/project")
def get_issue_types_for_project(state: State, request: Request) -> Response:
    number = request.first("projectId")
    if number is None or as_integer(number) is None:
        raise jira_error(400, "The 'projectId' parameter must be the id of a project.")
    project = state.projects.get(number)
    if project is None:
        raise jira_error(404, f"No project could be found with id '{number}'.")
    level = query_integer(request, "level", 0, minimum=-(10**9)) if "level" in request.query else None
    types = [state.issue_types[name] for name in project.issue_types]
    return Response(200, [type_details_json(t) for t in types if level is None or t.level == level])


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
