"""Lists of pages: the statuses that they show, and how they can be sorted."""

from __future__ import annotations

from envs.site.confluence.paging import Ordering
from envs.site.records import Page

LISTED_STATUSES = frozenset({"current", "archived"})
"""The page statuses that lists show if the request has no `status`."""
FILTER_STATUSES = ("current", "archived", "deleted", "trashed")
"""The values that `status` may have."""
PAGES: Ordering[Page] = Ordering(
    lambda page: int(page.id),
    {
        "id": lambda page: int(page.id),
        "created-date": lambda page: page.created,
        "modified-date": lambda page: page.versions[-1].created,
        "title": lambda page: page.title,
    },
    "id",
)
CHILDREN: Ordering[Page] = Ordering(
    PAGES.identity,
    {
        "child-position": lambda page: page.position,
        **{name: PAGES.keys[name] for name in ("id", "created-date", "modified-date")},
    },
    "child-position",
)
