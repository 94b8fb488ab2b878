"""Jira's issues: create, read, edit, delete, assign."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from envs.site.http import Request, Response, jira_error, operation
from envs.site.jira.changes import Operations, apply_changes, read_changes, read_operations
from envs.site.jira.field_values import NO_PARENT, NO_SUMMARY, FieldError, Target, read_account, read_project, read_type
from envs.site.jira.issue_view import NAVIGABLE, IssueView, select_fields
from envs.site.jira.parameters import AUTOMATIC, body_object, field_errors, query_boolean, require_issue
from envs.site.jira.render import issue_url, transition_json
from envs.site.jira.screens import CREATE_SCREEN, EDIT_SCREEN
from envs.site.lookup import available_transitions, default_priority, identifier
from envs.site.records import Issue, State

_USER_MEMBERS = (
    *("accountId", "accountType", "active", "appType", "applicationRoles", "avatarUrls", "displayName", "emailAddress"),
    *("expand", "groups", "key", "locale", "name", "self", "timeZone"),
)
"""The members that assignIssue's body may have: those of the document's `User`."""


@operation("createIssue", "POST", "/rest/api/3/issue")
def create_issue(state: State, request: Request) -> Response:
    operations = read_operations(body_object(request))
    errors: dict[str, str] = {}
    target = _new_target(state, operations, errors)
    changes = read_changes(target, {n: s for n, s in operations.items() if n not in errors}, CREATE_SCREEN, errors)
    if "summary" not in errors and "summary" not in changes.values:
        errors["summary"] = NO_SUMMARY
    subtask = target.type is not None and target.type.subtask
    if subtask and "parent" not in errors and changes.values.get("parent_id") is None:
        errors["issuetype"] = NO_PARENT
    if errors or target.project is None or target.type is None:
        raise field_errors(errors)
    issue = _create(state, target, changes.values)
    return Response(201, {"id": issue.id, "key": issue.key, "self": issue_url(issue.id)})


def _new_target(state: State, operations: Operations, errors: dict[str, str]) -> Target:
    """Reads the project and the type of a new issue; the checks of other fields depend on them."""
    target = Target(state, None, None)
    try:
        target.project = read_project(state, _last_set(operations, "project"))
    except FieldError as error:
        errors["project"] = str(error)
    try:
        target.type = read_type(state, target.project, _last_set(operations, "issuetype"))
    except FieldError as error:
        errors["issuetype"] = str(error)
    # A null parent means no parent. If the type needs one, create_issue adds the error to the type.
    if operations.get("parent") == [("set", None)]:
        del operations["parent"]
    # A null priority asks for the default.
    if operations.get("priority") == [("set", None)]:
        del operations["priority"]
    return target


def _last_set(operations: Operations, name: str) -> Any:
    return next((value for verb, value in reversed(operations.get(name, [])) if verb == "set"), None)


def _create(state: State, target: Target, values: dict[str, Any]) -> Issue:
    assert target.project is not None
    project = target.project
    now = state.tick()
    defaults = {
        "status_id": project.initial_status,
        "priority_id": default_priority(state),
        "reporter": state.current_user,
    }
    identity = {"id": state.new_id(), "key": f"{project.key}-{project.next_number}", "created": now, "updated": now}
    issue = Issue(**(defaults | values | identity))
    state.projects[project.id] = replace(project, next_number=project.next_number + 1)
    state.issues[issue.id] = issue
    state.issue_keys[issue.key] = issue.id
    return issue


@operation("getIssue", "GET", "/rest/api/3/issue/{issueIdOrKey}")
def get_issue(state: State, request: Request) -> Response:
    issue = require_issue(state, request)
    selectors, expand = request.values("fields"), request.values("expand")
    body = IssueView(state).issue(issue, select_fields(selectors) if selectors else NAVIGABLE)
    if not {"transitions", "transitions.fields"}.isdisjoint(expand):
        with_fields = "transitions.fields" in expand
        body["transitions"] = [
            transition_json(state, transition, with_fields) for transition in available_transitions(state, issue)
        ]
    return Response(200, body)


@operation("editIssue", "PUT", "/rest/api/3/issue/{issueIdOrKey}")
def edit_issue(state: State, request: Request) -> Response:
    issue = require_issue(state, request)
    return_issue = query_boolean(request, "returnIssue")
    body = body_object(request)
    if "fields" not in body and "update" not in body:
        raise jira_error(400, "one of 'fields' or 'update' required")
    operations = read_operations(body)
    errors: dict[str, str] = {}
    target = Target(state, state.projects[issue.project_id], state.issue_types[issue.type_id], issue)
    changes = read_changes(target, operations, EDIT_SCREEN, errors)
    if errors:
        raise field_errors(errors)
    issue = apply_changes(state, issue, changes)
    if not return_issue:
        return Response(204)
    return Response(200, IssueView(state).issue(issue, NAVIGABLE))


@operation("deleteIssue", "DELETE", "/rest/api/3/issue/{issueIdOrKey}")
def delete_issue(state: State, request: Request) -> Response:
    issue = require_issue(state, request)
    with_subtasks = query_boolean(request, "deleteSubtasks")
    subtasks = IssueView(state).children.get(issue.id, [])
    if subtasks and not with_subtasks:
        raise jira_error(
            400,
            f"The issue '{issue.key}' has subtasks.  You must specify the 'deleteSubtasks' parameter to delete "
            "this issue and all its subtasks.",
        )
    state.tick()
    deleted_ids = {issue.id, *(subtask.id for subtask in subtasks)}
    for issue_id in deleted_ids:
        del state.issue_keys[state.issues.pop(issue_id).key]
    for survivor in list(state.issues.values()):
        links = tuple(link for link in survivor.links if link.other not in deleted_ids)
        parent_id = None if survivor.parent_id in deleted_ids else survivor.parent_id
        if parent_id != survivor.parent_id or len(links) < len(survivor.links):
            state.issues[survivor.id] = replace(survivor, links=links, parent_id=parent_id)
    return Response(204)


@operation("assignIssue", "PUT", "/rest/api/3/issue/{issueIdOrKey}/assignee")
def assign_issue(state: State, request: Request) -> Response:
    issue = require_issue(state, request)
    body = body_object(request, _USER_MEMBERS)
    if "accountId" not in body:
        raise field_errors({"accountId": "The 'accountId' of the assignee is required; null unassigns the issue."})
    account_id = body["accountId"]
    try:
        if account_id is None:
            assignee = None
        elif identifier(account_id) == AUTOMATIC:
            assignee = state.projects[issue.project_id].lead
        else:
            assignee = read_account(state, account_id)
    except FieldError as error:
        raise field_errors({"assignee": str(error)}) from None
    state.issues[issue.id] = replace(issue, assignee=assignee, updated=state.tick())
    return Response(204)
