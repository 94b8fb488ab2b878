"""Confluence v2: attachments, of which the site has none."""

from __future__ import annotations

from typing import Any

from envs.site.confluence.paging import Ordering, listing
from envs.site.confluence.parameters import choices
from envs.site.http import CONFLUENCE_V2, Request, Response, operation
from envs.site.records import State

ATTACHMENT_STATUSES = ("current", "archived", "trashed")
ATTACHMENTS: Ordering[Any] = Ordering(int, {"created-date": int, "modified-date": int}, "created-date")


@operation("getAttachments", "GET", f"{CONFLUENCE_V2}/attachments")
def get_attachments(state: State, request: Request) -> Response:
    """The attachments that match the filters. The site has none, so the list is always empty."""
    choices(request, "status", ATTACHMENT_STATUSES)
    return listing(request, f"{CONFLUENCE_V2}/attachments", (), ATTACHMENTS, str)
