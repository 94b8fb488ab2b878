"""Good ways to do a task. They have no unnecessary calls, so each deserves a perfect score."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from envs.episode import Task
from envs.site.records import State
from tests.support.calls import document
from tests.support.replay import Calls, oracle_calls

SEARCH = "searchAndReconsileIssuesUsingJql"


def ways(task: Task) -> Iterator[tuple[str, Calls]]:
    """The good ways to do a task, each with a name."""
    yield "oracle", oracle_calls(task.scenario, task.seed, task.split)
    yield from WAYS[task.scenario.removesuffix("-saturated")](task, task.site().state)


def _search(task: Task, state: State, reference: Any, fields: Sequence[str] = ("summary",)) -> Calls:
    """A search for the issue, or no call if the request gives its key."""
    if reference["key"] in task.prompt:
        return []
    issue = state.issues[reference["id"]]
    project = state.projects[issue.project_id]
    name = f'"{project.name}"' if project.name in task.prompt else project.key
    return [(SEARCH, {"jql": f'project = {name} AND summary ~ "{issue.summary}"', "fields": list(fields)})]


def _ways_to_read(task: Task, state: State) -> Iterator[tuple[str, Calls]]:
    calls = oracle_calls(task.scenario, task.seed, task.split)
    reads = task.goal["reads"]
    names = [["comment"] if read.get("comments") else read["fields"] for read in reads]
    by_fields = [call for call in calls if call[0] == SEARCH or call[1].get("fields") == ["parent"]]
    by_fields += [
        ("getIssue", {"fields": ["summary", *fields], "issueIdOrKey": read["issue"]["key"]})
        for read, fields in zip(reads, names, strict=True)
    ]
    yield "comments as a field, with the summary", by_fields
    if "child" not in task.goal:
        searches: Calls = []
        for read, fields in zip(reads, names, strict=True):
            by_key = (SEARCH, {"jql": f"key = {read['issue']['key']}", "fields": list(fields)})
            searches += _search(task, state, read["issue"], fields) or [by_key]
        yield "only searches", searches
    by_id = [(name, _with_integer_id(arguments, reads)) for name, arguments in calls]
    if all(read["issue"]["key"] not in task.prompt for read in reads):
        yield "by integer id", by_id
    yield "with other reads", [("getAllLabels", {}), *calls, ("findUsers", {"query": "a"})]


def _with_integer_id(arguments: Any, reads: Sequence[Any]) -> Any:
    """The arguments with the issue's id as an integer instead of its key."""
    ids = {read["issue"]["key"]: int(read["issue"]["id"]) for read in reads}
    key = arguments.get("issueIdOrKey")
    return {**arguments, "issueIdOrKey": ids.get(key, key)} if "issueIdOrKey" in arguments else arguments


def _ways_to_create(task: Task, state: State) -> Iterator[tuple[str, Calls]]:
    goal = task.goal
    *lookups, (_, oracle) = oracle_calls(task.scenario, task.seed, task.split)
    project = goal["project"]
    kinds = ("getCreateIssueMetaIssueTypes", {"projectIdOrKey": project["key"]})
    by_number = deepcopy(oracle)
    by_number["fields"]["issuetype"] = {"id": goal["issuetype"]["id"]}
    if goal["priority"]:
        by_number["fields"]["priority"] = {"id": int(goal["priority"]["id"])}
    if project["key"] in task.prompt or any(name == "searchProjects" for name, _ in lookups):
        reads = [*lookups, kinds, ("getPriorities", {})]
        yield "type and priority by id", [*reads, ("createIssue", by_number)]
        by_id = deepcopy(oracle)
        by_id["fields"]["project"] = {"id": project["id"]}
        yield "project by id", [*lookups, ("getProject", {"projectIdOrKey": project["key"]}), ("createIssue", by_id)]
    operations = deepcopy(oracle)
    fields = operations["fields"]
    operations["update"] = {"summary": [{"set": fields.pop("summary")}]}
    if goal["labels"]:
        del fields["labels"]
        operations["update"]["labels"] = [{"add": label} for label in reversed(goal["labels"])]
    if goal["labels"] is None:
        fields["labels"] = []
    if goal["assignee"] is None:
        fields["assignee"] = {"accountId": None}
    if goal["description"]:
        half = len(goal["description"]) // 2
        parts = [{"type": "text", "text": text} for text in (goal["description"][:half], goal["description"][half:])]
        parts[0]["marks"] = [{"type": "strong"}]
        fields["description"] = {"version": 1, "type": "doc", "content": [{"type": "heading", "attrs": {"level": 2}}]}
        fields["description"]["content"][0]["content"] = parts
    if goal["assignee"]:
        fields["assignee"] = {"id": goal["assignee"]}
    yield "operations, empty fields, text marks", [*lookups, ("createIssue", operations)]
    if goal["parent"]:
        number = deepcopy(oracle)
        number["fields"]["parent"] = {"id": int(goal["parent"]["id"])}
        read = ("getIssue", {"issueIdOrKey": goal["parent"]["key"], "fields": ["summary"]})
        yield "parent by id", [*lookups, read, ("createIssue", number)]
    new_key = f"{project['key']}-{state.projects[project['id']].next_number}"
    yield "read back after the creation", [*lookups, ("createIssue", oracle), ("getIssue", {"issueIdOrKey": new_key})]


