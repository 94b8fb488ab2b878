"""`issue-read`: find the issues meant and read what was asked for, no less and no more, without writing anything.

Goal: `{"request", "reads": [{"issue": {"id", "key"}, "fields": [text]} or {"issue": {...}, "comments": True}, ...]}`.
`summary` may come along with any read. A search that names the fields and returns the issue, and
few others, reads it as well as getIssue; comments may be read by getComments or as the field `comment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rewards.compose import Weights, compose, share
from rewards.discipline import COSTS, find_flaws, read_history
from rewards.matching import aliases, given, identifier, items, lookup, members
from rewards.provenance import Ledger, accepted, goal_keys, unseen
from rewards.reading import GET, issues_shown
from rewards.score import Score
from rewards.trace import Call, Kind, Trace

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
RIGHT_ISSUE = 0.3
"""The share of the arguments group for reading the right issue; the rest is for reading the right things of it."""
FOUND = 0.4
"""The share of the calls group for coming to the issue by what was given; the rest is for having all that was asked."""

FEW = 3
"""Issues that a search may show: one that lists more has not found the one that was meant."""
FREE_FIELDS = frozenset({"summary"})
COMMENTS = "comment"


@dataclass(frozen=True)
class Reading:
    """What one successful call told of one issue."""

    index: int
    issue: frozenset[str]
    asked: frozenset[str]
    """The names of the fields asked for, `*` among them for all, and those that came."""
    comments: frozenset[str]
    total_comments: int
    whole_call: bool
    """Whether the call reads comments and nothing else."""


class Delivery(NamedTuple):
    """How well readings give what is wanted of an issue; the fractions are in [0, 1]."""

    exact: float
    """With nothing else."""
    whole: float
    """Whatever else."""
    found: bool
    """Whether the issue was come to by what was given."""


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the reading of one or two issues. See `rewards.compose` for what the parts mean."""
    reads = goal["reads"]
    known = goal_keys(*(read["issue"] for read in reads))
    stray = [index for index, call in enumerate(trace) if call.kind == Kind.WRITE and accepted(call)]
    ledger = Ledger(goal.get("request", ""), trace, silent=stray)
    history = read_history(trace)
    readings = [r for index, call in enumerate(trace) if index not in history.copies for r in _readings(index, call)]
    guessed = frozenset(r.index for r in readings if unseen(ledger, trace[r.index], r.index, known))
    arguments = calls = 0.0
    for read in reads:
        issue = aliases(read["issue"], "id", "key")
        of_issue = [reading for reading in readings if reading.issue & issue]
        allowed = _wanted([other for other in reads if aliases(other["issue"], "id", "key") & issue]) | FREE_FIELDS
        delivery = _best_delivery(_wanted([read]), allowed, of_issue, guessed)
        arguments += RIGHT_ISSUE * bool(of_issue) + (1 - RIGHT_ISSUE) * delivery.exact
        calls += FOUND * delivery.found + (1 - FOUND) * delivery.whole
    searches = sum(not ledger.before(0, aliases(read["issue"], "id", "key")) for read in reads)
    flaws = find_flaws(history, ledger, stray=stray, needed_reads=len(reads) + searches, known_keys=known)
    arguments *= share(len(reads), len(reads) + len(stray))
    return compose(arguments / len(reads), calls / len(reads), flaws, WEIGHTS, COSTS)


def _wanted(reads: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The fields that entries of the goal ask for."""
    return frozenset(name for read in reads for name in ([COMMENTS] if read.get("comments") else read["fields"]))


def _best_delivery(
    wanted: frozenset[str], allowed: frozenset[str], readings: Sequence[Reading], guessed: frozenset[int]
) -> Delivery:
    """The best that a single reading of an issue gives, or all those together that ask for nothing else."""
    exact_ones = [reading for reading in readings if not _beyond(reading, wanted | allowed)]
    best = Delivery(0.0, 0.0, False)
    for together in (*([reading] for reading in readings), exact_ones):
        whole = _part(wanted, together) if together else 0.0
        beyond = sum(_beyond(reading, wanted | allowed) for reading in together)
        found = bool(together) and not any(reading.index in guessed for reading in together)
        best = max(best, Delivery(whole * len(wanted) / (len(wanted) + beyond), whole, found))
    return best


def _beyond(reading: Reading, allowed: frozenset[str]) -> int:
    """How many fields a reading asks for that nobody wanted; comments come as they are."""
    return 0 if reading.whole_call else len(reading.asked - allowed)


def _part(wanted: frozenset[str], readings: Sequence[Reading]) -> float:
    """The part of the wanted fields that the readings hold together, comments by how many of them were shown."""
    held = frozenset[str]().union(*(reading.asked for reading in readings)) & wanted
    part = float(len(held))
    if COMMENTS in held:
        shown = frozenset[str]().union(*(reading.comments for reading in readings))
        total = max(reading.total_comments for reading in readings)
        part += share(min(len(shown), total), total) - 1
    return part / len(wanted)


def _readings(index: int, call: Call) -> list[Reading]:
    """What a call told, by issue."""
    if call.name == "getComments" and call.kind == Kind.READ and call.ok:
        issue = identifier(lookup(call.arguments, "issueIdOrKey"))
        shown, total = _comments(call.body)
        fields = frozenset({COMMENTS})
        return [Reading(index, frozenset({issue}), fields, shown, total, True)] if issue is not None else []
    issues = issues_shown(call)
    whole = call.name == GET or (lookup(call.body, "isLast") and not given(lookup(call.arguments, "nextPageToken")))
    return [_reading(index, call, issue) for issue in issues] if whole and len(issues) <= FEW else []


def _reading(index: int, call: Call, issue: Any) -> Reading:
    """What a call told of one issue; without `fields` getIssue tells everything and a search only the id."""
    fields = lookup(call.arguments, "fields")
    names = [fields] if isinstance(fields, str) else [name for name in items(fields) if isinstance(name, str)]
    asked = {part.strip() for name in names for part in name.split(",")} - {""}
    wild = any(name.startswith(("*", "-")) for name in asked) or (call.name == GET and not asked)
    told = members(lookup(issue, "fields"))
    if wild:
        asked |= {"*", *told}
    expand = lookup(call.arguments, "expand")
    shown, total = _comments(told.get(COMMENTS))
    beyond = {"expand"} if given(expand) else set()
    return Reading(index, aliases(members(issue), "id", "key"), frozenset(asked | beyond), shown, total, False)


def _comments(page: Any) -> tuple[frozenset[str], int]:
    """(ids of the comments on a page, how many there are in all)."""
    comments = items(lookup(page, "comments"))
    ids = frozenset(identifier(lookup(comment, "id")) or f"#{place}" for place, comment in enumerate(comments))
    total = lookup(page, "total")
    return ids, total if isinstance(total, int) and total >= len(ids) else len(ids)
