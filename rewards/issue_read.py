"""`issue-read`: find the issues and read exactly what the request asks for, without any write.

Goal: `{"request", "reads": [{"issue": {"id", "key"}, "fields": [text]} or {"issue": {...}, "comments": True}, ...]}`.
The field `summary` is free with any read. A search that names the fields and returns the issue, and few others, counts
as well as getIssue. Comments may be read by getComments or as the field `comment`.

What is scored, as the mean over the goal's reads:
- arguments (0.5): 0.3 of it for reading the right issue, 0.7 for reading the right fields of it. A field that nobody
  asked for counts as a wrong argument. A stray write counts as one more read that is wrong.
- calls (0.3): 0.6 of it for the fields that were delivered, whatever else was read. 0.4 for reaching the issue by an
  identifier that was seen before, rather than by a guess.
- discipline (0.2): progress less the cost of flaws.

The score is 1.0 if each issue was read with exactly its fields, no identifier was guessed, nothing was written, and
the trace has no flaw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rewards.compose import Weights, compose, share
from rewards.discipline import COSTS, find_flaws, read_history
from rewards.matching import aliases, identifier, is_present, items, lookup, members
from rewards.provenance import Ledger, goal_keys, unseen_ids, was_accepted
from rewards.reading import GET, issues_in
from rewards.score import Score
from rewards.trace import Call, Kind, Trace

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
ISSUE_SHARE = 0.3
"""The share of the arguments part for reading the right issue. The rest is for reading the right fields of it."""
ROUTE_SHARE = 0.4
"""The share of the calls part for reaching the issue without a guess. The rest is for the fields that were read."""

FEW = 3
"""The most issues that a search may return. One that lists more has not found a particular issue."""
FREE_FIELDS = frozenset({"summary"})
COMMENTS = "comment"


@dataclass(frozen=True)
class Reading:
    """What one successful call returned of one issue."""

    index: int
    issue: frozenset[str]
    """The aliases of the issue."""
    fields: frozenset[str]
    """The fields that the call asked for. If it asked for all: `*` and the fields that the response has."""
    comments: frozenset[str]
    """The ids of the comments in the response."""
    total_comments: int
    """The number of comments that the issue has, as far as the response tells."""
    only_comments: bool
    """Whether the call is getComments, which reads nothing else."""


class Delivery(NamedTuple):
    """How well some readings deliver what the goal asks of an issue. Fractions are in [0, 1]."""

    precision: float
    """`recall`, reduced by the fields that nobody asked for."""
    recall: float
    """The fraction of the goal's fields that were read."""
    fair: bool
    """Whether the call reached the issue without a guess."""


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the reading of one or two issues. `rewards.compose` explains the parts."""
    reads = goal["reads"]
    known_keys = goal_keys(*(read["issue"] for read in reads))
    stray = [index for index, call in enumerate(trace) if call.kind == Kind.WRITE and was_accepted(call)]
    ledger = Ledger(goal.get("request", ""), trace, silent=stray)
    history = read_history(trace)
    readings = [r for index, call in enumerate(trace) if index not in history.copies for r in _readings(index, call)]
    guesses = frozenset(r.index for r in readings if unseen_ids(ledger, trace[r.index], r.index, known_keys))
    arguments = calls = 0.0
    for read in reads:
        issue = aliases(read["issue"], "id", "key")
        of_issue = [reading for reading in readings if reading.issue & issue]
        same_issue = [other for other in reads if aliases(other["issue"], "id", "key") & issue]
        allowed = _goal_fields(same_issue) | FREE_FIELDS
        delivery = _best_delivery(_goal_fields([read]), allowed, of_issue, guesses)
        arguments += ISSUE_SHARE * bool(of_issue) + (1 - ISSUE_SHARE) * delivery.precision
        calls += ROUTE_SHARE * delivery.fair + (1 - ROUTE_SHARE) * delivery.recall
    searches = sum(not ledger.before(0, aliases(read["issue"], "id", "key")) for read in reads)
    flaws = find_flaws(history, ledger, stray=stray, needed_reads=len(reads) + searches, known_keys=known_keys)
    arguments *= share(len(reads), len(reads) + len(stray))
    return compose(arguments / len(reads), calls / len(reads), flaws, WEIGHTS, COSTS)


def _goal_fields(reads: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The fields that some of the goal's reads ask for."""
    return frozenset(name for read in reads for name in ([COMMENTS] if read.get("comments") else read["fields"]))


