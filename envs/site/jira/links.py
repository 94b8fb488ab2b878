"""Jira's links between issues, and the link types."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from envs.site.http import Request, Response, jira_error, operation
from envs.site.jira.comments import new_comment, read_comment
from envs.site.jira.parameters import INVALID_PAYLOAD, ISSUE_NOT_FOUND, body_object, field_errors
from envs.site.lookup import find_issue, identifier
from envs.site.records import Issue, IssueLink, State


@operation("linkIssues", "POST", "/rest/api/3/issueLink")
def link_issues(state: State, request: Request) -> Response:
    body = body_object(request, ("type", "inwardIssue", "outwardIssue", "comment"))
    type_id = _link_type(state, body.get("type"))
    inward, outward = (_end(state, body.get(end)) for end in ("inwardIssue", "outwardIssue"))
    comment = body.get("comment")
    text = None
    if comment is not None:
        errors: dict[str, str] = {}
        text = read_comment(comment.get("body") if isinstance(comment, dict) else None, errors)
        if errors:
            raise field_errors(errors)
    if inward.id == outward.id:
        raise jira_error(400, "You cannot link an issue to itself.")
    # Jira answers 201 for an existing link too; only the comment is then new.
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
        id = identifier(value["id"])
        if id in state.link_types:
            return str(id)
        raise jira_error(404, f"No issue link type with id '{str(id)[:100]}' found.")
    name = value.get("name")
    for type_id, names in state.link_types.items():
        if isinstance(name, str) and names[0].lower() == name.lower():
            return type_id
    raise jira_error(404, f"No issue link type with name '{name[:100] if isinstance(name, str) else None}' found.")


def _end(state: State, value: Any) -> Issue:
    """The issue at one end of a link, by `{"id": ...}` or `{"key": ...}`."""
    if not isinstance(value, dict):
        raise jira_error(400, INVALID_PAYLOAD)
    issue = state.issues.get(identifier(value["id"]) or "") if "id" in value else find_issue(state, value.get("key"))
    if issue is None:
        raise jira_error(404, ISSUE_NOT_FOUND)
    return issue


@operation("getIssueLinkTypes", "GET", "/rest/api/3/issueLinkType")
def get_issue_link_types(state: State, request: Request) -> Response:
    types = [
        {"name": name, "inward": inward, "outward": outward, "id": number}
        for number, (name, inward, outward) in state.link_types.items()
    ]
    return Response(200, {"issueLinkTypes": types})
