"""The trace of an episode: its tool calls in order. A checker sees nothing else of the episode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The kind of a tool call, which is decided before the API sees it."""

    READ = "read"
    WRITE = "write"
    UNKNOWN = "unknown"
    """The episode does not offer a tool of this name."""
    MALFORMED = "malformed"
    """The text could not be parsed as a call. `arguments` holds the text."""


@dataclass(frozen=True)
class Call:
    """One tool call and its response.

    A call whose arguments violate the tool's schema keeps its kind and has status 400. It never reached the API.
    """

    name: str
    arguments: Any
    status: int
    body: Any
    kind: Kind

    @property
    def ok(self) -> bool:
        """Whether the API accepted the call (a 2xx status)."""
        return isinstance(self.status, int) and 200 <= self.status < 300


Trace = Sequence[Call]