def _best_delivery(
    target: frozenset[str], allowed: frozenset[str], readings: Sequence[Reading], guesses: frozenset[int]
) -> Delivery:
    """The best delivery by a single reading of the issue, or by all readings together that have no extra fields."""
    exact = [reading for reading in readings if not _count_extras(reading, target | allowed)]
    best = Delivery(0.0, 0.0, False)
    for group in (*([reading] for reading in readings), exact):
        recall = _recall(target, group) if group else 0.0
        extras = sum(_count_extras(reading, target | allowed) for reading in group)
        fair = bool(group) and not any(reading.index in guesses for reading in group)
        best = max(best, Delivery(recall * len(target) / (len(target) + extras), recall, fair))
    return best


def _count_extras(reading: Reading, allowed: frozenset[str]) -> int:
    """The number of fields that a reading asks for and that are not allowed. getComments has no extras."""
    return 0 if reading.only_comments else len(reading.fields - allowed)


def _recall(target: frozenset[str], readings: Sequence[Reading]) -> float:
    """The fraction of the target fields that the readings contain together. Comments count by how many were read."""
    delivered = frozenset[str]().union(*(reading.fields for reading in readings)) & target
    count = float(len(delivered))
    if COMMENTS in delivered:
        comments = frozenset[str]().union(*(reading.comments for reading in readings))
        total = max(reading.total_comments for reading in readings)
        count += share(min(len(comments), total), total) - 1
    return count / len(target)


def _readings(index: int, call: Call) -> list[Reading]:
    """What a call returned, one reading per issue."""
    if call.name == "getComments" and call.kind == Kind.READ and call.ok:
        issue = identifier(lookup(call.arguments, "issueIdOrKey"))
        comments, total = _comments(call.body)
        fields = frozenset({COMMENTS})
        return [Reading(index, frozenset({issue}), fields, comments, total, True)] if issue is not None else []
    issues = issues_in(call)
    # One page of a longer result list has not found the issue either.
    all_results = lookup(call.body, "isLast") and not is_present(lookup(call.arguments, "nextPageToken"))
    if len(issues) > FEW or not (call.name == GET or all_results):
        return []
    return [_reading(index, call, issue) for issue in issues]


def _reading(index: int, call: Call, issue: Any) -> Reading:
    """What a call returned of one issue. Without `fields`, getIssue returns all fields and a search only the id."""
    fields = lookup(call.arguments, "fields")
    names = [fields] if isinstance(fields, str) else [name for name in items(fields) if isinstance(name, str)]
    requested = {part.strip() for name in names for part in name.split(",")} - {""}
    wildcard = any(name.startswith(("*", "-")) for name in requested) or (call.name == GET and not requested)
    content = members(lookup(issue, "fields"))
    if wildcard:
        requested |= {"*", *content}
    expansion = {"expand"} if is_present(lookup(call.arguments, "expand")) else set()
    comments, total = _comments(content.get(COMMENTS))
    issue_aliases = aliases(members(issue), "id", "key")
    return Reading(index, issue_aliases, frozenset(requested | expansion), comments, total, False)


def _comments(page: Any) -> tuple[frozenset[str], int]:
    """(ids of the comments on a page, number of comments that the issue has)."""
    comments = items(lookup(page, "comments"))
    ids = frozenset(identifier(lookup(comment, "id")) or f"#{place}" for place, comment in enumerate(comments))
    total = lookup(page, "total")
    return ids, total if isinstance(total, int) and total >= len(ids) else len(ids)
