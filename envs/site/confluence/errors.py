"""Confluence's refusals, in the words of the REST v2 document."""

from __future__ import annotations

from typing import Any

from envs.site.http import ApiError, confluence_error

SHOWN_LENGTH = 100
"""Longest piece of a refused value that an error repeats."""


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
