"""Jira's projects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from envs.site.http import BASE_URL, Request, Response, jira_error, operation
from envs.site.jira.parameters import as_integer, page
from envs.site.jira.render import project_json
from envs.site.lookup import find_project
from envs.site.records import Project, State


def _require_project(state: State, name: str) -> Project:
    project = find_project(state, name)
    if project is None:
        kind = "id" if as_integer(name) is not None else "key"
        raise jira_error(404, f"No project could be found with {kind} '{name[:100]}'.")
    return project


@operation("getProject", "GET", "/rest/api/3/project/{projectIdOrKey}")
def get_project(state: State, request: Request) -> Response:
    project = _require_project(state, request.path["projectIdOrKey"])
    # Unlike searchProjects, this operation always shows the lead and the issue types.
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
    # No project has a category, an archiving date or a deletion date, so all rank equally.
    **{name: lambda state, project: 0 for name in ("category", "archivedDate", "deletedDate")},
}


@operation("searchProjects", "GET", "/rest/api/3/project/search")
def search_projects(state: State, request: Request) -> Response:
    # A "+" that was not percent-encoded arrives as a space.
    order = (request.first("orderBy") or "key").strip()
    rank = _ORDERS.get(order.removeprefix("-").removeprefix("+"))
    if rank is None:
        raise jira_error(400, f"The value '{order[:100]}' of parameter 'orderBy' is not supported.")
    matches = [project for project in state.projects.values() if _matches(project, request)]
    matches.sort(key=lambda project: project.key)
    matches.sort(key=lambda project: rank(state, project), reverse=order.startswith("-"))
    projects, position = page(request, matches, default=50, limit=100)
    expand = request.values("expand")
    body: dict[str, Any] = {"values": [project_json(state, project, expand) for project in projects]}
    next_start = position["startAt"] + len(projects)
    body |= {"isLast": next_start >= position["total"], **position}
    if not body["isLast"]:
        query = f"startAt={next_start}&maxResults={position['maxResults']}"
        body["nextPage"] = f"{BASE_URL}/rest/api/3/project/search?{query}"
    return Response(200, body)


def _matches(project: Project, request: Request) -> bool:
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
