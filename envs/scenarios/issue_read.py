"""`issue-read`: find an issue and read the fields that the request asks for. Any write is wrong.

Difficulty 1 reads one issue by its key. 2 finds it by summary and project. 3 needs two reads: an issue's parent, or two
issues.
"""

from __future__ import annotations

from typing import Any

from envs.episode import Task
from envs.protocol import Turn
from envs.scenarios.drafting import AtlassianScenario, Demonstration, Draft, act, locate, quotation, reference
from envs.site.records import Issue
from rewards import issue_read

FIELDS = {
    "status": "status",
    "priority": "priority",
    "assignee": "assignee",
    "reporter": "reporter",
    "labels": "labels",
    "issuetype": "type",
    "description": "description",
    "resolution": "resolution",
}
"""Jira field -> its name in a request."""

ONE_ISSUE = (
    "What is the {what} of {issue}?",
    "Tell me the {what} of {issue}.",
    "Please look up the {what} of {issue}.",
    "I need to know the {what} of {issue}.",
    "For {issue}, what is the {what}?",
    "For {issue}, please look up the {what}.",
    "Could you tell me the {what} of {issue}?",
    "Please tell me the {what} of {issue}.",
)
TWO_ISSUES = (
    "Tell me the {what} of {issue} and the {other_what} of {other}.",
    "Please look up the {what} of {issue}, and then the {other_what} of {other}.",
    "What is the {what} of {issue}, and what is the {other_what} of {other}?",
    "I need to know the {what} of {issue} and the {other_what} of {other}.",
    "Could you tell me the {what} of {issue}, and then the {other_what} of {other}?",
    "Please tell me the {what} of {issue} and then the {other_what} of {other}.",
)


def draft(draft: Draft) -> tuple[str, dict[str, Any]]:
    if draft.difficulty < 3:
        issue = draft.issue()
        fields, read = _ask(draft, issue)
        issue_phrase = draft.issue_phrase(issue, by_key=draft.difficulty == 1)
        return draft.phrase(ONE_ISSUE, what=fields, issue=issue_phrase), {"reads": [read]}
    if draft.rng.random() < 0.5:
        child = draft.issue(lambda issue: issue.parent_id is not None)
        assert child.parent_id is not None
        fields, read = _ask(draft, draft.state.issues[child.parent_id])
        issue_phrase = f"the parent of {draft.issue_phrase(child, by_key=draft.rng.random() < 0.5)}"
        return draft.phrase(ONE_ISSUE, what=fields, issue=issue_phrase), {"reads": [read], "child": reference(child)}
    first = draft.issue()
    second = draft.issue(lambda issue: issue.project_id != first.project_id)
    first_fields, first_read = _ask(draft, first)
    second_fields, second_read = _ask(draft, second)
    first_phrase = draft.issue_phrase(first, by_key=True)
    second_phrase = draft.issue_phrase(second, by_key=draft.rng.random() < 0.5)
    request = draft.phrase(
        TWO_ISSUES, what=first_fields, issue=first_phrase, other_what=second_fields, other=second_phrase
    )
    return request, {"reads": [first_read, second_read]}


def _ask(draft: Draft, issue: Issue) -> tuple[str, dict[str, Any]]:
    """(the phrase for one or two fields or the comments of `issue`, the read that the goal expects)."""
    if draft.rng.random() < 0.2:
        return "comments", {"issue": reference(issue), "comments": True}
    fields = draft.rng.sample(list(FIELDS), draft.rng.randrange(1, 3))
    return " and the ".join(FIELDS[name] for name in fields), {"issue": reference(issue), "fields": fields}


def demonstrate(task: Task) -> Demonstration:
    reads = task.goal["reads"]
    state = task.site().state
    if "child" in task.goal:
        key, note = yield from locate(task, state.issues[task.goal["child"]["id"]])
        (issue,) = yield act("getIssue", {"issueIdOrKey": key, "fields": ["parent"]}, note)
        parent = issue["fields"]["parent"]
        key, note = quotation(issue, parent["fields"]["summary"], "key")
        yield _read(reads[0], key, note)
        return
    for read in reads:
        key, note = yield from locate(task, state.issues[read["issue"]["id"]])
        yield _read(read, key, note)


def _read(read: dict[str, Any], key: str, note: str) -> Turn:
    if read.get("comments"):
        return act("getComments", {"issueIdOrKey": key}, note)
    return act("getIssue", {"issueIdOrKey": key, "fields": read["fields"]}, note)


SCENARIO = AtlassianScenario(
    name="issue-read",
    tools=(
        "searchAndReconsileIssuesUsingJql",
        "getIssue",
        "getComments",
        "getTransitions",
        "findUsers",
        "getProject",
        "getAllLabels",
        "addComment",
        "editIssue",
        "assignIssue",
    ),
    draft=draft,
    check=issue_read.check,
    demonstrate=demonstrate,
)
