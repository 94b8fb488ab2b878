"""The records of a site. They are frozen: a write replaces a record, so copies of a state can share all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

Adf = Mapping[str, Any]
"""A document in the Atlassian Document Format. Nothing modifies it."""


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
    """Id of the target status."""
    resolution: bool = False
    """Whether its screen has the resolution field. If it is not required, the first resolution is the default."""
    required: tuple[str, ...] = ()
    """The fields without which it is refused: "resolution" if its screen has it, and "comment"."""

    @property
    def has_screen(self) -> bool:
        return self.resolution or bool(self.required)


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    key: str
    name: str
    lead: str
    issue_types: tuple[str, ...]
    workflow: Mapping[str, tuple[Transition, ...]]
    """Status id -> the transitions from it."""
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
    """Seconds since 1970 on the site's clock, like all times."""
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
    """The format of `body`: `storage`, or `atlas_doc_format` for an ADF document as JSON text."""


@dataclass(frozen=True, slots=True)
class Page:
    id: str
    space_id: str
    parent_id: str | None
    title: str
    body: str
    """Text in the format of `representation`."""
    author: str
    created: int
    position: int
    versions: tuple[PageVersion, ...]
    """From the first to the current one."""
    labels: tuple[tuple[str, str], ...] = ()
    """(prefix, name) pairs, prefix `global`, `my` or `team`."""
    status: str = "current"
    """`current`, `archived`, `trashed`, or `draft` for a page that was never published."""
    representation: str = "storage"
    draft: PageVersion | None = None
    """Unpublished changes to a published page. Their version number is always 1."""
    owner: str | None = None
    """Account id of the owner, if it is not the author."""


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
    """The complete state of a site. Each copy has its own dictionaries; the records in them are shared."""

    current_user: str
    clock: int
    """Seconds since 1970. Each write advances the clock."""
    next_id: int
    """The latest id. All kinds of new records share the counter, so that no id occurs twice."""
    users: dict[str, User] = field(default_factory=dict)
    issue_types: dict[str, IssueType] = field(default_factory=dict)
    statuses: dict[str, Status] = field(default_factory=dict)
    priorities: dict[str, str] = field(default_factory=dict)
    """Id -> name, the highest first."""
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
    """Confluence label -> its id. The key of a global label is its name, that of another label `prefix:name`. Labels of
    spaces have the prefix `team`."""

    def copy(self) -> State:
        """An independent state: later writes to one do not change the other."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        copies: dict[str, Any] = {name: dict(value) for name, value in values.items() if isinstance(value, dict)}
        return replace(self, **copies)

    def new_id(self) -> str:
        self.next_id += 1
        return str(self.next_id)

    def tick(self) -> int:
        """Advances the clock by a minute and returns the new time. Each write calls it once."""
        self.clock += 60
        return self.clock
