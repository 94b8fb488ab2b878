"""Demonstrates how an issue is created: from the request and the responses."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any

from envs.episode import Task
from envs.protocol import Turn
from envs.scenarios.drafting import Demonstration, act, quotation
from envs.scenarios.goals import issue_facts
from envs.scenarios.issue_create_request import OPTIONAL
from envs.site import adf
from envs.site.adf import document
from envs.site.records import State

Reads = Generator[Turn, list[Any], str]
"""Turns that return the note for the turn after them."""


def demonstrate(task: Task) -> Demonstration:
    goal, way = task.goal, task.goal["way"]
    if goal.get("impossible"):
        yield from _look_for_missing(way)
        kind = {"person": "user", "type": "issue type"}.get(way["missing"], way["missing"])
        return f"Cannot: there is no {kind} {way['name']}."
    state = task.site().state
    wanted = goal["create"]["issue"] if "create" in goal else issue_facts(state, state.issues[goal["issues"][0]["id"]])
    project = state.projects[wanted["project"]]
    key, note = project.key, chosen(way)
    if project.name in task.prompt:
        (response,) = yield act("searchProjects", {"query": project.name}, note)
        key, note = quotation(response, project.name, "key")
    if "asked" in way:
        (response,) = yield _search(key, wanted["summary"], way["asked"], note)
        note = _excerpt(response["issues"], [*way["asked"], "key"]) or "issues: none"
        if "issues" in goal:
            yield from _mend(task, response["issues"][0]["key"], note)
            return None
    fields = _fields(state, wanted, key)
    if "if" in way:
        (response,) = yield act("getIssue", {"issueIdOrKey": way["key"], "fields": [way["if"]]}, note)
        note = _excerpt(response["fields"], [way["if"]])
    if "read" in way:
        note = yield from _read_elsewhere(way, fields, key, note)
    parent = state.issues[wanted["parent"]] if "parent" in wanted and way.get("read") != "parent" else None
    if parent and not re.search(rf"\b{parent.key}\b", task.prompt):
        (response,) = yield _search(key, parent.summary, [], note)
        parent_key, note = quotation(response, parent.summary, "key")
        fields["parent"] = {"key": parent_key}
    if "assignee" in wanted and "assignee" not in fields:
        fields["assignee"], note = yield from _find_user(state.users[wanted["assignee"]].display_name, note)
    yield act("createIssue", {"fields": fields}, note)
    return None


def chosen(way: Any) -> str:
    """The first note where the request names two candidates: which of them it means."""
    return ", ".join(f"{name}: {value}" for name, value in way.get("chosen", {}).items())


def _fields(state: State, wanted: Any, key: str) -> dict[str, Any]:
    """The `fields` of createIssue, except for the assignee."""
    fields: dict[str, Any] = {
        "project": {"key": key},
        "issuetype": {"name": state.issue_types[wanted["type"]].name},
        "summary": wanted["summary"],
    }
    return fields | {name: _field(state, name, wanted[name]) for name in (*OPTIONAL, "parent") if name in wanted}


def _field(state: State, name: str, value: Any) -> Any:
    if name == "description":
        return document(value)
    if name == "priority":
        return {"name": state.priorities[value]}
    return {"key": state.issues[value].key} if name == "parent" else value


def _search(key: str, summary: str, names: list[str], note: str) -> Turn:
    jql = f'project = {key} AND summary ~ "{summary}"'
    return act("searchAndReconsileIssuesUsingJql", {"jql": jql, "fields": ["summary", *names]}, note)


def _excerpt(holder: Any, names: list[str]) -> str:
    """The members `names` of an issue's fields, or of the first of a list of issues, as the response has them."""
    if isinstance(holder, list):
        return _excerpt({**holder[0]["fields"], **holder[0]}, names) if holder else ""
    texts = []
    for name in names:
        value = holder[name]
        if name == "description" and value is not None:
            value = adf.text(value)
        elif isinstance(value, dict):
            label = "displayName" if "displayName" in value else "name"
            value = {label: value[label]}
        texts.append(f"{name}: none" if not value else f'"{name}": {json.dumps(value)}'.rstrip("}"))
    return ", ".join(texts)


def _find_user(name: str, note: str) -> Generator[Turn, list[Any], tuple[dict[str, str], str]]:
    (response,) = yield act("findUsers", {"query": name}, note)
    account, note = quotation(response, name, "accountId")
    return {"accountId": account}, note


def _read_elsewhere(way: Any, fields: dict[str, Any], key: str, note: str) -> Reads:
    """Reads the value of one of `fields` and writes it there."""
    source = way["read"]
    if source == "lead":
        (response,) = yield act("getProject", {"projectIdOrKey": key}, note)
        holder = response
    elif "summary" in way:
        (response,) = yield _search(key, way["summary"], [source], note)
        holder = response["issues"][0]["fields"]
    else:
        (response,) = yield act("getIssue", {"issueIdOrKey": way["key"], "fields": [source]}, note)
        holder = response["fields"]
    value = holder[source]
    if source == "labels":
        fields["labels"], note = value, _excerpt(holder, ["labels"])
    elif source == "priority":
        fields["priority"], note = {"name": value["name"]}, _excerpt(holder, ["priority"])
    elif source == "parent":
        parent_key, note = quotation(response, value["fields"]["summary"], "key")
        fields["parent"] = {"key": parent_key}
    else:
        account, note = quotation(response, value["displayName"], "accountId")
        fields["assignee"] = {"accountId": account}
    return note


def _mend(task: Task, key: str, note: str) -> Generator[Turn, list[Any], None]:
    """Sets what is missing or wrong."""
    state, target = task.site().state, task.goal["issues"][0]["target"]
    arguments: dict[str, Any] = {"issueIdOrKey": key}
    fields: dict[str, Any] = {name: _field(state, name, target[name]) for name in target if name in OPTIONAL}
    if "labels" in fields:
        arguments["update"] = {"labels": [{"add": label} for label in fields.pop("labels")["add"]]}
    if "assignee" in target:
        fields["assignee"], note = yield from _find_user(state.users[target["assignee"]].display_name, note)
    yield act("editIssue", arguments | ({"fields": fields} if fields else {}), note)


def _look_for_missing(way: Any) -> Generator[Turn, list[Any], None]:
    """The reads that show that something does not exist."""
    name, project = way["name"], way["project"]
    if way["missing"] == "person":
        yield act("findUsers", {"query": name})
        return
    if way["missing"] == "project":
        yield act("searchProjects", {"query": name})
        return
    note = ""
    if " " in project:
        (response,) = yield act("searchProjects", {"query": project})
        project, note = quotation(response, project, "key")
    if way["missing"] == "parent":
        yield _search(project, name, [], note)
    else:
        yield act("getCreateIssueMetaIssueTypes", {"projectIdOrKey": project}, note)
