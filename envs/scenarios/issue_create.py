"""`issue-create`: create an issue with nested arguments. People, projects and parents may have to be looked up.

Difficulty 1 names the project's key and asks for one or two of priority, labels and description. 2 asks for two or
three, names the project by its name or its key, and often a person as the assignee. 3 also has a parent, named by key
or by summary; some requests are lists of fields. At 2 and 3, most requests name two candidates for the project, the
summary or the type, mostly for two of these, and say which is meant. 4 is one of these:

- a value has to be read elsewhere: the reporter or assignee of another issue, the lead of the project, the priority,
  the labels or the parent of another issue;
- a field depends on a condition on another issue;
- the issue may exist already, with something missing or wrong that has to be mended;
- the person, the project, the parent or the issue type does not exist, so that nothing can be created.

A request never asks for the default priority. The goal's member `way` is for the demonstrator alone.
"""

from __future__ import annotations

from typing import Any

import envs.scenarios.issue_create_frames as frames
from envs.scenarios.decoys import is_asked
from envs.scenarios.drafting import AtlassianScenario, Draft
from envs.scenarios.goals import issue_goal
from envs.scenarios.issue_create_oracle import demonstrate
from envs.scenarios.issue_create_request import (
    OPTIONAL,
    Wish,
    draw_person,
    draw_priority,
    is_repeated,
    lines,
    sentences,
)
from envs.site.adf import document
from envs.site.lookup import default_priority
from envs.site.records import Issue, Project
from rewards import issue_create

STANDARD = ("Story", "Task", "Bug")
NO_TYPES = ("Incident", "Improvement", "Feature", "Question", "Change", "Risk")
"""Issue types that no project has."""
PAIR = ("project", "summary")
WRONG = (PAIR, PAIR, PAIR, ("project",), ("project", "type"), ("summary", "type"), (*PAIR, "type"))
"""What a request may name two candidates for."""
ASSIGNED = 0.6
"""The share of requests with an assignee, from difficulty 2 on."""


def draft(draft: Draft) -> tuple[str, dict[str, Any]]:
    while True:
        draft.wording.clear()
        try:
            if draft.difficulty < 4:
                return _plain(draft)
            return draft.rng.choice((_elsewhere, _condition, _half_made, _impossible))(draft)
        except IndexError:
            pass  # The site lacks something that the task needs.


def _plain(draft: Draft) -> tuple[str, dict[str, Any]]:
    wish = _wish(draft)
    if is_asked(draft):
        for name in draft.rng.choice(WRONG):
            wish.wrong[name] = _candidate(wish, name)
    if draft.difficulty == 3:
        wish.parent()
    _add_details(wish)
    request = draft.request(*sentences(wish))
    return lines(request), wish.goal(request)


def _wish(draft: Draft) -> Wish:
    rng, state = draft.rng, draft.state
    project = state.projects[rng.choice(sorted(state.projects))]
    kinds = (
        (*STANDARD, "Epic") if draft.difficulty < 3 else (*STANDARD, "Sub-task") if draft.difficulty == 3 else STANDARD
    )
    summary = draft.new_name(draft.names.summary, {issue.summary for issue in state.issues.values()})
    return Wish(draft, project, draft.difficulty > 1 and rng.random() < 0.4, rng.choice(kinds), summary)


def _candidate(wish: Wish, name: str) -> str:
    """Another project, summary or type than the wish's."""
    draft, rng = wish.draft, wish.draft.rng
    if name == "summary":
        return draft.new_name(draft.names.summary, {issue.summary for issue in draft.state.issues.values()})
    if name == "type":
        return rng.choice([kind for kind in STANDARD if kind != wish.type])
    others = draft.state.projects
    other = others[rng.choice(sorted(others.keys() - {wish.project.id}))]
    return other.name if rng.random() < 0.4 else other.key


def _add_details(wish: Wish, *without: str) -> None:
    """Draws some optional attributes into the wish: all but those in `without`."""
    rng, difficulty = wish.draft.rng, wish.draft.difficulty
    names = [name for name in OPTIONAL if name not in without]
    count = {1: rng.choice((1, 2)), 2: rng.choice((2, 3)), 3: rng.choice((1, 2)), 4: rng.choice((0, 1, 1, 2))}[
        difficulty
    ]
    for name in rng.sample(names, min(count, len(names))):
        getattr(wish, name)()
    if difficulty > 1 and "assignee" not in without and rng.random() < ASSIGNED:
        wish.assignee()


# Kinds of difficulty 4
ELSEWHERE = {
    "reporter": frames.WHO_REPORTED,
    "assignee": frames.WHO_WORKS,
    "lead": frames.LEAD,
    "priority": frames.SAME_PRIORITY,
    "labels": frames.SAME_LABELS,
    "parent": frames.SAME_PARENT,
}
"""What has to be read -> how a request asks for the same."""


