"""`ticket-transition`: move a ticket to a status in one or two moves, in some tasks with a resolution or a comment.

Difficulty 1 is one move of a ticket named by key. 2 is one move with extras, or two moves. 3 names the ticket by its
summary and may have both.

`ticket-transition-saturated` has the same tasks with the paper's reward. A prompted model already reaches its maximum.
"""

from __future__ import annotations

from typing import Any

from envs.episode import Task
from envs.scenarios.drafting import AtlassianScenario, Demonstration, Draft, act, locate, quotation, reference
from envs.site.adf import document
from envs.site.records import Project, Transition
from rewards import ticket_transition, ticket_transition_saturated

OPENING = (
    "Move {issue} to {status}{extras}.",
    "Please move {issue} to {status}{extras}.",
    "Set the status of {issue} to {status}{extras}.",
    "Change {issue} to {status}{extras}.",
    "The status of {issue} needs to be {status}{extras}.",
    "Could you change {issue} to {status}{extras}?",
    "Please change the status of {issue} to {status}{extras}.",
)
RESOLUTION = (" with the resolution {name}", " and set the resolution to {name}", " with resolution {name}")
COMMENT = (
    ' with the comment "{text}"',
    ' and comment "{text}"',
    ' and add this comment "{text}"',
    ' and add the comment "{text}"',
)

Path = tuple[Transition, ...]


def shortest_paths(project: Project, start: str, target: str) -> list[Path]:
    """All shortest sequences of transitions from status `start` to `target`, in the workflow's order."""
    level: list[tuple[str, Path]] = [(start, ())]
    visited = {start}
    while level:
        edges = [(path, edge) for status, path in level for edge in project.workflow.get(status, ())]
        level = [(edge.to, (*path, edge)) for path, edge in edges if edge.to not in visited]
        paths = [path for status, path in level if status == target]
        if paths:
            return paths
        visited |= {status for status, _ in level}
    return []


def draft(draft: Draft) -> tuple[str, dict[str, Any]]:
    rng, state = draft.rng, draft.state
    moves = {1: 1, 2: rng.choice((1, 2)), 3: rng.choice((1, 2))}[draft.difficulty]
    while True:
        issue = draft.issue()
        project = state.projects[issue.project_id]
        options = {status: shortest_paths(project, issue.status_id, status) for status in sorted(project.workflow)}
        targets = [status for status, paths in options.items() if paths and len(paths[0]) == moves]
        if targets:
            break
    target = rng.choice(targets)
    paths = options[target]
    goal: dict[str, Any] = {
        "issue": reference(issue),
        "status": state.statuses[target].name,
        "moves": [[transition.id for transition in path] for path in paths],
        "resolution": None,
        "comment": None,
    }
    extras = ""
    if (draft.difficulty == 2 and moves == 1) or (draft.difficulty == 3 and rng.random() < 0.5):
        if all(path[-1].resolution for path in paths) and rng.random() < 0.7:
            # The request must not ask for the first resolution, which is the default.
            goal["resolution"] = rng.choice(list(state.resolutions.values())[1:])
            extras += draft.phrase(RESOLUTION, name=goal["resolution"])
        else:
            goal["comment"] = draft.names.sentence()
            extras += draft.phrase(COMMENT, text=goal["comment"])
    issue_phrase = draft.issue_phrase(issue, by_key=draft.difficulty < 3)
    return draft.phrase(OPENING, issue=issue_phrase, status=goal["status"], extras=extras), goal


def demonstrate(task: Task) -> Demonstration:
    goal, state = task.goal, task.site().state
    key, note = yield from locate(task, state.issues[goal["issue"]["id"]])
    path = goal["moves"][0]
    for step, transition_id in enumerate(path, 1):
        (response,) = yield act("getTransitions", {"issueIdOrKey": key}, note)
        transition = next(t for t in response["transitions"] if t["id"] == transition_id)
        id, excerpt = quotation(response, transition["to"]["name"], "id")
        # With both statuses side by side, a model can see whether this is the last move, which takes the extras.
        note = f'"{goal["status"]}": {excerpt}'
        arguments: dict[str, Any] = {"issueIdOrKey": key, "transition": {"id": id}}
        if step == len(path):
            arguments |= _extras(goal)
        yield act("doTransition", arguments, note)
        note = ""


def _extras(goal: Any) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if goal["resolution"]:
        extras["fields"] = {"resolution": {"name": goal["resolution"]}}
    if goal["comment"]:
        extras["update"] = {"comment": [{"add": {"body": document(goal["comment"])}}]}
    return extras


TOOLS = (
    "getTransitions",
    "doTransition",
    "getIssue",
    "searchAndReconsileIssuesUsingJql",
    "getStatuses",
    "getComments",
    "assignIssue",
    "addWorklog",
    "linkIssues",
)
SCENARIO = AtlassianScenario("ticket-transition", TOOLS, draft, ticket_transition.check, demonstrate)
SATURATED = AtlassianScenario(
    "ticket-transition-saturated",
    TOOLS,
    draft,
    ticket_transition_saturated.check,
    demonstrate,
    draw_as="ticket-transition",
)
