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
    return _Generator(seed, split).generate()


class _Generator:
    """Draws one site from one random stream, so the order of the draws decides the site."""

    def __init__(self, seed: int, split: Split) -> None:
        self.rng = random.Random(f"site/{split}/{seed}")
        self.names = Names(self.rng, split)
        clock = START + 60 * self.rng.randrange(100_000)
        self.state = State(current_user="", clock=clock, next_id=self.rng.randrange(20_000, 95_000))
        self.labels: list[str] = []

    def generate(self) -> State:
        self._add_people()
        self._add_schemes()
        self.labels = [self.names.label() for _ in range(LABELS)]
        for number in range(PROJECTS):
            self._add_project(WORKFLOWS[number % len(WORKFLOWS)])
        self._repeat_a_summary()
        for _ in range(SPACES):
            self._add_space()
        self._repeat_a_title()
        return self.state

    def _spaced_id(self) -> str:
        """A new id, with a random gap to the one before it."""
        self.state.next_id += self.rng.randrange(3, 90)
        return str(self.state.next_id)

    def _add_people(self) -> None:
        people = [*self.names.namesakes(), *(self.names.person() for _ in range(PEOPLE - 2))]
        self.rng.shuffle(people)
        for name, number in zip(people, self.rng.sample(range(10_000, 99_999), PEOPLE), strict=True):
            account = f"712020:{number}"
            self.state.users[account] = User(account, name)
        self.state.current_user = self.rng.choice(sorted(self.state.users))

    def _add_schemes(self) -> None:
        self.state.priorities = {str(number): name for number, name in enumerate(PRIORITIES, 1)}
        self.state.resolutions = {str(10_000 + number): name for number, name in enumerate(RESOLUTIONS)}
        self.state.link_types = {str(10_100 + number): names for number, names in enumerate(LINK_TYPES)}
        for number, (name, category) in enumerate(STATUSES.items()):
            self.state.statuses[str(10_200 + number)] = Status(str(10_200 + number), name, category)
        for number, (name, level) in enumerate(TYPES):
            self.state.issue_types[str(10_300 + number)] = IssueType(str(10_300 + number), name, level)

    def _add_project(self, edges: tuple[tuple[str, str, str], ...]) -> None:
        """Adds a project with the workflow of `edges`, and its issues."""
        status_ids = {status.name: status.id for status in self.state.statuses.values()}
        ids = self.rng.sample(range(11, 99), len(edges))
        workflow: dict[str, tuple[Transition, ...]] = {}
        for (source, name, target), number in zip(edges, ids, strict=True):
            transition = Transition(str(number), name, status_ids[target], resolution=STATUSES[target] == "done")
            workflow[status_ids[source]] = (*workflow.get(status_ids[source], ()), transition)
        project = Project(
            id=self._spaced_id(),
            key=self.names.key(),
            name=self.names.project(),
            lead=self.rng.choice(sorted(self.state.users)),
            issue_types=tuple(self.state.issue_types),
            workflow=workflow,
            initial_status=status_ids[edges[0][0]],
            next_number=self.rng.randrange(2, 60),
        )
        self.state.projects[project.id] = project
        self._add_issues(project.id)

    def _add_issues(self, project_id: str) -> None:
        """Adds an epic, four standard issues, of which two are linked, and sub-tasks."""
        epic = self._add_issue(project_id, "Epic", None)
        standard = []
        for kind in ("Story", "Task", "Bug", self.rng.choice(("Story", "Task", "Bug"))):
            parent = epic if self.rng.random() < 0.5 else None
            standard.append(self._add_issue(project_id, kind, parent))
        for _ in range(ISSUES - 5):
            self._add_issue(project_id, "Sub-task", self.rng.choice(standard))
        blocks = next(iter(self.state.link_types))
        first, second = self.rng.sample(standard, 2)
        link_id = self._spaced_id()
        for id, partner, outward in ((first, second, True), (second, first, False)):
            link = IssueLink(link_id, blocks, outward, partner)
            self.state.issues[id] = replace(self.state.issues[id], links=(link,))

    def _add_issue(self, project_id: str, kind: str, parent: str | None) -> str:
        """Adds an issue of the type `kind` and returns its id; `parent` is an issue's id."""
        project = self.state.projects[project_id]
        type_id = next(t.id for t in self.state.issue_types.values() if t.name == kind)
        status = self.rng.choice(sorted(project.workflow))
        number = project.next_number + self.rng.randrange(1, 40)
        self.state.projects[project_id] = replace(project, next_number=number + 1)
        created = self.state.clock - 3_600 * self.rng.randrange(1, 2_000)
        people = sorted(self.state.users)
        done = self.state.statuses[status].category == "done"
        issue = Issue(
            id=self._spaced_id(),
            key=f"{project.key}-{number}",
            project_id=project_id,
            type_id=type_id,
            summary=self.names.summary(),
            status_id=status,
            priority_id=self.rng.choice(sorted(self.state.priorities)),
            reporter=self.rng.choice(people),
            created=created,
            updated=created + 60 * self.rng.randrange(0, 60),
            assignee=self.rng.choice(people) if self.rng.random() < 0.7 else None,
            description=document(self.names.sentence()) if self.rng.random() < 0.5 else None,
            labels=tuple(self.rng.sample(self.labels, self.rng.randrange(1, 4))),
            parent_id=parent,
            resolution=self.rng.choice(sorted(self.state.resolutions.values())) if done else None,
            comments=tuple(self._comment(created) for _ in range(self.rng.randrange(0, 3))),
        )
        self.state.issues[issue.id] = issue
        self.state.issue_keys[issue.key] = issue.id
        return issue.id

    def _comment(self, created: int) -> Comment:
        """A comment on an issue that was created at `created`."""
        author, id = self.rng.choice(sorted(self.state.users)), self._spaced_id()
        return Comment(id, author, document(self.names.sentence()), created + 60 * self.rng.randrange(1, 50))

    def _repeat_a_summary(self) -> None:
        """Gives one issue of each later project the summary of an issue of the project before it."""
        projects = list(self.state.projects)
        for before, after in pairwise(projects):
            source = self.rng.choice([issue for issue in self.state.issues.values() if issue.project_id == before])
            target = self.rng.choice([issue for issue in self.state.issues.values() if issue.project_id == after])
            self.state.issues[target.id] = replace(target, summary=source.summary)

    def _add_space(self) -> None:
        space_id, homepage = self._spaced_id(), self._spaced_id()
        name, author = self.names.space(), self.rng.choice(sorted(self.state.users))
        created = self.state.clock - 3_600 * self.rng.randrange(2_000, 9_000)
        self.state.spaces[space_id] = Space(space_id, self.names.key(), name, homepage, author, created)
        self._add_page(space_id, None, f"{name} Home", homepage)
        pages = [homepage]
        for _ in range(PAGES - 1):
            parent, page_id = self.rng.choice(pages), self._spaced_id()
            self._add_page(space_id, parent, self.names.title(), page_id)
            pages.append(page_id)

    def _add_page(self, space_id: str, parent: str | None, title: str, page_id: str) -> None:
        author = self.rng.choice(sorted(self.state.users))
        created = self.state.clock - 3_600 * self.rng.randrange(1, 2_000)
        body = f"<p>{self.names.sentence()}</p>"
        siblings = sum(page.parent_id == parent and page.space_id == space_id for page in self.state.pages.values())
        versions = tuple(
            PageVersion(number, created + 60 * number, author, "", title, body)
            for number in range(1, self.rng.randrange(2, 5))
        )
        page_labels: tuple[tuple[str, str], ...] = ()
        if self.rng.random() < 0.4:
            label = self.rng.choice(self.labels)
            page_labels = (("global", label),)
            self.state.label_ids.setdefault(label, self._spaced_id())
        self.state.pages[page_id] = Page(
            page_id, space_id, parent, title, body, author, created, siblings, versions, page_labels
        )

    def _repeat_a_title(self) -> None:
        """Gives one page of each later space the title of a page of the space before it."""
        spaces = list(self.state.spaces)
        for before, after in pairwise(spaces):
            source = self.rng.choice([p for p in self.state.pages.values() if p.space_id == before and p.parent_id])
            targets = [p for p in self.state.pages.values() if p.space_id == after and p.parent_id]
            if any(p.title == source.title for p in targets):
                continue
            target = self.rng.choice(targets)
            versions = tuple(replace(version, title=source.title) for version in target.versions)
            self.state.pages[target.id] = replace(target, title=source.title, versions=versions)
