"""`ticket-transition`: move tickets to a status, in some tasks with a resolution, a comment or an assignee.

Difficulty 1 is one move of a ticket named by its key. 2 is two moves, or one with a resolution or a comment. 3 names
the ticket by its summary and project and may have all of these. 4 has to read before it decides, five kinds equally
often:

- a condition: the reporter gets the ticket if nobody has it; the ticket's fields or its parent's status choose between
  two moves, or between a move and a comment;
- a set: one to three tickets of a project with a status and a second property;
- look-alikes: two tickets with one summary in a project, told apart by a second property;
- a request that cannot be met: no such ticket, status or resolution, or a single move that is not offered (in half of
  these requests it is);
- a start that is half right: done with another resolution, one of two tickets there already, or half of a move and its
  comment.

`ticket-transition-saturated` has the same tasks with the paper's reward. A prompted model already reaches its maximum.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from envs.episode import Task
from envs.phrasing import tidy
from envs.protocol import Turn
from envs.scenarios import ticket_wording as say
from envs.scenarios.drafting import AtlassianScenario, Demonstration, Draft, act, quotation
from envs.scenarios.goals import issue_goal
from envs.site.adf import document
from envs.site.jql.evaluate import search
from envs.site.jql.parser import parse
from envs.site.records import Issue, Project, State, Transition
from rewards import ticket_transition, ticket_transition_saturated

FORM, INTRODUCED, REASON = 0.2, 0.35, 0.25
"""The shares of requests on several lines, with a first sentence that names the ticket, and with a reason."""
NO_STATUS = ("Parked", "Archived", "Rejected", "Escalated", "Postponed", "Shipped", "Frozen")
NO_RESOLUTION = ("Withdrawn", "Invalid", "Outdated", "Unclear")
"""Names that no site has."""
MAX_LOOP = 3
"""A ticket is finished again with at most this many moves."""

Path = tuple[Transition, ...]
Plan = dict[str, Any]
"""What a demonstrator looks for. It is in the goal as `plan`, as plain data."""


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


def loops(project: Project, status: str) -> list[Path]:
    """All shortest ways out of `status` and back."""
    paths = [(edge, *path) for edge in project.workflow[status] for path in shortest_paths(project, edge.to, status)]
    return [path for path in paths if len(path) == min(map(len, paths))]


def required(transition: Transition) -> tuple[str, ...]:
    """The fields that a transition requires: `resolution` or `comment`."""
    return getattr(transition, "required", ())


@dataclass(frozen=True)
class Way:
    """A shortest path to a status, and what its moves require."""

    path: Path
    resolution: bool
    comment: bool


def ways(paths: list[Path]) -> list[Way]:
    """The paths that a request can be for: at most one comment is required, and a resolution only by the last move."""
    needs = [(path, [required(move) for move in path]) for path in paths]
    return [
        Way(path, "resolution" in fields[-1], any("comment" in names for names in fields))
        for path, fields in needs
        if not any("resolution" in names for names in fields[:-1]) and sum("comment" in names for names in fields) <= 1
    ]


def targets(state: State, issue: Issue, moves: int, plain: bool = False) -> dict[str, Way]:
    """Status id -> the way with the fewest demands, for all statuses `moves` away. `plain`: it must require nothing."""
    project = state.projects[issue.project_id]
    found = {}
    for status in sorted({move.to for group in project.workflow.values() for move in group} - {issue.status_id}):
        options = ways(shortest_paths(project, issue.status_id, status))
        best = min(options, key=lambda way: way.resolution + way.comment, default=None)
        if best and len(best.path) == moves and not (plain and (best.resolution or best.comment)):
            found[status] = best
    return found


@dataclass
class Move:
    """A move to ask for: where to, and with what."""

    status: str
    path: Path
    resolution: str | None = None
    comment: str | None = None

    def target(self) -> dict[str, Any]:
        """The attributes that the goal names."""
        extras = {"resolution": self.resolution, "comments": self.comment and [self.comment]}
        return {"status": self.status, **{name: value for name, value in extras.items() if value}}

    def plan(self) -> Plan:
        """The moves, and the place of the one with the comment."""
        places = [place for place, move in enumerate(self.path) if "comment" in required(move)]
        return {
            "moves": [move.id for move in self.path],
            "status": self.status,
            "resolution": self.resolution,
            "comment": self.comment,
            "comment_at": places[0] if places else len(self.path) - 1,
        }


def draw_move(draft: Draft, status: str, way: Way, extras: bool = False) -> Move:
    """A move along `way` with what it requires; `extras` adds a comment, a resolution, or both if it can."""
    state, rng = draft.state, draft.rng
    wishes = {"resolution": way.resolution, "comment": way.comment}
    if extras and not any(wishes.values()):
        options = ["resolution", "comment"] if way.path[-1].resolution else ["comment"]
        for name in rng.sample(options, rng.randint(1, len(options))):
            wishes[name] = True
    return Move(
        state.statuses[status].name,
        way.path,
        # Not the first resolution: it is the default, which needs no request.
        rng.choice(list(state.resolutions.values())[1:]) if wishes["resolution"] else None,
        draft.names.sentence() if wishes["comment"] else None,
    )


def matches(state: State, jql: str) -> list[Issue]:
    return search(state, parse(jql))


def unique(state: State, issue: Issue) -> bool:
    """Whether a search for the summary in the project finds the issue alone."""
    key = state.projects[issue.project_id].key
    return len(matches(state, f'project = {key} AND summary ~ "{issue.summary}"')) == 1


@dataclass
class Named:
    """How a request names a ticket."""

    words: str
    """In a sentence."""
    introduction: str
    """The sentence before, if `words` is a pronoun."""
    plan: Plan
    lookups: list[list[str]]


def name_project(draft: Draft, project: Project) -> tuple[str, str]:
    """A project by its key or its name: as the request has it, and as JQL does."""
    if draft.rng.random() < 0.5:
        return project.key, project.key
    return draft.named(project.name), f'"{project.name}"'


def name_issue(draft: Draft, issue: Issue, by_key: bool, introduced: float = INTRODUCED) -> Named:
    """A ticket by its key or by its summary and project."""
    pronoun = draft.rng.random() < introduced
    if by_key:
        frames = say.INTRODUCED_KEY if pronoun else say.KEYED
        words = (draft.phrase if pronoun else draft.part)(frames, key=issue.key)
        named = Named(words, "", {"key": issue.key}, [])
    else:
        shown, term = name_project(draft, draft.state.projects[issue.project_id])
        frames = say.INTRODUCED if pronoun else say.SUMMARISED
        words = (draft.phrase if pronoun else draft.part)(frames, summary=issue.summary, project=shown)
        named = Named(words, "", {"project": term, "summary": issue.summary}, [[issue.id, issue.key]])
    if pronoun:
        named.words, named.introduction = "it", words
    return named


def endings(draft: Draft, move: Move, inline: float = 0.5) -> tuple[str, list[str]]:
    """The end of a sentence for the share `inline` of a move's extras, and sentences for the others."""
    slots = {"resolution": draft.named(move.resolution) if move.resolution else "", "text": move.comment or ""}
    here = {name for name in ("resolution", "comment") if getattr(move, name) and draft.rng.random() < inline}
    frames = {
        frozenset({"resolution"}): say.WITH_RESOLUTION,
        frozenset({"comment"}): say.WITH_COMMENT,
        frozenset({"resolution", "comment"}): say.WITH_BOTH,
    }
    ending = draft.part(frames[frozenset(here)], **slots) if here else ""
    later = []
    if move.resolution and "resolution" not in here:
        later.append(draft.phrase(say.RESOLUTION, **slots))
    if move.comment and "comment" not in here:
        later.append(draft.phrase(say.COMMENT, **slots))
    return ending, later


