"""What a Jira site offers besides projects: users, priorities, labels, link types, fields, server information."""

from __future__ import annotations

from typing import Any

from envs.site.http import BASE_URL, Request, Response, jira_error, operation
from envs.site.jira.common import ISSUE_NOT_FOUND, find_issue, find_project, page, timestamp, user_json
from envs.site.records import State, User

VERSION = (1001, 0, 0)
_BUILD = 100300


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
    """Active users of an account id, or whose name holds a word, or as a whole begins, with `query`."""
    query, account_id = request.first("query"), request.first("accountId")
    if query is not None and account_id is not None:
        raise jira_error(400, "The 'query' and 'accountId' parameters cannot be given together.")
    if "property" in request.query:
        # Users of this site carry no properties.
        return Response(200, [])
    wanted = (query or "").strip().casefold()
    found = [
        user
        for user in state.users.values()
        if user.active and (user.account_id == account_id if account_id is not None else _is_named(user, wanted))
    ]
    shown, _ = page(request, found, default=50, limit=1000)
    return Response(200, [user_json(user) for user in shown])


def _is_named(user: User, query: str) -> bool:
    name = user.display_name.casefold()
    return name.startswith(query) or any(word.startswith(query) for word in name.split())


@operation("getPriorities", "GET", "/rest/api/3/priority")
def get_priorities(state: State, request: Request) -> Response:
    return Response(200, [{"name": name, "id": number} for number, name in state.priorities.items()])


@operation("getAllLabels", "GET", "/rest/api/3/label")
def get_all_labels(state: State, request: Request) -> Response:
    labels = sorted({label for issue in state.issues.values() for label in issue.labels})
    shown, position = page(request, labels, default=1000, limit=1000)
    last = position["startAt"] + len(shown) >= position["total"]
    return Response(200, {"values": shown, "isLast": last, **position})


@operation("getIssueLinkTypes", "GET", "/rest/api/3/issueLinkType")
def get_issue_link_types(state: State, request: Request) -> Response:
    shown = [
        {"name": name, "inward": inward, "outward": outward, "id": number}
        for number, (name, inward, outward) in state.link_types.items()
    ]
    return Response(200, {"issueLinkTypes": shown})


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


@operation("getFields", "GET", "/rest/api/3/field")
def get_fields(state: State, request: Request) -> Response:
    return Response(200, [_field_json(*row) for row in _FIELDS])


def _field_json(number: str, name: str, kind: str, orderable: bool, clauses: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "id": number,
        "key": number,
        "custom": False,
        "orderable": orderable,
        "navigable": number not in ("comment", "worklog"),
        "searchable": bool(clauses),
        "clauseNames": list(clauses),
        "schema": schema(number, kind),
    }


def schema(number: str, kind: str) -> dict[str, str]:
    """A system field's JSON type, with the type of its items for an array."""
    items = {"items": _ITEMS[number]} if number in _ITEMS else {}
    return {"type": kind, **items, "system": number}


SCHEMAS = {number: schema(number, kind) for number, _, kind, _, _ in _FIELDS}


@operation("getServerInfo", "GET", "/rest/api/3/serverInfo")
def get_server_info(state: State, request: Request) -> Response:
    body = {
        "baseUrl": BASE_URL,
        "version": ".".join(map(str, VERSION)),
        "versionNumbers": list(VERSION),
        "deploymentType": "Cloud",
        "buildNumber": _BUILD,
        "serverTime": timestamp(state.clock),
        "serverTitle": "Jira",
    }
    return Response(200, body)
