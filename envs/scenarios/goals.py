"""The goals of the scenarios: which facts of a site a checker gets, as plain data.

A goal has these members, and those of its kind that a task does not need are absent:

    request     the text that the policy gets
    site        the facts of the site before the episode: see `site_facts`
    issues      [{"id", "key", "target": {attribute: value}}]: issues that must change
    pages       the same for pages
    create      {"issue": {attribute: value}} or {"page": {attribute: value}}: the one thing to create
    lookups     [[id, key], ...]: the things that the request does not give an identifier of, each by its aliases
    questions   [{"issue": {"id", "key"}, "field", "values": [text]}]: what the closing answer must say
    impossible  True if the request cannot be met: nothing may change, and the answer must say so

Attributes of an issue: project, type, priority, parent, status, resolution, assignee, reporter, summary, description,
labels, comments. References to projects, types, priorities and parents are ids, people are account ids, statuses and
resolutions are names. Descriptions and comments are the text that a reader sees. In `target`, `labels` is
`{"add": [...], "remove": [...]}`, and `comments` are the texts to add. `None` means empty.

Attributes of a page: space and parent (ids; the homepage if none is named), title, body (text).
"""

from __future__ import annotations

from typing import Any

from envs.site import adf
from envs.site.lookup import default_priority
from envs.site.records import Issue, Page, State
from rewards.documents import storage_text


def site_facts(state: State) -> dict[str, Any]:
    """What a checker needs to know of a site to follow the writes on it, and to recognise wrong answers."""
    names = {id: status.name for id, status in state.statuses.items()}
    return {
        "priorities": dict(state.priorities),
        "default_priority": default_priority(state),
        "resolutions": dict(state.resolutions),
        "types": {id: kind.name for id, kind in state.issue_types.items()},
        "subtask_types": [id for id, kind in state.issue_types.items() if kind.subtask],
        "statuses": list(names.values()),
        "done": [status.name for status in state.statuses.values() if status.category == "done"],
        "users": {id: user.display_name for id, user in state.users.items()},
        "current_user": state.current_user,
        "labels": sorted({label for issue in state.issues.values() for label in issue.labels}),
        "projects": {
            project.id: {
                "key": project.key,
                "lead": project.lead,
                "initial": names[project.initial_status],
                "moves": {
                    names[source]: [[move.id, names[move.to]] for move in moves]
                    for source, moves in project.workflow.items()
                },
            }
            for project in state.projects.values()
        },
        "spaces": {space.id: {"key": space.key, "homepage": space.homepage_id} for space in state.spaces.values()},
        "issues": {issue.id: {"key": issue.key, **issue_facts(state, issue)} for issue in state.issues.values()},
        "pages": {page.id: page_facts(page) for page in state.pages.values() if page.status != "trashed"},
    }


def issue_facts(state: State, issue: Issue) -> dict[str, Any]:
    """The attributes of an issue."""
    return {
        "project": issue.project_id,
        "type": issue.type_id,
        "priority": issue.priority_id,
        "parent": issue.parent_id,
        "status": state.statuses[issue.status_id].name,
        "resolution": issue.resolution,
        "assignee": issue.assignee,
        "reporter": issue.reporter,
        "summary": issue.summary,
        "description": adf.text(issue.description) or None,
        "labels": list(issue.labels),
        "comments": [adf.text(comment.body) for comment in issue.comments],
    }


def issue_goal(state: State, issue: Issue, **target: Any) -> dict[str, Any]:
    """An entry of a goal's `issues`: the issue must have the attributes `target`, and all others as before."""
    return {"id": issue.id, "key": issue.key, "target": target}


def page_facts(page: Page) -> dict[str, Any]:
    """The attributes of a page."""
    return {
        "space": page.space_id,
        "parent": page.parent_id,
        "title": page.title,
        "body": storage_text(page.body),
        "labels": [name for _, name in page.labels],
    }
