"""Mistakes: calls that change other things than the task is about, and wrong arguments."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from envs.site.records import State
from tests.support.calls import document


def other_call(state: State, random: Random, tools: Sequence[str]) -> tuple[str, Any]:
    """A call of a tool that the scenario offers, with arguments that fit the site, or of an invented tool."""
    issue, other = random.choice(list(state.issues.values())), random.choice(list(state.issues.values()))
    page = random.choice(list(state.pages))
    comment = {"comment": [{"add": {"body": document("Noted.")}}]}
    moves = state.projects[issue.project_id].workflow.get(issue.status_id, ())
    transition = random.choice(moves).id if moves else "1"
    link = {"inwardIssue": {"key": issue.key}, "outwardIssue": {"key": other.key}, "type": {"name": "Relates"}}
    fields = {"project": {"id": issue.project_id}, "issuetype": {"name": "Task"}, "summary": "Another"}
    place = {"issueIdOrKey": issue.key}
    options = {
        "addComment": {**place, "body": document("Noted.")},
        "assignIssue": {**place, "accountId": random.choice([*state.users, None])},
        "editIssue": {**place, **random.choice(({"fields": {"labels": []}}, {"update": comment}, {"fields": {}}))},
        "doTransition": {**place, "transition": {"id": transition}},
        "addWorklog": {**place, "timeSpentSeconds": 60},
        "linkIssues": link,
        "createIssue": {"fields": fields},
        "deleteIssue": {**place, "deleteSubtasks": True},
        "createPage": {"spaceId": state.pages[page].space_id, "title": "Another"},
        "deletePage": {"id": page},
        "createFooterComment": {"pageId": page, "body": {"representation": "storage", "value": "<p>x</p>"}},
        "addLabelsToContent": {"id": page, "labels": [{"prefix": "global", "name": "x"}]},
        "getIssue": place,
        "getPageById": {"id": page},
        "inventedTool": place,
    }
    name = random.choice([name for name in options if name in tools or name == "inventedTool"])
    return name, options[name]


def change(value: Any, state: State, random: Random) -> Any:
    """A value with one change at a random depth."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        name = random.choice(list(value))
        rest = {key: member for key, member in value.items() if key != name}
        action = random.choice(("inside", "inside", "inside", "drop", "hoist", "extra", "null"))
        if action == "drop":
            return rest
        if action == "hoist" and isinstance(value[name], dict):
            return {**rest, **value[name]}
        if action == "null":
            return {**value, name: None}
        if action == "extra":
            return {**value, **_extra(state, random)}
        return {**value, name: change(value[name], state, random)}
    if isinstance(value, list) and value:
        place = random.randrange(len(value))
        if random.random() < 0.3:
            return value[:place] + value[place + 1 :]
        return [*value[:place], change(value[place], state, random), *value[place + 1 :]]
    return random.choice([value, *_others(value, state, random)])


def _extra(state: State, random: Random) -> dict[str, Any]:
    """An additional argument."""
    issue = random.choice(list(state.issues.values()))
    return random.choice(
        (
            {"labels": ["x"]},
            {"priority": {"name": "Low"}},
            {"assignee": {"accountId": random.choice(list(state.users))}},
            {"assignee": None},
            {"description": None},
            {"description": document("More.")},
            {"summary": "Other words"},
            {"id": issue.id},
            {"accountId": None},
            {"root-level": True},
            {"status": "draft"},
            {"comment": [{"add": {"body": document("Noted.")}}]},
            {"resolution": {"name": "Declined"}},
            {"update": {"labels": [{"add": "x"}]}},
            {"remove": "x"},
            {"maxResults": 1},
            {"startAt": 1},
            {"set": ["x"]},
            {"text": "x"},
        )
    )


def _others(value: Any, state: State, random: Random) -> list[Any]:
    """Other values for a scalar: near misses, markup around it, and the ids of other things."""
    issue, page = random.choice(list(state.issues.values())), random.choice(list(state.pages.values()))
    near_misses = [f"{value} ", f" {value}", str(value).upper(), str(value).lower(), None, "", True]
    markup = [f"<p>{value}</p><p>x</p>", f"{value}<ac:image />", f"<h1>{value}</h1>", f"{value}<br/>"]
    ids = [issue.id, issue.key, page.id, page.space_id, issue.project_id, random.choice(list(state.users))]
    moves = [move.id for offered in state.projects[issue.project_id].workflow.values() for move in offered]
    return [*near_misses, *markup, *ids, random.choice(moves), "current", "Low", "Task"]
