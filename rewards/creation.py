"""What scoring the creation of an issue and of a page has in common: one write that must succeed, after its lookups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.compose import Weights, compose, economy, share
from rewards.discipline import Costs, find_flaws, read_history
from rewards.matching import aliases, identifier, members
from rewards.provenance import Ledger, accepted
from rewards.score import Score
from rewards.trace import Kind, Trace


@dataclass(frozen=True)
class Creation:
    """One kind of creation. `grade` gives (right arguments, arguments that were to be right) of one attempt."""

    tool: str
    undo: str
    grade: Callable[[Any], tuple[int, int]]
    lookups: Sequence[frozenset[str]]
    """The identifiers, each with its aliases, that the write needs."""
    around: frozenset[str]
    """Identifiers of what the created thing hangs on: deleting that undoes the creation too."""
    known_keys: frozenset[str]
    request: str


def score_creation(creation: Creation, trace: Trace, weights: Weights, succeeded: float, costs: Costs) -> Score:
    """Score a trace that is to create one thing; `succeeded` is the share of the calls group for an accepted write."""
    attempts = {
        index: share(*creation.grade(call.arguments))
        for index, call in enumerate(trace)
        if call.kind == Kind.WRITE and call.name == creation.tool
    }
    history = read_history(trace)
    again = history.copies
    standing = [i for i in attempts if accepted(trace[i]) and i not in again and not _undone(creation, trace, i)]
    best = max(standing or attempts, key=lambda index: attempts[index], default=None)
    right = attempts[best] if best is not None else 0.0
    created = best if standing else None
    achieved = created is not None and right == 1.0

    stray = [i for i, call in enumerate(trace) if call.kind == Kind.WRITE and accepted(call) and i != created]
    ledger = Ledger(creation.request, trace, silent=stray)
    asked = [one for one in creation.lookups if not ledger.before(0, one)]
    until = best if best is not None else len(trace)
    done = right if created is not None else 0.0
    calls = done
    if asked:
        found = share(sum(ledger.before(until, one) for one in asked), len(asked))
        calls = succeeded * done + (1 - succeeded) * found
    flaws = find_flaws(history, ledger, stray=stray, needed_reads=len(asked), known_keys=creation.known_keys)
    return compose(right * economy(trace, 1, achieved), calls, flaws, weights, costs)


def _undone(creation: Creation, trace: Trace, index: int) -> bool:
    """Whether what call `index` created was deleted later, alone or with what it hangs on."""
    created = aliases(members(trace[index].body), "id", "key") | creation.around
    return any(
        call.kind == Kind.WRITE
        and call.name == creation.undo
        and accepted(call)
        and any(identifier(value) in created for value in members(call.arguments).values())
        for call in trace[index + 1 :]
    )