def _elsewhere(draft: Draft) -> tuple[str, dict[str, Any]]:
    """A field gets a value that has to be read: from another issue, or the lead of the project."""
    wish, state = _wish(draft), draft.state
    source = draft.rng.choice(sorted(ELSEWHERE))
    target = "assignee" if source in ("reporter", "lead") else source
    levels = {id: kind.level for id, kind in state.issue_types.items()}

    def has_value(issue: Issue) -> bool:
        if issue.project_id != wish.project.id or (
            source == "priority" and issue.priority_id == default_priority(state)
        ):
            return False
        if source == "parent" and levels[issue.type_id] != 0:
            return False
        return bool(_value(issue, source)) and (target != "assignee" or state.users[_value(issue, source)].active)

    _add_details(wish, target)
    phrase = ""
    wish.way = {"read": source}
    if source == "lead":
        value = wish.project.lead
        if not state.users[value].active:
            raise IndexError
    else:
        issue = draft.issue(has_value)
        value = _value(issue, source)
        by_key = draft.rng.random() < 0.75 or is_repeated(draft, issue)
        wish.way |= {"key": issue.key} if by_key else {"summary": issue.summary, "id": issue.id}
        phrase = issue.key
        if not by_key:
            kind = state.issue_types[issue.type_id].name.lower()
            phrase = draft.part(frames.ISSUE_SUMMARY, kind=kind, summary=issue.summary, project=wish.project_phrase)
            wish.lookups.append([issue.id, issue.key])
    wish.create[target] = list(value) if source == "labels" else value
    wish.lookups += _aliases(draft, target, value)
    request = draft.request(*sentences(wish, draft.phrase(ELSEWHERE[source], issue=phrase)))
    return lines(request), wish.goal(request)


def _value(issue: Issue, source: str) -> Any:
    names = {"priority": "priority_id", "parent": "parent_id"}
    return getattr(issue, names.get(source, source))


def _aliases(draft: Draft, target: str, value: Any) -> list[list[str]]:
    """The look-ups of a value that the request does not say."""
    if target == "labels":
        return [[label] for label in value]
    if target == "priority":
        return [[value, draft.state.priorities[value]]]
    return [[value, draft.state.issues[value].key]] if target == "parent" else [[value]]


def _condition(draft: Draft) -> tuple[str, dict[str, Any]]:
    """A field depends on a condition on another issue."""
    wish, rng = _wish(draft), draft.rng
    target = rng.choice(("assignee", "priority", "labels", "parent"))
    _add_details(wish, target)
    condition, holds = _draw_condition(wish)
    yes, no = _outcomes(wish, target)
    wanted = yes if holds else no
    if wanted is not None:
        wish.create[target] = [wanted[0]] if target == "labels" else wanted[0]
        wish.lookups += [[wanted[0]]] if target == "assignee" else []
    wish.way |= {"wanted": None if wanted is None else wanted[1], "target": target}
    if no is None:
        sentence = draft.phrase(frames.ONLY_IF[target], condition=condition, yes=yes[1])
    else:
        sentence = draft.phrase(frames.EITHER[target], condition=condition, yes=yes[1], no=no[1])
    request = draft.request(*sentences(wish, sentence))
    return lines(request), wish.goal(request)


def _draw_condition(wish: Wish) -> tuple[str, bool]:
    """(a condition on an issue of the wish's project, whether it holds). It is about one field of the issue."""
    draft, state, rng = wish.draft, wish.draft.state, wish.draft.rng
    name, holds = rng.choice(sorted(frames.CONDITIONS)), rng.random() < 0.5
    statuses = state.statuses
    value = ""
    if name == "assignee":
        issue = draft.issue(lambda i: i.project_id == wish.project.id and (i.assignee is None) == holds)
    else:
        issue = draft.issue(lambda i: i.project_id == wish.project.id and bool(i.labels))
        present, all_names = {
            "status": ([statuses[issue.status_id].name], [statuses[id].name for id in sorted(wish.project.workflow)]),
            "priority": ([state.priorities[issue.priority_id]], sorted(state.priorities.values())),
            "labels": (
                list(issue.labels),
                sorted({label for i in state.issues.values() if i.project_id == wish.project.id for label in i.labels}),
            ),
        }[name]
        value = rng.choice(present if holds else [other for other in all_names if other not in present])
    wish.way = {"if": name, "key": issue.key, "value": value}
    return draft.part(frames.CONDITIONS[name], issue=issue.key, value=value), holds


def _outcomes(wish: Wish, target: str) -> tuple[tuple[str, str], tuple[str, str] | None]:
    """The values (goal's value, name in the request) of the target if the condition holds and if not."""
    draft = wish.draft
    both = draft.rng.random() < 0.65
    if target == "assignee":
        first = draw_person(draft)
        second = draw_person(draft, first.account_id)
        yes, no = (first.account_id, first.display_name), (second.account_id, second.display_name)
    elif target == "priority":
        yes = draw_priority(draft)
        no = draw_priority(draft, yes[0])
    elif target == "labels":
        yes, no = ((label, label) for label in (draft.names.label(), draft.names.label()))
    else:
        epics = draft.state.issue_types
        epic = draft.issue(lambda i: i.project_id == wish.project.id and epics[i.type_id].level == 1)
        return (epic.id, epic.key), None
    return yes, no if both else None


