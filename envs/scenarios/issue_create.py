"""`issue-create`: create an issue with nested arguments. People, projects and parents may have to be looked up.

Difficulty 1 names the project's key and one or two optional fields. 2 has two or three, often the project's name or an
assignee. 3 also has a parent.
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
    quotation,
    reference,
)
from envs.site.adf import document
from envs.site.lookup import default_priority
from envs.site.records import Issue, Project
from rewards import issue_create

OPENING = (
    'Create a {type} in {project} with the summary "{summary}".',
    'Please create a {type} called "{summary}" in {project}.',
    'We need a new {type} called "{summary}" in {project}.',
    'In {project}, create a {type} with the summary "{summary}".',
    'Please add a {type} to {project} with the summary "{summary}".',
    'Could you please create a {type} called "{summary}" in {project}?',
    'In {project}, please create a new {type} called "{summary}".',
)
DESCRIPTION = (
    'Describe it as "{text}".',
    'The description is "{text}".',
    'Use the description "{text}".',
    'Also use the description "{text}".',
    'Please use the description "{text}".',
)
PRIORITY = (
    "Give it {name} priority.",
    "Its priority is {name}.",
    "Set the priority to {name}.",
    "Also set its priority to {name}.",
    "Please set its priority to {name}.",
)
LABELS = (
    "Give it {labels}.",
    "Add {labels}.",
    "It needs {labels}.",
    "Also add {labels}.",
    "Please add {labels}.",
)
ASSIGNEE = (
    "Assign it to {name}.",
    "The assignee is {name}.",
    "{name} will work on it.",
    "Also assign it to {name}.",
    "Please assign it to {name}.",
)
PARENT = (
    "Its parent is {parent}.",
    "Put it under {parent}.",
    "It belongs to {parent}.",
    "Also put it under {parent}.",
    "Please put it under {parent}.",
)


def draft(draft: Draft) -> tuple[str, dict[str, Any]]:
    rng, state = draft.rng, draft.state
    project = state.projects[rng.choice(sorted(state.projects))]
    parent = _parent(draft, project) if draft.difficulty == 3 else None
    kind = rng.choice(("Story", "Task", "Bug"))
    if parent and state.issue_types[parent.type_id].level == 0:
        kind = "Sub-task"
    type_id = next(t.id for t in state.issue_types.values() if t.name == kind)
    goal: dict[str, Any] = {
        "project": {"id": project.id, "key": project.key},
        "summary": draft.new_name(draft.names.summary, {issue.summary for issue in state.issues.values()}),
        "issuetype": {"id": type_id, "name": kind},
        "description": None,
        "priority": None,
        "labels": None,
        "assignee": None,
        "parent": reference(parent) if parent else None,
    }
    by_name = draft.difficulty > 1 and rng.random() < 0.4
    project_phrase = f'project "{project.name}"' if by_name else f"project {project.key}"
    sentences = [draft.phrase(OPENING, type=kind, project=project_phrase, summary=goal["summary"])]
    details = _details(draft, goal)
    if parent:
        parent_phrase = parent.key if rng.random() < 0.5 else f'the issue "{parent.summary}"'
        details.append(draft.phrase(PARENT, parent=parent_phrase))
    rng.shuffle(details)
    return " ".join(sentences + details), goal


def _parent(draft: Draft, project: Project) -> Issue:
    level = draft.rng.choice((0, 1))
    types = draft.state.issue_types
    return draft.issue(lambda issue: issue.project_id == project.id and types[issue.type_id].level == level)


def _details(draft: Draft, goal: dict[str, Any]) -> list[str]:
    """Draws one to three optional fields, and perhaps an assignee, into `goal`; returns their sentences."""
    rng, state = draft.rng, draft.state
    fields = rng.sample(("priority", "labels", "description"), 1 + (rng.random() < 0.5) + (draft.difficulty == 2))[:3]
    sentences = []
    if "description" in fields:
        goal["description"] = draft.names.sentence()
        sentences.append(draft.phrase(DESCRIPTION, text=goal["description"]))
    if "priority" in fields:
        # The request must not ask for the default, which a new issue gets anyway.
        priority_id = rng.choice(sorted(state.priorities.keys() - {default_priority(state)}))
        goal["priority"] = {"id": priority_id, "name": state.priorities[priority_id]}
        sentences.append(draft.phrase(PRIORITY, name=state.priorities[priority_id]))
    if "labels" in fields:
        goal["labels"] = [draft.names.label() for _ in range(rng.randrange(1, 3))]
        sentences.append(draft.phrase(LABELS, labels=labels_phrase(goal["labels"])))
    if draft.difficulty > 1 and rng.random() < 0.6:
        user = state.users[rng.choice(sorted(state.users))]
        goal["assignee"] = user.account_id
        sentences.append(draft.phrase(ASSIGNEE, name=user.display_name))
    return sentences


def demonstrate(task: Task) -> Demonstration:
    goal, state = task.goal, task.site().state
    note = ""
    project = state.projects[goal["project"]["id"]]
    # The parent's key starts with the project's.
    if f"project {project.key}" not in task.prompt and not goal["parent"]:
        (response,) = yield act("searchProjects", {"query": project.name})
        _, note = quotation(response, project.name, "key")
    if goal["assignee"]:
        name = state.users[goal["assignee"]].display_name
        (response,) = yield act("findUsers", {"query": name}, note)
        _, note = quotation(response, name, "accountId")
    if goal["parent"]:
        _, note = yield from locate(task, state.issues[goal["parent"]["id"]], note)
    yield act("createIssue", {"fields": create_fields(goal)}, note)


def create_fields(goal: Any) -> dict[str, Any]:
    """The `fields` of createIssue for a goal."""
    fields: dict[str, Any] = {
        "project": {"key": goal["project"]["key"]},
        "issuetype": {"name": goal["issuetype"]["name"]},
        "summary": goal["summary"],
    }
    if goal["description"]:
        fields["description"] = document(goal["description"])
    if goal["priority"]:
        fields["priority"] = {"name": goal["priority"]["name"]}
    if goal["labels"]:
        fields["labels"] = goal["labels"]
    if goal["assignee"]:
        fields["assignee"] = {"accountId": goal["assignee"]}
    if goal["parent"]:
        fields["parent"] = {"key": goal["parent"]["key"]}
    return fields


SCENARIO = AtlassianScenario(
    name="issue-create",
    tools=(
        "createIssue",
        "searchAndReconsileIssuesUsingJql",
        "getIssue",
        "findUsers",
        "findAssignableUsers",
        "getProject",
        "searchProjects",
        "getCreateIssueMetaIssueTypes",
        "getPriorities",
        "addComment",
        "deleteIssue",
    ),
    draft=draft,
    check=issue_create.check,
    demonstrate=demonstrate,
)
