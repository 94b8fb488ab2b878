"""x"""

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
    """How a list can be sorted: `sort` values (without the descending `-`) and what each compares."""

    identity: Callable[[Item], int]
    """Breaks ties; unique within the list."""
    keys: Mapping[str, Callable[[Item], int | str]]
    default: str


def listing(
    request: Request, path: str, items: Iterable[Item], ordering: Ordering[Item], render: Callable[[Item], Any]
) -> Response:
    """One page of `items`: `{"results", "_links"}`; `_links.next` and a `Link` header when there is more.

    Reads the query's `sort`, `limit` (1 to 250) and `cursor`; `next` repeats every other parameter.
    """
    allowed = [sign + name for name in ordering.keys for sign in ("", "-")]
    order = choice(request, "sort", allowed, ordering.default) or ordering.default
    descending = order.startswith("-")
    key = ordering.keys[order.removeprefix("-")]
    size = _limit(request)
    rows = sorted(((key(item), ordering.identity(item), item) for item in items), key=_position, reverse=descending)
    rows = _after_cursor(rows, request.first("cursor"), order, descending)
    results = [render(item) for _, _, item in rows[:size]]
    if len(rows) <= size:
        return Response(200, {"results": results, "_links": {}})
    value, identity, _ = rows[size - 1]
    parameters = [(name, text) for name, values in request.query.items() if name != "cursor" for text in values]
    parameters.append(("cursor", _encode_cursor(order, value, identity)))
    following = f"{path}?{urlencode(parameters, errors='surrogatepass')}"
    return Response(200, {"results": results, "_links": {"next": following}}, {"Link": f'<{following}>; rel="next"'})


def _position(row: tuple[Any, int, Any]) -> tuple[Any, int]:
    return row[0], row[1]


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


def _after_cursor(rows: list[Any], cursor: str | None, order: str, descending: bool) -> list[Any]:
    """The rows that stand behind the cursor's position in `order`."""
    if cursor is None:
        return rows
    try:
        made_for, value, identity = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, TypeError, RecursionError):
        raise invalid("Invalid cursor.") from None
    if made_for != order or type(value) not in (int, str) or type(identity) is not int:
        raise invalid("Invalid cursor.")
    if rows and type(rows[0][0]) is not type(value):
        raise invalid("Invalid cursor.")
    position = (value, identity)
    return [row for row in rows if (_position(row) < position if descending else _position(row) > position)]
