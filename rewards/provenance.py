"""Where identifiers come from: each one used must have stood in the request or in an earlier successful response."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from rewards import jql
from rewards.matching import canonical, identifier, lookup, walk
from rewards.trace import Call, Kind, Trace

IN_REQUEST = -1
"""The index, among those of the calls, at which the request is read."""

ID_MEMBER = re.compile(r"(?:id|ids|key|keys|.*[a-z](?:Id|Ids|Key|Keys)|.*-ids?|reconcileIssues)")
"""Names of members that hold identifiers, in arguments and in responses."""
NOT_ID = frozenset({"localId", "fieldsByKeys"})
"""An ADF node's local id is made up by its writer, by definition; the other one is a flag."""
NOBODY = frozenset({"-1"})
"""The documented account id for "the project's default": a constant."""

TRANSITIONS = "getTransitions"
ADDRESS = {
    **dict.fromkeys(("getIssue", "getComments", TRANSITIONS), "issueIdOrKey"),
    **dict.fromkeys(("searchAndReconsileIssuesUsingJql", "searchAndReconsileIssuesUsingJqlPost"), "jql"),
    **dict.fromkeys(("getProject", "getCreateIssueMetaIssueTypes"), "projectIdOrKey"),
    **dict.fromkeys(("getSpaceById", "getPagesInSpace", "getPageById", "getChildPages"), "id"),
}
"""The argument of a read that the API cannot do without."""

