"""Jira's users: the current one, and searches by name or account id."""

from __future__ import annotations

from envs.site.http import Request, Response, jira_error, operation
from envs.site.jira.parameters import ISSUE_NOT_FOUND, page
from envs.site.jira.render import user_json
from envs.site.lookup import find_issue, find_project
from envs.site.records import State, User


@operation("getCurrentUser", "GET", "/rest/api/3/myself")
def get_current_user(state: State, request: Request) -> Response:
    return Response(200, user_json(state.users[state.current_user]))


@operation("findUsers", "GET", "/rest/api/3/user/search")
def find_users(state: State, request: Request) -> Response:
    if all(name not in request.query for name in ("query", "accountId", "property")):
        raise jira_error(400, "Either the 'query', the 'accountId' or the 'property' parameter must be provided.")
    return _users(state, request)


@operation("findAssignableUsers", "GET", "/rest/api/3/user/assignable/search")
def find_assignable_users(state: State, request: Request) -> Response:
    project, issue = request.first("project"), request.first("issueKey", request.first("issueId"))
    if project is None and issue is None:
        raise jira_error(400, "Either the 'project', the 'issueKey' or the 'issueId' parameter must be provided.")
    if project is not None and find_project(state, project) is None:
        raise jira_error(404, f"No project could be found with key '{project[:100]}'.")
    if issue is not None and find_issue(state, issue) is None:
        raise jira_error(404, ISSUE_NOT_FOUND)
    return _users(state, request)


def _users(state: State, request: Request) -> Response:
    """Active users by account id, or by the start of their name or of a word in it."""
    query, account_id = request.first("query"), request.first("accountId")
    if query is not None and account_id is not None:
        raise jira_error(400, "The 'query' and 'accountId' parameters cannot be given together.")
    if "property" in request.query:
        # No user of this site has properties.
        return Response(200, [])
    prefix = (query or "").strip().casefold()
    matches = [
        user
        for user in state.users.values()
        if user.active and (user.account_id == account_id if account_id is not None else _name_matches(user, prefix))
    ]
    users, _ = page(request, matches, default=50, limit=1000)
    return Response(200, [user_json(user) for user in users])


def _name_matches(user: User, prefix: str) -> bool:
    name = user.display_name.casefold()
    return name.startswith(prefix) or any(word.startswith(prefix) for word in name.split())
