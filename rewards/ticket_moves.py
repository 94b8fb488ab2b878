"""How far a trace moves a ticket: the judgement that both rewards for ticket transitions share.

The accepted doTransition calls on the goal's issue are compared with the shortest paths of the goal. The path that
agrees with the most of the first moves is the reference.

- arguments: issue and transition of each move, the resolution of the last move, and the comment. Each extra change
  adds one to the denominator, and unnecessary writes divide the fraction.
- lookup_share: the fraction of the ids (each move's transition, and the issue unless the request gives it) that were
  seen before their use.
- progress: 1 if the accepted moves are exactly the path, DETOUR for reaching the status by other moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.compose import economy, share
from rewards.discipline import History, read_history
from rewards.documents import adf_text
from rewards.matching import aliases, identifier, is_present, lookup, members
from rewards.provenance import Ledger, was_accepted
from rewards.trace import Call, Kind, Trace
from rewards.writing import Changes, changes

MOVE = "doTransition"
COMMENT_LIMITS = ("visibility", "properties")
"""A comment with one of these members is not a plain comment that everybody can read."""
DETOUR = 0.5
"""The progress for reaching the status by other moves than a shortest path, which is worth 1."""


@dataclass(frozen=True)
class Attempt:
    """One doTransition call, accepted or refused."""

    index: int
    accepted: bool
    on_issue: bool
    transition: str | None
    change: Changes
    comments: tuple[str | None, ...]
    """The text of each comment that the call adds; None for one that is restricted or has no text."""


Assignment = list[Attempt | None]
"""For each move of a path, the attempt that counts for it."""


@dataclass(frozen=True)
class Moves:
    """The judgement of a trace's moves. `arguments`, `lookup_share` and `progress` are fractions in [0, 1]."""

    arguments: float
    lookup_share: float
    lookups: int
    """The number of ids that had to be looked up."""
    progress: float
    reached: bool
    """Whether the last accepted move ends in the goal's status."""
    stray: tuple[int, ...]
    """The indices of the accepted writes that the goal does not ask for."""
    history: History
    ledger: Ledger


def judge(goal: Mapping[str, Any], trace: Trace) -> Moves:
    """Compare the doTransition calls with the goal's shortest paths."""
    issue = aliases(goal["issue"], "id", "key")
    paths = [[identifier(move) or "" for move in path] for path in goal["moves"]]
    attempts = [_attempt(index, call, issue) for index, call in enumerate(trace) if _is_move(call)]
    moves = [attempt for attempt in attempts if attempt.accepted and attempt.on_issue]
    path = max(paths, key=lambda candidate: _prefix_length(candidate, moves))
    is_shortest = [attempt.transition for attempt in moves] == path

    other_writes = [
        index
        for index, call in enumerate(trace)
        if call.kind == Kind.WRITE and was_accepted(call) and all(attempt.index != index for attempt in moves)
    ]
    ledger = Ledger(goal.get("request", ""), trace, silent=other_writes, issue=issue)
    history = read_history(trace)
    in_circles = any(attempt.index in history.copies for attempt in moves)
    reached = is_shortest or (bool(moves) and not in_circles and _leads_to_status(goal, paths, ledger, moves[-1]))
    useful_moves = len(path) if reached else _prefix_length(path, moves)
    stray = sorted([*other_writes, *(attempt.index for attempt in moves[useful_moves:])])

    last = moves[-1].index if moves else -1
    # A refused attempt counts only after the last move: an earlier one was corrected.
    pool = [
        attempt
        for attempt in attempts
        if (attempt.accepted or attempt.index > last) and attempt.index not in history.copies
    ]
    assignment = _assign(goal, path, pool, ledger)
    if reached and not is_shortest:
        assignment[-1] = moves[-1]
    arguments = _fraction_right(goal, path, assignment, pool, ledger, reached) * economy(trace, len(path), reached)
    deadlines = [attempt.index if attempt else len(trace) for attempt in assignment]
    lookups = [ledger.transition_before(index, move) for index, move in zip(deadlines, path, strict=True)]
    if not ledger.before(0, issue):
        lookups.append(ledger.before(min(deadlines), issue))
    progress = _prefix_length(path, moves) / len(path) * (1.0 if is_shortest else DETOUR)
    return Moves(
        arguments=arguments,
        lookup_share=share(sum(lookups), len(lookups)),
        lookups=len(lookups),
        progress=max(progress, DETOUR) if reached else progress,
        reached=reached,
        stray=tuple(stray),
        history=history,
        ledger=ledger,
    )


def _is_move(call: Call) -> bool:
    return call.kind == Kind.WRITE and call.name == MOVE


