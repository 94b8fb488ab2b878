"""A synthetic Atlassian site: one door, `Site.request`, to Jira REST v3, Confluence v2 and the v1 label write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from envs.protocol import Split
from envs.site.confluence import comments as confluence_comments
from envs.site.confluence import labels as confluence_labels
from envs.site.confluence import pages as confluence_pages
from envs.site.confluence import spaces as confluence_spaces
from envs.site.confluence import writes as confluence_writes
from envs.site.generate import generate
from envs.site.http import OPERATIONS, Response, dispatch
from envs.site.jira import activity as jira_activity
from envs.site.jira import catalogue as jira_catalogue
from envs.site.jira import issues as jira_issues
from envs.site.jira import projects as jira_projects
from envs.site.jira import search as jira_search
from envs.site.jira import workflow as jira_workflow
from envs.site.records import State

# The modules register their operations when they are imported; naming them here keeps the imports honest.
_MODULES = (
    confluence_comments,
    confluence_labels,
    confluence_pages,
    confluence_spaces,
    confluence_writes,
    jira_activity,
    jira_catalogue,
    jira_issues,
    jira_projects,
    jira_search,
    jira_workflow,
)


@lru_cache(maxsize=512)
def _seeded(seed: int, split: Split) -> State:
    return generate(seed, split)


class Site:
    """A site that answers requests and keeps its own clock. Copies share what neither has written."""

    def __init__(self, state: State) -> None:
        self.state = state

    @classmethod
    def from_seed(cls, seed: int, split: Split = "train") -> Site:
        """The site of a seed; every call returns an independent copy of the same start."""
        return cls(_seeded(seed, split).copy())

    def copy(self) -> Site:
        return Site(self.state.copy())

    def request(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Response:
        """Answers `method path?query` with `body` (parsed JSON). A list as a query value repeats its name."""
        return dispatch(self.state, method, path, query, body)

    def snapshot(self) -> dict[str, Any]:
        """The whole state as plain data, to compare two moments."""
        return asdict(self.state)


def operation_ids() -> tuple[str, ...]:
    """The ids of all operations that a site answers."""
    return tuple(OPERATIONS)
