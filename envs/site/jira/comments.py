"""Jira's comments on issues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from envs.site import adf
from envs.site.http import Request, Response, jira_error, operation
from envs.site.jira.parameters import NOT_A_DOCUMENT, body_object, field_errors, page, require_issue, too_long
from envs.site.jira.render import comment_json
from envs.site.records import Comment, State


def is_empty_document(doc: Mapping[str, Any]) -> bool:
    """Whether a validated document has neither text nor other inline content."""
    pending = [doc]
    while pending:
        node = pending.pop()
        if not adf.CHILDREN[node["type"]] and (node["type"] != "text" or node["text"].strip()):
            return False
        pending.extend(node.get("content", ()))
    return True


def read_comment(value: Any, errors: dict[str, str]) -> dict[str, Any] | None:
    """A copy of a comment's ADF body. If `value` is not a valid body: None, and a message in `errors`."""
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


def new_comment(state: State, body: dict[str, Any], now: int) -> Comment:
    return Comment(state.new_id(), state.current_user, body, now)


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
    comment_page, position = page(request, comments, default=5000, limit=5000)
    return Response(200, {"comments": [comment_json(state, comment) for comment in comment_page], **position})
