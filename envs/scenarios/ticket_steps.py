"""The demonstrations of `ticket-transition`, one for each kind of plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from envs.episode import Task
from envs.protocol import Turn
from envs.scenarios.drafting import Demonstration, act, quotation
from envs.scenarios.ticket_moves import Plan
from envs.site.adf import document

Steps = Generator[Turn, list[Any], str]
"""Yields turns, receives responses and returns the note for the next turn."""


def demonstrate(task: Task) -> Demonstration:
    """The first note says which candidates the request means, where it names several."""
    plan: Plan = task.goal["plan"]
    steps = DEMONSTRATORS[plan["kind"]](plan)
    turn = replace(next(steps), content=", ".join(plan.get("chosen", ())))
    try:
        while True:
            turn = steps.send((yield turn))
    except StopIteration as end:
        return end.value


def find(plan: Plan, fields: list[str]) -> Generator[Turn, list[Any], tuple[Any, str, list[str]]]:
    """Reads a ticket: its fields, its key, and what to note of the key if it had to be searched."""
    if "key" in plan:
        (response,) = yield act("getIssue", {"issueIdOrKey": plan["key"], "fields": fields})
        return response["fields"], plan["key"], []
    response = yield from look_up(plan, fields)
    (issue,) = response["issues"]
    return issue["fields"], issue["key"], [f'"key": "{issue["key"]}"']


def look_up(plan: Plan, fields: list[str]) -> Generator[Turn, list[Any], Any]:
    """The response to a search for a summary in a project."""
    jql = f'project = {plan["project"]} AND summary ~ "{plan["summary"]}"'
    (response,) = yield act("searchAndReconsileIssuesUsingJql", {"jql": jql, "fields": fields})
    return response


def move_along(plan: Plan, key: str, note: str = "") -> Steps:
    """Looks at the transitions and makes the move, for every move of the plan."""
    for step, transition_id in enumerate(plan["moves"]):
        (response,) = yield act("getTransitions", {"issueIdOrKey": key}, note)
        excerpt = excerpt_of(response, transition_id)
        # With both statuses side by side, a model can see whether this is the last move.
        yield act("doTransition", transition(plan, key, step), f'"{plan["status"]}": {excerpt}')
        note = ""
    return note


def excerpt_of(response: Any, transition_id: str) -> str:
    """The excerpt of a response from the status that a transition leads to up to the transition's id."""
    name = next(item["to"]["name"] for item in response["transitions"] if item["id"] == transition_id)
    text, end = json.dumps(response), f'{json.dumps(name)}}}, "id": "{transition_id}"'
    assert end in text
    return end


def transition(plan: Plan, key: str, step: int) -> dict[str, Any]:
    """The arguments of one move, with what belongs to it."""
    arguments: dict[str, Any] = {"issueIdOrKey": key, "transition": {"id": plan["moves"][step]}}
    if plan["resolution"] and step == len(plan["moves"]) - 1:
        arguments["fields"] = {"resolution": {"name": plan["resolution"]}}
    if plan["comment"] and step == plan["comment_at"]:
        arguments["update"] = {"comment": [{"add": {"body": document(plan["comment"])}}]}
    return arguments


def seen(fields: Any, name: str) -> str:
    """A field as a response shows it, up to the name of its value."""
    value = fields.get(name)
    if isinstance(value, str):
        return f'"{name}": "{value}"'
    shown = next((value[key] for key in ("displayName", "name") if key in value), None) if value else None
    if shown is None:
        return f'"{name}": {json.dumps(value)}'
    return f'"{name}": {{"{"displayName" if "displayName" in value else "name"}": {json.dumps(shown)}'


def show_move(plan: Plan) -> Demonstration:
    key, note = plan.get("key"), ""
    if key is None:
        response = yield from look_up(plan, ["summary"])
        key, note = quotation(response, plan["summary"], "key")
    yield from move_along(plan, key, note)
    return None


def show_unassigned(plan: Plan) -> Demonstration:
    fields, key, notes = yield from find(plan, ["assignee", "reporter"])
    note = ", ".join([seen(fields, "assignee"), *notes])
    if fields["assignee"] is None:
        account, excerpt = quotation(fields["reporter"], fields["reporter"]["displayName"], "accountId")
        yield act("assignIssue", {"issueIdOrKey": key, "accountId": account}, f'{note}, "reporter": {excerpt}')
        note = ""
    yield from move_along(plan, key, note)
    return None