WORD = re.compile(r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*")
ISSUE_KEY = re.compile(r"(?<![A-Za-z0-9_-])([A-Za-z][A-Za-z0-9_]*)-\d+(?![A-Za-z0-9_])")
IN_RESPONSE = re.compile(
    r"(?<![A-Za-z0-9_-])(?:([A-Za-z][A-Za-z0-9_]*)-\d+(?![A-Za-z0-9_])|(?:[A-Z][A-Z0-9_]+|\d{4,})(?![A-Za-z0-9_-]))"
)
"""Issue keys, project or space keys, and long numbers in the prose and the links of a response.

Shorter numbers there are counts, versions and dates.
"""
UPPER_KEY = re.compile(r"[A-Z][A-Z0-9_]+")


class Ledger:
    """When each identifier was first given: in the request, or by the response to which call.

    `silent` are the indices of calls whose responses give nothing (stray writes: a side effect must not be a source).
    Transitions are a kind of their own, since their short numbers occur as other things' ids, and as those of other
    projects' transitions: where `moved` names an issue, other issues' transitions give nothing.
    """

    def __init__(
        self, request: str, trace: Trace, silent: Collection[int] = (), moved: Collection[str] | None = None
    ) -> None:
        self._first: dict[str, int] = {}
        self._transitions: dict[str, tuple[int, str]] = {}
        self._named: dict[tuple[str, str], int] = {}
        for token in _request_tokens(request):
            self._first.setdefault(token, IN_REQUEST)
        for index, call in enumerate(trace):
            own = moved is None or identifier(lookup(call.arguments, ADDRESS[TRANSITIONS])) in moved
            if answered(call) and index not in silent:
                self._read(index, call.body, unread=() if own else ("transitions",))

    def before(self, index: int, identifiers: Iterable[str]) -> bool:
        """Whether any of the (case-folded) identifiers of one thing was given before call `index`."""
        return any(self._first.get(text, index) < index for text in identifiers)

    def transition_before(self, index: int, transition: str) -> bool:
        """Whether the transition's id was given before call `index` as the id of a transition."""
        shown = self._transitions.get(transition, (index, ""))[0] < index
        return shown or self._first.get(transition, index) == IN_REQUEST

    def target(self, transition: str) -> str | None:
        """The name of the status that a transition leads to, where some response has shown it."""
        return self._transitions[transition][1] if transition in self._transitions else None

    def named_before(self, index: int, name: str, id: str) -> bool:
        """Whether a response before call `index` showed an object with this name and this id."""
        return self._named.get((name.casefold(), id), index) < index

    def knows(self, text: str) -> bool:
        """Whether the identifier occurs anywhere, be it later: then it is one."""
        return text in self._first

    def _read(self, index: int, body: Any, unread: Collection[str] = ()) -> None:
        """Note every identifier that a response shows, but for those within members of the names `unread`."""
        pending: list[tuple[str, Any]] = [("", body)]
        while pending:
            name, item = pending.pop()
            if isinstance(item, dict):
                self._read_object(index, name, item)
                told = ((member, value) for member, value in item.items() if isinstance(member, str))
                pending.extend((member, value) for member, value in told if member not in unread)
            elif isinstance(item, list | tuple):
                pending.extend((name, element) for element in item)
            else:
                self._read_scalar(index, name, item)

    def _read_object(self, index: int, name: str, item: dict[Any, Any]) -> None:
        """Note an object with an id and a name; `name` is what it is called itself."""
        text = identifier(item.get("id"))
        if text is None:
            return
        label = item.get("name")
        if isinstance(label, str):
            self._named.setdefault((label.casefold(), text), index)
        if name == "transitions":
            goes_to = lookup(item, "to", "name")
            self._transitions.setdefault(text, (index, goes_to if isinstance(goes_to, str) else ""))

    def _read_scalar(self, index: int, name: str, value: Any) -> None:
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


def accepted(call: Call) -> bool:
    """Whether the call reached the API and was answered with success."""
    return call.kind in (Kind.READ, Kind.WRITE) and call.ok


def answered(call: Call) -> bool:
    """Whether the call was accepted and says what it is about, without which no answer can come."""
    needed = ADDRESS.get(call.name) if isinstance(call.name, str) else None
    return accepted(call) and (needed is None or identifier(lookup(call.arguments, needed)) is not None)


def unseen(ledger: Ledger, call: Call, index: int, known: Collection[str] = ()) -> frozenset[str]:
    """The identifiers in a call's arguments that nobody gave before it; `known` are the goal's project keys."""
    if call.kind not in (Kind.READ, Kind.WRITE):
        return frozenset()
    missing: set[str] = set()
    for (name, around), value in walk(call.arguments):
        if name == "jql" and isinstance(value, str):
            missing |= _unseen_in_query(ledger, value, index, known)
            continue
        text = identifier(value)
        if text is None or text in NOBODY or not _holds_id(name, around):
            continue
        if "transition" in (name.removesuffix("Id"), around):
            if not ledger.transition_before(index, text):
                missing.add(canonical(["transition", text]))
        elif not ledger.before(index, (text,)):
            missing.add(text)
    return frozenset(missing)


def _holds_id(name: str, around: str) -> bool:
    """Whether a member holds an identifier; entity properties are keyed by whatever their author likes."""
    return (is_id_member(name) and around != "properties") or name == "project"


def _unseen_in_query(ledger: Ledger, query: str, index: int, known: Collection[str]) -> set[str]:
    missing = set()
    for value, maybe_name in jql.identifiers(query):
        text = value.casefold()
        is_name = maybe_name and not ledger.knows(text) and text not in known and not UPPER_KEY.fullmatch(value)
        if not is_name and not ledger.before(index, (text,)):
            missing.add(text)
    return missing


@lru_cache(maxsize=4096)
def _request_tokens(request: str) -> tuple[str, ...]:
    """Whole words of the request; an issue key gives its project's key, but not its number."""
    words = [match.group().casefold() for match in WORD.finditer(request)]
    for match in ISSUE_KEY.finditer(request):
        words += [match.group().casefold(), match.group(1).casefold()]
    return tuple(words)


def goal_keys(*references: Mapping[str, Any] | None) -> frozenset[str]:
    """The project keys in a goal's references: a key itself, or the part of an issue key before its number."""
    found = set()
    for reference in references:
        key = identifier((reference or {}).get("key"))
        if key is not None:
            found.add(key.rpartition("-")[0] or key)
    return frozenset(found)
