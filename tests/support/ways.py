"""Good ways to do a task. They have no unnecessary calls, so each deserves a perfect score.

Each is the oracle's way with one call written otherwise, or with looks around that are free.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from envs.episode import Task
from envs.scenarios import SCENARIOS
from envs.site.records import Issue, State
from tests.support.reading import storage_text
from tests.support.replay import oracle_calls, start

Call = tuple[str, Any]
Calls = Sequence[Call]
SEARCH = "searchAndReconsileIssuesUsingJql"


def ways(task: Task) -> Iterator[tuple[str, Calls]]:
    """The good ways to do a task, each with a name."""
    calls = oracle_calls(task)
    yield "oracle", calls
    yield from rewritten(task)
    looks = [call for call in LOOKS if call[0] in SCENARIOS[task.scenario].tools and call not in calls]
    yield "with a look around", [*looks[:3], *calls]
    yield "with a check at the end", [*calls, *looks[:1], *check(task)]


def rewritten(task: Task) -> Iterator[tuple[str, Calls]]:
    """The oracle's way with one call written otherwise."""
    calls, tools = oracle_calls(task), SCENARIOS[task.scenario].tools
    for place, (name, arguments) in enumerate(calls):
        for way, replacement in OTHERWISE.get(name, lambda *_: iter(()))(start(task), deepcopy(arguments)):
            if all(tool in tools for tool, _ in replacement):
                yield way, [*calls[:place], *replacement, *calls[place + 1 :]]


LOOKS: Calls = (("getAllLabels", {}), ("getPriorities", {}), ("getCurrentUser", {}), ("findUsers", {"query": "an"}))


def check(task: Task) -> Calls:
    """A read of what was changed."""
    ids = [entry["id"] for entry in task.goal.get("issues", ())]
    shown = {id for id in ids if task.goal["site"]["issues"][id]["key"] in task.prompt}
    keys = [task.goal["site"]["issues"][id]["key"] for id in shown]
    return [("getIssue", {"issueIdOrKey": key}) for key in keys[:1] if "getIssue" in SCENARIOS[task.scenario].tools]


def issue_of(state: State, arguments: Any) -> Issue:
    name = str(arguments["issueIdOrKey"])
    return state.issues.get(name) or state.issues[state.issue_keys[name]]


def edits(state: State, arguments: Any) -> Iterator[tuple[str, Calls]]:
    place = {"issueIdOrKey": arguments["issueIdOrKey"]}
    operations = arguments.get("update", {}).get("labels", [])
    yield "without a notice", [("editIssue", {**arguments, "notifyUsers": False})]
    if len(operations) > 1:
        yield "labels one by one", [("editIssue", {**place, "update": {"labels": [one]}}) for one in operations]
    adds = [one["add"] for one in operations if "add" in one]
    removes = [one["remove"] for one in operations if "remove" in one]
    if operations and len(arguments) == 2 and len(arguments["update"]) == 1:
        now = [label for label in issue_of(state, arguments).labels if label not in removes]
        read = ("getIssue", {**place, "fields": ["summary", "labels"]})
        target = [*now, *(label for label in adds if label not in now)]
        yield "labels replaced", [read, ("editIssue", {**place, "fields": {"labels": target}})]
        yield "labels replaced by set", [read, ("editIssue", {**place, "update": {"labels": [{"set": target[::-1]}]}})]
    if arguments.get("fields") and "update" not in arguments:
        update = {name: [{"set": one}] for name, one in arguments["fields"].items()}
        yield "fields by operations", [("editIssue", {**place, "update": update})]
        if len(update) > 1:
            yield "one by one", [("editIssue", {**place, "fields": {n: v}}) for n, v in arguments["fields"].items()]
        if list(update) == ["assignee"]:
            account = arguments["fields"]["assignee"]["accountId"]
            yield "assigned", [("assignIssue", {**place, "accountId": account})]


