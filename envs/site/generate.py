"""Generates a site from a seed: people, projects with workflows, issues, and Confluence spaces with page trees.

Guessing should fail. Names therefore repeat (two people share a first name, two projects an issue's summary, two spaces
a page's title), and ids have random gaps.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
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
from envs.site.workflows import PAUSES, STATUSES, WORKFLOWS, Workflow
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


@dataclass(frozen=True)
class Size:
    """How much there is on a site. Ranges include both ends."""

    share: float
    """The share of sites of this size."""
    projects: tuple[int, int]
    issues: tuple[int, int]
    """Per project."""
    people: int
    labels: int
    spaces: int
    pages: tuple[int, int]
    """Per space."""


SIZES = {
    "small": Size(0.6, (3, 3), (7, 7), people=6, labels=8, spaces=3, pages=(6, 6)),
    "medium": Size(0.3, (4, 5), (12, 20), people=10, labels=12, spaces=6, pages=(8, 8)),
    "large": Size(0.1, (8, 8), (20, 30), people=16, labels=16, spaces=30, pages=(4, 6)),
}
FAMILY = 7
"""A project has about one epic, two sub-tasks and one link in this many issues, and one summary of another project."""
ALIKE = 0.35
"""The share of summaries that repeat two or three words of another summary in the project."""
RESOLUTION_REQUIRED, COMMENT_REQUIRED = 1 / 3, 0.4
"""The share of moves into a done status that require a resolution, and that of moves into a pause and a comment."""


def draw_size(rng: random.Random) -> str:
    """A key of SIZES. It is the first draw of a site."""
    return rng.choices(list(SIZES), [size.share for size in SIZES.values()])[0]


def generate(seed: int, split: Split) -> State:
    """The initial state of the site `seed`, with names of `split`."""
    return _Generator(seed, split).generate()


class _Generator:
    """Draws one site from one random stream, so the order of the draws decides the site."""

    def __init__(self, seed: int, split: Split) -> None:
        self.rng = random.Random(f"site/{split}/{seed}")
        self.split = split
        self.size = SIZES[draw_size(self.rng)]
        self.names = Names(self.rng, split)
        clock = START + 60 * self.rng.randrange(100_000)
        self.state = State(current_user="", clock=clock, next_id=self.rng.randrange(20_000, 95_000))
        self.people: list[str] = []
        """Account ids, sorted."""
        self.labels: list[str] = []

    def generate(self) -> State:
        self._add_people()
        workflows = self.rng.sample(WORKFLOWS[self.split], self.rng.randint(*self.size.projects))
        self._add_schemes({status for workflow in workflows for source, _, to in workflow for status in (source, to)})
        self.labels = [self.names.label() for _ in range(self.size.labels)]
        for workflow in workflows:
            self._add_project(workflow)
        self._repeat_summaries()
        for _ in range(self.size.spaces):
            self._add_space()
        self._repeat_a_title()
        return self.state

    def _spaced_id(self) -> str:
        """A new id, with a random gap to the one before it."""
        self.state.next_id += self.rng.randrange(3, 90)
        return str(self.state.next_id)

    def _add_people(self) -> None:
        count = self.size.people
        people = [*self.names.namesakes(), *(self.names.person() for _ in range(count - 2))]
        self.rng.shuffle(people)
        for name, number in zip(people, self.rng.sample(range(10_000, 99_999), count), strict=True):
            account = f"712020:{number}"
            self.state.users[account] = User(account, name)
        self.people = sorted(self.state.users)
        self.state.current_user = self.rng.choice(self.people)

    def _add_schemes(self, statuses: set[str]) -> None:
        """Adds what all projects share. A site has only the `statuses` of its workflows."""
        self.state.priorities = {str(number): name for number, name in enumerate(PRIORITIES, 1)}
        self.state.resolutions = {str(10_000 + number): name for number, name in enumerate(RESOLUTIONS)}
        self.state.link_types = {str(10_100 + number): names for number, names in enumerate(LINK_TYPES)}
        for number, (name, category) in enumerate(STATUSES.items(), 10_200):
            if name in statuses:
                self.state.statuses[str(number)] = Status(str(number), name, category)
        for number, (name, level) in enumerate(TYPES):
            self.state.issue_types[str(10_300 + number)] = IssueType(str(10_300 + number), name, level)

    def _add_project(self, moves: Workflow) -> None:
        """Adds a project with the workflow of `moves`, and its issues."""
        status_ids = {status.name: status.id for status in self.state.statuses.values()}
        ids = self.rng.sample(range(11, 99), len(moves))
        workflow: dict[str, tuple[Transition, ...]] = {}
        for (source, name, target), number in zip(moves, ids, strict=True):
            screen = STATUSES[target] == "done"
            required = self._required_fields(source, target)
            transition = Transition(str(number), name, status_ids[target], screen, required)
            workflow[status_ids[source]] = (*workflow.get(status_ids[source], ()), transition)
        project = Project(
            id=self._spaced_id(),
            key=self.names.key(),
            name=self.names.project(),
            lead=self.rng.choice(self.people),
            issue_types=tuple(self.state.issue_types),
            workflow=workflow,
            initial_status=status_ids[moves[0][0]],
            next_number=self.rng.randrange(2, 60),
        )
        self.state.projects[project.id] = project
        self._add_issues(project.id)

    def _required_fields(self, source: str, target: str) -> tuple[str, ...]:
        """The fields that a move requires. An issue in a done status has its resolution already."""
        if STATUSES[target] == "done" and STATUSES[source] != "done":
            return ("resolution",) if self.rng.random() < RESOLUTION_REQUIRED else ()
        return ("comment",) if target in PAUSES and self.rng.random() < COMMENT_REQUIRED else ()

    def _add_issues(self, project_id: str) -> None:
        """Adds epics, standard issues of all types, of which some are linked, and sub-tasks."""
        count = self.rng.randint(*self.size.issues)
        families = count // FAMILY
        epics = [self._add_issue(project_id, "Epic", None) for _ in range(families)]
        kinds = ["Story", "Task", "Bug"]
        kinds += [self.rng.choice(kinds) for _ in range(count - 3 * families - len(kinds))]
        standard = []
        for kind in kinds:
            parent = self.rng.choice(epics) if self.rng.random() < 0.5 else None
            standard.append(self._add_issue(project_id, kind, parent))
        for _ in range(2 * families):
            self._add_issue(project_id, "Sub-task", self.rng.choice(standard))
        ends = self.rng.sample(standard, 2 * families)
        types = list(self.state.link_types)
        for number, (first, second) in enumerate(zip(ends[::2], ends[1::2], strict=True)):
            self._link(first, second, self.rng.choice(types) if number else types[0])

    def _link(self, first: str, second: str, type_id: str) -> None:
        """Links two issues without links; `first` is the outward end."""
        link_id = self._spaced_id()
        for id, partner, outward in ((first, second, True), (second, first, False)):
            link = IssueLink(link_id, type_id, outward, partner)
            self.state.issues[id] = replace(self.state.issues[id], links=(link,))

    def _add_issue(self, project_id: str, kind: str, parent: str | None) -> str:
        """Adds an issue of the type `kind` and returns its id; `parent` is an issue's id."""
        project = self.state.projects[project_id]
        type_id = next(t.id for t in self.state.issue_types.values() if t.name == kind)
        status = self.rng.choice(sorted(project.workflow))
        number = project.next_number + self.rng.randrange(1, 40)
        self.state.projects[project_id] = replace(project, next_number=number + 1)
        created = self.state.clock - 3_600 * self.rng.randrange(1, 2_000)
        done = self.state.statuses[status].category == "done"
        issue = Issue(
            id=self._spaced_id(),
            key=f"{project.key}-{number}",
            project_id=project_id,
            type_id=type_id,
            summary=self._summary(project_id),
            status_id=status,
            priority_id=self.rng.choice(sorted(self.state.priorities)),
            reporter=self.rng.choice(self.people),
            created=created,
            updated=created + 60 * self.rng.randrange(0, 60),
            assignee=self.rng.choice(self.people) if self.rng.random() < 0.7 else None,
            description=document(self.names.sentence()) if self.rng.random() < 0.5 else None,
            labels=tuple(self.rng.sample(self.labels, self.rng.randrange(1, 4))),
            parent_id=parent,
            resolution=self.rng.choice(sorted(self.state.resolutions.values())) if done else None,
            comments=tuple(self._comment(created) for _ in range(self.rng.randrange(0, 3))),
        )
        self.state.issues[issue.id] = issue
        self.state.issue_keys[issue.key] = issue.id
        return issue.id

    def _summary(self, project_id: str) -> str:
        others = [issue.summary for issue in self.state.issues.values() if issue.project_id == project_id]
        if others and self.rng.random() < ALIKE:
            return self.names.summary_like(self.rng.choice(others))
        return self.names.summary()

    def _comment(self, created: int) -> Comment:
        """A comment on an issue that was created at `created`."""
        author, id = self.rng.choice(self.people), self._spaced_id()
        return Comment(id, author, document(self.names.sentence()), created + 60 * self.rng.randrange(1, 50))

    def _repeat_summaries(self) -> None:
        """Gives some issues of each later project the summaries of issues of the project before it."""
        projects = [[i for i in self.state.issues.values() if i.project_id == id] for id in self.state.projects]
        for before, after in pairwise(projects):
            count = min(len(before), len(after)) // FAMILY
            for source, place in zip(
                self.rng.sample(before, count), self.rng.sample(range(len(after)), count), strict=True
            ):
                after[place] = replace(after[place], summary=source.summary)
                self.state.issues[after[place].id] = after[place]

    def _add_space(self) -> None:
        space_id, homepage = self._spaced_id(), self._spaced_id()
        name, author = self.names.space(), self.rng.choice(self.people)
        created = self.state.clock - 3_600 * self.rng.randrange(2_000, 9_000)
        self.state.spaces[space_id] = Space(space_id, self.names.key(), name, homepage, author, created)
        self._add_page(space_id, None, f"{name} Home", homepage)
        pages = [homepage]
        for _ in range(self.rng.randint(*self.size.pages) - 1):
            parent, page_id = self.rng.choice(pages), self._spaced_id()
            self._add_page(space_id, parent, self.names.title(), page_id)
            pages.append(page_id)

    def _add_page(self, space_id: str, parent: str | None, title: str, page_id: str) -> None:
        author = self.rng.choice(self.people)
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
        spaces = [
            [p for p in self.state.pages.values() if p.space_id == id and p.parent_id] for id in self.state.spaces
        ]
        for before, targets in pairwise(spaces):
            source, place = self.rng.choice(before), self.rng.randrange(len(targets))
            versions = tuple(replace(version, title=source.title) for version in targets[place].versions)
            targets[place] = replace(targets[place], title=source.title, versions=versions)
            self.state.pages[targets[place].id] = targets[place]
