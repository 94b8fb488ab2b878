"""Matching of tool-call arguments: paths, references by id, key or name, and the canonical form of a call.

Values come from a model, so they may have any type and any depth of nesting. Nothing here recurses or raises on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

HUGE = 10**18
"""Integers from here on become hexadecimal, because `str` refuses integers of thousands of digits."""


def lookup(value: Any, *path: str) -> Any:
    """The member at `path` of nested dicts, or None if the path does not exist.

    >>> lookup({"fields": {"project": {"key": "APB"}}}, "fields", "project", "key")
    'APB'
    """
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def items(value: Any) -> list[Any]:
    """The elements of a list or tuple. Any other value has none."""
    return list(value) if isinstance(value, list | tuple) else []


def members(value: Any) -> dict[str, Any]:
    """The members of a JSON object whose names are strings. Any other value has none."""
    return {name: member for name, member in value.items() if isinstance(name, str)} if isinstance(value, dict) else {}


def is_present(value: Any) -> bool:
    """Whether an argument has content. Null, an empty value and an object of nulls count as absent."""
    if isinstance(value, dict):
        return any(member is not None for member in value.values())
    return value is not None and not (isinstance(value, str | list | tuple) and len(value) == 0)


def identifier(value: Any) -> str | None:
    """The normal form of an identifier: equal for `"10023"` and `10023`, and for `"APB-12"` and `"apb-12"`.

    None if the value cannot be an identifier: null, a boolean, the empty string, an object or a list.
    """
    if isinstance(value, str):
        return value.casefold() or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < HUGE else hex(value)
    return None


def designates(reference: Any, target: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether an argument such as `{"key": "APB"}` refers to `target`.

    At least one of the members `names` must be present, and all that are present must agree.

    >>> designates({"id": 10000}, {"id": "10000", "key": "APB"}, ("id", "key"))
    True
    """
    clues = [(name, member) for name, member in members(reference).items() if name in names]
    return bool(clues) and all(identifier(member) == identifier(target.get(name)) for name, member in clues)


def walk(value: Any) -> Iterator[tuple[tuple[str, str], Any]]:
    """Every scalar in a value, as ((its name, the name of the object around it), scalar).

    The elements of a list have the list's name. The order is deterministic, but callers do not depend on it.
    """
    pending: list[tuple[tuple[str, str], Any]] = [(("", ""), value)]
    while pending:
        names, item = pending.pop()
        if isinstance(item, dict):
            for name, member in item.items():
                if isinstance(name, str):
                    pending.append(((name, names[0]), member))
        elif isinstance(item, list | tuple):
            pending.extend((names, element) for element in item)
        else:
            yield names, item


class _Literal:
    """Canonical text on the stack of values that are still to be converted."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def canonical(value: Any) -> str:
    """One text for all ways to write a value: members are sorted, and `5`, `5.0` and `"5"` are equal.

    >>> canonical({"b": 5, "a": [None]}) == canonical({"a": [None], "b": "5"})
    True
    """
    pieces: list[str] = []
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, _Literal):
            pieces.append(item.text)
        elif isinstance(item, dict):
            pending.append(_Literal("}"))
            for name in sorted(item, key=_name_order, reverse=True):
                pending.extend((item[name], _Literal(_scalar(name) + ":")))
            pieces.append("{")
        elif isinstance(item, list | tuple):
            pending.append(_Literal("]"))
            pending.extend(reversed(item))
            pieces.append("[")
        else:
            pieces.append(_scalar(item))
    return "".join(pieces)


def _name_order(name: Any) -> tuple[str, str]:
    return _scalar(name), type(name).__name__


def _scalar(value: Any) -> str:
    """The canonical text of a scalar, or the type of any other value."""
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return encode_basestring_ascii(identifier(value) or repr(value))
    return f"<{type(value).__name__}>"
