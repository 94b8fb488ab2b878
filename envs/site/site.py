"""A synthetic Atlassian site. `Site.request` is the only door to Jira REST v3, Confluence v2 and the v1 labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from envs.protocol import Split
from envs.site.confluence import attachments, labels, labels_v1, page_writes, pages, spaces
from envs.site.confluence import comments as page_comments
from envs.site.generate import generate
from envs.site.http import Response, dispatch
from envs.site.jira import (
    catalogue,
    comments,
    create_metadata,
    issue_types,
    issues,
    links,
    projects,
    search,
    system_fields,
    users,
    workflow,
    worklogs,
)
from envs.site.records import State

# Importing a module registers its operations. The list uses the imports, so that no tool removes them as unused.
_MODULES = (
    *(attachments, labels, labels_v1, page_comments, page_writes, pages, spaces),
    *(catalogue, comments, create_metadata, issue_types, issues, links, projects, search, system_fields, users),
    *(workflow, worklogs),
)


@lru_cache(maxsize=512)
def _seeded(seed: int, split: Split) -> State:
    return generate(seed, split)


class Site:
    """A site that answers requests and has a clock of its own. Copies share the records that neither has changed."""

    def __init__(self, state: State) -> None:
        self.state = state

    @classmethod
    def from_seed(cls, seed: int, split: Split = "train") -> Site:
        """The site of a seed. Every call returns an independent copy of the same initial state."""
        return cls(_seeded(seed, split).copy())

    def copy(self) -> Site:
        return Site(self.state.copy())

    def request(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Response:
        """Answers `method path?query` with `body`, parsed JSON. A list as a query value repeats the parameter."""
        return dispatch(self.state, method, path, query, body)

    def snapshot(self) -> dict[str, Any]:
        """The complete state as plain data, for comparisons."""
        return asdict(self.state)