def ask(draft: Draft, issue: Issue, move: Move, by_key: bool) -> tuple[str, Named]:
    """A request for one move of a ticket, as sentences or as a form."""
    if draft.rng.random() < FORM:
        return form(draft, issue, move, by_key)
    named = name_issue(draft, issue, by_key)
    ending, later = endings(draft, move)
    frames = draft.rng.choice((say.COMMANDS, say.STATEMENTS))
    sentence = draft.phrase(frames, issue=named.words, status=draft.named(move.status), extras=ending)
    reason = [draft.phrase(say.REASONS)] if draft.rng.random() < REASON else []
    return request(draft, named.introduction, sentence, *reason, *later), named


def form(draft: Draft, issue: Issue, move: Move, by_key: bool) -> tuple[str, Named]:
    """A request on several lines: the ticket first or last, the comment at the end."""
    lines = [draft.part(say.LINES, status=move.status)]
    if move.resolution:
        lines.append(draft.part(say.RESOLUTION_LINES, resolution=move.resolution))
    if by_key:
        plan, lookups = {"key": issue.key}, []
        ticket = [draft.part(say.KEY_LINES, key=issue.key)]
    else:
        project = draft.state.projects[issue.project_id]
        shown, term = draft.rng.choice(((project.key, project.key), (project.name, f'"{project.name}"')))
        plan, lookups = {"project": term, "summary": issue.summary}, [[issue.id, issue.key]]
        ticket = [
            draft.part(say.PROJECT_LINES, project=shown),
            draft.part(say.SUMMARY_LINES, summary=issue.summary),
        ]
        draft.rng.shuffle(ticket)
    lines = [*ticket, *lines] if draft.rng.random() < 0.6 else [*lines, *ticket]
    if move.comment:
        lines.append(draft.part(say.COMMENT_LINES, text=move.comment))
    text = "\n".join([draft.phrase(say.HEADINGS), *lines])
    return request(draft, text), Named("", "", plan, lookups)


