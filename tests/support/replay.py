"""Episodes of real responses: calls played on a fresh site, other good ways to a goal, and bad ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from random import Random
from typing import Any

from envs.atlassian import AtlassianEnv, Task
from envs.protocol import ToolCall, Turn
from envs.scenarios import SCENARIOS
from envs.scripts import oracle_turns
from envs.site.records import State
from rewards import Check
from rewards.discipline import FREE_READS
from rewards.trace import Call, Kind
from tests.support import truth
from tests.support.examples import document

Calls = list[tuple[str, Any]]
SEARCH = "searchAndReconsileIssuesUsingJql"


def oracle_calls(scenario: str, seed: int, split: Any = "train") -> Calls:
    return [
        (call.name, call.arguments) for turn in oracle_turns(SCENARIOS[scenario], seed, split) for call in turn.calls
    ]


def required(env: AtlassianEnv) -> list[int]:
    """The indices of the calls that an episode needs: writes, and reads that alone gave what a later call uses.

    A value is taken for given when it stands in the request or in another response before its use, as text.
    """
    return [i for i, call in enumerate(env.trace) if call.kind == Kind.WRITE or _is_the_only_source(env, i)]


def _is_the_only_source(env: AtlassianEnv, index: int) -> bool:
    shown = _strings(env.trace[index].body)
    for place in range(index + 1, len(env.trace)):
        others = [call.body for call in (*env.trace[:index], *env.trace[index + 1 : place])]
        given = env.task.prompt + json.dumps(others)
        if any(value in shown and value not in given for value in _strings(env.trace[place].arguments)):
            return True
    return False


def _strings(value: Any) -> set[str]:
    if isinstance(value, dict | list):
        return set().union(*map(_strings, value.values() if isinstance(value, dict) else value))
    return {value} if isinstance(value, str) else set()


def play(task: Task, calls: Sequence[tuple[str, Any]]) -> AtlassianEnv:
    """The finished episode; the arguments are copied, as if they came over a wire."""
    scenario = SCENARIOS[task.scenario]
    env = AtlassianEnv(task, scenario.tools, scenario.check)
    for name, arguments in calls:
        env.step(Turn("", (ToolCall(name, deepcopy(arguments)),)))
    return env


# Other ways to the same goal, none of them wasteful


def ways(task: Task) -> Iterator[tuple[str, Calls]]:
    """Named ways to do a task that a perfect score is due to."""
    yield "oracle", oracle_calls(task.scenario, task.seed, task.split)
    yield from WAYS[task.scenario.removesuffix("-saturated")](task, task.site().state)


def _found(task: Task, state: State, reference: Any, fields: Sequence[str] = ("summary",)) -> Calls:
    """A search for the issue, where the request does not give its key."""
    if reference["key"] in task.prompt:
        return []
    issue = state.issues[reference["id"]]
    project = state.projects[issue.project_id]
    named = f'"{project.name}"' if project.name in task.prompt else project.key
    return [(SEARCH, {"jql": f'project = {named} AND summary ~ "{issue.summary}"', "fields": list(fields)})]


def _ways_to_read(task: Task, state: State) -> Iterator[tuple[str, Calls]]:
    calls = oracle_calls(task.scenario, task.seed, task.split)
    reads = task.goal["reads"]
    names = [["comment"] if read.get("comments") else read["fields"] for read in reads]
    by_fields = [call for call in calls if call[0] == SEARCH or call[1].get("fields") == ["parent"]]
    by_fields += [
        ("getIssue", {"fields": ["summary", *fields], "issueIdOrKey": read["issue"]["key"]})
        for read, fields in zip(reads, names, strict=True)
    ]
    yield "comments as a field, the summary along", by_fields
    if "child" not in task.goal:
        searches: Calls = []
        for read, fields in zip(reads, names, strict=True):
            by_key = (SEARCH, {"jql": f"key = {read['issue']['key']}", "fields": list(fields)})
            searches += _found(task, state, read["issue"], fields) or [by_key]
        yield "searches alone", searches
    numbered = [(name, _renamed(arguments, reads)) for name, arguments in calls]
    if all(read["issue"]["key"] not in task.prompt for read in reads):
        yield "by integer id", numbered
    yield "with other reads", [("getAllLabels", {}), *calls, ("findUsers", {"query": "a"})]


def _renamed(arguments: Any, reads: Sequence[Any]) -> Any:
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
    yield "operations, nothing said in words, marks", [*lookups, ("createIssue", operations)]
    if goal["parent"]:
        number = deepcopy(oracle)
        number["fields"]["parent"] = {"id": int(goal["parent"]["id"])}
        read = ("getIssue", {"issueIdOrKey": goal["parent"]["key"], "fields": ["summary"]})
        yield "parent by id", [*lookups, read, ("createIssue", number)]
    made = f"{project['key']}-{state.projects[project['id']].next_number}"
    yield "and read back", [*lookups, ("createIssue", oracle), ("getIssue", {"issueIdOrKey": made})]


def _ways_to_create_a_page(task: Task, state: State) -> Iterator[tuple[str, Calls]]:
    goal = task.goal
    *lookups, (_, oracle) = oracle_calls(task.scenario, task.seed, task.split)
    text = json.dumps(document(goal["body"]))
    bodies = {
        "nested": {"storage": {"value": f"<p>{goal['body']}</p>"}},
        "nested, named again": {"storage": {"value": f"<p><em>{goal['body']}</em></p>", "representation": "storage"}},
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
    yield "pages of the space", [("getSpaces", {}), under, ("createPage", explicit)]
    yield "with other reads", [*lookups, ("getSpaceById", {"id": space}), under, ("createPage", explicit)]


def _ways_to_move(task: Task, state: State) -> Iterator[tuple[str, Calls]]:
    goal = task.goal
    issue = goal["issue"]
    found = _found(task, state, issue)
    name: Any = int(issue["id"]) if found else issue["key"]
    extras: dict[str, Any] = {}
    if goal["resolution"]:
        extras["fields"] = {"resolution": {"name": goal["resolution"]}}
    if goal["comment"]:
        extras["update"] = {"comment": [{"add": {"body": document(goal["comment"])}}]}
    offers = ("getTransitions", {"issueIdOrKey": name})
    for path in goal["moves"]:
        calls = list(found)
        for place, move in enumerate(path):
            last = extras if place == len(path) - 1 else {}
            calls += [offers, ("doTransition", {"issueIdOrKey": name, "transition": {"id": int(move)}, **last})]
        yield f"path {path}", calls
        if goal["comment"] and len(path) > 1:
            first = {**calls[len(found) + 1][1], "update": extras["update"]}
            final = {key: value for key, value in calls[-1][1].items() if key != "update"}
            early = [*calls[: len(found) + 1], ("doTransition", first), *calls[len(found) + 2 : -1]]
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
        yield "with checks between", [*found, check, *calls[len(found) :], check]


def _ways_to_label(task: Task, state: State) -> Iterator[tuple[str, Calls]]:
    goal = task.goal
    issue = goal["issue"]
    found = _found(task, state, issue)
    name: Any = issue["id"] if found else issue["key"]
    read = ("getIssue", {"issueIdOrKey": name, "fields": ["labels"]})
    target = [label for label in goal["before"] if label not in goal["remove"]] + goal["add"]
    operations = [{"add": label} for label in goal["add"]] + [{"remove": label} for label in goal["remove"]]

    def edit(**changes: Any) -> tuple[str, Any]:
        return "editIssue", {"issueIdOrKey": name, **changes}

    yield "operations", [*found, edit(update={"labels": operations})]
    yield "operations, one by one", [*found, *(edit(update={"labels": [one]}) for one in operations)]
    yield "replacing", [*found, read, edit(fields={"labels": target}, notifyUsers=False)]
    yield "replacing by set", [*found, read, edit(update={"labels": [{"set": target[::-1]}]})]
    if goal["add"] and goal["remove"]:
        both = {"add": goal["add"][0], "remove": goal["remove"][0]}
        rest = [{"add": label} for label in goal["add"][1:]]
        yield "two verbs at once", [*found, edit(update={"labels": [both, *rest]})]
    if found:
        whole = _found(task, state, issue, ("labels",))
        yield "replacing after the search", [*whole, edit(fields={"labels": target})]


WAYS: dict[str, Callable[[Task, State], Iterator[tuple[str, Calls]]]] = {
    "issue-read": _ways_to_read,
    "issue-create": _ways_to_create,
    "page-create": _ways_to_create_a_page,
    "ticket-transition": _ways_to_move,
    "issue-labels": _ways_to_label,
}


# Bad ways


def spoiled(task: Task, random: Random) -> Calls:
    """One of the good ways after up to three changes: calls lost, doubled, moved or added, arguments changed."""
    state = task.site().state
    calls = deepcopy(random.choice(list(ways(task)))[1])
    for _ in range(random.randrange(4)):
        change = random.choice((_lose, _double, _move, _add, _add, _spoil, _spoil, _spoil, _spoil))
        calls = change(calls, state, random, SCENARIOS[task.scenario].tools)
    return calls


def _lose(calls: Calls, state: State, random: Random, tools: Sequence[str]) -> Calls:
    place = random.randrange(len(calls) or 1)
    return calls[:place] + calls[place + 1 :]


def _double(calls: Calls, state: State, random: Random, tools: Sequence[str]) -> Calls:
    return calls + deepcopy(calls[random.randrange(len(calls)) :][:1]) if calls else calls


def _move(calls: Calls, state: State, random: Random, tools: Sequence[str]) -> Calls:
    place = random.randrange(len(calls) + 1)
    return calls[place:] + calls[:place]


def _add(calls: Calls, state: State, random: Random, tools: Sequence[str]) -> Calls:
    """One more call, most often one that changes something."""
    place = random.randrange(len(calls) + 1)
    return [*calls[:place], _other_call(state, random, tools), *calls[place:]]


def _other_call(state: State, random: Random, tools: Sequence[str]) -> tuple[str, Any]:
    issue, other = random.choice(list(state.issues.values())), random.choice(list(state.issues.values()))
    page = random.choice(list(state.pages))
    comment = {"comment": [{"add": {"body": document("Noted.")}}]}
    moves = state.projects[issue.project_id].workflow.get(issue.status_id, ())
    transition = random.choice(moves).id if moves else "1"
    link = {"inwardIssue": {"key": issue.key}, "outwardIssue": {"key": other.key}, "type": {"name": "Relates"}}
    fields = {"project": {"id": issue.project_id}, "issuetype": {"name": "Task"}, "summary": "Another"}
    place = {"issueIdOrKey": issue.key}
    options = {
        "addComment": {**place, "body": document("Noted.")},
        "assignIssue": {**place, "accountId": random.choice([*state.users, None])},
        "editIssue": {**place, **random.choice(({"fields": {"labels": []}}, {"update": comment}, {"fields": {}}))},
        "doTransition": {**place, "transition": {"id": transition}},
        "addWorklog": {**place, "timeSpentSeconds": 60},
        "linkIssues": link,
        "createIssue": {"fields": fields},
        "deleteIssue": {**place, "deleteSubtasks": True},
        "createPage": {"spaceId": state.pages[page].space_id, "title": "Another"},
        "deletePage": {"id": page},
        "createFooterComment": {"pageId": page, "body": {"representation": "storage", "value": "<p>x</p>"}},
        "addLabelsToContent": {"id": page, "labels": [{"prefix": "global", "name": "x"}]},
        "getIssue": place,
        "getPageById": {"id": page},
        "inventedTool": place,
    }
    name = random.choice([name for name in options if name in tools or name == "inventedTool"])
    return name, options[name]


def _spoil(calls: Calls, state: State, random: Random, tools: Sequence[str]) -> Calls:
    """One argument of one call, the later the likelier, dropped, replaced, moved up or joined by another."""
    if not calls:
        return calls
    place = max(random.randrange(len(calls)), random.randrange(len(calls)))
    name, arguments = calls[place]
    return [*calls[:place], (name, _changed(arguments, state, random)), *calls[place + 1 :]]


def _changed(value: Any, state: State, random: Random) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.85:
        name = random.choice(list(value))
        rest = {key: member for key, member in value.items() if key != name}
        action = random.choice(("inside", "inside", "inside", "drop", "hoist", "extra", "null"))
        if action == "drop":
            return rest
        if action == "hoist" and isinstance(value[name], dict):
            return {**rest, **value[name]}
        if action == "null":
            return {**value, name: None}
        if action == "extra":
            return {**value, **_extra(state, random)}
        return {**value, name: _changed(value[name], state, random)}
    if isinstance(value, list) and value:
        place = random.randrange(len(value))
        if random.random() < 0.3:
            return value[:place] + value[place + 1 :]
        return [*value[:place], _changed(value[place], state, random), *value[place + 1 :]]
    return random.choice([value, *_others(value, state, random)])


def _extra(state: State, random: Random) -> dict[str, Any]:
    issue = random.choice(list(state.issues.values()))
    return random.choice(
        (
            {"labels": ["x"]},
            {"priority": {"name": "Low"}},
            {"assignee": {"accountId": random.choice(list(state.users))}},
            {"assignee": None},
            {"description": None},
            {"description": document("More.")},
            {"summary": "Other words"},
            {"id": issue.id},
            {"accountId": None},
            {"root-level": True},
            {"status": "draft"},
            {"comment": [{"add": {"body": document("Noted.")}}]},
            {"resolution": {"name": "Declined"}},
            {"update": {"labels": [{"add": "x"}]}},
            {"remove": "x"},
            {"maxResults": 1},
            {"startAt": 1},
            {"set": ["x"]},
            {"text": "x"},
        )
    )


def _others(value: Any, state: State, random: Random) -> list[Any]:
    """Other values for a scalar: near misses, and the ids of other things."""
    issue, page = random.choice(list(state.issues.values())), random.choice(list(state.pages.values()))
    near = [f"{value} ", f" {value}", str(value).upper(), str(value).lower(), None, "", True]
    marked = [f"<p>{value}</p><p>x</p>", f"{value}<ac:image />", f"<h1>{value}</h1>", f"{value}<br/>"]
    ids = [issue.id, issue.key, page.id, page.space_id, issue.project_id, random.choice(list(state.users))]
    moves = [move.id for offered in state.projects[issue.project_id].workflow.values() for move in offered]
    return [*near, *marked, *ids, random.choice(moves), "current", "Low", "Task"]


def is_true(env: AtlassianEnv) -> bool:
    """Whether the goal holds at the end of an episode and nothing else was changed."""
    bodies = [call.body for call in env.trace if call.ok]
    goal = {**env.task.goal, "scenario": env.task.scenario}
    return truth.holds(goal, env.task.site().snapshot(), env.site.snapshot(), bodies)


def is_blameless(env: AtlassianEnv) -> bool:
    """Whether no call of an episode failed, was repeated without a write in between, or used an id that nobody gave."""
    known = truth.known_ids(env.task.goal, env.task.site().snapshot(), env.site.snapshot())
    heard = [(call.arguments, call.body) for call in env.trace]
    forms = [json.dumps([call.name, call.arguments], sort_keys=True) for call in env.trace]
    ends = [place + 1 for place, call in enumerate(env.trace) if call.kind == Kind.WRITE]
    between = [forms[i:j] for i, j in pairwise([0, *ends, len(forms)])]
    distinct = all(len(set(part)) == len(part) for part in between)
    return distinct and all(call.ok for call in env.trace) and not truth.guesses(env.task.prompt, heard, known)


def is_plain(env: AtlassianEnv) -> bool:
    """Whether an episode is so plain that a perfect score depends on the site alone.

    It has no more writes than it takes, so few reads that they are free in any case, and asks for nothing that is not
    there, be it an issue or a field.
    """
    reads = [call for call in env.trace if call.kind == Kind.READ]
    told = [call.body for call in reads if isinstance(call.body, list)]
    told += [part for call in reads if isinstance(call.body, dict) for part in call.body.values()]
    writes = len(env.trace) - len(reads)
    return [] not in told and {} not in told and len(reads) <= FREE_READS and writes <= _writes(env.task)


def _writes(task: Task) -> int:
    return len(task.goal["moves"][0]) if "moves" in task.goal else 1


def contradictions(check: Check, episodes: Sequence[AtlassianEnv]) -> list[Sequence[Call]]:
    """The traces that score 1.0 although the site is not as it should be."""
    perfect = [env for env in episodes if check(env.task.goal, env.trace).total == 1.0]
    return [env.trace for env in perfect if not is_true(env)]
