"""An issue as Jira shows it: the fields that a request selects, and each field's JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

from envs.site import adf
from envs.site.jira.render import comment_json, issue_url, status_json, timestamp, type_json, user_json, worklog_json
from envs.site.records import Issue, IssueLink, State

_ABSENT = object()
"""Marks a field that Jira leaves out of an issue instead of showing null."""


class IssueView:
    """Renders issues of one state. Use a new view for each request: cached look-ups are stale after a write."""

    def __init__(self, state: State) -> None:
        self.state = state

    @cached_property
    def children(self) -> dict[str, list[Issue]]:
        """Parent id -> its sub-tasks."""
        children: dict[str, list[Issue]] = {}
        for issue in self.state.issues.values():
            if issue.parent_id is not None and self.state.issue_types[issue.type_id].subtask:
                children.setdefault(issue.parent_id, []).append(issue)
        return children

    def issue(self, issue: Issue, names: Sequence[str]) -> dict[str, Any]:
        """The issue with the fields `names`, its key, id and URL."""
        values = {name: FIELDS[name](self, issue) for name in names}
        fields = {name: value for name, value in values.items() if value is not _ABSENT}
        return {"fields": fields, "key": issue.key, "id": issue.id, "self": issue_url(issue.id)}

    def reference(self, issue: Issue) -> dict[str, Any]:
        """A short mention of another issue."""
        return {"fields": {"summary": issue.summary}, "key": issue.key, "id": issue.id}

    def user(self, account_id: str | None) -> dict[str, Any] | None:
        return user_json(self.state.users[account_id]) if account_id is not None else None

    def project(self, issue: Issue) -> dict[str, Any]:
        project = self.state.projects[issue.project_id]
        return {"name": project.name, "key": project.key, "id": project.id}

    def parent(self, issue: Issue) -> Any:
        return self.reference(self.state.issues[issue.parent_id]) if issue.parent_id is not None else _ABSENT

    def resolution(self, issue: Issue) -> dict[str, Any] | None:
        if issue.resolution is None:
            return None
        number = next(i for i, name in self.state.resolutions.items() if name == issue.resolution)
        return {"name": issue.resolution, "id": number}

    def link(self, link: IssueLink) -> dict[str, Any]:
        name, inward, outward = self.state.link_types[link.type_id]
        # Seen from the outward end, the other issue is the inward one.
        end = "inwardIssue" if link.outward else "outwardIssue"
        kind = {"name": name, "inward": inward, "outward": outward, "id": link.type_id}
        return {"type": kind, end: self.reference(self.state.issues[link.other]), "id": link.id}

    def comments(self, issue: Issue) -> dict[str, Any]:
        comments = [comment_json(self.state, comment) for comment in issue.comments]
        return {"comments": comments, "maxResults": len(comments), "startAt": 0, "total": len(comments)}

    def worklogs(self, issue: Issue) -> dict[str, Any]:
        worklogs = [worklog_json(self.state, issue, worklog) for worklog in issue.worklogs]
        return {"worklogs": worklogs, "maxResults": len(worklogs), "startAt": 0, "total": len(worklogs)}


FIELDS: dict[str, Callable[[IssueView, Issue], Any]] = {
    "summary": lambda view, issue: issue.summary,
    "status": lambda view, issue: status_json(view.state.statuses[issue.status_id]),
    "issuetype": lambda view, issue: type_json(view.state.issue_types[issue.type_id]),
    "priority": lambda view, issue: {"name": view.state.priorities[issue.priority_id], "id": issue.priority_id},
    "assignee": lambda view, issue: view.user(issue.assignee),
    "reporter": lambda view, issue: view.user(issue.reporter),
    "labels": lambda view, issue: list(issue.labels),
    "project": lambda view, issue: view.project(issue),
    "parent": lambda view, issue: view.parent(issue),
    "description": lambda view, issue: adf.copy(issue.description),
    "resolution": lambda view, issue: view.resolution(issue),
    "created": lambda view, issue: timestamp(issue.created),
    "updated": lambda view, issue: timestamp(issue.updated),
    "subtasks": lambda view, issue: [view.reference(child) for child in view.children.get(issue.id, ())],
    "issuelinks": lambda view, issue: [view.link(link) for link in issue.links],
    "comment": lambda view, issue: view.comments(issue),
    "worklog": lambda view, issue: view.worklogs(issue),
}
"""Field id -> its JSON, in the order of the response."""
NAVIGABLE = tuple(name for name in FIELDS if name not in ("comment", "worklog"))
"""The fields of `*navigable`. getIssue shows the same ones when the request has no `fields`."""


def select_fields(selectors: Iterable[str], default: Sequence[str] = NAVIGABLE) -> tuple[str, ...]:
    """The fields that a `fields` parameter selects, in the order of the response.

    A selector is a name, `*all`, `*navigable` or `-name`. Unknown names are ignored, as in Jira. If all selectors are
    exclusions, they apply to `default`.
    """
    inclusions: set[str] = set()
    exclusions: set[str] = set()
    only_exclusions = True
    for selector in selectors:
        if selector.startswith("-"):
            exclusions.add(selector[1:])
            continue
        only_exclusions = False
        inclusions.update({"*all": tuple(FIELDS), "*navigable": NAVIGABLE}.get(selector, (selector,)))
    if only_exclusions:
        inclusions.update(default)
    return tuple(name for name in FIELDS if name in inclusions and name not in exclusions)
