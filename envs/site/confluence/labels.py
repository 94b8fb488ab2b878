"""Confluence v2: reading labels. v2 cannot write them; `labels_v1` does."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from envs.site.confluence.bodies import READABLE
from envs.site.confluence.errors import not_found
from envs.site.confluence.page_lists import PAGES
from envs.site.confluence.pages import existing_page
from envs.site.confluence.paging import Ordering, listing
from envs.site.confluence.parameters import choice, path_id, query_ids
from envs.site.confluence.render import LABEL_PREFIXES, Label, label_from_key, label_key, render_label, render_page
from envs.site.http import CONFLUENCE_V2, Request, Response, operation
from envs.site.records import State

ID_FILTER_MAX = 100


def label_listing(
    state: State, request: Request, path: str, labels: Iterable[Label], prefixes: Collection[str]
) -> Response:
    """One page of `labels`. The query may filter them by a prefix, one of `prefixes`."""
    prefix = choice(request, "prefix", prefixes)
    matches = [label for label in labels if prefix in (None, label[0])]
    return listing(request, path, matches, _label_ordering(state), lambda label: render_label(state, label))


def _label_ordering(state: State) -> Ordering[Label]:
    # Ids ascend in the order of creation, so they also sort by date.
    def identity(label: Label) -> int:
        return int(state.label_ids[label_key(label)])

    return Ordering(identity, {"id": identity, "created-date": identity, "name": lambda label: label[1]}, "id")


@operation("getPageLabels", "GET", f"{CONFLUENCE_V2}/pages/{{id}}/labels")
def get_page_labels(state: State, request: Request) -> Response:
    page = existing_page(state, request)
    prefixes = (*LABEL_PREFIXES, "system")
    return label_listing(state, request, f"{CONFLUENCE_V2}/pages/{page.id}/labels", page.labels, prefixes)


@operation("getLabels", "GET", f"{CONFLUENCE_V2}/labels")
def get_labels(state: State, request: Request) -> Response:
    ids = query_ids(request, "label-id", ID_FILTER_MAX)
    prefixes = request.values("prefix")
    labels = [
        label_from_key(key)
        for key, id in state.label_ids.items()
        if (ids is None or id in ids) and (not prefixes or label_from_key(key)[0] in prefixes)
    ]
    return listing(
        request, f"{CONFLUENCE_V2}/labels", labels, _label_ordering(state), lambda label: render_label(state, label)
    )


@operation("getLabelPages", "GET", f"{CONFLUENCE_V2}/labels/{{id}}/pages")
def get_label_pages(state: State, request: Request) -> Response:
    id = path_id(request)
    label = next((label_from_key(key) for key, value in state.label_ids.items() if value == id), None)
    if label is None:
        raise not_found()
    spaces = query_ids(request, "space-id", ID_FILTER_MAX)
    body_format = choice(request, "body-format", READABLE)
    pages = [
        page
        for page in state.pages.values()
        if label in page.labels
        and page.status in ("current", "archived")
        and (spaces is None or page.space_id in spaces)
    ]
    return listing(
        request, f"{CONFLUENCE_V2}/labels/{id}/pages", pages, PAGES, lambda page: render_page(page, body_format)
    )
