"""What a trace does with a ticket's transitions: shared by the two shapes of the scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.compose import economy, share
from rewards.discipline import History, read_history
from rewards.documents import adf_text
from rewards.matching import aliases, given, identifier, lookup, members
from rewards.provenance import Ledger, accepted
from rewards.trace import Call, Kind, Trace
from rewards.writing import Changes, changes

MOVE = "doTransition"
RESTRICTED = ("visibility", "properties")
"""Members of a comment that make it another one than a plain comment for all."""
DETOUR = 0.5
"""What reaching the status by other moves than the shortest is worth in the calls group, next to 1 for the shortest."""


@dataclass(frozen=True)
class Attempt:
    """One doTransition call, accepted or refused."""

    index: int
    accepted: bool
    on_issue: bool
    transition: str | None
    change: Changes
    comments: tuple[str | None, ...]


Pairs = list[Attempt | None]
"""For each move of a path the attempt that counts for it."""


@dataclass(frozen=True)
class Moves:
    """The judgement of a trace's moves; `arguments`, `looked_up` and `moved` are fractions in [0, 1]."""

    arguments: float
    looked_up: float
    lookups: int
    moved: float
    reached: bool
    stray: tuple[int, ...]
    history: History
    ledger: Ledger


def judge(goal: Mapping[str, Any], trace: Trace) -> Moves:
    """Compare the doTransition calls with the shortest sequences of the goal."""
    issue = aliases(goal["issue"], "id", "key")
    paths = [[identifier(move) or "" for move in path] for path in goal["moves"]]
    attempts = [_attempt(index, call, issue) for index, call in enumerate(trace) if _is_move(call)]
    made = [attempt for attempt in attempts if attempt.accepted and attempt.on_issue]
    path = max(paths, key=lambda one: _prefix(one, made))
    shortest = [attempt.transition for attempt in made] == path

    others = [
        index
        for index, call in enumerate(trace)
        if call.kind == Kind.WRITE and accepted(call) and all(attempt.index != index for attempt in made)
    ]
    ledger = Ledger(goal.get("request", ""), trace, silent=others, moved=issue)
    history = read_history(trace)
    in_circles = any(attempt.index in history.copies for attempt in made)
    reached = shortest or (bool(made) and not in_circles and _leads_to(goal, paths, ledger, made[-1]))
    kept = len(path) if reached else _prefix(path, made)
    stray = sorted([*others, *(attempt.index for attempt in made[kept:])])

    last = made[-1].index if made else -1
    pool = [one for one in attempts if (one.accepted or one.index > last) and one.index not in history.copies]
    pairs = _assign(goal, path, pool, ledger)
    if reached and not shortest:
        pairs[-1] = made[-1]
    arguments = _arguments(goal, path, pairs, pool, ledger, reached) * economy(trace, len(path), reached)
    until = [pair.index if pair else len(trace) for pair in pairs]
    seen = [ledger.transition_before(index, move) for index, move in zip(until, path, strict=True)]
    if not ledger.before(0, issue):
        seen.append(ledger.before(min(until), issue))
    on_the_way = _prefix(path, made) / len(path) * (1.0 if shortest else DETOUR)
    moved = max(on_the_way, DETOUR) if reached else on_the_way
    return Moves(arguments, share(sum(seen), len(seen)), len(seen), moved, reached, tuple(stray), history, ledger)


def _is_move(call: Call) -> bool:
    return call.kind == Kind.WRITE and call.name == MOVE


def _attempt(index: int, call: Call, issue: frozenset[str]) -> Attempt:
    change = changes(call.arguments, address=("issueIdOrKey", "transition"))
    added = [members(lookup(operation, "add")) for operation in change.update.get("comment", [])]
    comments = [adf_text(add.get("body")) if not any(map(add.get, RESTRICTED)) else None for add in added]
    return Attempt(
        index=index,
        accepted=call.ok,
        on_issue=identifier(lookup(call.arguments, "issueIdOrKey")) in issue,
        transition=identifier(lookup(call.arguments, "transition", "id")),
        change=change,
        comments=tuple(comments),
    )


