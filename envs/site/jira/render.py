"""Jira's records as JSON. A human-readable name always comes before the id that it names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from envs.site import adf
from envs.site.http import BASE_URL
from envs.site.records import (
    STATUS_CATEGORIES,
    Comment,
    Issue,
    IssueType,
    Project,
    State,
    Status,
    Transition,
    User,
    Worklog,
)


def timestamp(seconds: int) -> str:
    """A time in seconds since 1970 as Jira writes it.

    >>> timestamp(1767605400)
    '2026-01-05T09:30:00.000+0000'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def issue_url(issue_id: str) -> str:
    return f"{BASE_URL}/rest/api/3/issue/{issue_id}"


def user_json(user: User) -> dict[str, Any]:
    return {"displayName": user.display_name, "accountId": user.account_id, "active": user.active}


def type_json(issue_type: IssueType) -> dict[str, Any]:
    return {"name": issue_type.name, "id": issue_type.id, "subtask": issue_type.subtask}


def type_details_json(issue_type: IssueType) -> dict[str, Any]:
    return type_json(issue_type) | {"hierarchyLevel": issue_type.level}


def status_json(status: Status) -> dict[str, Any]:
    return {"name": status.name, "id": status.id}


def status_details_json(status: Status) -> dict[str, Any]:
    number, name = STATUS_CATEGORIES[status.category]
    return status_json(status) | {"statusCategory": {"name": name, "key": status.category, "id": number}}


def comment_json(state: State, comment: Comment) -> dict[str, Any]:
    return {
        "author": user_json(state.users[comment.author]),
        "body": adf.copy(comment.body),
        "created": timestamp(comment.created),
        "id": comment.id,
    }


def project_json(state: State, project: Project, expand: tuple[str, ...]) -> dict[str, Any]:
    rendering: dict[str, Any] = {"name": project.name, "key": project.key, "id": project.id}
    if "lead" in expand:
        rendering["lead"] = user_json(state.users[project.lead])
    if "issueTypes" in expand:
        rendering["issueTypes"] = [type_json(state.issue_types[type_id]) for type_id in project.issue_types]
    return rendering


def transition_json(state: State, transition: Transition, with_fields: bool) -> dict[str, Any]:
    """A transition; `with_fields` adds the fields of its screen. One that has no screen requires no field."""
    to = state.statuses[transition.to]
    rendering: dict[str, Any] = {"name": transition.name, "to": {"id": to.id, "name": to.name}, "id": transition.id}
    if transition.has_screen:
        rendering["hasScreen"] = True
    if with_fields:
        rendering["fields"] = _screen_json(state, transition)
    return rendering


def _screen_json(state: State, transition: Transition) -> dict[str, Any]:
    """The metadata of a transition's fields. Every transition takes a comment; only a required one is shown."""
    fields: dict[str, Any] = {}
    if transition.resolution:
        fields["resolution"] = {
            "name": "Resolution",
            "key": "resolution",
            "required": "resolution" in transition.required,
            "schema": {"type": "resolution", "system": "resolution"},
            "operations": ["set"],
            "allowedValues": [{"name": name, "id": number} for number, name in state.resolutions.items()],
        }
    if "comment" in transition.required:
        fields["comment"] = {
            "name": "Comment",
            "key": "comment",
            "required": True,
            "schema": {"type": "comments-page", "system": "comment"},
            "operations": ["add"],
        }
    return fields


def worklog_json(state: State, issue: Issue, worklog: Worklog) -> dict[str, Any]:
    comment = {"comment": adf.copy(worklog.comment)} if worklog.comment is not None else {}
    return {
        "author": user_json(state.users[worklog.author]),
        **comment,
        "started": timestamp(worklog.started),
        "timeSpent": duration(worklog.seconds),
        "timeSpentSeconds": worklog.seconds,
        "id": worklog.id,
        "issueId": issue.id,
    }


UNITS = {"w": 5 * 8 * 3600, "d": 8 * 3600, "h": 3600, "m": 60}
"""Seconds of working time. Jira's default is five days of eight hours a week."""


def duration(seconds: int) -> str:
    """Seconds of working time in Jira's notation.

    >>> duration(30600)
    '1d 30m'
    """
    parts = []
    for unit, length in UNITS.items():
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0m"
