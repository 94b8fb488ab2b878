"""Generates a site from a seed: people, projects with workflows, issues, and Confluence spaces with page trees.

Guessing should fail. Names therefore repeat (two people share a first name, two projects an issue's summary, two spaces
a page's title), and ids have random gaps.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

from envs.protocol import Split
from envs.site.adf import document
from envs.site.records import (
    Comment,
    Issue,
    IssueLink,
    IssueType,
    Page,
    PageVersion,
    Project,
    Space,
    State,
    Status,
    Transition,
    User,
)
from envs.words import Names

START = 1_767_600_000
"""2026-01-05T08:00:00Z, the earliest start of a site's clock."""

PRIORITIES = ("Highest", "High", "Medium", "Low", "Lowest")
RESOLUTIONS = ("Fixed", "Duplicate", "Declined", "Obsolete")
TYPES = (("Epic", 1), ("Story", 0), ("Task", 0), ("Bug", 0), ("Sub-task", -1))
LINK_TYPES = (
    ("Blocks", "is blocked by", "blocks"),
    ("Duplicate", "is duplicated by", "duplicates"),
    ("Relates", "relates to", "relates to"),
)
STATUSES = {
    "To Do": "new",
    "Backlog": "new",
    "Selected": "new",
    "In Progress": "indeterminate",
    "In Review": "indeterminate",
    "Testing": "indeterminate",
    "Blocked": "indeterminate",
    "Done": "done",
    "Closed": "done",
}
WORKFLOWS: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (
        ("To Do", "Start work", "In Progress"),
        ("In Progress", "Ask for review", "In Review"),
        ("In Progress", "Stop work", "To Do"),
        ("In Progress", "Report a blocker", "Blocked"),
        ("Blocked", "Resume", "In Progress"),
        ("In Review", "Approve", "Done"),
        ("In Review", "Send back", "In Progress"),
        ("Done", "Reopen", "To Do"),
    ),
    (
        ("To Do", "Begin", "In Progress"),
        ("To Do", "Finish early", "Done"),
        ("In Progress", "Hand to testers", "Testing"),
        ("In Progress", "Put back", "To Do"),
        ("Testing", "Pass", "Done"),
        ("Testing", "Fail", "In Progress"),
        ("Done", "Reopen", "In Progress"),
    ),
    (
        ("Backlog", "Select", "Selected"),
        ("Selected", "Start work", "In Progress"),
        ("Selected", "Return", "Backlog"),
        ("In Progress", "Ask for review", "In Review"),
        ("In Progress", "Report a blocker", "Blocked"),
        ("In Review", "Close", "Closed"),
        ("In Review", "Send back", "In Progress"),
        ("Blocked", "Give up", "Closed"),
        ("Blocked", "Resume", "In Progress"),
        ("Closed", "Reopen", "Backlog"),
    ),
)
"""Edges (from, transition name, to). The first edge starts at the initial status."""

PEOPLE, PROJECTS, ISSUES, LABELS, SPACES, PAGES = 6, 3, 7, 8, 3, 6
"""Counts: issues are per project, pages per space."""


def generate(seed: int, split: Split) -> State:
    """The initial state of the site `seed`, with names of `split`."""
    rng = random.Random(f"site/{split}/{seed}")
    names = Names(rng, split)
    state = State(current_user="", clock=START + 60 * rng.randrange(100_000), next_id=rng.randrange(20_000, 95_000))
    _add_people(state, rng, names)
    _add_schemes(state)
    labels = [names.label() for _ in range(LABELS)]
    for number in range(PROJECTS):
        _add_project(state, rng, names, labels, WORKFLOWS[number % len(WORKFLOWS)])
    _repeat_a_summary(state, rng)
    for _ in range(SPACES):
        _add_space(state, rng, names, labels)
    _repeat_a_title(state, rng)
    return state


def _spaced_id(state: State, rng: random.Random) -> str:
    state.next_id += rng.randrange(3, 90)
    return str(state.next_id)


def _add_people(state: State, rng: random.Random, names: Names) -> None:
    people = [*names.namesakes(), *(names.person() for _ in range(PEOPLE - 2))]
    rng.shuffle(people)
    for name, number in zip(people, rng.sample(range(10_000, 99_999), PEOPLE), strict=True):
        account = f"712020:{number}"
        state.users[account] = User(account, name)
    state.current_user = rng.choice(sorted(state.users))


def _add_schemes(state: State) -> None:
    state.priorities = {str(number): name for number, name in enumerate(PRIORITIES, 1)}
    state.resolutions = {str(10_000 + number): name for number, name in enumerate(RESOLUTIONS)}
    state.link_types = {str(10_100 + number): names for number, names in enumerate(LINK_TYPES)}
    for number, (name, category) in enumerate(STATUSES.items()):
        state.statuses[str(10_200 + number)] = Status(str(10_200 + number), name, category)
    for number, (name, level) in enumerate(TYPES):
        state.issue_types[str(10_300 + number)] = IssueType(str(10_300 + number), name, level)


