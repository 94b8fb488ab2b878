"""How a score is put together from three additive parts.

    arguments   weights.arguments * (fraction of the arguments that are right)
    calls       weights.calls * (fraction of the needed calls and lookups that were made)
    discipline  weights.discipline * progress - the cost of every flaw
    progress    (arguments + calls) / (weights.arguments + weights.calls)

All checkers here use the weights 0.5, 0.3 and 0.2. Discipline grows with progress, so doing nothing tidily earns
nothing. The total is 1.0 exactly when both fractions are 1 and the trace has no flaw. Any other total is clamped to
[0, BELOW_ONE].
"""

from __future__ import annotations

from dataclasses import dataclass

from rewards.discipline import Costs, Flaws
from rewards.provenance import was_accepted
from rewards.score import Score
from rewards.trace import Kind, Trace

BELOW_ONE = 1 - 1e-6
"""The highest total of a trace that is not perfect."""
ROUNDING = 1e-9
"""A fraction this close to 1 counts as 1."""


@dataclass(frozen=True)
class Weights:
    """The most that each part can contribute. They sum to 1."""

    arguments: float
    calls: float
    discipline: float


def compose(arguments: float, calls: float, flaws: Flaws, weights: Weights, costs: Costs) -> Score:
    """The score for the fractions `arguments` and `calls`, both in [0, 1], and the flaws of the trace.

    The parts of the score are contributions and sum to the total, so discipline can be negative.
    """
    perfect = min(arguments, calls) > 1 - ROUNDING and flaws == Flaws()
    if perfect:
        parts = {"arguments": weights.arguments, "calls": weights.calls, "discipline": weights.discipline}
        return Score(total=1.0, parts=parts)
    parts = {"arguments": weights.arguments * arguments, "calls": weights.calls * calls}
    earnings = parts["arguments"] + parts["calls"]
    discipline = weights.discipline * earnings / (weights.arguments + weights.calls) - costs.of(flaws)
    total = min(max(earnings + discipline, 0.0), BELOW_ONE)
    return Score(total=total, parts={**parts, "discipline": total - earnings})


def economy(trace: Trace, required: int, achieved: bool) -> float:
    """The fraction of the writes that were necessary: `required` over the number of accepted writes, at most 1.

    Until the goal is achieved, refused writes count too. Otherwise a policy could try many writes and pay only for
    those that the API accepts. Once it is achieved they do not: a corrected mistake costs only the failed call.
    """
    writes = [call for call in trace if call.kind == Kind.WRITE and (was_accepted(call) or not achieved)]
    return required / max(required, len(writes))


def share(part: int, total: int) -> float:
    """`part / total`, and 1 if `total` is 0."""
    return part / total if total else 1.0
