"""Where identifiers come from: the request and the responses of successful calls.

A call may use an identifier only after it was seen. A correct guess is still a guess.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from rewards import jql
from rewards.matching import canonical, identifier, lookup, walk
from rewards.trace import Call, Kind, Trace

IN_REQUEST = -1
"""The index at which the request is read, before call 0."""

ID_MEMBER = re.compile(r"(?:id|ids|key|keys|.*[a-z](?:Id|Ids|Key|Keys)|.*-ids?|reconcileIssues)")
"""Names of members that hold identifiers, both in arguments and in responses."""
NOT_ID = frozenset({"localId", "fieldsByKeys"})
"""Exceptions: the author of an ADF node invents its local id, and `fieldsByKeys` is a flag."""
NOBODY = frozenset({"-1"})
"""Constants: "-1" is the documented account id for the project's default assignee."""

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
    """When each identifier was seen first: in the request, or in the response to which call.

    - `silent`: indices of calls whose responses do not count. A stray write must not become a source of ids.
    - `issue`: aliases of the issue whose transitions count; None counts those of every issue.

    Transitions are recorded separately. Their ids are short numbers that also occur as ids of other things and of
    other projects' transitions.
    """

    def __init__(
        self, request: str, trace: Trace, silent: Collection[int] = (), issue: Collection[str] | None = None
    ) -> None:
        self._first: dict[str, int] = {}
        """Identifier -> index of the call whose response contained it first."""
        self._transitions: dict[str, tuple[int, str]] = {}
        """Transition id -> (index of that call, name of the target status)."""
        self._names: dict[tuple[str, str], int] = {}
        """(name, id) of an object -> index of that call."""
        for token in _request_tokens(request):
            self._first.setdefault(token, IN_REQUEST)
        for index, call in enumerate(trace):
            concerns_issue = issue is None or identifier(lookup(call.arguments, ADDRESS[TRANSITIONS])) in issue
            if was_answered(call) and index not in silent:
                self._read(index, call.body, skip=() if concerns_issue else ("transitions",))

    def before(self, index: int, identifiers: Iterable[str]) -> bool:
        """Whether any of the (case-folded) identifiers of one thing was seen before call `index`."""
        return any(self._first.get(text, index) < index for text in identifiers)

    def transition_before(self, index: int, transition: str) -> bool:
        """Whether the id was seen before call `index` as the id of a transition, or is in the request."""
        in_response = self._transitions.get(transition, (index, ""))[0] < index
        return in_response or self._first.get(transition, index) == IN_REQUEST

    def target(self, transition: str) -> str | None:
        """The name of the status that a transition leads to, or None if no response contains the transition."""
        return self._transitions[transition][1] if transition in self._transitions else None

    def named_before(self, index: int, name: str, id: str) -> bool:
        """Whether a response before call `index` contains an object with this name and this id."""
        return self._names.get((name.casefold(), id), index) < index

    def knows(self, text: str) -> bool:
        """Whether the text is an identifier anywhere in the request or the responses, also later ones."""
        return text in self._first

    def _read(self, index: int, body: Any, skip: Collection[str] = ()) -> None:
        """Record every identifier in a response, except within members whose name is in `skip`."""
        pending: list[tuple[str, Any]] = [("", body)]
        while pending:
            name, item = pending.pop()
            if isinstance(item, dict):
                self._read_object(index, name, item)
                pairs = ((member, value) for member, value in item.items() if isinstance(member, str))
                pending.extend((member, value) for member, value in pairs if member not in skip)
            elif isinstance(item, list | tuple):
                pending.extend((name, element) for element in item)
            else:
                self._read_scalar(index, name, item)

    def _read_object(self, index: int, name: str, item: dict[Any, Any]) -> None:
        """Record an object that has an id. `name` is the name of the member that holds it."""
        text = identifier(item.get("id"))
        if text is None:
            return
        label = item.get("name")
        if isinstance(label, str):
            self._names.setdefault((label.casefold(), text), index)
        if name == "transitions":
            status = lookup(item, "to", "name")
            self._transitions.setdefault(text, (index, status if isinstance(status, str) else ""))

    def _read_scalar(self, index: int, name: str, value: Any) -> None:
        """Record a value that is an identifier, and the identifiers in a text."""
        text = identifier(value) if is_id_member(name) else None
        if text is not None:
            self._first.setdefault(text, index)
        if isinstance(value, str):
            for match in IN_RESPONSE.finditer(value):
                self._first.setdefault(match.group().casefold(), index)
                if match.group(1):
                    self._first.setdefault(match.group(1).casefold(), index)


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


def unseen_ids(ledger: Ledger, call: Call, index: int, known_keys: Collection[str] = ()) -> frozenset[str]:
    """The identifiers in the arguments of call `index` that were not seen before it.

    `known_keys` are the goal's project keys: in a query they are keys, never names of projects.
    """
    if call.kind not in (Kind.READ, Kind.WRITE):
        return frozenset()
    unseen: set[str] = set()
    for (name, around), value in walk(call.arguments):
        if name == "jql" and isinstance(value, str):
            unseen |= _unseen_in_query(ledger, value, index, known_keys)
            continue
        text = identifier(value)
        if text is None or text in NOBODY or not _holds_id(name, around):
            continue
        if "transition" in (name.removesuffix("Id"), around):
            if not ledger.transition_before(index, text):
                unseen.add(canonical(["transition", text]))
        elif not ledger.before(index, (text,)):
            unseen.add(text)
    return frozenset(unseen)


def _holds_id(name: str, around: str) -> bool:
    """Whether an argument holds an identifier. The keys of entity properties are free text."""
    return (is_id_member(name) and around != "properties") or name == "project"


def _unseen_in_query(ledger: Ledger, query: str, index: int, known_keys: Collection[str]) -> set[str]:
    """The identifiers in a JQL query that were not seen before call `index`."""
    unseen = set()
    for value, maybe_name in jql.identifiers(query):
        text = value.casefold()
        is_name = maybe_name and not ledger.knows(text) and text not in known_keys and not UPPER_KEY.fullmatch(value)
        if not is_name and not ledger.before(index, (text,)):
            unseen.add(text)
    return unseen


@lru_cache(maxsize=4096)
def _request_tokens(request: str) -> tuple[str, ...]:
    """The words of the request. An issue key also gives its project's key, but not its number."""
    words = [match.group().casefold() for match in WORD.finditer(request)]
    for match in ISSUE_KEY.finditer(request):
        words += [match.group().casefold(), match.group(1).casefold()]
    return tuple(words)


def goal_keys(*references: Mapping[str, Any] | None) -> frozenset[str]:
    """The project keys of a goal's references: a project's key, or the part of an issue key before its number."""
    project_keys = set()
    for reference in references:
        key = identifier((reference or {}).get("key"))
        if key is not None:
            project_keys.add(key.rpartition("-")[0] or key)
    return frozenset(project_keys)
