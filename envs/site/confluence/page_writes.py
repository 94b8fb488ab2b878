"""Confluence v2: creating, updating and deleting pages.

A deleted page goes to the trash and its children move up to its parent, so that the tree has no gaps. Only a page in
the trash can be purged. The root of the tree in each space is the homepage, beside pages created with `root-level`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from envs.site.confluence.bodies import EMPTY, read_body
from envs.site.confluence.errors import excerpt, invalid, not_found, wrong_type
from envs.site.confluence.page_lists import LISTED_STATUSES
from envs.site.confluence.pages import existing_page
from envs.site.confluence.parameters import (
    INTEGER_MAX,
    body_id,
    body_text,
    boolean,
    booleans,
    object_body,
    path_id,
    whole_number,
)
from envs.site.confluence.render import as_version, render_page_single
from envs.site.http import CONFLUENCE_V2, Request, Response, confluence_error, operation
from envs.site.records import Page, PageVersion, Space, State

TITLE_LENGTH_MAX = 255
TITLE_TAKEN = "A page with this title already exists: A page already exists with the same TITLE in this space"


@operation("createPage", "POST", f"{CONFLUENCE_V2}/pages")
def create_page(state: State, request: Request) -> Response:
    """Creates a page under `parentId` (by default the space's homepage), or at the root with `root-level=true`."""
    data = object_body(request)
    # The site has one user and one editor, so a private or an embedded page is like any other.
    root = "root-level" in booleans(request, "root-level", "private", "embedded")
    space = _space(state, data)
    status = _status(data) or "current"
    title = _title(data, status)
    body = EMPTY if data.get("body") is None else read_body(data["body"])
    parent_id = body_id(data, "parentId")
    if root and parent_id is not None:
        raise invalid("A 'parentId' may not be supplied when 'root-level' is true.")
    if parent_id is not None:
        _check_parent(state, parent_id, space.id)
    if parent_id is None and not root:
        parent_id = space.homepage_id
    if status == "current":
        _check_title_free(state, space.id, title)
    now = state.tick()
    version = PageVersion(1, now, state.current_user, "", title, body.value, body.representation)
    page = Page(
        id=state.new_id(),
        space_id=space.id,
        parent_id=parent_id,
        title=title,
        body=body.value,
        representation=body.representation,
        author=state.current_user,
        created=now,
        position=_next_position(state, space.id, parent_id),
        versions=(version,),
        status=status,
    )
    state.pages[page.id] = page
    return Response(200, render_page_single(state, page))


@operation("updatePage", "PUT", f"{CONFLUENCE_V2}/pages/{{id}}")
def update_page(state: State, request: Request) -> Response:
    """Writes title and body as a new version, or as a draft if `status` is `draft`.

    A new `parentId` moves the page, an `ownerId` changes its owner. Both take effect at once, for a draft too.
    """
    page = existing_page(state, request)
    data = object_body(request)
    for name in ("id", "status", "title", "body", "version"):
        if data.get(name) is None:
            raise invalid(f"'{name}' must be provided.")
    if body_id(data, "id") != page.id:
        raise invalid(f"The id in the body does not match the id in the path: {page.id}.")
    status = _status(data)
    title = _title(data, status)
    body = read_body(data["body"])
    message = _check_version(page, data["version"], status)
    if body_id(data, "spaceId") not in (None, page.space_id):
        raise invalid("Moving a page to a different space is not supported.")
    owner = _owner(state, data, page)
    parent_id = _new_parent(state, data, page)
    if status == "current":
        _check_title_free(state, page.space_id, title, page.id)
    version = PageVersion(0, state.tick(), state.current_user, message, title, body.value, body.representation)
    position = page.position if parent_id == page.parent_id else _next_position(state, page.space_id, parent_id)
    page = replace(page, owner=owner, parent_id=parent_id, position=position)
    page = _publish(page, version) if status == "current" else _save_draft(page, version)
    state.pages[page.id] = page
    view = page if page.draft is None else as_version(page, page.draft, "draft")
    return Response(200, render_page_single(state, view))


def _publish(page: Page, version: PageVersion) -> Page:
    """The page with a new version and without its draft."""
    version = replace(version, number=page.versions[-1].number + 1)
    return replace(as_version(page, version, "current"), versions=(*page.versions, version), draft=None)


def _save_draft(page: Page, version: PageVersion) -> Page:
    """The page with unpublished changes. They replace the content only of a page that was never published."""
    version = replace(version, number=1)
    return as_version(page, version, "draft") if page.status == "draft" else replace(page, draft=version)


@operation("deletePage", "DELETE", f"{CONFLUENCE_V2}/pages/{{id}}")
def delete_page(state: State, request: Request) -> Response:
    """Moves a page to the trash. `purge=true` removes a page in the trash, `draft=true` discards a draft."""
    page = state.pages.get(path_id(request))
    purge, draft = boolean(request, "purge"), boolean(request, "draft")
    if page is None:
        raise not_found()
    if page.id == state.spaces[page.space_id].homepage_id and not draft:
        raise invalid("The homepage of a space cannot be deleted.")
    if draft:
        _discard_draft(state, page)
    elif purge:
        if page.status != "trashed":
            raise invalid("Only a page in the trash can be purged.")
        _remove(state, page)
    elif page.status in LISTED_STATUSES:
        _trash(state, page)
    else:
        raise not_found()
    state.tick()
    return Response(204)


def _discard_draft(state: State, page: Page) -> None:
    if page.status == "draft":
        _remove(state, page)
    elif page.draft is not None and page.status != "trashed":
        state.pages[page.id] = replace(page, draft=None)
    else:
        raise not_found()


def _trash(state: State, page: Page) -> None:
    # Children in the trash move up too, since their parent may be purged before them.
    for child in [child for child in state.pages.values() if child.parent_id == page.id]:
        position = _next_position(state, page.space_id, page.parent_id)
        state.pages[child.id] = replace(child, parent_id=page.parent_id, position=position)
    state.pages[page.id] = replace(page, status="trashed", draft=None)


def _remove(state: State, page: Page) -> None:
    del state.pages[page.id]
    for comment in [comment for comment in state.footer_comments.values() if comment.page_id == page.id]:
        del state.footer_comments[comment.id]


def _space(state: State, data: Mapping[str, Any]) -> Space:
    space_id = body_id(data, "spaceId")
    if space_id is None:
        raise invalid("'spaceId' must be provided.")
    if space_id not in state.spaces:
        raise not_found(f"No space with id {space_id}.")
    return state.spaces[space_id]


def _status(data: Mapping[str, Any]) -> str | None:
    status = body_text(data, "status")
    if status not in (None, "current", "draft"):
        raise invalid(f"Provided value {{{excerpt(status)}}} for 'status' is not one of current, draft.")
    return status


def _title(data: Mapping[str, Any], status: str | None) -> str:
    title = body_text(data, "title") or ""
    if not title.strip() and status != "draft":
        raise invalid("'title' must be provided.")
    if len(title) > TITLE_LENGTH_MAX:
        raise invalid(f"'title' is longer than {TITLE_LENGTH_MAX} characters.")
    return title


def _check_title_free(state: State, space_id: str, title: str, page_id: str | None = None) -> None:
    """Raises 400 if another published page of the space has the title, in any letter case, as in Confluence."""
    for page in state.pages.values():
        same_title = page.space_id == space_id and page.title.lower() == title.lower()
        if same_title and page.status in LISTED_STATUSES and page.id != page_id:
            raise invalid(TITLE_TAKEN)


def _check_parent(state: State, parent_id: str, space_id: str) -> None:
    parent = state.pages.get(parent_id)
    if parent is None or parent.status not in LISTED_STATUSES:
        raise not_found(f"No parent page with id {parent_id}.")
    if parent.space_id != space_id:
        raise invalid(f"The parent page {parent_id} is not in the space {space_id}.")


def _new_parent(state: State, data: Mapping[str, Any], page: Page) -> str | None:
    """The parent after the update; raises 400 if the move would leave the space or create a cycle."""
    parent_id = body_id(data, "parentId")
    if parent_id is None or parent_id == page.parent_id:
        return page.parent_id
    if page.id == state.spaces[page.space_id].homepage_id:
        raise invalid("The homepage of a space cannot be moved.")
    _check_parent(state, parent_id, page.space_id)
    ancestor: str | None = parent_id
    while ancestor is not None:
        if ancestor == page.id:
            raise invalid("A page cannot be moved under itself or one of its descendants.")
        ancestor = state.pages[ancestor].parent_id
    return parent_id


def _owner(state: State, data: Mapping[str, Any], page: Page) -> str | None:
    owner = body_text(data, "ownerId")
    if owner is None:
        return page.owner
    if owner not in state.users:
        raise invalid(f"No user with account id {excerpt(owner)}.")
    return None if owner == page.author else owner


def _check_version(page: Page, version: Any, status: str | None) -> str:
    """The message of the new version; raises 409 unless its number follows the current one (1 for a draft)."""
    if not isinstance(version, dict):
        raise wrong_type(version, "version", "object")
    number = whole_number(version.get("number"), INTEGER_MAX)
    if number is None:
        raise wrong_type(version.get("number"), "version.number", "Integer")
    message = body_text(version, "message") or ""
    current = page.versions[-1].number
    if status == "draft" and number != 1:
        title = f"Version must be 1 when updating a draft. Provided version: [{number}]"
        raise confluence_error(409, "CONFLICT", title)
    if status != "draft" and number != current + 1:
        title = "Version must be incremented when updating a page."
        title += f" Current Version: [{current}]. Provided version: [{number}]"
        raise confluence_error(409, "CONFLICT", title)
    return message


def _next_position(state: State, space_id: str, parent_id: str | None) -> int:
    siblings = [p.position for p in state.pages.values() if p.space_id == space_id and p.parent_id == parent_id]
    return max(siblings, default=-1) + 1
