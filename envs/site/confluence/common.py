"""What the Confluence operations share: reading parameters, refusing them in Confluence's words, and cursor paging.

The texts and rules are those of Atlassian's Confluence Cloud REST v2 document. A cursor names the last item that was
shown by its sort value and id, so that paging goes on correctly when items are added or removed in between.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from envs.site.http import ApiError, Request, Response, confluence_error

Item = TypeVar("Item")

API = "/wiki/api/v2"
LONG_MAX = 2**63 - 1
INTEGER_MAX = 2**31 - 1
LIMIT_DEFAULT = 25
LIMIT_MAX = 250
SHOWN_LENGTH = 100
"""Longest piece of a refused value that an error repeats."""

_INTEGER = re.compile(r"-?[0-9]{1,19}")


def invalid(title: str) -> ApiError:
    """400 for a parameter or body member that breaks the document's rules."""
    return confluence_error(400, "INVALID_REQUEST_PARAMETER", title)


def not_found(title: str = "Not Found") -> ApiError:
    return confluence_error(404, "NOT_FOUND", title)


def wrong_type(value: Any, name: str, expected: str) -> ApiError:
    given = f"Provided value {{{shown(value)}}} for '{name}'"
    return invalid(f"{given} is not the correct type. Expected type is {expected}")


def shown(value: Any) -> str:
    """A short text for any JSON value, for error messages."""
    if isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "array"
    # Python refuses to print integers of thousands of digits.
    text = "number" if isinstance(value, int) and value.bit_length() > 128 else str(value)
    return text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "..."


def timestamp(seconds: int) -> str:
    """Confluence's date-time, such as `2026-01-05T09:30:00.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


# Reading parameters


def whole_number(value: Any, largest: int = LONG_MAX) -> int | None:
    """The integer that `value` (an integer or its digits) stands for, None for anything else or out of range."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > largest:
        return None
    return value


def path_id(request: Request) -> str:
    """The path's `id` in canonical form; raises 400 when it is not a long."""
    return _parameter_id(request.path["id"], "id")


def query_ids(request: Request, name: str, at_most: int) -> frozenset[str] | None:
    """The ids that a query parameter lists, None when it lists none."""
    values = request.values(name)
    if len(values) > at_most:
        raise invalid(f"Parameter '{name}' holds {len(values)} values, the maximum is {at_most}.")
    return frozenset(_parameter_id(value, name) for value in values) or None


def _parameter_id(value: str, name: str) -> str:
    number = whole_number(value)
    if number is None:
        raise wrong_type(value, name, "long.")
    return str(number)


def body_id(body: Mapping[str, Any], name: str) -> str | None:
    """The id that a body member holds as a string or an integer; None when it is absent or null."""
    value = body.get(name)
    if value is None:
        return None
    number = whole_number(value)
    if number is None:
        raise wrong_type(value, name, "Long")
    return str(number)


def body_text(body: Mapping[str, Any], name: str) -> str | None:
    """The text that a body member holds; None when it is absent or null."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong_type(value, name, "String")
    return value


def object_body(request: Request) -> Mapping[str, Any]:
    """The request's body, which must be a JSON object."""
    if not isinstance(request.body, dict):
        raise invalid("The request body must be a JSON object.")
    return request.body


def boolean(request: Request, name: str, default: bool = False) -> bool:
    value = request.first(name)
    if value is None:
        return default
    if value.lower() not in ("true", "false"):
        raise wrong_type(value, name, "boolean.")
    return value.lower() == "true"


def booleans(request: Request, *names: str) -> frozenset[str]:
    """The names among `names` that the query sets to true."""
    return frozenset([name for name in names if boolean(request, name)])


def choice(request: Request, name: str, allowed: Collection[str], default: str | None = None) -> str | None:
    value = request.first(name)
    if value is not None and value not in allowed:
        raise _not_allowed(value, name, allowed)
    return default if value is None else value


def choices(request: Request, name: str, allowed: Collection[str]) -> frozenset[str] | None:
    """The values that a query parameter lists, all of them allowed; None when it lists none."""
    values = request.values(name)
    for value in values:
        if value not in allowed:
            raise _not_allowed(value, name, allowed)
    return frozenset(values) or None


def _not_allowed(value: str, name: str, allowed: Collection[str]) -> ApiError:
    return invalid(f"Provided value {{{shown(value)}}} for '{name}' is not one of {', '.join(allowed)}.")


# Paging


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