def _attempt(index: int, call: Call, issue: frozenset[str]) -> Attempt:
    """Read a doTransition call."""
    change = changes(call.arguments, address=("issueIdOrKey", "transition"))
    additions = [members(lookup(operation, "add")) for operation in change.update.get("comment", [])]
    comments = [adf_text(add.get("body")) if not any(map(add.get, COMMENT_LIMITS)) else None for add in additions]
    return Attempt(
        index=index,
        accepted=call.ok,
        on_issue=identifier(lookup(call.arguments, "issueIdOrKey")) in issue,
        transition=identifier(lookup(call.arguments, "transition", "id")),
        change=change,
        comments=tuple(comments),
    )


def _prefix_length(path: Sequence[str], moves: Sequence[Attempt]) -> int:
    """How many of the first moves follow the path."""
    length = 0
    for transition, attempt in zip(path, moves, strict=False):
        if attempt.transition != transition:
            break
        length += 1
    return length


def _leads_to_status(goal: Mapping[str, Any], paths: Sequence[Sequence[str]], ledger: Ledger, move: Attempt) -> bool:
    """Whether an accepted move ends in the goal's status, as far as the responses and the paths tell."""
    status = ledger.target(move.transition or "")
    if status:
        return status.casefold() == goal["status"].casefold()
    return any(move.transition == path[-1] for path in paths)


def _assign(goal: Mapping[str, Any], path: Sequence[str], pool: Sequence[Attempt], ledger: Ledger) -> Assignment:
    """Assign attempts to the moves of the path, in order, so that as many arguments as possible are right."""
    best: list[tuple[int, Assignment]] = [(0, [])] * (len(pool) + 1)
    for place, move in enumerate(path):
        is_last = place == len(path) - 1
        values = [
            attempt.on_issue + (attempt.transition == move) + (is_last and _has_resolution(goal, attempt, ledger))
            for attempt in pool
        ]
        best = _with_next_move(best, pool, values)
    return best[-1][1]


def _with_next_move(
    best: Sequence[tuple[int, Assignment]], pool: Sequence[Attempt], values: Sequence[int]
) -> list[tuple[int, Assignment]]:
    """One step of the dynamic program: assign one more move of the path.

    `best[n]` is the best (right arguments, assignment) that uses only the first `n` attempts. `values` says how many
    arguments each attempt has right for the new move, which may also stay without an attempt.
    """
    row: list[tuple[int, Assignment]] = [(best[0][0], [*best[0][1], None])]
    for count, attempt in enumerate(pool, 1):
        without_attempt = (best[count][0], [*best[count][1], None])
        with_attempt = (best[count - 1][0] + values[count - 1], [*best[count - 1][1], attempt])
        row.append(max(without_attempt, row[-1], with_attempt, key=lambda option: option[0]))
    return row


def _has_resolution(goal: Mapping[str, Any], attempt: Attempt | None, ledger: Ledger) -> bool:
    """Whether an attempt sets the goal's resolution, by name or by an id that was seen under that name."""
    target = goal.get("resolution")
    if attempt is None or target is None:
        return False
    value = members(attempt.change.value("resolution"))
    clues = {name: member for name, member in value.items() if name in ("name", "id") and is_present(member)}
    if "id" in clues and not ledger.named_before(attempt.index, target, identifier(clues["id"]) or ""):
        return False
    return bool(clues) and identifier(clues.get("name", target)) == identifier(target)


def _fraction_right(
    goal: Mapping[str, Any],
    path: Sequence[str],
    assignment: Assignment,
    pool: Sequence[Attempt],
    ledger: Ledger,
    reached: bool,
) -> float:
    """The fraction of arguments that are right: issue and transition of each move, last resolution, comment."""
    right = total = 0
    for place, (move, attempt) in enumerate(zip(path, assignment, strict=True)):
        total += 2
        arrives = reached and place == len(path) - 1
        right += (attempt.on_issue + (attempt.transition == move or arrives)) if attempt else 0
    if goal.get("resolution") is not None:
        total += 1
        right += _has_resolution(goal, assignment[-1], ledger)
    assigned = [attempt for attempt in assignment if attempt]
    accepted = [attempt for attempt in pool if attempt.accepted] or assigned
    comments = [comment for attempt in accepted for comment in attempt.comments]
    if not comments:
        comments = [comment for attempt in assigned for comment in attempt.comments]
    extras = max(0, len(comments) - 1)
    if goal.get("comment") is not None:
        total += 1
        right += goal["comment"] in comments
    else:
        extras = len(comments)
    for attempt in accepted:
        is_final = goal.get("resolution") is not None and attempt is assignment[-1]
        extras += attempt.change.extra_count(("comment", "resolution") if is_final else ("comment",))
        extras += "comment" in attempt.change.fields
    return share(right, total + extras)