def request(draft: Draft, *sentences: str) -> str:
    """The whole request. A text on a line of its own ends the line, and "in In Review" has quotation marks."""
    text = draft.request(*(sentence + "\n" if "\n" in sentence else sentence for sentence in sentences if sentence))
    for status in draft.state.statuses.values():
        if status.name.startswith("In "):
            text = re.sub(rf"\b(in|into) {status.name}\b", rf'\1 "{status.name}"', text)
    text = text.replace("The status of it ", "Its status ").replace("the status of it ", "its status ")
    return tidy(re.sub(r",([,?.])", r"\1", text))


def draft(draft: Draft) -> tuple[str, dict[str, Any]]:
    if draft.difficulty == 4:
        return draft.rng.choice((condition, selection, look_alikes, impossible, half_right))(draft)
    return plain(draft)


def plain(draft: Draft) -> tuple[str, dict[str, Any]]:
    """One ticket that is to be moved."""
    rng, by_key = draft.rng, draft.difficulty < 3
    moves = 1 if draft.difficulty == 1 else rng.choice((1, 2))
    extras = rng.random() < 0.5 if draft.difficulty == 3 else draft.difficulty == 2 and moves == 1
    issue, options = draw_issue(
        draft, lambda issue: targets(draft.state, issue, moves, draft.difficulty == 1), unique_summary=not by_key
    )
    status = rng.choice(list(options))
    move = draw_move(draft, status, options[status], extras)
    text, named = ask(draft, issue, move, by_key)
    return text, moving(draft, issue, move, named)


def moving(draft: Draft, issue: Issue, move: Move, named: Named, kind: str = "move") -> dict[str, Any]:
    """The goal of one move of a ticket."""
    return {
        "issues": [issue_goal(draft.state, issue, **move.target())],
        "lookups": named.lookups,
        "plan": {"kind": kind, **named.plan, **move.plan()},
    }


def draw_issue(draft: Draft, options: Callable[[Issue], Any], unique_summary: bool = False) -> tuple[Issue, Any]:
    """An issue with options, and these. Raises IndexError if the site has none."""
    issues = list(draft.state.issues.values())
    draft.rng.shuffle(issues)
    for issue in issues:
        found = options(issue)
        if found and (not unique_summary or unique(draft.state, issue)):
            return issue, found
    raise IndexError("no issue of the site has an option")


# Difficulty 4: conditions


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
    return value if field == "none" or (field == "parent" and "-" in value) else draft.named(value)


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


# Difficulty 4: sets and look-alikes


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
    sentence = draft.phrase(
        say.SETS,
        project=shown,
        source=draft.named(source),
        property=draft.part(say.MANY[field], value=shown_value(draft, field, value)),
        status=draft.named(move.status),
        extras=ending,
    )
    goal = {
        "issues": [issue_goal(state, item, **move.target()) for item in issues],
        "lookups": [[item.id, item.key] for item in issues],
        "plan": {"kind": "set", "jql": set_jql(term, source, field, value), **move.plan()},
    }
    return request(draft, sentence), goal


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


