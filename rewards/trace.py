"""The trace of an episode: its tool calls and the closing answer, in order. A checker sees nothing else of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The kind of an entry, which is decided before the API sees a call."""

    READ = "read"
    WRITE = "write"
    UNKNOWN = "unknown"
    """The episode does not offer a tool of this name."""
    MALFORMED = "malformed"
    """The text could not be parsed as a call. `arguments` holds the text."""
    ANSWER = "answer"
    """The closing answer, which is no call. `arguments` holds its text."""


@dataclass(frozen=True)
class Call:
    """One tool call and its response, or the closing answer.

    A call whose arguments violate the tool's schema keeps its kind and has status 400. It never reached the API.
    """

    name: str
    arguments: Any
    status: int
    body: Any
    kind: Kind
    turn: int = 0
    """The assistant turn that made the call. Calls of one turn were written before any of their responses was seen."""

    @property
    def ok(self) -> bool:
        """Whether the API accepted the call (a 2xx status)."""
        return isinstance(self.status, int) and 200 <= self.status < 300


Trace = Sequence[Call]


def answer_of(trace: Trace) -> str:
    """The text of the closing answer, "" if there is none."""
    texts = [call.arguments for call in trace if call.kind == Kind.ANSWER]
    return texts[-1] if texts and isinstance(texts[-1], str) else ""
