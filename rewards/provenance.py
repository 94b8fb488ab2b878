"""Where identifiers come from: the request and the responses of successful calls.

A call may use an identifier only after it was seen. A correct guess is still a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import Any

from rewards import jql
from rewards.matching import identifier, lookup, walk
from rewards.trace import Call, Kind, Trace

IN_REQUEST = -1
"""The turn at which the request is read, before turn 0."""

ID_MEMBER = re.compile(r"(?:id|ids|key|keys|.*[a-z](?:Id|Ids|Key|Keys)|.*-ids?|reconcileIssues)")
"""Names of members that hold identifiers, both in arguments and in responses."""
NOT_ID = frozenset({"localId", "fieldsByKeys"})
"""Exceptions: the author of an ADF node invents its local id, and `fieldsByKeys` is a flag."""
NOBODY = frozenset({"-1"})
"""Constants: "-1" is the documented account id for the project's default assignee."""
CONSTANTS = frozenset({"priority"})
"""Objects whose ids are constants: Jira documents the ids 1 to 5 of its default priorities."""

TRANSITIONS = "getTransitions"
ADDRESS = {
    **dict.fromkeys(("getIssue", "getComments", TRANSITIONS), "issueIdOrKey"),
    **dict.fromkeys(("searchAndReconsileIssuesUsingJql", "searchAndReconsileIssuesUsingJqlPost"), "jql"),
    **dict.fromkeys(("getProject", "getCreateIssueMetaIssueTypes"), "projectIdOrKey"),
    **dict.fromkeys(("getSpaceById", "getPagesInSpace", "getPageById", "getChildPages"), "id"),
}
"""Tool -> the argument without which its path or query is incomplete."""