def look_alikes(draft: Draft) -> tuple[str, dict[str, Any]]:
    """Two tickets of a project with the same summary. One is made for the task."""
    rng, state = draft.rng, draft.state
    original, _ = draw_issue(draft, lambda issue: not state.issue_types[issue.type_id].subtask, True)
    project = state.projects[original.project_id]
    kinds = [id for id in project.issue_types if state.issue_types[id].level == 0]
    assignee = rng.choice([None, *sorted(state.users)])
    body: dict[str, Any] = {
        "project": {"id": project.id},
        "issuetype": {"id": rng.choice(kinds)},
        "summary": original.summary,
        "priority": {"id": rng.choice(sorted(state.priorities))},
        "labels": sorted(rng.sample(sorted({label for i in state.issues.values() for label in i.labels}), 2)),
        **({"assignee": {"accountId": assignee}} if assignee else {}),
    }
    key = draft.write("POST", "/rest/api/3/issue", {"fields": body})["key"]
    state = draft.state
    twins = [state.issues[original.id], state.issues[state.issue_keys[key]]]
    rng.shuffle(twins)
    issue, other = next(pair for pair in (twins, twins[::-1]) if targets(state, pair[0], 1))
    mine, theirs = properties(state, issue), properties(state, other)
    differences = [(f, value) for f in say.ONE for value in mine[f] if value not in theirs[f]]
    field, value = rng.choice(differences)
    options = targets(state, issue, 1)
    status = rng.choice(list(options))
    move = draw_move(draft, status, options[status])
    shown, term = name_project(draft, project)
    ending, later = endings(draft, move)
    sentence = draft.phrase(
        say.TWINS,
        summary=issue.summary,
        project=shown,
        property=draft.part(say.ONE[field], value=shown_value(draft, field, value)),
        status=draft.named(move.status),
        extras=ending,
    )
    named = Named("", "", {"project": term, "summary": issue.summary}, [[issue.id, issue.key]])
    goal = moving(draft, issue, move, named, "twin")
    goal["plan"] |= {"key_of_twin": issue.key, "field": "assignee" if field == "none" else field}
    return request(draft, sentence, *later), goal


# Difficulty 4: what cannot be met


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
    text, named = ask(draft, asked, move, by_key=False)
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
    sentence = draft.phrase(say.DIRECT, issue=named.words, status=draft.named(move.status))
    text = request(draft, named.introduction, sentence)
    if offered:
        return text, moving(draft, issue, move, named)
    plan = {"kind": "not offered", **named.plan, "name": move.status}
    return text, {"lookups": named.lookups, "impossible": True, "plan": plan}


# Difficulty 4: half right


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
    named = name_issue(draft, issue, by_key=True, introduced=0)
    slots = {"status": draft.named(move.status), "resolution": draft.named(resolution)}
    sentence = draft.phrase(say.CHECKS, issue=named.words, **slots)
    return request(draft, sentence), moving(draft, issue, move, named, "finished")


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
    named = name_issue(draft, issue, by_key=True)
    sentence = draft.phrase(say.HALVES, issue=named.words, status=draft.named(move.status), text=text)
    goal = moving(draft, issue, move, named, "half done")
    goal["plan"]["asked"] = move.status
    if moved:
        goal["issues"] = [issue_goal(draft.state, issue, comments=[text])]
        goal["plan"] |= {"moves": [], "comment": text}
    return request(draft, named.introduction, sentence), goal


# Demonstrations

Steps = Generator[Turn, list[Any], str]
"""Yields turns, receives responses and returns the note for the next turn."""


def demonstrate(task: Task) -> Demonstration:
    plan: Plan = task.goal["plan"]
    return DEMONSTRATORS[plan["kind"]](plan)


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
    keys = [issue["key"] for issue in response["issues"]]
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
    note = f'{seen(issue["fields"], plan["field"])}, "key": "{issue["key"]}"'
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

TOOLS = (
    "getTransitions",
    "doTransition",
    "getIssue",
    "searchAndReconsileIssuesUsingJql",
    "getStatuses",
    "getComments",
    "addComment",
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