def creations(state: State, arguments: Any) -> Iterator[tuple[str, Calls]]:
    fields = arguments["fields"]
    middle = list(state.priorities)[len(state.priorities) // 2]
    empty = {"labels": [], "priority": {"id": middle}, "assignee": {"accountId": None}}
    more = {name: one for name, one in empty.items() if name not in fields}
    yield "empty fields and the default priority", [("createIssue", {**arguments, "fields": {**fields, **more}})]
    rest = {name: one for name, one in fields.items() if name not in ("summary", "labels")}
    update: dict[str, Any] = {"summary": [{"set": fields["summary"]}]}
    if fields.get("labels"):
        update["labels"] = [{"add": label} for label in reversed(fields["labels"])]
    yield "operations", [("createIssue", {**arguments, "fields": rest, "update": update})]
    if "description" in fields:
        marked = deepcopy(fields)
        (paragraph,) = marked["description"]["content"]
        text = paragraph["content"][0]["text"]
        half = text.index(" ") + 1
        parts = [{"type": "text", "text": text[:half], "marks": [{"type": "strong"}]}]
        parts.append({"type": "text", "text": text[half:]})
        marked["description"]["content"] = [{"type": "heading", "attrs": {"level": 2}, "content": parts}]
        yield "a heading with marks", [("createIssue", {**arguments, "fields": marked})]
    if "assignee" in fields:
        named = {**fields, "assignee": {"id": fields["assignee"]["accountId"]}}
        yield "assignee by id", [("createIssue", {**arguments, "fields": named})]
    if "priority" in fields:
        number = next(id for id, name in state.priorities.items() if name == fields["priority"]["name"])
        by_number = {**fields, "priority": {"id": int(number)}}
        yield "priority by number", [("createIssue", {**arguments, "fields": by_number})]


def pages(state: State, arguments: Any) -> Iterator[tuple[str, Calls]]:
    name = "createPage" if "spaceId" in arguments else "updatePage"
    text = storage_text(arguments["body"]["value"])
    adf = {"type": "doc", "version": 1, "content": []}
    adf["content"] = [{"type": "paragraph", "content": [{"type": "text", "text": line}]} for line in text.split("\n")]
    lines = [f"<p>{line}</p>" for line in text.replace("&", "&amp;").split("\n")]
    bodies: dict[str, Any] = {
        "nested": {"storage": {"value": "".join(lines), "representation": "storage"}},
        "emphasis": {
            "representation": "storage",
            "value": "".join(lines).replace("<p>", "<p><em>").replace("</p>", "</em></p>"),
        },
        "line breaks": {"representation": "storage", "value": "\n".join(lines).replace(" ", "\n")},
        "ADF": {"representation": "atlas_doc_format", "value": json.dumps(adf)},
    }
    for way, body in bodies.items():
        yield way, [(name, {**arguments, "body": body})]
    if name == "createPage":
        ids = {key: int(one) if key.endswith("Id") else one for key, one in arguments.items()}
        yield "integer ids, defaults", [(name, {**ids, "status": "current", "root-level": False})]


def moves(state: State, arguments: Any) -> Iterator[tuple[str, Calls]]:
    place = {"issueIdOrKey": arguments["issueIdOrKey"]}
    yield "integer id", [("doTransition", {**arguments, "transition": {"id": int(arguments["transition"]["id"])}})]
    yield (
        "by the issue's key in small letters",
        [("doTransition", {**arguments, "issueIdOrKey": str(arguments["issueIdOrKey"]).lower()})],
    )
    if "resolution" in arguments.get("fields", {}):
        name = arguments["fields"]["resolution"]["name"]
        update = {**arguments.get("update", {}), "resolution": [{"set": {"name": name}}]}
        rest = {key: one for key, one in arguments.items() if key != "fields"}
        yield "resolution by operation", [("doTransition", {**rest, "update": update})]
    screen = [m for group in state.projects.values() for ms in group.workflow.values() for m in ms]
    required = any(m.id == arguments["transition"]["id"] and getattr(m, "required", ()) for m in screen)
    if "comment" in arguments.get("update", {}) and not required:
        body = arguments["update"]["comment"][0]["add"]["body"]
        rest = {key: one for key, one in arguments.items() if key != "update"}
        yield "comment on its own", [("doTransition", rest), ("addComment", {**place, "body": body})]


def comments(state: State, arguments: Any) -> Iterator[tuple[str, Calls]]:
    update = {"comment": [{"add": {"body": arguments["body"]}}]}
    yield "comment by an edit", [("editIssue", {"issueIdOrKey": arguments["issueIdOrKey"], "update": update})]


def assignments(state: State, arguments: Any) -> Iterator[tuple[str, Calls]]:
    fields = {"assignee": {"accountId": arguments["accountId"]}}
    yield "assigned by an edit", [("editIssue", {"issueIdOrKey": arguments["issueIdOrKey"], "fields": fields})]


def reads(state: State, arguments: Any) -> Iterator[tuple[str, Calls]]:
    yield "default fields", [("getIssue", {"issueIdOrKey": arguments["issueIdOrKey"]})]
    if "fields" in arguments:
        yield "more fields", [("getIssue", {**arguments, "fields": [*arguments["fields"], "summary", "created"]})]


def searches(state: State, arguments: Any) -> Iterator[tuple[str, Calls]]:
    yield "all fields", [(SEARCH, {**arguments, "fields": ["*all"]})]
    if "ORDER BY" not in arguments["jql"]:
        jql = f"{arguments['jql']} AND priority in (1, 2, 3, 4, 5)"
        yield "constants in the query", [(SEARCH, {**arguments, "jql": jql})]


OTHERWISE: dict[str, Callable[[State, Any], Iterator[tuple[str, Calls]]]] = {
    "editIssue": edits,
    "createIssue": creations,
    "createPage": pages,
    "updatePage": pages,
    "doTransition": moves,
    "addComment": comments,
    "assignIssue": assignments,
    "getIssue": reads,
    SEARCH: searches,
}
