"""Jira's workflows: the statuses, the transitions that an issue offers, and performing one."""

from __future__ import annotations

from typing import Any

from envs.site.http import Request, Response, jira_error, operation
from envs.site.jira.changes import apply_changes, read_changes, read_operations
from envs.site.jira.field_values import Target
from envs.site.jira.parameters import as_integer, body_object, field_errors, require_issue
from envs.site.jira.render import status_details_json, transition_json
from envs.site.jira.screens import RESOLUTION_SCREEN, TRANSITION_SCREEN
from envs.site.lookup import available_transitions, identifier
from envs.site.records import Issue, State, Transition


@operation("getTransitions", "GET", "/rest/api/3/issue/{issueIdOrKey}/transitions")
def get_transitions(state: State, request: Request) -> Response:
    issue = require_issue(state, request)
    id = request.first("transitionId")
    transitions = [
        transition_json(state, transition, "transitions.fields" in request.values("expand"))
        for transition in available_transitions(state, issue)
        if id is None or transition.id == id
    ]
    return Response(200, {"transitions": transitions})


@operation("doTransition", "POST", "/rest/api/3/issue/{issueIdOrKey}/transitions")
def do_transition(state: State, request: Request) -> Response:
    issue = require_issue(state, request)
    body = body_object(request)
    transition = _read_transition(state, issue, body)
    operations = read_operations(body)
    screen = RESOLUTION_SCREEN if transition.resolution else TRANSITION_SCREEN
    errors: dict[str, str] = {}
    target = Target(state, state.projects[issue.project_id], state.issue_types[issue.type_id], issue)
    changes = read_changes(target, operations, screen, errors)
    given = {"resolution": "resolution" in changes.values, "comment": bool(changes.comments)}
    for name in transition.required:
        if not given[name]:
            errors.setdefault(name, f"{screen[name].name} is required.")
    if errors:
        raise field_errors(errors)
    changes.values["status_id"] = transition.to
    if state.statuses[transition.to].category != "done":
        changes.values.setdefault("resolution", None)
    elif "resolution" not in changes.values:
        changes.values["resolution"] = issue.resolution or next(iter(state.resolutions.values()), None)
    apply_changes(state, issue, changes)
    return Response(204)


def _read_transition(state: State, issue: Issue, body: dict[Any, Any]) -> Transition:
    reference = body.get("transition")
    if reference is None or (isinstance(reference, dict) and reference.get("id") is None):
        raise jira_error(400, "Missing 'transition' identifier")
    id = identifier(reference.get("id")) if isinstance(reference, dict) else None
    if id is None or as_integer(id) is None:
        raise jira_error(400, "'transition' identifier must be an integer")
    transition = next((item for item in available_transitions(state, issue) if item.id == id), None)
    if transition is None:
        raise jira_error(400, f"Transition id '{id}' is not valid for this issue.")
    return transition


@operation("getStatuses", "GET", "/rest/api/3/status")
def get_statuses(state: State, request: Request) -> Response:
    return Response(200, [status_details_json(status) for status in state.statuses.values()])
