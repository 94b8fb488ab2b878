"""What is wrong with a trace whatever its goal: failures, repeats, made-up tools and ids, stray writes, extra reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from rewards.matching import canonical
from rewards.provenance import Ledger, accepted, unseen
from rewards.trace import Kind, Trace

FREE_READS = 3
"""Distinct successful reads beyond those that the task needs which cost nothing."""


@dataclass(frozen=True)
class History:
    """A trace with the canonical form of each call, and the indices of the copies among them.

    A copy equals an earlier call in form and in acceptance. Scenarios credit nothing to copies, so that doing a thing
    again, be it after undoing it, never pays.
    """

    trace: Trace
    forms: tuple[str, ...]
    copies: frozenset[int]


def read_history(trace: Trace) -> History:
    forms = tuple(canonical([call.name, call.arguments]) for call in trace)
    seen: set[tuple[str, bool]] = set()
    copies: set[int] = set()
    for index, (form, call) in enumerate(zip(forms, trace, strict=True)):
        if (form, accepted(call)) in seen:
            copies.add(index)
        seen.add((form, accepted(call)))
    return History(trace, forms, frozenset(copies))


@dataclass(frozen=True)
class Flaws:
    """How often each flaw occurs."""

    failed_call: int = 0
    unknown_tool: int = 0
    malformed_call: int = 0
    repeated_call: int = 0
    stray_write: int = 0
    unseen_id: int = 0
    extra_read: int = 0


@dataclass(frozen=True)
class Costs:
    """What one occurrence of each flaw takes off the score."""

    failed_call: float
    unknown_tool: float
    malformed_call: float
    repeated_call: float
    stray_write: float
    unseen_id: float
    extra_read: float

    def of(self, flaws: Flaws) -> float:
        """The sum over all flaws."""
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

    `stray` are the indices of accepted writes that the goal does not want, `needed_reads` the number of reads that it
    needs, `unseen_values` what a scenario found to be guessed beyond identifiers. A call is repeated when an earlier
    one has the same name and canonical arguments with no accepted write in between, stray writes aside.
    """
    counts = dict.fromkeys(Kind, 0)
    failed = repeated = reads = 0
    missing: set[str] = set()
    recent: set[str] = set()
    for index, (call, form) in enumerate(zip(history.trace, history.forms, strict=True)):
        kind = call.kind if call.kind in (Kind.READ, Kind.WRITE, Kind.UNKNOWN) else Kind.MALFORMED
        counts[kind] += 1
        failed += kind in (Kind.READ, Kind.WRITE) and not call.ok
        missing |= unseen(ledger, call, index, known_keys)
        again = form in recent
        repeated += again
        reads += kind == Kind.READ and call.ok and not again
        if kind == Kind.WRITE and accepted(call) and index not in stray:
            recent.clear()
        recent.add(form)
    return Flaws(
        failed_call=failed,
        unknown_tool=counts[Kind.UNKNOWN],
        malformed_call=counts[Kind.MALFORMED],
        repeated_call=repeated,
        stray_write=len(stray),
        unseen_id=len(missing) + unseen_values,
        extra_read=max(0, reads - needed_reads - FREE_READS),
    )
