"""Scoring for tasks that create one thing (an issue, a page): a few lookups, then one write that must succeed.

- arguments: the fraction of the expected arguments that the best write has right. Each argument that the goal does not
  ask for adds one to the denominator. The fraction is multiplied by the share of writes that were necessary.
- calls: `write_share` for an accepted write, in proportion to its right arguments. The rest is for the lookups: each
  identifier that the request does not give must be in a response before the write.
- A thing that was created and then deleted counts as not created, and so does a second creation with the same
  arguments.

The score is 1.0 if exactly one write was accepted, all its arguments are right, every identifier was looked up before
it, and the trace has no flaw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.compose import Weights, compose, economy, share
from rewards.discipline import Costs, find_flaws, read_history
from rewards.matching import aliases, identifier, members
from rewards.provenance import Ledger, was_accepted
from rewards.score import Score
from rewards.trace import Kind, Trace


@dataclass(frozen=True)
class Creation:
    """What to create, and how to recognise it."""

    tool: str
    """The tool that creates the thing."""
    undo: str
    """The tool that deletes it."""
    grade: Callable[[Any], tuple[int, int]]
    """Arguments of one attempt -> (right arguments, expected arguments plus those that nobody asked for)."""
    lookups: Sequence[frozenset[str]]
    """The identifiers that the write needs, each as the set of its aliases."""
    around: frozenset[str]
    """Identifiers of the thing's parent. Deleting the parent undoes the creation too."""
    known_keys: frozenset[str]
    """Project keys of the goal. In a query these are keys, never names of projects."""
    request: str


def score_creation(creation: Creation, trace: Trace, weights: Weights, write_share: float, costs: Costs) -> Score:
    """Score a trace that should create one thing. `write_share` is the write's share of the calls part."""
    attempts = {
        index: share(*creation.grade(call.arguments))
        for index, call in enumerate(trace)
        if call.kind == Kind.WRITE and call.name == creation.tool
    }
    history = read_history(trace)
    successes = [
        index
        for index in attempts
        if was_accepted(trace[index]) and index not in history.copies and not _was_undone(creation, trace, index)
    ]
    best = max(successes or attempts, key=lambda index: attempts[index], default=None)
    quality = attempts[best] if best is not None else 0.0
    creating_call = best if successes else None
    achieved = creating_call is not None and quality == 1.0

    stray = [i for i, call in enumerate(trace) if call.kind == Kind.WRITE and was_accepted(call) and i != creating_call]
    ledger = Ledger(creation.request, trace, silent=stray)
    needs = [ids for ids in creation.lookups if not ledger.before(0, ids)]
    deadline = best if best is not None else len(trace)
    success = quality if creating_call is not None else 0.0
    calls = success
    if needs:
        lookup_share = share(sum(ledger.before(deadline, ids) for ids in needs), len(needs))
        calls = write_share * success + (1 - write_share) * lookup_share
    flaws = find_flaws(history, ledger, stray=stray, needed_reads=len(needs), known_keys=creation.known_keys)
    return compose(quality * economy(trace, 1, achieved), calls, flaws, weights, costs)


def _was_undone(creation: Creation, trace: Trace, index: int) -> bool:
    """Whether a later call deleted what call `index` created, directly or with its parent."""
    ids = aliases(members(trace[index].body), "id", "key") | creation.around
    return any(
        call.kind == Kind.WRITE
        and call.name == creation.undo
        and was_accepted(call)
        and any(identifier(value) in ids for value in members(call.arguments).values())
        for call in trace[index + 1 :]
    )