def _prefix(path: Sequence[str], made: Sequence[Attempt]) -> int:
    """How many of the first accepted moves follow the path."""
    length = 0
    for move, attempt in zip(path, made, strict=False):
        if attempt.transition != move:
            break
        length += 1
    return length


def _leads_to(goal: Mapping[str, Any], paths: Sequence[Sequence[str]], ledger: Ledger, attempt: Attempt) -> bool:
    """Whether an accepted move ends in the goal's status, as far as ids and responses tell."""
    target = ledger.target(attempt.transition or "")
    if target:
        return target.casefold() == goal["status"].casefold()
    return any(attempt.transition == path[-1] for path in paths)


def _assign(goal: Mapping[str, Any], path: Sequence[str], pool: Sequence[Attempt], ledger: Ledger) -> Pairs:
    """For each move of the path the attempt that counts for it, in order, so that most arguments are right."""
    best: list[tuple[int, Pairs]] = [(0, [])] * (len(pool) + 1)
    for place, move in enumerate(path):
        last = place == len(path) - 1
        right = [one.on_issue + (one.transition == move) + (last and _resolved(goal, one, ledger)) for one in pool]
        best = _with_next_move(best, pool, right)
    return best[-1][1]


def _with_next_move(
    best: Sequence[tuple[int, Pairs]], pool: Sequence[Attempt], right: Sequence[int]
) -> list[tuple[int, Pairs]]:
    """The best (arguments right, choice) among each number of first attempts, with one more move than `best` has.

    `right` is what each attempt is worth for that move, which may also go without an attempt.
    """
    row: list[tuple[int, Pairs]] = [(best[0][0], [*best[0][1], None])]
    for until, attempt in enumerate(pool, 1):
        left_out = (best[until][0], [*best[until][1], None])
        taken = (best[until - 1][0] + right[until - 1], [*best[until - 1][1], attempt])
        row.append(max(left_out, row[-1], taken, key=lambda one: one[0]))
    return row


def _resolved(goal: Mapping[str, Any], attempt: Attempt | None, ledger: Ledger) -> bool:
    """Whether an attempt gives the resolution that the goal wants, by name or by an id seen under that name."""
    wanted = goal.get("resolution")
    if attempt is None or wanted is None:
        return False
    value = members(attempt.change.value("resolution"))
    told = {name: member for name, member in value.items() if name in ("name", "id") and given(member)}
    if "id" in told and not ledger.named_before(attempt.index, wanted, identifier(told["id"]) or ""):
        return False
    return bool(told) and identifier(told.get("name", wanted)) == identifier(wanted)


def _arguments(
    goal: Mapping[str, Any],
    path: Sequence[str],
    pairs: Pairs,
    pool: Sequence[Attempt],
    ledger: Ledger,
    reached: bool,
) -> float:
    """The fraction of arguments right: issue and transition of each move, the resolution of the last, the comment."""
    right = asked = 0
    for place, (move, pair) in enumerate(zip(path, pairs, strict=True)):
        asked += 2
        arrives = reached and place == len(path) - 1
        right += (pair.on_issue + (pair.transition == move or arrives)) if pair else 0
    if goal.get("resolution") is not None:
        asked += 1
        right += _resolved(goal, pairs[-1], ledger)
    counted = [attempt for attempt in pool if attempt.accepted] or [attempt for attempt in pairs if attempt]
    comments = [comment for attempt in counted for comment in attempt.comments]
    if not comments:
        comments = [comment for attempt in pairs if attempt for comment in attempt.comments]
    beyond = max(0, len(comments) - 1)
    if goal.get("comment") is not None:
        asked += 1
        right += goal["comment"] in comments
    else:
        beyond = len(comments)
    for attempt in counted:
        final = goal.get("resolution") is not None and attempt is pairs[-1]
        beyond += attempt.change.beyond(("comment", "resolution") if final else ("comment",))
        beyond += "comment" in attempt.change.fields
    return share(right, asked + beyond)
