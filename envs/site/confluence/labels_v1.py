"""Confluence v1: reading, adding and removing a page's labels. v2 cannot write them.

The v1 document lists no 400 for reads: a query value of the wrong type is a 404.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from envs.site.confluence.errors import excerpt
from envs.site.confluence.parameters import INTEGER_MAX, whole_number
from envs.site.confluence.render import LABEL_PREFIXES, Label, label_key
from envs.site.http import Request, Response, confluence_v1_error, operation
from envs.site.records import Page, State

V1_CONTENT_LABEL = "/wiki/rest/api/content/{id}/label"


NAME_LENGTH_MAX = 255
INVALID_CHARACTERS = frozenset("!#&()*,.:;<>?@[]^")
LABELS_MAX = 200
"""Limit on the labels in a request and on a page. The document gives no number; 200 is its default page size."""

V1_LIMIT_DEFAULT = 200


@operation("getLabelsForContent", "GET", V1_CONTENT_LABEL)
def get_labels_for_content(state: State, request: Request) -> Response:
    page = _content(state, request)
    prefix = request.first("prefix")
    if prefix is not None and prefix not in LABEL_PREFIXES:
        raise confluence_v1_error(404, f"No label prefix '{excerpt(prefix)}'")
    start = _index(request, "start", 0)
    limit = _index(request, "limit", V1_LIMIT_DEFAULT)
    labels = [label for label in page.labels if prefix in (None, label[0])]
    return Response(200, _label_array(state, labels[start : start + limit], start, limit))


@operation("addLabelsToContent", "POST", V1_CONTENT_LABEL)
def add_labels_to_content(state: State, request: Request) -> Response:
    """Adds one label or a list of labels to those of the page."""
    page = _content(state, request)
    body = request.body if isinstance(request.body, list) else [request.body]
    if not 1 <= len(body) <= LABELS_MAX:
        raise confluence_v1_error(400, f"The body must hold 1 to {LABELS_MAX} labels.")
    additions = [_read_label(item) for item in body]
    labels = tuple(dict.fromkeys((*page.labels, *additions)))
    if len(labels) > LABELS_MAX:
        raise confluence_v1_error(400, f"The content would have more than {LABELS_MAX} labels.")
    if labels != page.labels:
        state.tick()
        for label in additions:
            if label_key(label) not in state.label_ids:
                state.label_ids[label_key(label)] = state.new_id()
        state.pages[page.id] = replace(page, labels=labels)
    return Response(200, _label_array(state, list(labels), 0, V1_LIMIT_DEFAULT))


@operation("removeLabelFromContentUsingQueryParameter", "DELETE", V1_CONTENT_LABEL)
def remove_label_by_query(state: State, request: Request) -> Response:
    name = request.first("name")
    if not name:
        raise confluence_v1_error(404, "The query parameter 'name' is missing.")
    return _remove_label(state, _content(state, request), name)


@operation("removeLabelFromContent", "DELETE", V1_CONTENT_LABEL + "/{label}")
def remove_label(state: State, request: Request) -> Response:
    name = request.path["label"]
    if "/" in name:
        raise confluence_v1_error(400, "A label with a '/' can only be removed through the query parameter 'name'.")
    return _remove_label(state, _content(state, request), name)


def _remove_label(state: State, page: Page, name: str) -> Response:
    """Removes the labels called `name`, whatever their prefix."""
    labels = tuple(label for label in page.labels if label[1] != name.lower())
    if labels == page.labels:
        raise confluence_v1_error(404, f"Content {page.id} has no label '{excerpt(name)}'.")
    state.tick()
    state.pages[page.id] = replace(page, labels=labels)
    return Response(204)


def _content(state: State, request: Request) -> Page:
    page = state.pages.get(request.path["id"])
    if page is None or page.status == "trashed":
        raise confluence_v1_error(404, f"No content found with id: {excerpt(request.path['id'])}")
    return page


def _index(request: Request, name: str, default: int) -> int:
    text = request.first(name)
    value = default if text is None else whole_number(text, INTEGER_MAX)
    if value is None or value < 0:
        raise confluence_v1_error(404, f"'{name}' must be a non-negative integer.")
    return value


def _read_label(item: Any) -> Label:
    """The label in an element of the body. Confluence stores names in lower case."""
    if not isinstance(item, dict):
        raise confluence_v1_error(400, "A label must be an object with 'prefix' and 'name'.")
    prefix, name = item.get("prefix"), item.get("name")
    if not isinstance(prefix, str) or prefix not in LABEL_PREFIXES:
        raise confluence_v1_error(400, f"The label prefix must be one of {', '.join(LABEL_PREFIXES)}.")
    if not isinstance(name, str) or not name:
        raise confluence_v1_error(400, "The label name must be a text that is not empty.")
    if len(name) > NAME_LENGTH_MAX:
        raise confluence_v1_error(400, f"The label name is longer than {NAME_LENGTH_MAX} characters.")
    if any(character.isspace() or character in INVALID_CHARACTERS for character in name):
        raise confluence_v1_error(400, f"The label '{excerpt(name)}' contains invalid characters.")
    return prefix, name.lower()


def _label_array(state: State, labels: list[Label], start: int, limit: int) -> dict[str, Any]:
    results = [
        {"prefix": prefix, "name": name, "id": state.label_ids[label_key((prefix, name))], "label": name}
        for prefix, name in labels
    ]
    return {"results": results, "start": start, "limit": limit, "size": len(results)}