def _add_project(
    state: State, rng: random.Random, names: Names, labels: list[str], edges: tuple[tuple[str, str, str], ...]
) -> None:
    status_ids = {status.name: status.id for status in state.statuses.values()}
    ids = rng.sample(range(11, 99), len(edges))
    workflow: dict[str, tuple[Transition, ...]] = {}
    for (source, name, target), number in zip(edges, ids, strict=True):
        transition = Transition(str(number), name, status_ids[target], resolution=STATUSES[target] == "done")
        workflow[status_ids[source]] = (*workflow.get(status_ids[source], ()), transition)
    project = Project(
        id=_spaced_id(state, rng),
        key=names.key(),
        name=names.project(),
        lead=rng.choice(sorted(state.users)),
        issue_types=tuple(state.issue_types),
        workflow=workflow,
        initial_status=status_ids[edges[0][0]],
        next_number=rng.randrange(2, 60),
    )
    state.projects[project.id] = project
    epic = _add_issue(state, rng, names, labels, project.id, "Epic", None)
    standard = []
    for kind in ("Story", "Task", "Bug", rng.choice(("Story", "Task", "Bug"))):
        parent = epic if rng.random() < 0.5 else None
        standard.append(_add_issue(state, rng, names, labels, project.id, kind, parent))
    for _ in range(ISSUES - 5):
        _add_issue(state, rng, names, labels, project.id, "Sub-task", rng.choice(standard))
    blocks = next(iter(state.link_types))
    first, second = rng.sample(standard, 2)
    link = _spaced_id(state, rng)
    for issue, other, outward in ((first, second, True), (second, first, False)):
        state.issues[issue] = replace(state.issues[issue], links=(IssueLink(link, blocks, outward, other),))


def _add_issue(
    state: State,
    rng: random.Random,
    names: Names,
    labels: list[str],
    project_id: str,
    kind: str,
    parent: str | None,
) -> str:
    project = state.projects[project_id]
    type_id = next(t.id for t in state.issue_types.values() if t.name == kind)
    status = rng.choice(sorted(project.workflow))
    number = project.next_number + rng.randrange(1, 40)
    state.projects[project_id] = replace(project, next_number=number + 1)
    created = state.clock - 3_600 * rng.randrange(1, 2_000)
    people = sorted(state.users)
    done = state.statuses[status].category == "done"
    issue = Issue(
        id=_spaced_id(state, rng),
        key=f"{project.key}-{number}",
        project_id=project_id,
        type_id=type_id,
        summary=names.summary(),
        status_id=status,
        priority_id=rng.choice(sorted(state.priorities)),
        reporter=rng.choice(people),
        created=created,
        updated=created + 60 * rng.randrange(0, 60),
        assignee=rng.choice(people) if rng.random() < 0.7 else None,
        description=document(names.sentence()) if rng.random() < 0.5 else None,
        labels=tuple(rng.sample(labels, rng.randrange(1, 4))),
        parent_id=parent,
        resolution=rng.choice(sorted(state.resolutions.values())) if done else None,
        comments=tuple(_comment(state, rng, names, created) for _ in range(rng.randrange(0, 3))),
    )
    state.issues[issue.id] = issue
    state.issue_keys[issue.key] = issue.id
    return issue.id


def _comment(state: State, rng: random.Random, names: Names, created: int) -> Comment:
    author = rng.choice(sorted(state.users))
    return Comment(_spaced_id(state, rng), author, document(names.sentence()), created + 60 * rng.randrange(1, 50))


def _repeat_a_summary(state: State, rng: random.Random) -> None:
    """Gives one issue of each later project the summary of an issue of the project before it."""
    projects = list(state.projects)
    for before, after in pairwise(projects):
        source = rng.choice([issue for issue in state.issues.values() if issue.project_id == before])
        target = rng.choice([issue for issue in state.issues.values() if issue.project_id == after])
        state.issues[target.id] = replace(target, summary=source.summary)


def _add_space(state: State, rng: random.Random, names: Names, labels: list[str]) -> None:
    space_id, homepage = _spaced_id(state, rng), _spaced_id(state, rng)
    name, author = names.space(), rng.choice(sorted(state.users))
    created = state.clock - 3_600 * rng.randrange(2_000, 9_000)
    state.spaces[space_id] = Space(space_id, names.key(), name, homepage, author, created)
    _add_page(state, rng, names, labels, space_id, None, f"{name} Home", homepage)
    pages = [homepage]
    for _ in range(PAGES - 1):
        parent, page_id = rng.choice(pages), _spaced_id(state, rng)
        pages.append(_add_page(state, rng, names, labels, space_id, parent, names.title(), page_id))


def _add_page(
    state: State,
    rng: random.Random,
    names: Names,
    labels: list[str],
    space_id: str,
    parent: str | None,
    title: str,
    page_id: str,
) -> str:
    author = rng.choice(sorted(state.users))
    created = state.clock - 3_600 * rng.randrange(1, 2_000)
    body = f"<p>{names.sentence()}</p>"
    siblings = sum(page.parent_id == parent and page.space_id == space_id for page in state.pages.values())
    versions = tuple(
        PageVersion(number, created + 60 * number, author, "", title, body) for number in range(1, rng.randrange(2, 5))
    )
    page_labels: tuple[tuple[str, str], ...] = ()
    if rng.random() < 0.4:
        label = rng.choice(labels)
        page_labels = (("global", label),)
        state.label_ids.setdefault(label, _spaced_id(state, rng))
    state.pages[page_id] = Page(
        page_id, space_id, parent, title, body, author, created, siblings, versions, page_labels
    )
    return page_id


def _repeat_a_title(state: State, rng: random.Random) -> None:
    """Gives one page of each later space the title of a page of the space before it."""
    spaces = list(state.spaces)
    for before, after in pairwise(spaces):
        source = rng.choice([p for p in state.pages.values() if p.space_id == before and p.parent_id])
        targets = [p for p in state.pages.values() if p.space_id == after and p.parent_id]
        if any(p.title == source.title for p in targets):
            continue
        target = rng.choice(targets)
        versions = tuple(replace(version, title=source.title) for version in target.versions)
        state.pages[target.id] = replace(target, title=source.title, versions=versions)
