"""Jira's issue types."""

from __future__ import annotations

from envs.site.http import Request, Response, jira_error, operation
from envs.site.jira.parameters import as_integer, query_integer
from envs.site.jira.render import type_details_json
from envs.site.records import State


@operation("getIssueAllTypes", "GET", "/rest/api/3/issuetype")
def get_issue_all_types(state: State, request: Request) -> Response:
    return Response(200, [type_details_json(issue_type) for issue_type in state.issue_types.values()])


@operation("getIssueTypesForProject", "GET", "/rest/api/3/issuetype/project")
def get_issue_types_for_project(state: State, request: Request) -> Response:
    project_id = request.first("projectId")
    if project_id is None or as_integer(project_id) is None:
        raise jira_error(400, "The 'projectId' parameter must be the id of a project.")
    project = state.projects.get(project_id)
    if project is None:
        raise jira_error(404, f"No project could be found with id '{project_id}'.")
    level = query_integer(request, "level", 0, minimum=-(10**9)) if "level" in request.query else None
    types = [state.issue_types[type_id] for type_id in project.issue_types]
    return Response(200, [type_details_json(t) for t in types if level is None or t.level == level])
