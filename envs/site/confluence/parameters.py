"""Reading the path, query and body of Confluence requests. All readers raise 400 for invalid values."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from envs.site.confluence.errors import excerpt, invalid, wrong_type
from envs.site.http import ApiError, Request

LONG_MAX = 2**63 - 1
INTEGER_MAX = 2**31 - 1
_INTEGER = re.compile(r"-?[0-9]{1,19}")


def whole_number(value: Any, largest: int = LONG_MAX) -> int | None:
    """The integer in `value` (an integer or its digits); None for anything else and for an absolute above `largest`."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > largest:
        return None
    return value


def path_id(request: Request) -> str:
    """The path's `id` in canonical form; raises 400 if it is not a 64-bit integer."""
    return _parameter_id(request.path["id"], "id")


def query_ids(request: Request, name: str, maximum: int) -> frozenset[str] | None:
    """The ids in a query parameter; None if there are none."""
    values = request.values(name)
    if len(values) > maximum:
        raise invalid(f"Parameter '{name}' holds {len(values)} values, the maximum is {maximum}.")
    return frozenset(_parameter_id(value, name) for value in values) or None


def _parameter_id(value: str, name: str) -> str:
    number = whole_number(value)
    if number is None:
        raise wrong_type(value, name, "long.")
    return str(number)


def body_id(body: Mapping[str, Any], name: str) -> str | None:
    """The id in a body member, a string or an integer; None if the member is absent or null."""
    value = body.get(name)
    if value is None:
        return None
    number = whole_number(value)
    if number is None:
        raise wrong_type(value, name, "Long")
    return str(number)


def body_text(body: Mapping[str, Any], name: str) -> str | None:
    """The text in a body member; None if the member is absent or null."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong_type(value, name, "String")
    return value


def object_body(request: Request) -> Mapping[str, Any]:
    """The request's body; raises 400 unless it is a JSON object."""
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
    """The values in a query parameter, each one of `allowed`; None if there are none."""
    values = request.values(name)
    for value in values:
        if value not in allowed:
            raise _not_allowed(value, name, allowed)
    return frozenset(values) or None


def _not_allowed(value: str, name: str, allowed: Collection[str]) -> ApiError:
    return invalid(f"Provided value {{{excerpt(value)}}} for '{name}' is not one of {', '.join(allowed)}.")
