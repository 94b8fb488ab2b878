"""The records of a site. They are frozen: a write replaces a record, so that copies of a state share the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

Adf = Mapping[str, Any]
"""An Atlassian Document Format document, treated as immutable."""


@dataclass(frozen=True, slots=True)
class User:
    account_id: str
    display_name: str
    active: bool = True


@dataclass(frozen=True, slots=True)
class IssueType:
    id: str
    name: str
    level: int
    """1 for epics, 0 for standard types, -1 for sub-tasks (Jira's `hierarchyLevel`)."""

    @property
    def subtask(self) -> bool:
        return self.level < 0


STATUS_CATEGORIES: Mapping[str, tuple[int, str]] = {
    "new": (2, "To Do"),
    "indeterminate": (4, "In Progress"),
    "done": (3, "Done"),
}
"""Jira's status categories: key -> (id, name)."""


@dataclass(frozen=True, slots=True)
class Status:
    id: str
    name: str
    category: str
    """A key of `STATUS_CATEGORIES`."""


@dataclass(frozen=True, slots=True)
class Transition:
    id: str
    name: str
    to: str
    """Id of the status that it leads to."""
    resolution: bool = False
    """Whether its screen shows the resolution field (always optional; the first resolution is then the default)."""


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    key: str
    name: str
    lead: str
    issue_types: tuple[str, ...]
    workflow: Mapping[str, tuple[Transition, ...]]
    """Status id -> the transitions offered there."""
    initial_status: str
    next_number: int


@dataclass(frozen=True, slots=True)
class Comment:
    id: str
    author: str
    body: Adf
    created: int


@dataclass(frozen=True, slots=True)
class Worklog:
    id: str
    author: str
    seconds: int
    started: int
    comment: Adf | None


@dataclass(frozen=True, slots=True)
class IssueLink:
    id: str
    type_id: str
    outward: bool
    """Whether this issue is the link's outward end."""
    other: str
    """Id of the issue at the other end."""


@dataclass(frozen=True, slots=True)
class Issue:
    id: str
    key: str
    project_id: str
    type_id: str
    summary: str
    status_id: str
    priority_id: str
    reporter: str
    created: int
    """Seconds on the site's clock."""
    updated: int
    assignee: str | None = None
    description: Adf | None = None
    labels: tuple[str, ...] = ()
    parent_id: str | None = None
    resolution: str | None = None
    """Name of the resolution."""
    comments: tuple[Comment, ...] = ()
    worklogs: tuple[Worklog, ...] = ()
    links: tuple[IssueLink, ...] = ()


@dataclass(frozen=True, slots=True)
class Space:
    id: str
    key: str
    name: str
    homepage_id: str
    author: str
    created: int
    labels: tuple[str, ...] = ()
    type: str = "global"
    status: str = "current"


@dataclass(frozen=True, slots=True)
class PageVersion:
    number: int
    created: int
    author: str
    message: str
    title: str
    body: str
    representation: str = "storage"
    """How `body` is written: `storage`, or `atlas_doc_format` for an ADF document as JSON text."""


@dataclass(frozen=True, slots=True)
class Page:
    id: str
    space_id: str
    parent_id: str | None
    title: str
    body: str
    """The storage representation, or an ADF document as JSON text when `representation` says so."""
    author: str
    created: int
    position: int
    versions: tuple[PageVersion, ...]
    """From the first to the one that the page shows now."""
    labels: tuple[tuple[str, str], ...] = ()
    """(prefix, name) pairs, prefix `global`, `my` or `team`."""
    status: str = "current"
    """`current`, `archived`, `trashed`, or `draft` for a page that was never published."""
    representation: str = "storage"
    draft: PageVersion | None = None
    """Unpublished changes to a published page; their version number is always 1."""
    owner: str | None = None
    """Account id, when the page was handed to someone other than its author."""


@dataclass(frozen=True, slots=True)
class FooterComment:
    id: str
    page_id: str
    parent_comment_id: str | None
    body: str
    author: str
    created: int
    representation: str = "storage"


@dataclass(slots=True)
class State:
    """Everything that a site holds. The dictionaries are owned; what they hold is shared between copies."""

    current_user: str
    clock: int
    """Seconds since 1970 on the site's own clock; each write advances it."""
    next_id: int
    """One counter for every kind of new record, so that no id names two things."""
    users: dict[str, User] = field(default_factory=dict)
    issue_types: dict[str, IssueType] = field(default_factory=dict)
    statuses: dict[str, Status] = field(default_factory=dict)
    priorities: dict[str, str] = field(default_factory=dict)
    """Id -> name, highest first."""
    resolutions: dict[str, str] = field(default_factory=dict)
    """Id -> name, the default first."""
    link_types: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Id -> (name, inward, outward)."""
    projects: dict[str, Project] = field(default_factory=dict)
    issues: dict[str, Issue] = field(default_factory=dict)
    issue_keys: dict[str, str] = field(default_factory=dict)
    """Key -> issue id."""
    spaces: dict[str, Space] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    footer_comments: dict[str, FooterComment] = field(default_factory=dict)
    label_ids: dict[str, str] = field(default_factory=dict)
    """Confluence label -> its id. A global label is named by itself, another one as `prefix:name`; space labels have
    the prefix `team`."""

    def copy(self) -> State:
        """An independent state: later writes to either leave the other as it is."""
        names = (f.name for f in fields(self))
        copies: dict[str, Any] = {n: dict(getattr(self, n)) for n in names if isinstance(getattr(self, n), dict)}
        return replace(self, **copies)

    def new_id(self) -> str:
        self.next_id += 1
        return str(self.next_id)

    def tick(self) -> int:
        """Advances the clock by a minute, as each write does, and returns the new time."""
        self.clock += 60
        return self.clock
