"""What the Jira operations share: finding records, reading query and body values, dates, and small renderings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from envs.site import adf
from envs.site.http import BASE_URL, ApiError, Request, jira_error
from envs.site.records import Comment, Issue, IssueType, Project, State, Status, User

INVALID_PAYLOAD = "Invalid request payload. Refer to the REST API documentation and try again."
NOT_A_DOCUMENT = "Operation value must be an Atlassian Document"
ISSUE_NOT_FOUND = "Issue does not exist or you do not have permission to see it."
AUTOMATIC = "-1"
"""The account id that asks for the default assignee, which is the project's lead."""

_INTEGER = re.compile(r"-?[0-9]{1,18}")
CATEGORIES: Mapping[str, tuple[int, str]] = {
    "new": (2, "To Do"),
    "indeterminate": (4, "In Progress"),
    "done": (3, "Done"),
}
"""Jira's status categories by key: their id and name."""


def field_errors(errors: Mapping[str, str], status: int = 400) -> ApiError:
    """Jira's error collection with messages by field; unlike keywords, field names may be any text."""
    return ApiError(status, {"errorMessages": [], "errors": dict(errors)})


def timestamp(seconds: int) -> str:
    """Jira's date-time text.

    >>> timestamp(1767605400)
    '2026-01-05T09:30:00.000+0000'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def identifier(value: Any) -> str | None:
    """An id given as text or as an integer, as text; None for anything else."""
    if isinstance(value, str):
        return value
    if type(value) is int and abs(value) < 10**18:
        return str(value)
    return None


def as_integer(value: str) -> int | None:
    """The integer that `value` spells, or None."""
    return int(value) if _INTEGER.fullmatch(value) else None


def query_integer(request: Request, name: str, default: int, minimum: int = 0) -> int:
    """Integer query parameter `name`; raises 400 when it is not an integer of at least `minimum`."""
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
    """The items that `startAt` and `maxResults` (cut to `limit`) ask for, and the members that describe the page."""
    start = query_integer(request, "startAt", 0)
    size = min(query_integer(request, "maxResults", default), limit)
    return list(items[start : start + size]), {"maxResults": size, "startAt": start, "total": len(items)}


def body_object(request: Request, members: Iterable[str] | None = None) -> dict[Any, Any]:
    """The request's body; raises 400 when it is not an object, or holds members other than those given."""
    body = request.body
    if not isinstance(body, dict) or (members is not None and not set(body) <= set(members)):
        raise jira_error(400, INVALID_PAYLOAD)
    return body


def find_issue(state: State, id_or_key: Any) -> Issue | None:
    """The issue of an id, or of a key in any letter case."""
    name = identifier(id_or_key)
    if name is None:
        return None
    return state.issues.get(name) or state.issues.get(state.issue_keys.get(name.upper(), ""))


def require_issue(state: State, request: Request) -> Issue:
    """The issue that the path names; raises 404."""
    issue = find_issue(state, request.path["issueIdOrKey"])
    if issue is None:
        raise jira_error(404, ISSUE_NOT_FOUND)
    return issue


def find_project(state: State, id_or_key: Any) -> Project | None:
    """The project of an id, or of a key in any letter case."""
    name = identifier(id_or_key)
    if name is None:
        return None
    upper = name.upper()
    return state.projects.get(name) or next((p for p in state.projects.values() if p.key == upper), None)


def default_priority(state: State) -> str:
    """The middle priority, which is what a new issue gets."""
    return list(state.priorities)[len(state.priorities) // 2]


def is_empty_document(doc: Mapping[str, Any]) -> bool:
    """Whether a validated document shows nothing: no text and no other inline content."""
    pending = [doc]
    while pending:
        node = pending.pop()
        if not adf.CHILDREN[node["type"]] and (node["type"] != "text" or node["text"].strip()):
            return False
        pending.extend(node.get("content", ()))
    return True


def read_comment(value: Any, errors: dict[str, str]) -> dict[str, Any] | None:
    """The ADF body of a comment, copied; None, and a message in `errors`, when it is not a comment's."""
    if not adf.is_document(value):
        errors["comment"] = NOT_A_DOCUMENT
        return None
    if is_empty_document(value):
        errors["comment"] = "Comment body can not be empty!"
        return None
    if len(adf.text(value)) > adf.MAX_CHARACTERS:
        errors["comment"] = too_long()
        return None
    return adf.copy(value)


def too_long() -> str:
    return f"The entered text is too long. It exceeds the allowed limit of {adf.MAX_CHARACTERS:,} characters."


def new_comment(state: State, body: dict[str, Any], now: int) -> Comment:
    return Comment(state.new_id(), state.current_user, body, now)


def issue_url(issue_id: str) -> str:
    return f"{BASE_URL}/rest/api/3/issue/{issue_id}"


def user_json(user: User) -> dict[str, Any]:
    return {"displayName": user.display_name, "accountId": user.account_id, "active": user.active}


def type_json(issue_type: IssueType) -> dict[str, Any]:
    return {"name": issue_type.name, "id": issue_type.id, "subtask": issue_type.subtask}


def status_json(status: Status) -> dict[str, Any]:
    return {"name": status.name, "id": status.id}


def status_details_json(status: Status) -> dict[str, Any]:
    number, name = CATEGORIES[status.category]
    return status_json(status) | {"statusCategory": {"name": name, "key": status.category, "id": number}}


def comment_json(state: State, comment: Comment) -> dict[str, Any]:
    return {
        "author": user_json(state.users[comment.author]),
        "body": adf.copy(comment.body),
        "created": timestamp(comment.created),
        "id": comment.id,
    }
