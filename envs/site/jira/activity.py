"""What is said and done on Jira issues: comments, work logs, links."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from envs.site import adf
from envs.site.http import Request, Response, jira_error, operation
from envs.site.jira.common import (
    INVALID_PAYLOAD,
    ISSUE_NOT_FOUND,
    NOT_A_DOCUMENT,
    body_object,
    comment_json,
    field_errors,
    find_issue,
    identifier,
    new_comment,
    page,
    read_comment,
    require_issue,
)
from envs.site.jira.render import UNITS, worklog_json
from envs.site.records import Issue, IssueLink, State, Worklog

_DURATION = re.compile(r"\s*[0-9]{1,6}\s*[wdhm](?:\s+[0-9]{1,6}\s*[wdhm])*\s*")
_DURATION_PART = re.compile(r"([0-9]+)\s*([wdhm])")
_MAX_SECONDS = 10**9
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999."""


@operation("addComment", "POST", "/rest/api/3/issue/{issueIdOrKey}/comment")
def add_comment(state: State, request: Request) -> Response:
    issue = require_issue(state, request)
    errors: dict[str, str] = {}
    body = read_comment(body_object(request).get("body"), errors)
    if body is None:
        raise field_errors(errors)
    now = state.tick()
    comment = new_comment(state, body, now)
    state.issues[issue.id] = replace(issue, comments=(*issue.comments, comment), updated=now)
    return Response(201, comment_json(state, comment))


@operation("getComments", "GET", "/rest/api/3/issue/{issueIdOrKey}/comment")
def get_comments(state: State, request: Request) -> Response:
    issue = require_issue(state, request)
    # A "+" that was not percent-encoded arrives as a space.
    order = (request.first("orderBy") or "created").strip()
    if order not in ("created", "+created", "-created"):
        raise jira_error(400, "The 'orderBy' parameter only supports 'created'.")
    comments = issue.comments[::-1] if order == "-created" else issue.comments
    shown, position = page(request, comments, default=5000, limit=5000)
    return Response(200, {"comments": [comment_json(state, comment) for comment in shown], **position})


@operation("addWorklog", "POST", "/rest/api/3/issue/{issueIdOrKey}/worklog")
def add_worklog(state: State, request: Request) -> Response:
    issue = require_issue(state, request)
    body = body_object(request)
    errors: dict[str, str] = {}
    _check_estimate(request, errors)
    seconds = _seconds(body, errors)
    started = _started(body, errors)
    comment = body.get("comment")
    if comment is not None and not adf.is_document(comment):
        errors["comment"] = NOT_A_DOCUMENT
    if errors:
        raise field_errors(errors)
    now = state.tick()
    author = state.current_user
    worklog = Worklog(state.new_id(), author, seconds, now if started is None else started, adf.copy(comment))
    state.issues[issue.id] = replace(issue, worklogs=(*issue.worklogs, worklog), updated=now)
    return Response(201, worklog_json(state, issue, worklog))


def _check_estimate(request: Request, errors: dict[str, str]) -> None:
    """`adjustEstimate` and the parameter that it needs; the site keeps no estimates, so that nothing else follows."""
    adjust = request.first("adjustEstimate", "auto")
    if adjust not in ("new", "leave", "manual", "auto"):
        errors["adjustEstimate"] = "Must be one of 'new', 'leave', 'manual' and 'auto'."
    needed = {"new": "newEstimate", "manual": "reduceBy"}.get(str(adjust))
    if needed is not None and not _DURATION.fullmatch(request.first(needed, "") or ""):
        errors[needed] = "Invalid time duration entered."


def _seconds(body: dict[Any, Any], errors: dict[str, str]) -> int:
    """The time spent, from `timeSpentSeconds` or from `timeSpent` such as "3h 20m"."""
    spent = 0
    given = body.get("timeSpentSeconds")
    text = body.get("timeSpent")
    if type(given) is int:
        spent = given
    elif given is None and isinstance(text, str) and len(text) < 100 and _DURATION.fullmatch(text):
        spent = sum(int(count) * UNITS[unit] for count, unit in _DURATION_PART.findall(text))
    elif given is None and text is None:
        errors["timeLogged"] = "You must indicate the time spent working."
        return 0
    if not 60 <= spent <= _MAX_SECONDS:
        errors["timeLogged"] = "Invalid time duration entered."
    return spent


def _started(body: dict[Any, Any], errors: dict[str, str]) -> int | None:
    value = body.get("started")
    if value is None:
        return None
    try:
        seconds = int(datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp())
    except (TypeError, ValueError, OverflowError):
        seconds = -1
    if not 0 <= seconds <= _LAST_SECOND:
        errors["started"] = "Invalid date format. Please enter the date in the format \"yyyy-MM-dd'T'HH:mm:ss.SSSZ\"."
    return seconds


@operation("linkIssues", "POST", "/rest/api/3/issueLink")
def link_issues(state: State, request: Request) -> Response:
    body = body_object(request, ("type", "inwardIssue", "outwardIssue", "comment"))
    type_id = _link_type(state, body.get("type"))
    inward, outward = (_linked(state, body.get(end)) for end in ("inwardIssue", "outwardIssue"))
    comment = body.get("comment")
    text = None
    if comment is not None:
        errors: dict[str, str] = {}
        text = read_comment(comment.get("body") if isinstance(comment, dict) else None, errors)
        if errors:
            raise field_errors(errors)
    if inward.id == outward.id:
        raise jira_error(400, "You cannot link an issue to itself.")
    # A link that exists already is reported as created; only its comment is new.
    exists = any(not link.outward and (link.type_id, link.other) == (type_id, outward.id) for link in inward.links)
    if exists and text is None:
        return Response(201)
    now = state.tick()
    if not exists:
        link_id = state.new_id()
        ends = ((inward, False, outward.id), (outward, True, inward.id))
        for issue, is_outward, other in ends:
            link = IssueLink(link_id, type_id, is_outward, other)
            state.issues[issue.id] = replace(issue, links=(*issue.links, link), updated=now)
    if text is not None:
        issue = state.issues[outward.id]
        comments = (*issue.comments, new_comment(state, text, now))
        state.issues[issue.id] = replace(issue, comments=comments, updated=now)
    return Response(201)


def _link_type(state: State, value: Any) -> str:
    if not isinstance(value, dict):
        raise jira_error(400, INVALID_PAYLOAD)
    if "id" in value:
        wanted = identifier(value["id"])
        if wanted in state.link_types:
            return str(wanted)
        raise jira_error(404, f"No issue link type with id '{str(wanted)[:100]}' found.")
    name = value.get("name")
    for type_id, names in state.link_types.items():
        if isinstance(name, str) and names[0].lower() == name.lower():
            return type_id
    raise jira_error(404, f"No issue link type with name '{name[:100] if isinstance(name, str) else None}' found.")


def _linked(state: State, value: Any) -> Issue:
    if not isinstance(value, dict):
        raise jira_error(400, INVALID_PAYLOAD)
    issue = state.issues.get(identifier(value["id"]) or "") if "id" in value else find_issue(state, value.get("key"))
    if issue is None:
        raise jira_error(404, ISSUE_NOT_FOUND)
    return issue
