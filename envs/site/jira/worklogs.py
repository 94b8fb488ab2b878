"""Jira's work logs."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from envs.site import adf
from envs.site.http import Request, Response, operation
from envs.site.jira.parameters import NOT_A_DOCUMENT, body_object, field_errors, require_issue
from envs.site.jira.render import UNITS, worklog_json
from envs.site.records import State, Worklog

_DURATION = re.compile(r"\s*[0-9]{1,6}\s*[wdhm](?:\s+[0-9]{1,6}\s*[wdhm])*\s*")
_DURATION_PART = re.compile(r"([0-9]+)\s*([wdhm])")
_MAX_SECONDS = 10**9
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999."""


@operation("addWorklog", "POST", "/rest/api/3/issue/{issueIdOrKey}/worklog")
def add_worklog(state: State, request: Request) -> Response:
    issue = require_issue(state, request)
    body = body_object(request)
    errors: dict[str, str] = {}
    _check_estimate(request, errors)
    seconds = _seconds(body, errors)
    start = _start(body, errors)
    comment = body.get("comment")
    if comment is not None and not adf.is_document(comment):
        errors["comment"] = NOT_A_DOCUMENT
    if errors:
        raise field_errors(errors)
    now = state.tick()
    author = state.current_user
    worklog = Worklog(state.new_id(), author, seconds, now if start is None else start, adf.copy(comment))
    state.issues[issue.id] = replace(issue, worklogs=(*issue.worklogs, worklog), updated=now)
    return Response(201, worklog_json(state, issue, worklog))


def _check_estimate(request: Request, errors: dict[str, str]) -> None:
    """Checks `adjustEstimate` and the parameter that it requires. The site has no estimates, so it adjusts none."""
    adjust = request.first("adjustEstimate", "auto")
    if adjust not in ("new", "leave", "manual", "auto"):
        errors["adjustEstimate"] = "Must be one of 'new', 'leave', 'manual' and 'auto'."
    parameter = {"new": "newEstimate", "manual": "reduceBy"}.get(str(adjust))
    if parameter is not None and not _DURATION.fullmatch(request.first(parameter, "") or ""):
        errors[parameter] = "Invalid time duration entered."


def _seconds(body: dict[Any, Any], errors: dict[str, str]) -> int:
    """The time spent, from `timeSpentSeconds` or from `timeSpent` such as "3h 20m"."""
    seconds = 0
    number = body.get("timeSpentSeconds")
    text = body.get("timeSpent")
    if type(number) is int:
        seconds = number
    elif number is None and isinstance(text, str) and len(text) < 100 and _DURATION.fullmatch(text):
        seconds = sum(int(count) * UNITS[unit] for count, unit in _DURATION_PART.findall(text))
    elif number is None and text is None:
        errors["timeLogged"] = "You must indicate the time spent working."
        return 0
    if not 60 <= seconds <= _MAX_SECONDS:
        errors["timeLogged"] = "Invalid time duration entered."
    return seconds


def _start(body: dict[Any, Any], errors: dict[str, str]) -> int | None:
    """`started` in seconds since 1970; None if the body has none."""
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
