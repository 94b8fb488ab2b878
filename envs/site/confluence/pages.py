"""Confluence v2: reading pages, their children and their versions."""

from __future__ import annotations

from typing import Any

from envs.site.confluence.bodies import READABLE, READABLE_SINGLE, render_body
from envs.site.confluence.errors import invalid, not_found, wrong_type
from envs.site.confluence.page_lists import CHILDREN, FILTER_STATUSES, LISTED_STATUSES, PAGES
from envs.site.confluence.paging import Ordering, listing
from envs.site.confluence.parameters import (
    INTEGER_MAX,
    boolean,
    booleans,
    choice,
    choices,
    path_id,
    query_ids,
    whole_number,
)
from envs.site.confluence.render import (
    as_version,
    inclusion,
    render_child,
    render_label,
    render_page,
    render_page_single,
    render_version,
)
from envs.site.http import CONFLUENCE_V2, Request, Response, operation
from envs.site.records import Page, PageVersion, State

SINGLE_STATUSES = ("current", "archived", "trashed", "deleted", "historical", "draft")
PAGE_IDS_MAX = 250
SPACE_IDS_MAX = 100
PAGE_OPERATIONS = ("read", "update", "create", "delete")
INCLUDES = (
    "include-labels",
    "include-properties",
    "include-operations",
    "include-likes",
    "include-versions",
    "include-favorited-by-current-user-status",
    "include-webresources",
)
VERSIONS: Ordering[PageVersion] = Ordering(
    lambda version: version.number, {"modified-date": lambda version: version.created}, "-modified-date"
)


@operation("getPages", "GET", f"{CONFLUENCE_V2}/pages")
def get_pages(state: State, request: Request) -> Response:
    ids = query_ids(request, "id", PAGE_IDS_MAX)
    spaces = query_ids(request, "space-id", SPACE_IDS_MAX)
    statuses = choices(request, "status", FILTER_STATUSES) or LISTED_STATUSES
    title = request.first("title")
    body_format = choice(request, "body-format", READABLE)
    pages = [
        page
        for page in state.pages.values()
        if page.status in statuses
        and (ids is None or page.id in ids)
        and (spaces is None or page.space_id in spaces)
        and title in (None, page.title)
    ]
    return listing(request, f"{CONFLUENCE_V2}/pages", pages, PAGES, lambda page: render_page(page, body_format))


@operation("getPageById", "GET", f"{CONFLUENCE_V2}/pages/{{id}}")
def get_page_by_id(state: State, request: Request) -> Response:
    """One page, optionally in an old version or as a draft. It has a body only with `body-format`."""
    page = state.pages.get(path_id(request))
    body_format = choice(request, "body-format", READABLE_SINGLE)
    statuses = choices(request, "status", SINGLE_STATUSES) or LISTED_STATUSES
    if boolean(request, "get-draft"):
        statuses |= {"draft"}
    number = _version_number(request)
    with_version = boolean(request, "include-version", default=True)
    inclusions = booleans(request, *INCLUDES)
    view = None if page is None else _view(page, statuses, number)
    if page is None or view is None:
        raise not_found()
    body = render_page_single(state, view, body_format, with_version)
    return Response(200, {**body, **_include(state, page, inclusions)})


def _version_number(request: Request) -> int | None:
    text = request.first("version")
    if text is None:
        return None
    number = whole_number(text, INTEGER_MAX)
    if number is None:
        raise wrong_type(text, "version", "integer.")
    return number


def _view(page: Page, statuses: frozenset[str], number: int | None) -> Page | None:
    """What the request shows of the page: its draft, an old version, the page itself, or nothing."""
    if page.draft is not None and "draft" in statuses and number is None:
        return as_version(page, page.draft, "draft")
    if page.status not in statuses and not (number is not None and "historical" in statuses):
        return None
    if number in (None, page.versions[-1].number):
        return page if page.status in statuses else None
    old = next((version for version in page.versions if version.number == number), None)
    return None if old is None else as_version(page, old, "historical")


def _include(state: State, page: Page, inclusions: frozenset[str]) -> dict[str, Any]:
    """The members that `include-...` parameters add. The site has no properties, likes or favourites."""
    path = f"/pages/{page.id}"
    labels = [render_label(state, label) for label in page.labels]
    operations = [{"operation": name, "targetType": "page"} for name in PAGE_OPERATIONS]
    versions = [render_version(version) for version in reversed(page.versions)]
    members = {
        "include-labels": ("labels", inclusion(f"{path}/labels", labels)),
        "include-properties": ("properties", inclusion(f"{path}/properties", [])),
        "include-operations": ("operations", inclusion(f"{path}/operations", operations)),
        "include-likes": ("likes", inclusion(f"{path}/likes/users", [])),
        "include-versions": ("versions", inclusion(f"{path}/versions", versions)),
        "include-favorited-by-current-user-status": ("isFavoritedByCurrentUser", False),
    }
    return dict(member for name, member in members.items() if name in inclusions)


@operation("getChildPages", "GET", f"{CONFLUENCE_V2}/pages/{{id}}/children")
def get_child_pages(state: State, request: Request) -> Response:
    """The page's children. The document lists no 404 for this operation: an unknown page is a bad request."""
    id = path_id(request)
    if id not in state.pages or state.pages[id].status == "trashed":
        raise invalid(f"No page with id {id}.")
    return _children(state, request, id, "children")


@operation("getPageDirectChildren", "GET", f"{CONFLUENCE_V2}/pages/{{id}}/direct-children")
def get_page_direct_children(state: State, request: Request) -> Response:
    """The successor of `getChildPages`. The children have a type, which on this site is always `page`."""
    return _children(state, request, existing_page(state, request).id, "direct-children")


def _children(state: State, request: Request, id: str, name: str) -> Response:
    children = [page for page in state.pages.values() if page.parent_id == id and page.status in LISTED_STATUSES]
    render = render_child if name == "children" else _render_direct_child
    return listing(request, f"{CONFLUENCE_V2}/pages/{id}/{name}", children, CHILDREN, render)


def _render_direct_child(page: Page) -> dict[str, Any]:
    return {**render_child(page), "type": "page"}


@operation("getPageVersions", "GET", f"{CONFLUENCE_V2}/pages/{{id}}/versions")
def get_page_versions(state: State, request: Request) -> Response:
    """The page's versions; by default the newest first."""
    page = existing_page(state, request)
    body_format = choice(request, "body-format", READABLE)

    def render(version: PageVersion) -> dict[str, Any]:
        entity: dict[str, Any] = {"title": version.title, "id": page.id}
        if body_format is not None:
            entity["body"] = render_body(version.representation, version.body, body_format)
        return {**render_version(version), "page": entity}

    return listing(request, f"{CONFLUENCE_V2}/pages/{page.id}/versions", page.versions, VERSIONS, render)


def existing_page(state: State, request: Request) -> Page:
    """The path's page; raises 404 if it does not exist or is in the trash."""
    page = state.pages.get(path_id(request))
    if page is None or page.status == "trashed":
        raise not_found()
    return page
