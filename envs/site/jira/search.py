"""Searching issues with JQL, by GET and by POST (`/rest/api/3/search/jql`)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from envs.site.http import Request, Response, jira_error, operation
from envs.site.jira.issue_view import IssueView, select_fields
from envs.site.jira.parameters import INVALID_PAYLOAD, body_object, query_integer
from envs.site.jql.evaluate import search
from envs.site.jql.parser import parse
from envs.site.jql.syntax import JqlError
from envs.site.records import State

UNBOUNDED = "Unbounded JQL queries are not allowed here. Please add a search restriction to your query."
DEFAULT_RESULTS = 50
MAX_RESULTS = 5000
_TOKEN = re.compile(r"([0-9a-f]{1,8})-([0-9a-f]{16})")
_MEMBERS = ("jql", "nextPageToken", "maxResults", "fields", "expand", "properties", "fieldsByKeys", "reconcileIssues")


@operation("searchAndReconsileIssuesUsingJql", "GET", "/rest/api/3/search/jql")
def search_issues(state: State, request: Request) -> Response:
    size = query_integer(request, "maxResults", DEFAULT_RESULTS)
    return _search(state, request.first("jql", ""), request.values("fields"), size, request.first("nextPageToken"))


@operation("searchAndReconsileIssuesUsingJqlPost", "POST", "/rest/api/3/search/jql")
def search_issues_post(state: State, request: Request) -> Response:
    body = body_object(request, _MEMBERS)
    members = {name: value for name, value in body.items() if value is not None}
    size, fields = members.get("maxResults", DEFAULT_RESULTS), members.get("fields", [])
    texts = all(isinstance(members.get(name, ""), str) for name in ("jql", "nextPageToken", "expand"))
    lists = all(_is_list_of(members.get(name, []), str) for name in ("fields", "properties"))
    if not texts or not lists or type(size) is not int or not isinstance(members.get("fieldsByKeys", False), bool):
        raise jira_error(400, INVALID_PAYLOAD)
    if not _is_list_of(members.get("reconcileIssues", []), int):
        raise jira_error(400, INVALID_PAYLOAD)
    return _search(state, members.get("jql", ""), fields, size, members.get("nextPageToken"))


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) and not isinstance(item, bool) for item in value)


def _search(state: State, jql: str | None, selectors: Sequence[str], size: int, token: str | None) -> Response:
    if size < 1:
        raise jira_error(400, "Parameter 'maxResults' must be at least 1.")
    size = min(size, MAX_RESULTS)
    try:
        query = parse(jql or "")
        if query.where is None:
            raise jira_error(400, UNBOUNDED)
        matches = search(state, query)
    except JqlError as error:
        raise jira_error(400, *error.messages) from None
    digest = hashlib.sha256((jql or "").encode("utf-8", "surrogatepass")).hexdigest()[:16]
    start = _start(token, digest)
    page = matches[start : start + size]
    if selectors:
        view, names = IssueView(state), select_fields(selectors)
        issues = [view.issue(issue, names) for issue in page]
    else:
        issues = [{"id": issue.id} for issue in page]
    last = start + size >= len(matches)
    body: dict[str, Any] = {"issues": issues, "isLast": last}
    if not last:
        body["nextPageToken"] = f"{start + size:x}-{digest}"
    return Response(200, body)


def _start(token: str | None, digest: str) -> int:
    """The index of the first issue on a token's page; raises 400 for a token of another query."""
    if token is None:
        return 0
    match = _TOKEN.fullmatch(token)
    if match is None or match[2] != digest:
        raise jira_error(400, "The provided next page token is invalid or expired.")
    return int(match[1], 16)
