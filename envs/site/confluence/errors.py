"""Confluence v2's error responses, with the messages of Atlassian's REST v2 document."""

from __future__ import annotations

from typing import Any

from envs.site.http import ApiError, confluence_error

EXCERPT_LENGTH = 100
"""How much of an invalid value an error message repeats, in characters."""


def invalid(title: str) -> ApiError:
    """400 for an invalid parameter or body member."""
    return confluence_error(400, "INVALID_REQUEST_PARAMETER", title)


def not_found(title: str = "Not Found") -> ApiError:
    return confluence_error(404, "NOT_FOUND", title)


def wrong_type(value: Any, name: str, expected_type: str) -> ApiError:
    """400 for a value of another JSON type; `expected_type` is the one that the document requires."""
    subject = f"Provided value {{{excerpt(value)}}} for '{name}'"
    return invalid(f"{subject} is not the correct type. Expected type is {expected_type}")


def excerpt(value: Any) -> str:
    """A short text for any JSON value, for error messages."""
    if isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "array"
    # Python cannot print integers of thousands of digits.
    text = "number" if isinstance(value, int) and value.bit_length() > 128 else str(value)
    return text if len(text) <= EXCERPT_LENGTH else text[:EXCERPT_LENGTH] + "..."