def _half_made(draft: Draft) -> tuple[str, dict[str, Any]]:
    """The issue may exist already; then what is missing or wrong has to be mended, otherwise it has to be created."""
    wish, rng, state = _wish(draft), draft.rng, draft.state
    names = rng.sample(("priority", "labels", "assignee", "description"), rng.choice((2, 2, 3)))
    for name in names:
        getattr(wish, name)()
    exists = rng.random() < 0.5
    wrong = set(rng.sample(names, rng.randrange(1, len(names))))
    if exists:
        issue = _create_half(wish, wrong)
        wish.way = {"asked": names, "wrong": [name for name in names if name in wrong]}
    elif rng.random() < 0.4 and len(state.projects) > 1:
        other = rng.choice(sorted(state.projects.keys() - {wish.project.id}))
        _post(wish, {"project": {"id": other}, **_start(wish, set(names))})
        wish.way = {"asked": names}
    else:
        wish.way = {"asked": names}
    request = draft.request(*sentences(wish, draft.phrase(frames.MEND), opening=frames.MAKE_SURE))
    goal = wish.goal(request)
    if exists:
        target = {name: wish.create[name] for name in names if name in wrong}
        if "labels" in target:
            missing = [label for label in target["labels"] if label not in issue.labels]
            target["labels"] = {"add": missing, "remove": []}
        del goal["create"]
        goal["issues"] = [issue_goal(state, issue, **target)]
        goal["lookups"] = [[issue.id, issue.key], *([[target["assignee"]]] if "assignee" in target else [])]
    return lines(request), goal


def _create_half(wish: Wish, wrong: set[str]) -> Issue:
    """Creates the issue with the attributes in `wrong` missing or different."""
    body = _post(wish, {"project": {"id": wish.project.id}, **_start(wish, wrong)})
    return wish.draft.state.issues[body["id"]]


def _start(wish: Wish, wrong: set[str]) -> dict[str, Any]:
    """The fields of an issue like the wish's, in which the attributes in `wrong` are missing or different."""
    draft, wanted = wish.draft, wish.create
    fields: dict[str, Any] = {"summary": wish.summary, "issuetype": {"name": wish.type}}
    differs = {name: name in wrong and draft.rng.random() < 0.6 for name in sorted(wanted)}
    for name in sorted(wanted):
        if name in wrong and not differs[name]:
            continue
        if name == "priority":
            fields[name] = {"id": draw_priority(draft, wanted[name])[0] if differs[name] else wanted[name]}
        elif name == "labels":
            # One of two labels may be there. No other ones are, so that none is wrong.
            fields[name] = wanted[name][:-1] if differs[name] else wanted[name]
        elif name == "assignee":
            account = draw_person(draft, wanted[name]).account_id if differs[name] else wanted[name]
            fields[name] = {"accountId": account}
        else:
            fields[name] = document(draft.names.sentence() if differs[name] else wanted[name])
    return fields


def _post(wish: Wish, fields: dict[str, Any]) -> Any:
    return wish.draft.write("POST", "/rest/api/3/issue", {"fields": fields})


def _impossible(draft: Draft) -> tuple[str, dict[str, Any]]:
    """The person, the project, the parent or the issue type that the request names does not exist."""
    wish, state, rng = _wish(draft), draft.state, draft.rng
    missing = rng.choice(("person", "project", "parent", "type"))
    _add_details(wish, *(["assignee"] if missing == "person" else []))
    if missing == "person":
        name = draft.new_name(draft.names.person, {user.display_name for user in state.users.values()})
        wish.said["assignee"] = name
    elif missing == "project":
        names = {text.upper() for project in state.projects.values() for text in (project.name, project.key)}
        name = draft.names.project() if wish.by_name else draft.names.key()
        if any(name.upper() in other for other in names):
            raise IndexError
        wish.project = Project("", name, name, "", (), {}, "", 0)
    elif missing == "parent":
        name = draft.new_name(draft.names.summary, {wish.summary, *(issue.summary for issue in state.issues.values())})
        wish.said["parent"] = ("epic", name, False)
    else:
        name = wish.type = rng.choice(NO_TYPES)
    request = draft.request(*sentences(wish))
    way = {"missing": missing, "name": name, "project": wish.project.name if wish.by_name else wish.project.key}
    return lines(request), {"impossible": True, "lookups": [], "way": way}


SCENARIO = AtlassianScenario(
    name="issue-create",
    tools=(
        "createIssue",
        "editIssue",
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
