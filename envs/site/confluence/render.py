"""Confluence's records as JSON.

Responses have only what a caller needs to continue. A human-readable name comes before the id that it names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from envs.site.confluence.bodies import render_body
from envs.site.http import CONFLUENCE_V2
from envs.site.records import FooterComment, Page, PageVersion, Space, State


def timestamp(seconds: int) -> str:
    """Confluence's date-time, such as `2026-01-05T09:30:00.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


Label = tuple[str, str]
"""(prefix, name); the prefix is one of `LABEL_PREFIXES`."""
LABEL_PREFIXES = ("global", "my", "team")


def label_key(label: Label) -> str:
    """The label's key in `State.label_ids`."""
    prefix, name = label
    return name if prefix == "global" else f"{prefix}:{name}"


def label_from_key(key: str) -> Label:
    prefix, separator, name = key.partition(":")
    return (prefix, name) if separator else ("global", key)


def render_label(state: State, label: Label) -> dict[str, str]:
    prefix, name = label
    return {"name": name, "prefix": prefix, "id": state.label_ids[label_key(label)]}


def render_space(space: Space) -> dict[str, Any]:
    """A `SpaceBulk`, without description and icon: the site has none, and null would break the schema."""
    return {
        "name": space.name,
        "id": space.id,
        "key": space.key,
        "type": space.type,
        "status": space.status,
        "homepageId": space.homepage_id,
    }


def render_page(page: Page, body_format: str | None = None) -> dict[str, Any]:
    """A `PageBulk`."""
    return _page(page, {"number": page.versions[-1].number}, {}, body_format)


def render_page_single(
    state: State, page: Page, body_format: str | None = None, version: bool = True
) -> dict[str, Any]:
    """A `PageSingle`, by default with its version. It has a body only if `body_format` is not None."""
    details: dict[str, Any] = {"authorId": page.author, "createdAt": timestamp(page.created)}
    if page.owner is not None:
        details["ownerId"] = page.owner
    rendering = _page(page, render_version(page.versions[-1]) if version else None, details, body_format)
    space = state.spaces[page.space_id]
    return {**rendering, "_links": {"webui": f"/spaces/{space.key}/pages/{page.id}"}}


def _page(
    page: Page, version: Mapping[str, Any] | None, details: Mapping[str, Any], body_format: str | None
) -> dict[str, Any]:
    rendering: dict[str, Any] = {
        "title": page.title,
        "id": page.id,
        "spaceId": page.space_id,
        "parentId": page.parent_id,
        "parentType": None if page.parent_id is None else "page",
        "status": page.status,
        **details,
    }
    if version is not None:
        rendering["version"] = version
    if body_format is not None:
        rendering["body"] = render_body(page.representation, page.body, body_format)
    return rendering


def render_child(page: Page) -> dict[str, Any]:
    """A `ChildPage`."""
    return {
        "title": page.title,
        "id": page.id,
        "spaceId": page.space_id,
        "status": page.status,
        "childPosition": page.position,
    }


def render_version(version: PageVersion) -> dict[str, Any]:
    return {
        "number": version.number,
        "createdAt": timestamp(version.created),
        "message": version.message,
        "authorId": version.author,
    }


def as_version(page: Page, version: PageVersion, status: str) -> Page:
    """The page as it is in one of its versions or in its draft."""
    return replace(
        page,
        title=version.title,
        body=version.body,
        representation=version.representation,
        status=status,
        versions=(version,),
    )


def render_comment(state: State, comment: FooterComment, body_format: str | None) -> dict[str, Any]:
    """A `PageCommentModel`; an answer to a comment is a `FooterCommentModel`, with `parentCommentId`."""
    version = {"number": 1, "createdAt": timestamp(comment.created), "authorId": comment.author}
    rendering: dict[str, Any] = {
        "title": f"Re: {state.pages[comment.page_id].title}",
        "id": comment.id,
        "status": "current",
        "pageId": comment.page_id,
        "version": version,
    }
    if comment.parent_comment_id is not None:
        rendering["parentCommentId"] = comment.parent_comment_id
    if body_format is not None:
        rendering["body"] = render_body(comment.representation, comment.body, body_format)
    return rendering


def inclusion(path: str, results: Sequence[Any]) -> dict[str, Any]:
    """The value of a member that an `include-...` parameter adds: at most 50 results."""
    return {
        "results": list(results[:50]),
        "meta": {"hasMore": len(results) > 50},
        "_links": {"self": f"{CONFLUENCE_V2}{path}"},
    }
