"""Difficulty 4 of `ticket-transition`: tasks that need a decision after reading."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import envs.scenarios.ticket_wording as say
from envs.scenarios.drafting import Draft
from envs.scenarios.goals import issue_goal
from envs.scenarios.ticket_moves import (
    Move,
    Named,
    Way,
    around,
    asides,
    ask,
    draw_issue,
    draw_move,
    endings,
    loops,
    matches,
    moving,
    name_chosen,
    name_issue,
    name_project,
    request,
    status_choice,
    targets,
    ticket_choice,
    ways,
)
from envs.site.adf import document
from envs.site.records import Issue, Project, State

NO_STATUS = ("Parked", "Archived", "Rejected", "Escalated", "Postponed", "Shipped", "Frozen")
NO_RESOLUTION = ("Withdrawn", "Invalid", "Outdated", "Unclear")
"""Names that no site has."""
EXCEPTED = 0.6
"""The share of the sets of several tickets from which the request leaves one out."""
MAX_LOOP = 3
"""A ticket is finished again with at most this many moves."""


def draft_decision(draft: Draft) -> tuple[str, dict[str, Any]]:
    return draft.rng.choice((condition, selection, look_alikes, impossible, half_right))(draft)


# Conditions


def condition(draft: Draft) -> tuple[str, dict[str, Any]]:
    return unassigned(draft) if draft.rng.random() < 0.4 else branch(draft)


def unassigned(draft: Draft) -> tuple[str, dict[str, Any]]:
    """Whoever reported the ticket gets it if nobody has it. It is moved in any case."""
    rng, nobody, by_key = draft.rng, draft.rng.random() < 0.5, draft.rng.random() < 0.6
    issue, options = draw_issue(
        draft,
        lambda issue: (issue.assignee is None) == nobody and targets(draft.state, issue, 1, plain=True),
        not by_key,
    )
    status = rng.choice(list(options))
    move = draw_move(draft, status, options[status])
    named = name_issue(draft, issue, by_key)
    sentence = draft.phrase(say.UNASSIGNED, issue=named.words, status=draft.named(move.status))
    goal = moving(draft, issue, move, named, "unassigned")
    if nobody:
        goal["issues"] = [issue_goal(draft.state, issue, **move.target(), assignee=issue.reporter)]
        goal["lookups"] = [*goal["lookups"], [issue.reporter]]
    return request(draft, named.introduction, sentence), goal


def branch(draft: Draft) -> tuple[str, dict[str, Any]]:
    """A property of the ticket decides where it goes, or whether it is moved or gets a comment."""
    rng, state, by_key = draft.rng, draft.state, draft.rng.random() < 0.6
    field = rng.choice(("parent", *("priority", "issuetype", "assignee", "reporter", "labels", "none")))
    commented = rng.random() < 0.3

    def options(issue: Issue) -> dict[str, Way] | None:
        if field == "parent" and issue.parent_id is None:
            return None
        found = targets(state, issue, 1, plain=True)
        return found if len(found) >= (1 if commented else 2) else None

    issue, found = draw_issue(draft, options, not by_key)
    holds, value = draw_value(draft, issue, field)
    moves = [draw_move(draft, status, found[status]) for status in rng.sample(list(found), 1 if commented else 2)]
    named = name_issue(draft, issue, by_key)
    clause = draft.part(say.CONDITIONS[field], value=shown_value(draft, field, value))
    slots = {"issue": named.words, "condition": clause, "first": draft.named(moves[0].status)}
    if commented:
        text = draft.names.sentence()
        sentence = draft.phrase(say.ELSE_COMMENT, text=text, **slots)
    else:
        sentence = draft.phrase(say.BRANCHES, second=draft.named(moves[1].status), **slots)
    plan = {"field": field, "value": value, "holds": holds}
    if commented and not holds:
        goal: dict[str, Any] = {
            "issues": [issue_goal(state, issue, comments=[text])],
            "lookups": named.lookups,
            "plan": {"kind": "branch", **named.plan, "moves": [], "comment": text},
        }
    else:
        goal = moving(draft, issue, moves[0 if holds else 1], named, "branch")
    goal["plan"] |= plan
    if field == "parent":
        parent = state.issues[issue.parent_id or ""]
        goal["lookups"] = [*goal["lookups"], [parent.id, parent.key]]
    return request(draft, named.introduction, sentence), goal


def properties(state: State, issue: Issue) -> dict[str, list[str]]:
    """Field -> the values of an issue, as a request writes them. `none` is there if the issue has no assignee."""
    users = state.users
    return {
        "assignee": [users[issue.assignee].display_name] if issue.assignee else [],
        "none": [] if issue.assignee else [""],
        "reporter": [users[issue.reporter].display_name],
        "priority": [state.priorities[issue.priority_id]],
        "issuetype": [state.issue_types[issue.type_id].name],
        "labels": list(issue.labels),
        "status": [state.statuses[issue.status_id].name],
        "parent": [state.issues[issue.parent_id].key] if issue.parent_id else [],
    }


def shown_value(draft: Draft, field: str, value: str) -> str:
    """A value of a field in a sentence. A key has no quotation marks."""
    return value if not value or (field == "parent" and "-" in value) else draft.named(value)


def draw_value(draft: Draft, issue: Issue, field: str) -> tuple[bool, str]:
    """Whether a condition on the field holds, and its value: equally often, where the field has a value."""
    state, rng = draft.state, draft.rng
    if field == "parent":
        parent = state.issues[issue.parent_id or ""]
        values, project = properties(state, parent)["status"], state.projects[issue.project_id]
        others = [state.statuses[status].name for status in project.workflow]
    else:
        values = properties(state, issue)[field]
        others = [value for other in state.issues.values() for value in properties(state, other)[field]]
    if field == "none":
        return bool(values), ""
    if values and rng.random() < 0.5:
        return True, rng.choice(values)
    return False, rng.choice(sorted(set(others) - set(values)))


# Sets and look-alikes


def selection(draft: Draft) -> tuple[str, dict[str, Any]]:
    """All tickets of a project with a status and a second property."""
    rng, state = draft.rng, draft.state

    def options(issue: Issue) -> list[tuple[str, str, list[Issue], dict[str, Way]]]:
        found = targets(state, issue, 1)
        values = properties(state, issue)
        all_options = [(field, value) for field in say.MANY for value in values[field]] if found else []
        groups = [(field, value, group(state, issue, field, value)) for field, value in all_options]
        return [(field, value, issues, found) for field, value, issues in groups if 1 <= len(issues) <= 3]

    issue, found = grown(draft, options, rng.choice((1, 2, 2, 3)))
    field, value, issues, statuses = rng.choice(found)
    status = rng.choice(list(statuses))
    move = draw_move(draft, status, statuses[status])
    project = state.projects[issue.project_id]
    shown, term = name_project(draft, project)
    source = state.statuses[issue.status_id].name
    ending, _ = endings(draft, move, inline=1)
    left = [rng.choice(issues)] if len(issues) > 1 and rng.random() < EXCEPTED else []
    issues = [item for item in issues if item not in left]
    to, choice, chosen = name_chosen(draft, "status", status_choice(draft, issue, move))
    sentence = draft.phrase(
        say.SETS,
        project=shown,
        source=draft.named(source),
        property=draft.part(say.MANY[field], value=shown_value(draft, field, value)),
        status=to,
        extras=ending,
    )
    goal = {
        "issues": [issue_goal(state, item, **move.target()) for item in issues],
        "lookups": [[item.id, item.key] for item in issues],
        "plan": {
            "kind": "set",
            "jql": set_jql(term, source, field, value),
            "left": [item.key for item in left],
            **move.plan(),
            **chosen,
        },
    }
    exceptions = [draft.phrase(say.EXCEPT, key=item.key) for item in left]
    aside = [] if left or choice else asides(draft, issue, move, least=0, apart=issues)
    return request(draft, *choice, *around(draft, [sentence, *exceptions], aside)), goal


def grown(draft: Draft, options: Callable[[Issue], Any], size: int) -> tuple[Issue, Any]:
    """Like `draw_issue` for sets of at least `size`; smaller ones if the site has none."""

    def large(issue: Issue, least: int) -> list[Any]:
        return [option for option in options(issue) if len(option[2]) >= least]

    for least in range(size, 1, -1):
        try:
            return draw_issue(draft, partial(large, least=least))
        except IndexError:
            continue
    return draw_issue(draft, options)


def set_jql(project: str, status: str, field: str, value: str) -> str:
    shown = value if field in ("labels", "parent", "priority", "issuetype") else f'"{value}"'
    return f'project = {project} AND status = "{status}" AND {field} = {shown}'


def group(state: State, issue: Issue, field: str, value: str) -> list[Issue]:
    """The issues of the project that share a status and a property with an issue."""
    project, status = state.projects[issue.project_id].key, state.statuses[issue.status_id].name
    return matches(state, set_jql(project, status, field, value))


READ = {"none": "assignee", "higher": "priority", "lower": "priority", "older": "created", "newer": "created"}
"""The field to read for a property of look-alikes."""


def look_alikes(draft: Draft) -> tuple[str, dict[str, Any]]:
    """Two tickets of a project with the same summary. One is made for the task."""
    rng, state = draft.rng, draft.state
    original, _ = draw_issue(draft, lambda issue: targets(state, issue, 1), True)
    project = state.projects[original.project_id]
    kinds = [id for id in project.issue_types if state.issue_types[id].level == 0]
    assignee = rng.choice([None, *sorted(state.users)])
    body: dict[str, Any] = {
        "project": {"id": project.id},
        "issuetype": {"id": rng.choice(kinds)},
        "summary": original.summary,
        "priority": {"id": rng.choice([id for id in state.priorities if id != original.priority_id])},
        "labels": sorted(rng.sample(sorted({label for i in state.issues.values() for label in i.labels}), 2)),
        **({"assignee": {"accountId": assignee}} if assignee else {}),
    }
    key = draft.write("POST", "/rest/api/3/issue", {"fields": body})["key"]
    state = draft.state
    twins = [state.issues[original.id], state.issues[state.issue_keys[key]]]
    rng.shuffle(twins)
    issue, other = next(pair for pair in (twins, twins[::-1]) if targets(state, pair[0], 1))
    mine, theirs = properties(state, issue), properties(state, other)
    differences = [(f, value) for f in say.ONE if f in mine for value in mine[f] if value not in theirs[f]]
    ranks = list(state.priorities)
    relations = [
        "higher" if ranks.index(issue.priority_id) < ranks.index(other.priority_id) else "lower",
        "older" if issue.created < other.created else "newer",
    ]
    field, value = (rng.choice(relations), "") if rng.random() < 0.5 else rng.choice(differences)
    options = targets(state, issue, 1)
    status = rng.choice(list(options))
    move = draw_move(draft, status, options[status])
    shown, term = name_project(draft, project)
    ending, later = endings(draft, move)
    to, choice, chosen = name_chosen(draft, "status", status_choice(draft, issue, move))
    sentence = draft.phrase(
        say.TWINS,
        summary=issue.summary,
        project=shown,
        property=draft.part(say.ONE[field], value=shown_value(draft, field, value)),
        status=to,
        extras=ending,
    )
    named = Named("", "", {"project": term, "summary": issue.summary}, [[issue.id, issue.key]])
    goal = moving(draft, issue, move, named, "twin")
    goal["plan"] |= {"key_of_twin": issue.key, "field": READ.get(field, field)} | chosen
    aside = [] if choice else asides(draft, issue, move, least=0, apart=twins)
    return request(draft, *choice, *around(draft, [sentence, *later], aside)), goal


# What cannot be met


def impossible(draft: Draft) -> tuple[str, dict[str, Any]]:
    kind = draft.rng.choice(("ticket", "status", "resolution", "direct"))
    if kind == "ticket":
        return no_ticket(draft)
    if kind == "direct":
        return direct(draft)
    return no_name(draft, kind)


def no_ticket(draft: Draft) -> tuple[str, dict[str, Any]]:
    """The summary is one of another project."""
    state, rng = draft.state, draft.rng

    def elsewhere(issue: Issue) -> list[Project]:
        jql = 'project = {} AND summary ~ "{}"'
        others = [p for p in state.projects.values() if not matches(state, jql.format(p.key, issue.summary))]
        return others if targets(state, issue, 1) else []

    issue, others = draw_issue(draft, elsewhere)
    project = rng.choice(others)
    options = targets(state, issue, 1)
    status = rng.choice(list(options))
    move = draw_move(draft, status, options[status])
    asked = Issue(**{**{name: getattr(issue, name) for name in Issue.__slots__}, "project_id": project.id})
    text, named = ask(draft, asked, move, by_key=False, exists=False)
    return text, {"impossible": True, "plan": {"kind": "no ticket", **named.plan}}


def no_name(draft: Draft, kind: str) -> tuple[str, dict[str, Any]]:
    """The site has no status of this name, or no resolution."""
    state, rng = draft.state, draft.rng

    def options(issue: Issue) -> dict[str, Way]:
        found = targets(state, issue, 1)
        return found if kind == "status" else {id: way for id, way in found.items() if way.path[-1].resolution}

    issue, found = draw_issue(draft, options)
    status = rng.choice(list(found))
    move = draw_move(draft, status, found[status])
    if kind == "status":
        names = {status.name for status in state.statuses.values()}
        move.status = rng.choice([name for name in NO_STATUS if name not in names])
    else:
        move.resolution = rng.choice([name for name in NO_RESOLUTION if name not in state.resolutions.values()])
    text, named = ask(draft, issue, move, by_key=True)
    plan = {"kind": f"no {kind}", **named.plan, "name": move.status if kind == "status" else move.resolution}
    return text, {"impossible": True, "plan": plan}


def direct(draft: Draft) -> tuple[str, dict[str, Any]]:
    """A move that has to be a single one. In half of the requests it is offered."""
    state, rng, offered, by_key = draft.state, draft.rng, draft.rng.random() < 0.5, draft.rng.random() < 0.6
    moves = 1 if offered else rng.choice((2, 3))
    issue, options = draw_issue(
        draft, lambda issue: targets(state, issue, moves, plain=True) or targets(state, issue, 2), not by_key
    )
    offered = all(len(way.path) == 1 for way in options.values())
    status = rng.choice(list(options))
    move = draw_move(draft, status, options[status])
    named = name_issue(draft, issue, by_key)
    to, choice, chosen = name_chosen(draft, "status", status_choice(draft, issue, move))
    sentence = draft.phrase(say.DIRECT, issue=named.words, status=to)
    text = request(draft, *choice, named.introduction, sentence)
    named.plan |= chosen
    if offered:
        return text, moving(draft, issue, move, named)
    plan = {"kind": "not offered", **named.plan, "name": move.status}
    return text, {"lookups": named.lookups, "impossible": True, "plan": plan}


# Half right


def half_right(draft: Draft) -> tuple[str, dict[str, Any]]:
    return draft.rng.choice((finished, pair, half_done))(draft)


def finished(draft: Draft) -> tuple[str, dict[str, Any]]:
    """A ticket may be done with another resolution. Then it has to be opened and finished again."""
    state, rng = draft.state, draft.rng
    wrong = rng.random() < 0.7
    names = list(state.resolutions.values())[1:]

    def options(issue: Issue) -> dict[str, Way]:
        if not wrong:
            found = targets(state, issue, 1)
            return {id: w for id, w in found.items() if w.path[-1].resolution and not w.comment} if open_(issue) else {}
        if open_(issue):
            return {}
        project = state.projects[issue.project_id]
        found_loops = [w for w in ways(loops(project, issue.status_id)) if w.path[-1].resolution and not w.comment]
        return {issue.status_id: found_loops[0]} if found_loops and len(found_loops[0].path) <= MAX_LOOP else {}

    def open_(issue: Issue) -> bool:
        return state.statuses[issue.status_id].category != "done"

    try:
        issue, found = draw_issue(draft, options)
    except IndexError:
        return half_done(draft)
    status = rng.choice(list(found))
    resolution = rng.choice([name for name in names if name != issue.resolution])
    move = Move(state.statuses[status].name, found[status].path, resolution)
    ticket, choice, chosen = name_chosen(draft, "ticket", ticket_choice(draft, issue, move, by_key=True))
    slots = {"status": draft.named(move.status), "resolution": draft.named(resolution)}
    sentence = draft.phrase(say.CHECKS, issue=ticket, **slots)
    named = Named("", "", {"key": issue.key, **chosen}, [])
    return request(draft, *choice, sentence), moving(draft, issue, move, named, "finished")


def pair(draft: Draft) -> tuple[str, dict[str, Any]]:
    """Two tickets, one of which is in the status already."""
    state, rng = draft.state, draft.rng
    issue, options = draw_issue(draft, lambda issue: there(draft, targets(state, issue, 1, plain=True)))
    status, way, other = rng.choice(options)
    move = draw_move(draft, status, way)
    keys = [issue.key, other.key]
    rng.shuffle(keys)
    sentence = draft.phrase(say.PAIRS, one=keys[0], two=keys[1], status=draft.named(move.status))
    goal = moving(draft, issue, move, Named("", "", {"key": issue.key}, []), "pair")
    goal["plan"]["keys"] = keys
    return request(draft, sentence), goal


def there(draft: Draft, options: dict[str, Way]) -> list[tuple[str, Way, Issue]]:
    """The targets that another issue is in already, each with such an issue."""
    issues = list(draft.state.issues.values())
    draft.rng.shuffle(issues)
    return [
        (status, way, next(issue for issue in issues if issue.status_id == status))
        for status, way in options.items()
        if any(issue.status_id == status for issue in issues)
    ]


def half_done(draft: Draft) -> tuple[str, dict[str, Any]]:
    """A ticket that may have been moved or commented on already."""
    state, rng, moved = draft.state, draft.rng, draft.rng.random() < 0.5
    issue, options = draw_issue(draft, lambda issue: targets(state, issue, 1, plain=True))
    text = draft.names.sentence()
    if moved:
        move = Move(state.statuses[issue.status_id].name, ())
    else:
        status = rng.choice(list(options))
        move = draw_move(draft, status, options[status])
        draft.write("POST", f"/rest/api/3/issue/{issue.key}/comment", {"body": document(text)})
    issue = draft.state.issues[issue.id]
    ticket, choice, chosen = name_chosen(draft, "ticket", ticket_choice(draft, issue, move, by_key=True))
    sentence = draft.phrase(say.HALVES, issue=ticket, status=draft.named(move.status), text=text)
    named = Named("", "", {"key": issue.key, **chosen}, [])
    goal = moving(draft, issue, move, named, "half done")
    goal["plan"]["asked"] = move.status
    if moved:
        goal["issues"] = [issue_goal(draft.state, issue, comments=[text])]
        goal["plan"] |= {"moves": [], "comment": text}
    return request(draft, *choice, sentence), goal
