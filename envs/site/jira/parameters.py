"""Reading the path, query and body of Jira requests, and the errors that several operations share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from envs.site import adf
from envs.site.http import ApiError, Request, jira_error
from envs.site.lookup import find_issue
from envs.site.records import Issue, State

INVALID_PAYLOAD = "Invalid request payload. Refer to the REST API documentation and try again."
NOT_A_DOCUMENT = "Operation value must be an Atlassian Document"
ISSUE_NOT_FOUND = "Issue does not exist or you do not have permission to see it."
AUTOMATIC = "-1"
"""The account id that asks for the default assignee, which is the project's lead."""
_INTEGER = re.compile(r"-?[0-9]{1,18}")


def field_errors(errors: Mapping[str, str], status: int = 400) -> ApiError:
    """Jira's `ErrorCollection` with one message a field. Unlike in `jira_error`, a field's name may be any text."""
    return ApiError(status, {"errorMessages": [], "errors": dict(errors)})


def as_integer(value: str) -> int | None:
    """The integer that the text `value` represents; None if it is not one."""
    return int(value) if _INTEGER.fullmatch(value) else None


def query_integer(request: Request, name: str, default: int, minimum: int = 0) -> int:
    """Integer query parameter `name`; raises 400 unless it is an integer of at least `minimum`."""
    value = request.first(name)
    if value is None:
        return default
    number = as_integer(value)
    if number is None:
        raise jira_error(400, f"The value '{value[:100]}' of parameter '{name}' is not an integer.")
    if number < minimum:
        raise jira_error(400, f"Parameter '{name}' must not be less than {minimum}.")
    return number


def query_boolean(request: Request, name: str, default: bool = False) -> bool:
    """Boolean query parameter `name` in any letter case (clients send Python's `False`); raises 400 otherwise."""
    value = request.first(name)
    if value is None:
        return default
    if value.lower() not in ("true", "false"):
        raise jira_error(400, f"The value '{value[:100]}' of parameter '{name}' is not a boolean.")
    return value.lower() == "true"


def page(request: Request, items: Sequence[Any], default: int, limit: int) -> tuple[list[Any], dict[str, Any]]:
    """One page of `items`, by the query's `startAt` and `maxResults` (at most `limit`).

    Returns the page's items, and the members of the response that describe the page.
    """
    start = query_integer(request, "startAt", 0)
    size = min(query_integer(request, "maxResults", default), limit)
    return list(items[start : start + size]), {"maxResults": size, "startAt": start, "total": len(items)}


def body_object(request: Request, members: Iterable[str] | None = None) -> dict[Any, Any]:
    """The request's body; raises 400 if it is not an object or has a member that is not in `members`."""
    body = request.body
    if not isinstance(body, dict) or (members is not None and not set(body) <= set(members)):
        raise jira_error(400, INVALID_PAYLOAD)
    return body


def require_issue(state: State, request: Request) -> Issue:
    """The issue that the path names; raises 404 if there is none."""
    issue = find_issue(state, request.path["issueIdOrKey"])
    if issue is None:
        raise jira_error(404, ISSUE_NOT_FOUND)
    return issue


def too_long() -> str:
    return f"The entered text is too long. It exceeds the allowed limit of {adf.MAX_CHARACTERS:,} characters."