WORD = re.compile(r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*")
ISSUE_KEY = re.compile(r"(?<![A-Za-z0-9_-])([A-Za-z][A-Za-z0-9_]*)-\d+(?![A-Za-z0-9_])")
IN_RESPONSE = re.compile(
    r"(?<![A-Za-z0-9_-])(?:([A-Za-z][A-Za-z0-9_]*)-\d+(?![A-Za-z0-9_])|(?:[A-Z][A-Z0-9_]+|\d{4,})(?![A-Za-z0-9_-]))"
)
"""Identifiers in the prose and the links of a response: issue keys, project and space keys, long numbers.

Shorter numbers in prose are counts, versions and dates.
"""
UPPER_KEY = re.compile(r"[A-Z][A-Z0-9_]+")
"""A project key as Jira writes it."""


class Ledger:
    """When each identifier was seen first: in the request, or in the response to a call of which turn.

    - `silent`: indices of calls whose responses do not count. A stray write must not become a source of ids.
    - `project_of`: the project of the issue that an argument names. Transitions are recorded by project: their ids are
      short numbers that also occur as ids of other things and of other projects' transitions.
    """

    def __init__(
        self, request: str, trace: Trace, silent: Collection[int], project_of: Callable[[Any], str | None]
    ) -> None:
        self._first: dict[str, int] = {}
        """Identifier -> the turn whose responses contained it first."""
        self._transitions: dict[tuple[str | None, str], int] = {}
        """(project, transition id) -> that turn."""
        self._labels: dict[str, int] = {}
        """Label -> that turn."""
        self.project_of = project_of
        for token in _request_tokens(request):
            self._first.setdefault(token, IN_REQUEST)
        for index, call in enumerate(trace):
            if was_answered(call) and index not in silent:
                self._project = project_of(lookup(call.arguments, ADDRESS[TRANSITIONS]))
                self._read(call.turn, call.body)

    def before(self, turn: float, identifiers: Iterable[str]) -> bool:
        """Whether any of the (case-folded) identifiers of one thing was seen before a turn."""
        return any(self._first.get(text, turn) < turn for text in identifiers)

    def transition_before(self, turn: float, project: str | None, transition: str) -> bool:
        """Whether the id of a transition was seen before a turn, at some issue of the project."""
        return self._transitions.get((project, transition), turn) < turn

    def label_before(self, turn: float, label: str) -> bool:
        """Whether an issue's label was seen before a turn."""
        return self._labels.get(label, turn) < turn

    def knows(self, text: str) -> bool:
        """Whether the text is an identifier anywhere in the request or the responses, also later ones."""
        return text in self._first

    def _read(self, turn: int, body: Any) -> None:
        """Record every identifier in a response."""
        pending: list[tuple[str, Any]] = [("", body)]
        while pending:
            name, item = pending.pop()
            if isinstance(item, dict):
                text = identifier(item.get("id"))
                if name == "transitions" and text is not None:
                    self._transitions.setdefault((self._project, text), turn)
                pending.extend((member, value) for member, value in item.items() if isinstance(member, str))
            elif isinstance(item, list | tuple):
                pending.extend((name, element) for element in item)
            else:
                self._read_scalar(turn, name, item)

    def _read_scalar(self, turn: int, name: str, value: Any) -> None:
        """Record a value that is an identifier or a label, and the identifiers in a text."""
        text = identifier(value) if is_id_member(name) else None
        if text is not None:
            self._first.setdefault(text, turn)
        if isinstance(value, str):
            if name == "labels":
                self._labels.setdefault(value, turn)
            for match in IN_RESPONSE.finditer(value):
                self._first.setdefault(match.group().casefold(), turn)
                if match.group(1):
                    self._first.setdefault(match.group(1).casefold(), turn)


@lru_cache(maxsize=4096)
def is_id_member(name: str) -> bool:
    """Whether a member of this name holds an identifier."""
    return ID_MEMBER.fullmatch(name) is not None and name not in NOT_ID


def was_accepted(call: Call) -> bool:
    """Whether the call used an offered tool and the API accepted it."""
    return call.kind in (Kind.READ, Kind.WRITE) and call.ok


def was_answered(call: Call) -> bool:
    """Whether the call was accepted and has the argument in ADDRESS. Without that, no response can be genuine."""
    address = ADDRESS.get(call.name) if isinstance(call.name, str) else None
    return was_accepted(call) and (address is None or identifier(lookup(call.arguments, address)) is not None)


def uses_unseen_id(ledger: Ledger, call: Call, known_keys: Collection[str]) -> bool:
    """Whether an argument of the call is an identifier that was not seen before its turn.

    `known_keys` are the site's project keys: in a query they are keys, never names of projects.
    """
    if call.kind not in (Kind.READ, Kind.WRITE):
        return False
    project = ledger.project_of(lookup(call.arguments, ADDRESS[TRANSITIONS]))
    for (name, around), value in walk(call.arguments):
        if name == "jql" and isinstance(value, str):
            if _query_uses_unseen_id(ledger, value, call.turn, known_keys):
                return True
            continue
        text = identifier(value)
        if text is None or text in NOBODY or around in CONSTANTS or not _holds_id(name, around):
            continue
        if "transition" in (name.removesuffix("Id"), around):
            if not ledger.transition_before(call.turn, project, text):
                return True
        elif not ledger.before(call.turn, (text,)):
            return True
    return False


def _holds_id(name: str, around: str) -> bool:
    """Whether an argument holds an identifier. The keys of entity properties are free text."""
    return (is_id_member(name) and around != "properties") or name == "project"


def _query_uses_unseen_id(ledger: Ledger, query: str, turn: int, known_keys: Collection[str]) -> bool:
    for value, maybe_name in jql.identifiers(query):
        text = value.casefold()
        is_name = maybe_name and not ledger.knows(text) and text not in known_keys and not UPPER_KEY.fullmatch(value)
        if not is_name and not ledger.before(turn, (text,)):
            return True
    return False


@lru_cache(maxsize=4096)
def _request_tokens(request: str) -> tuple[str, ...]:
    """The words of the request. An issue key also gives its project's key, but not its number."""
    words = [match.group().casefold() for match in WORD.finditer(request)]
    for match in ISSUE_KEY.finditer(request):
        words += [match.group().casefold(), match.group(1).casefold()]
    return tuple(words)