def show_branch(plan: Plan) -> Demonstration:
    field = "assignee" if plan["field"] == "none" else plan["field"]
    fields, key, notes = yield from find(plan, [field])
    if field == "parent":
        parent, excerpt = quotation(fields["parent"], fields["parent"]["fields"]["summary"], "key")
        note = ", ".join([*notes, f'"parent": {excerpt}'])
        (response,) = yield act("getIssue", {"issueIdOrKey": parent, "fields": ["status"]}, note)
        fields, field, notes = response["fields"], "status", []
    verdict = "yes" if plan["holds"] else "no"
    note = ", ".join([*notes, seen(fields, field), f'"{plan["value"] or "none"}": {verdict}'])
    if plan["moves"]:
        yield from move_along(plan, key, note)
    else:
        yield act("addComment", {"issueIdOrKey": key, "body": document(plan["comment"])}, note)
    return None


def show_set(plan: Plan) -> Demonstration:
    (response,) = yield act("searchAndReconsileIssuesUsingJql", {"jql": plan["jql"], "fields": ["status"]})
    keys = [issue["key"] for issue in response["issues"] if issue["key"] not in plan["left"]]
    note = ", ".join(f'"key": "{key}"' for key in keys)
    (response,) = yield act("getTransitions", {"issueIdOrKey": keys[0]}, note)
    excerpt = excerpt_of(response, plan["moves"][0])
    for key in keys:
        # All are in one status of one project, so the transition is the same.
        yield act("doTransition", transition(plan, key, 0), f'"{key}": {excerpt}')
    return None


def show_twin(plan: Plan) -> Demonstration:
    response = yield from look_up(plan, [plan["field"]])
    issue = next(issue for issue in response["issues"] if issue["key"] == plan["key_of_twin"])
    both = [seen(issue["fields"], plan["field"]) for issue in response["issues"]]
    note = f'{"; ".join(both)}: "key": "{issue["key"]}"'
    yield from move_along(plan, issue["key"], note)
    return None


def show_no_ticket(plan: Plan) -> Demonstration:
    yield from look_up(plan, ["summary"])
    return "Cannot: there is no such ticket"


def show_no_status(plan: Plan) -> Demonstration:
    yield act("getStatuses", {})
    return "Cannot: there is no such status"


def show_no_resolution(plan: Plan) -> Demonstration:
    yield act("getTransitions", {"issueIdOrKey": plan["key"], "expand": "transitions.fields"})
    return "Cannot: there is no such resolution"


def show_not_offered(plan: Plan) -> Demonstration:
    key, note = plan.get("key"), ""
    if key is None:
        response = yield from look_up(plan, ["summary"])
        key, note = quotation(response, plan["summary"], "key")
    yield act("getTransitions", {"issueIdOrKey": key}, note)
    return "Cannot: no such move is offered"


def show_finished(plan: Plan) -> Demonstration:
    fields, key, _ = yield from find(plan, ["status", "resolution"])
    yield from move_along(plan, key, f"{seen(fields, 'status')}, {seen(fields, 'resolution')}")
    return None


def show_pair(plan: Plan) -> Demonstration:
    jql = f"key in ({', '.join(plan['keys'])})"
    (response,) = yield act("searchAndReconsileIssuesUsingJql", {"jql": jql, "fields": ["status"]})
    states = [f'{seen(issue["fields"], "status")}, "key": "{issue["key"]}"' for issue in response["issues"]]
    yield from move_along(plan, plan["key"], "; ".join(states))
    return None


def show_half_done(plan: Plan) -> Demonstration:
    fields, key, _ = yield from find(plan, ["status", "comment"])
    note = f'"{plan["asked"]}": {seen(fields, "status")}'
    if plan["moves"]:
        yield from move_along(plan, key, note)
    else:
        yield act("addComment", {"issueIdOrKey": key, "body": document(plan["comment"])}, note)
    return None


DEMONSTRATORS: dict[str, Callable[[Plan], Demonstration]] = {
    "move": show_move,
    "unassigned": show_unassigned,
    "branch": show_branch,
    "set": show_set,
    "twin": show_twin,
    "no ticket": show_no_ticket,
    "no status": show_no_status,
    "no resolution": show_no_resolution,
    "not offered": show_not_offered,
    "finished": show_finished,
    "pair": show_pair,
    "half done": show_half_done,
}
