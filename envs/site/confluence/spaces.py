"""Confluence v2: spaces, their labels and their pages."""

from __future__ import annotations

from envs.site.confluence.bodies import READABLE
from envs.site.confluence.errors import invalid, not_found
from envs.site.confluence.labels import label_listing
from envs.site.confluence.page_lists import FILTER_STATUSES, LISTED_STATUSES, PAGES
from envs.site.confluence.paging import Ordering, listing
from envs.site.confluence.parameters import boolean, booleans, choice, choices, path_id, query_ids
from envs.site.confluence.render import inclusion, render_label, render_page, render_space, timestamp
from envs.site.http import CONFLUENCE_V2, Request, Response, operation
from envs.site.records import Space, State

SPACE_TYPES = ("global", "collaboration", "knowledge_base", "personal")
SPACE_STATUSES = ("current", "archived")
DESCRIPTION_FORMATS = ("plain", "view")
KEYS_MAX = 250
SPACE_OPERATIONS = ("read", "create", "update", "delete")
SPACES: Ordering[Space] = Ordering(
    lambda space: int(space.id),
    {"id": lambda space: int(space.id), "key": lambda space: space.key, "name": lambda space: space.name},
    "id",
)


@operation("getSpaces", "GET", f"{CONFLUENCE_V2}/spaces")
def get_spaces(state: State, request: Request) -> Response:
    """Spaces by id, key, type, status or label. The site has no favourites, descriptions or icons."""
    ids = query_ids(request, "ids", KEYS_MAX)
    keys = request.values("keys")
    if len(keys) > KEYS_MAX:
        raise invalid(f"Parameter 'keys' holds {len(keys)} values, the maximum is {KEYS_MAX}.")
    labels = frozenset(request.values("labels"))
    kind = choice(request, "type", SPACE_TYPES)
    status = choice(request, "status", SPACE_STATUSES)
    choice(request, "description-format", DESCRIPTION_FORMATS)
    boolean(request, "include-icon")
    spaces = [
        space
        for space in state.spaces.values()
        if (ids is None or space.id in ids)
        and (not keys or space.key in keys)
        and (not labels or labels.intersection(space.labels))
        and kind in (None, space.type)
        and status in (None, space.status)
        and request.first("favorited-by") is None
    ]
    return listing(request, f"{CONFLUENCE_V2}/spaces", spaces, SPACES, render_space)


@operation("getSpaceById", "GET", f"{CONFLUENCE_V2}/spaces/{{id}}")
def get_space_by_id(state: State, request: Request) -> Response:
    space = _space(state, request)
    choice(request, "description-format", DESCRIPTION_FORMATS)
    boolean(request, "include-icon")
    if boolean(request, "include-role-assignments"):
        raise invalid("Parameter 'include-role-assignments' is only accepted for EAP sites.")
    inclusions = booleans(request, "include-operations", "include-properties", "include-permissions", "include-labels")
    body = {**render_space(space), "authorId": space.author, "createdAt": timestamp(space.created)}
    path = f"/spaces/{space.id}"
    if "include-labels" in inclusions:
        body["labels"] = inclusion(f"{path}/labels", [render_label(state, ("team", name)) for name in space.labels])
    if "include-properties" in inclusions:
        body["properties"] = inclusion(f"{path}/properties", [])
    if "include-operations" in inclusions:
        operations = [{"operation": name, "targetType": "space"} for name in SPACE_OPERATIONS]
        body["operations"] = inclusion(f"{path}/operations", operations)
    if "include-permissions" in inclusions:
        body["permissions"] = inclusion(f"{path}/permissions", [])
    body["_links"] = {"webui": f"/spaces/{space.key}"}
    return Response(200, body)


@operation("getSpaceLabels", "GET", f"{CONFLUENCE_V2}/spaces/{{id}}/labels")
def get_space_labels(state: State, request: Request) -> Response:
    space = _space(state, request)
    labels = [("team", name) for name in space.labels]
    return label_listing(state, request, f"{CONFLUENCE_V2}/spaces/{space.id}/labels", labels, ("my", "team"))


@operation("getSpaceContentLabels", "GET", f"{CONFLUENCE_V2}/spaces/{{id}}/content/labels")
def get_space_content_labels(state: State, request: Request) -> Response:
    space = _space(state, request)
    pages = [page for page in state.pages.values() if page.space_id == space.id and page.status in LISTED_STATUSES]
    labels = {label for page in pages for label in page.labels}
    path = f"{CONFLUENCE_V2}/spaces/{space.id}/content/labels"
    return label_listing(state, request, path, labels, ("my", "team"))


@operation("getPagesInSpace", "GET", f"{CONFLUENCE_V2}/spaces/{{id}}/pages")
def get_pages_in_space(state: State, request: Request) -> Response:
    space = _space(state, request)
    root = choice(request, "depth", ("all", "root")) == "root"
    statuses = choices(request, "status", FILTER_STATUSES) or LISTED_STATUSES
    title = request.first("title")
    body_format = choice(request, "body-format", READABLE)
    pages = [
        page
        for page in state.pages.values()
        if page.space_id == space.id
        and page.status in statuses
        and title in (None, page.title)
        and not (root and page.parent_id is not None)
    ]
    return listing(
        request, f"{CONFLUENCE_V2}/spaces/{space.id}/pages", pages, PAGES, lambda page: render_page(page, body_format)
    )


def _space(state: State, request: Request) -> Space:
    space = state.spaces.get(path_id(request))
    if space is None:
        raise not_found()
    return space
