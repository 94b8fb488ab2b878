"""`issue-labels`: add and remove labels on an issue without losing the others.

Difficulty 1 changes one label of an issue named by key. 2 adds labels and may remove one. 3 names it by its summary.
"""

from __future__ import annotations

from typing import Any

from envs.episode import Task
from envs.scenarios.drafting import (
    AtlassianScenario,
    Demonstration,
    Draft,
    act,
    labels_phrase,
    locate,
    quoted,
    reference,
)
from rewards import issue_labels

ADD = ("add {labels}", "give it {labels}", "attach {labels} to it", "add {labels} to it")
REMOVE = (
    "remove {labels} from its labels",
    "take {labels} off its labels",
    "drop {labels} from its labels",
    "remove {labels} from the labels",
)
OPENING = (
    "On {issue}, {changes}.",
    "Please change the labels of {issue}: {changes}.",
    "For {issue}, {changes}.",
    "The labels of {issue} need a change: {changes}.",
    "Could you please change {issue}: {changes}?",
    "For {issue}, please {changes}.",
)


def draft(draft: Draft) -> tuple[str, dict[str, Any]]:
    rng = draft.rng
    issue = draft.issue(lambda issue: bool(issue.labels))
    adding = rng.random() < 0.6 if draft.difficulty == 1 else True
    removing = not adding if draft.difficulty == 1 else rng.random() < 0.7
    two_labels = draft.difficulty > 1 and rng.random() < 0.4
    add = [draft.new_name(draft.names.label, set(issue.labels)) for _ in range(1 + two_labels)] if adding else []
    remove = [rng.choice(issue.labels)] if removing else []
    changes = []
    if add:
        changes.append(draft.phrase(ADD, labels=labels_phrase(add)))
    if remove:
        changes.append(draft.phrase(REMOVE, labels=quoted(remove)))
    rng.shuffle(changes)
    issue_phrase = draft.issue_phrase(issue, by_key=draft.difficulty < 3)
    goal = {"issue": reference(issue), "before": list(issue.labels), "add": add, "remove": remove}
    return draft.phrase(OPENING, issue=issue_phrase, changes=" and ".join(changes)), goal


def demonstrate(task: Task) -> Demonstration:
    goal, state = task.goal, task.site().state
    key, note = yield from locate(task, state.issues[goal["issue"]["id"]])
    operations = [{"add": label} for label in goal["add"]] + [{"remove": label} for label in goal["remove"]]
    yield act("editIssue", {"issueIdOrKey": key, "update": {"labels": operations}}, note)


SCENARIO = AtlassianScenario(
    name="issue-labels",
    tools=(
        "getIssue",
        "editIssue",
        "searchAndReconsileIssuesUsingJql",
        "getAllLabels",
        "getComments",
        "getProject",
        "addComment",
        "assignIssue",
        "findUsers",
    ),
    draft=draft,
    check=issue_labels.check,
    demonstrate=demonstrate,
)
