"""What a checker sees of an episode: the ordered tool calls, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What became of a tool call before any rule of the API applied."""

    READ = "read"
    WRITE = "write"
    UNKNOWN = "unknown"
    """The name is none of the tools that the episode offers."""
    MALFORMED = "malformed"
    """The text could not be parsed as a call; `arguments` holds the text."""


@dataclass(frozen=True)
class Call:
    """One tool call and the response it got.

    A call whose arguments break the tool's schema keeps its kind, has status 400 and never reached the API.
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
