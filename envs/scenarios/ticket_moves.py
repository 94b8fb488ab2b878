"""One move of a ticket in `ticket-transition`: the ways through a workflow, and the request for one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import envs.scenarios.ticket_wording as say
from envs.phrasing import tidy
from envs.scenarios.decoys import decoy, is_asked
from envs.scenarios.drafting import Draft
from envs.scenarios.goals import issue_goal
from envs.site.jql.evaluate import search
from envs.site.jql.parser import parse
from envs.site.records import Issue, Project, State, Transition

FORM, INTRODUCED, REASON = 0.2, 0.35, 0.25
"""The shares of requests on several lines, with a first sentence that names the ticket, and with a reason."""
STATED = 0.4
"""The share of requests from difficulty 2 on that say which status the ticket has."""
CHOSEN = 0.6
"""The share of requests of difficulty 4 that name two candidates, where this is possible."""
BOTH = 0.4
"""The share of the requests with two candidates where these are tickets of one project and projects."""

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


def asides(draft: Draft, issue: Issue, move: Move, least: int = 1, apart: Sequence[Issue] = ()) -> list[str]:
    """Sentences on what is not asked for: other statuses, tickets, texts and resolutions. None at difficulty 1.

    They do not name the issues `apart`.
    """
    if draft.difficulty == 1:
        return []
    rng, state = draft.rng, draft.state
    workflow = state.projects[issue.project_id].workflow
    # A move may have to lead through a status on the way, so none of these is called wrong.
    used = {issue.status_id, *(step.to for step in move.path)}
    statuses = [state.statuses[id].name for id in sorted(workflow.keys() - used)]
    keys = {issue.key, *(other.key for other in apart)}
    other = rng.choice([other for other in state.issues.values() if other.key not in keys])
    resolutions = [name for name in state.resolutions.values() if name != move.resolution]
    options = [
        (say.OTHER_TICKET, {"key": other.key, "other": draft.named(state.statuses[other.status_id].name)}),
        (say.HEARSAY, {"text": draft.names.sentence()}),
    ]
    if statuses:
        options.append((say.NOT_THERE, {"other": draft.named(rng.choice(statuses))}))
    if move.resolution:
        options.append((say.NOT_AS, {"other": draft.named(rng.choice(resolutions))}))
    return [draft.phrase(frames, **slots) for frames, slots in rng.sample(options, rng.randint(least, 2))]


def around(draft: Draft, sentences: list[str], aside: list[str]) -> list[str]:
    """The sentences in their order, with the asides before or after all of them."""
    first = [text for text in aside if draft.rng.random() < 0.5]
    return [*first, *sentences, *(text for text in aside if text not in first)]


def ask(draft: Draft, issue: Issue, move: Move, by_key: bool, exists: bool = True) -> tuple[str, Named]:
    """A request for one move of a ticket, as sentences or as a form. `exists`: whether there is such a ticket."""
    if is_asked(draft) or (draft.difficulty == 4 and draft.rng.random() < CHOSEN):
        return choose(draft, issue, move, by_key)
    if draft.rng.random() < FORM:
        return form(draft, issue, move, by_key)
    stated = exists and draft.difficulty > 1 and draft.rng.random() < STATED
    named = name_issue(draft, issue, by_key, 0 if stated else INTRODUCED)
    if stated:
        now = draft.named(draft.state.statuses[issue.status_id].name)
        named.introduction, named.words = draft.phrase(say.NOW, issue=named.words, other=now), "it"
    ending, later = endings(draft, move)
    frames = draft.rng.choice((say.COMMANDS, say.STATEMENTS))
    sentence = draft.phrase(frames, issue=named.words, status=draft.named(move.status), extras=ending)
    reason = [draft.phrase(say.REASONS)] if draft.rng.random() < REASON else []
    text = around(draft, [named.introduction, sentence, *later, *reason], asides(draft, issue, move))
    return request(draft, *text), named


def choose(draft: Draft, issue: Issue, move: Move, by_key: bool) -> tuple[str, Named]:
    """A request that names two tickets or projects, two statuses and perhaps two resolutions, and says which it means.

    Each of these sentences stands before or after the one that asks for the move.
    """
    rng, state = draft.rng, draft.state
    named, choices = Named("", "", {"key": issue.key}, []), {"ticket": ticket_choice(draft, issue, move, by_key)}
    ticket = issue.key if by_key else f'the ticket "{issue.summary}"'
    projects, term = project_choice(draft, state.projects[issue.project_id])
    if not by_key:
        named.plan, named.lookups = {"project": term, "summary": issue.summary}, [[issue.id, issue.key]]
        if rng.random() < BOTH:
            choices["project"] = projects
        elif rng.random() < 0.5:
            choices = {"project": projects}
    choices["status"] = status_choice(draft, issue, move)
    if move.resolution:
        names = [name for name in state.resolutions.values() if name != move.resolution]
        choices["resolution"] = (draft.named(move.resolution), draft.named(rng.choice(names)))
    choices = {name: pair for name, pair in choices.items() if pair[1]}
    first = {name: rng.random() < 0.5 for name in choices}
    sentences = {name: decoy(draft, rng.choice(say.NOUNS[name]), *pair) for name, pair in choices.items()}
    words = {name: draft.part((say.THAT if first[name] else say.SOME)[name]) for name in choices}
    ticket = words.get("ticket", ticket)
    if not by_key:
        ticket += draft.part(say.OF_PROJECT, project=words.get("project", projects[0]))
    if "resolution" in choices:
        extras, (_, later) = f" with {words['resolution']}", endings(draft, replace(move, resolution=None), inline=0)
    else:
        extras, later = endings(draft, move)
    status = words.get("status") or draft.named(move.status)
    core = draft.phrase(say.POINTED, issue=ticket, status=status, extras=extras)
    named.plan["chosen"] = [f"{name}: {unquoted(pair[0])}" for name, pair in choices.items()]
    order = rng.sample(list(choices), len(choices))
    before, after = ([sentences[name] for name in order if first[name] == place] for place in (True, False))
    return request(draft, *before, core, *later, *after), named


def name_chosen(draft: Draft, kind: str, pair: tuple[str, str]) -> tuple[str, list[str], Plan]:
    """The first of a pair of names: as it is or, with a sentence before that names both, as "that ticket".

    Returns the words, the sentences before and what the plan gets.
    """
    if draft.rng.random() >= CHOSEN or not pair[1]:
        return pair[0], [], {}
    sentence = decoy(draft, draft.rng.choice(say.NOUNS[kind][:2]), *pair)
    return draft.part(say.THAT[kind]), [sentence], {"chosen": [f"{kind}: {unquoted(pair[0])}"]}


def status_choice(draft: Draft, issue: Issue, move: Move) -> tuple[str, str]:
    """The status to move to, and one that could be meant as well or nothing."""
    others = other_statuses(draft, issue, move)
    return draft.named(move.status), draft.named(draft.rng.choice(others)) if others else ""


def unquoted(name: str) -> str:
    return name.strip('"')


def ticket_choice(draft: Draft, issue: Issue, move: Move, by_key: bool) -> tuple[str, str]:
    """The ticket and one that could be meant as well: of the same project, and with a way to the status if possible."""
    state, last = draft.state, move.path[-1].to if move.path else ""
    others = [other for other in state.issues.values() if other.summary != issue.summary]
    near = [other for other in others if other.project_id == issue.project_id]
    best = [other for other in near if any(last in targets(state, other, moves) for moves in (1, 2))]
    other = draft.rng.choice(best or near or others)
    return (issue.key, other.key) if by_key else (f'"{issue.summary}"', f'"{other.summary}"')


def project_choice(draft: Draft, project: Project) -> tuple[tuple[str, str], str]:
    """The project and another one, by their keys or their names, and the project as JQL has it."""
    other = draft.rng.choice([item for item in draft.state.projects.values() if item is not project])
    if draft.rng.random() < 0.5:
        return (project.key, other.key), project.key
    return (draft.named(project.name), draft.named(other.name)), f'"{project.name}"'


def other_statuses(draft: Draft, issue: Issue, move: Move) -> list[str]:
    """The statuses that could be meant as well: one move away, if there are any.

    A move may have to lead through a status on the way, so none of these is called wrong.
    """
    moves = draft.state.projects[issue.project_id].workflow
    used = {issue.status_id, *(step.to for step in move.path)}
    near = {step.to for step in moves.get(issue.status_id, ())} - used
    return [draft.state.statuses[id].name for id in sorted(near or moves.keys() - used)]


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
    return request(draft, *around(draft, [text], asides(draft, issue, move))), Named("", "", plan, lookups)


def request(draft: Draft, *sentences: str) -> str:
    """The whole request. A text on a line of its own ends the line, and "in In Review" has quotation marks."""
    text = draft.request(*(sentence + "\n" if "\n" in sentence else sentence for sentence in sentences if sentence))
    for status in draft.state.statuses.values():
        if status.name.startswith("In "):
            text = re.sub(rf"\b(in|into) {status.name}\b", rf'\1 "{status.name}"', text)
    text = text.replace("The status of it ", "Its status ").replace("the status of it ", "its status ")
    return tidy(re.sub(r",([,?.])", r"\1", text))


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
