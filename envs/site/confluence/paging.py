"""Confluence v2's lists: sorting, and paging with cursors.

A cursor holds the sort value and the id of the last item on a page. The next page therefore starts at the right place
even if items were added or removed in between.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from envs.site.confluence.errors import invalid, wrong_type
from envs.site.confluence.parameters import INTEGER_MAX, choice, whole_number
from envs.site.http import Request, Response

Item = TypeVar("Item")
LIMIT_DEFAULT = 25
LIMIT_MAX = 250


@dataclass(frozen=True)
class Ordering(Generic[Item]):
    """How a list can be sorted."""

    identity: Callable[[Item], int]
    """Breaks ties; unique within the list."""
    keys: Mapping[str, Callable[[Item], int | str]]
    """Value of `sort`, without the `-` of descending order -> the sort key."""
    default: str
    """The `sort` of a request without one."""


def listing(
    request: Request, path: str, items: Iterable[Item], ordering: Ordering[Item], render: Callable[[Item], Any]
) -> Response:
    """One page of `items` as `{"results", "_links"}`. If there are more, `_links.next` and a `Link` header follow.

    Reads the query's `sort`, `limit` (1 to 250) and `cursor`. The link to the next page repeats all other parameters.
    """
    allowed = [sign + name for name in ordering.keys for sign in ("", "-")]
    order = choice(request, "sort", allowed, ordering.default) or ordering.default
    descending = order.startswith("-")
    key = ordering.keys[order.removeprefix("-")]
    size = _limit(request)
    entries = sorted(((key(item), ordering.identity(item), item) for item in items), key=_position, reverse=descending)
    entries = _after_cursor(entries, request.first("cursor"), order, descending)
    results = [render(item) for _, _, item in entries[:size]]
    if len(entries) <= size:
        return Response(200, {"results": results, "_links": {}})
    value, identity, _ = entries[size - 1]
    parameters = [(name, text) for name, values in request.query.items() if name != "cursor" for text in values]
    parameters.append(("cursor", _encode_cursor(order, value, identity)))
    next_url = f"{path}?{urlencode(parameters, errors='surrogatepass')}"
    return Response(200, {"results": results, "_links": {"next": next_url}}, {"Link": f'<{next_url}>; rel="next"'})


def _position(entry: tuple[Any, int, Any]) -> tuple[Any, int]:
    return entry[0], entry[1]


def _limit(request: Request) -> int:
    text = request.first("limit")
    if text is None:
        return LIMIT_DEFAULT
    limit = whole_number(text, INTEGER_MAX)
    if limit is None:
        raise wrong_type(text, "limit", "integer.")
    if not 1 <= limit <= LIMIT_MAX:
        raise invalid(f"Provided value {{{limit}}} for 'limit' must be between 1 and {LIMIT_MAX}.")
    return limit


def _encode_cursor(order: str, value: int | str, identity: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([order, value, identity]).encode("ascii")).decode("ascii")


def _after_cursor(entries: list[Any], cursor: str | None, order: str, descending: bool) -> list[Any]:
    """The entries after the cursor's position; raises 400 for a cursor of another order."""
    if cursor is None:
        return entries
    try:
        cursor_order, value, identity = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, TypeError, RecursionError):
        raise invalid("Invalid cursor.") from None
    if cursor_order != order or type(value) not in (int, str) or type(identity) is not int:
        raise invalid("Invalid cursor.")
    if entries and type(entries[0][0]) is not type(value):
        raise invalid("Invalid cursor.")
    position = (value, identity)
    return [entry for entry in entries if (_position(entry) < position if descending else _position(entry) > position)]
