"""Flaws of a trace and what they cost. They do not depend on the goal, except for which writes are stray.

`find_flaws` counts them, `COSTS` prices them, and `rewards.compose` subtracts the sum from the discipline part. A score
of 1.0 needs a trace without any flaw.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from rewards.matching import canonical
from rewards.provenance import Ledger, unseen_ids, was_accepted
from rewards.trace import Kind, Trace

FREE_READS = 3
"""A trace may have this many more distinct successful reads than the task needs."""


@dataclass(frozen=True)
class History:
    """A trace with the canonical form of each call and the indices of the copies.

    A copy has the same form as an earlier call, and both were accepted or both were not. Checkers give no credit for
    copies, so repeating a call never pays, not even after undoing it.
    """

    trace: Trace
    forms: tuple[str, ...]
    copies: frozenset[int]


def read_history(trace: Trace) -> History:
    """The canonical form of each call, and which calls are copies."""
    forms = tuple(canonical([call.name, call.arguments]) for call in trace)
    outcomes: set[tuple[str, bool]] = set()
    copies: set[int] = set()
    for index, (form, call) in enumerate(zip(forms, trace, strict=True)):
        outcome = (form, was_accepted(call))
        if outcome in outcomes:
            copies.add(index)
        outcomes.add(outcome)
    return History(trace, forms, frozenset(copies))


@dataclass(frozen=True)
class Flaws:
    """How often each flaw occurs in a trace."""

    failed_call: int = 0
    """An offered tool answered with an error."""
    unknown_tool: int = 0
    """The tool is not offered."""
    malformed_call: int = 0
    """The text is not a tool call."""
    repeated_call: int = 0
    """The same tool and arguments again, with no wanted write in between."""
    stray_write: int = 0
    """An accepted write that the goal does not ask for."""
    unseen_id: int = 0
    """An identifier that neither the request nor an earlier response contains."""
    extra_read: int = 0
    """A distinct successful read, beyond those that the task needs and FREE_READS more."""


@dataclass(frozen=True)
class Costs:
    """What one occurrence of each flaw subtracts from the score."""

    failed_call: float
    unknown_tool: float
    malformed_call: float
    repeated_call: float
    stray_write: float
    unseen_id: float
    extra_read: float

    def of(self, flaws: Flaws) -> float:
        """The cost of all flaws together."""
        return sum(getattr(self, flaw.name) * getattr(flaws, flaw.name) for flaw in fields(Flaws))


COSTS = Costs(
    failed_call=0.04,
    unknown_tool=0.08,
    malformed_call=0.08,
    repeated_call=0.06,
    stray_write=0.2,
    unseen_id=0.1,
    extra_read=0.03,
)


def find_flaws(
    history: History,
    ledger: Ledger,
    *,
    stray: Collection[int],
    needed_reads: int,
    known_keys: Collection[str] = (),
    unseen_values: int = 0,
) -> Flaws:
    """Count the flaws of a trace.

    - `stray`: indices of the accepted writes that the goal does not ask for.
    - `needed_reads`: how many reads the task needs.
    - `known_keys`: the goal's project keys; see `unseen_ids`.
    - `unseen_values`: guessed values that are not identifiers, which the scenario counts itself.

    A call is a repeat if an earlier call has the same form and no accepted write lies between them. Stray writes do
    not count as such a write: otherwise a policy could repeat a read at the price of a stray write.
    """
    counts = dict.fromkeys(Kind, 0)
    failures = repeats = reads = 0
    unseen: set[str] = set()
    recent_forms: set[str] = set()
    for index, (call, form) in enumerate(zip(history.trace, history.forms, strict=True)):
        kind = call.kind if call.kind in (Kind.READ, Kind.WRITE, Kind.UNKNOWN) else Kind.MALFORMED
        counts[kind] += 1
        failures += kind in (Kind.READ, Kind.WRITE) and not call.ok
        unseen |= unseen_ids(ledger, call, index, known_keys)
        is_repeat = form in recent_forms
        repeats += is_repeat
        reads += kind == Kind.READ and call.ok and not is_repeat
        if kind == Kind.WRITE and was_accepted(call) and index not in stray:
            recent_forms.clear()
        recent_forms.add(form)
    return Flaws(
        failed_call=failures,
        unknown_tool=counts[Kind.UNKNOWN],
        malformed_call=counts[Kind.MALFORMED],
        repeated_call=repeats,
        stray_write=len(stray),
        unseen_id=len(unseen) + unseen_values,
        extra_read=max(0, reads - needed_reads - FREE_READS),
    )