def _ways_to_create_a_page(task: Task, state: State) -> Iterator[tuple[str, Calls]]:
    goal = task.goal
    *lookups, (_, oracle) = oracle_calls(task.scenario, task.seed, task.split)
    text = json.dumps(document(goal["body"]))
    bodies = {
        "nested": {"storage": {"value": f"<p>{goal['body']}</p>"}},
        "nested, named twice": {"storage": {"value": f"<p><em>{goal['body']}</em></p>", "representation": "storage"}},
        "ADF": {"representation": "atlas_doc_format", "value": text},
        "nested ADF": {"atlas_doc_format": {"value": text}},
        "wiki": {"representation": "wiki", "value": goal["body"]},
    }
    for name, body in bodies.items():
        yield name, [*lookups, ("createPage", {**oracle, "body": body})]
    numbers = {name: int(value) if name.endswith("Id") else value for name, value in oracle.items()}
    yield "integer ids, defaults", [*lookups, ("createPage", {**numbers, "status": "current", "root-level": False})]
    space, parent = goal["space"]["id"], goal["parent"]
    explicit = {**oracle, "parentId": parent["id"]}
    under = ("getPagesInSpace", {"id": space, "title": parent["title"]})
    yield "parent among the pages of the space", [("getSpaces", {}), under, ("createPage", explicit)]
    yield "with other reads", [*lookups, ("getSpaceById", {"id": space}), under, ("createPage", explicit)]


def _ways_to_move(task: Task, state: State) -> Iterator[tuple[str, Calls]]:
    goal = task.goal
    issue = goal["issue"]
    search = _search(task, state, issue)
    name: Any = int(issue["id"]) if search else issue["key"]
    extras: dict[str, Any] = {}
    if goal["resolution"]:
        extras["fields"] = {"resolution": {"name": goal["resolution"]}}
    if goal["comment"]:
        extras["update"] = {"comment": [{"add": {"body": document(goal["comment"])}}]}
    offers = ("getTransitions", {"issueIdOrKey": name})
    for path in goal["moves"]:
        calls = list(search)
        for place, move in enumerate(path):
            last = extras if place == len(path) - 1 else {}
            calls += [offers, ("doTransition", {"issueIdOrKey": name, "transition": {"id": int(move)}, **last})]
        yield f"path {path}", calls
        if goal["comment"] and len(path) > 1:
            first = {**calls[len(search) + 1][1], "update": extras["update"]}
            final = {key: value for key, value in calls[-1][1].items() if key != "update"}
            early = [*calls[: len(search) + 1], ("doTransition", first), *calls[len(search) + 2 : -1]]
            yield "comment with the first move", [*early, ("doTransition", final)]
        if goal["resolution"]:
            number = next(id for id, text in state.resolutions.items() if text == goal["resolution"])
            described = ("getTransitions", {"issueIdOrKey": name, "expand": "transitions.fields"})
            plain = {"issueIdOrKey": name, "transition": {"id": path[-1]}}
            comment = extras.get("update", {})
            by_field = {"fields": {"resolution": {"id": number}}, "update": comment}
            by_operation = {"update": {"resolution": [{"set": {"id": number}}], **comment}}
            for setting in (by_field, by_operation):
                yield "resolution by id", [*calls[:-2], described, ("doTransition", {**plain, **setting})]
        check = ("getIssue", {"issueIdOrKey": name, "fields": ["status"]})
        yield "with a check before and after", [*search, check, *calls[len(search) :], check]


def _ways_to_label(task: Task, state: State) -> Iterator[tuple[str, Calls]]:
    goal = task.goal
    issue = goal["issue"]
    search = _search(task, state, issue)
    name: Any = issue["id"] if search else issue["key"]
    read = ("getIssue", {"issueIdOrKey": name, "fields": ["labels"]})
    target = [label for label in goal["before"] if label not in goal["remove"]] + goal["add"]
    operations = [{"add": label} for label in goal["add"]] + [{"remove": label} for label in goal["remove"]]

    def edit(**changes: Any) -> tuple[str, Any]:
        return "editIssue", {"issueIdOrKey": name, **changes}

    yield "operations", [*search, edit(update={"labels": operations})]
    yield "operations, one by one", [*search, *(edit(update={"labels": [one]}) for one in operations)]
    yield "replacing", [*search, read, edit(fields={"labels": target}, notifyUsers=False)]
    yield "replacing by set", [*search, read, edit(update={"labels": [{"set": target[::-1]}]})]
    if goal["add"] and goal["remove"]:
        both = {"add": goal["add"][0], "remove": goal["remove"][0]}
        rest = [{"add": label} for label in goal["add"][1:]]
        yield "two verbs at once", [*search, edit(update={"labels": [both, *rest]})]
    if search:
        search_labels = _search(task, state, issue, ("labels",))
        yield "replacing after the search", [*search_labels, edit(fields={"labels": target})]


WAYS: dict[str, Callable[[Task, State], Iterator[tuple[str, Calls]]]] = {
    "issue-read": _ways_to_read,
    "issue-create": _ways_to_create,
    "page-create": _ways_to_create_a_page,
    "ticket-transition": _ways_to_move,
    "issue-labels": _ways_to_label,
}
