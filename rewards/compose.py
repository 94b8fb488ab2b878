"""A score from its three additive groups."""

from __future__ import annotations

from dataclasses import dataclass

from rewards.discipline import Costs, Flaws
from rewards.provenance import accepted
from rewards.score import Score
from rewards.trace import Kind, Trace

BELOW_ONE = 1 - 1e-6
"""The most that anything but a perfect trace scores."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Weights:
    """What each group contributes at most; they sum to 1."""

    arguments: float
    calls: float
    discipline: float


def compose(arguments: float, calls: float, flaws: Flaws, weights: Weights, costs: Costs) -> Score:
    """The score of fractions `arguments` and `calls` in [0, 1] and the flaws found.

    Discipline is earned in proportion to progress, so that doing nothing tidily earns nothing, and lost by flaws. It
    may turn negative, but the total does not. The parts are contributions: they sum to the total.
    """
    perfect = min(arguments, calls) > 1 - ROUNDING and flaws == Flaws()
    if perfect:
        parts = {"arguments": weights.arguments, "calls": weights.calls, "discipline": weights.discipline}
        return Score(total=1.0, parts=parts)
    parts = {"arguments": weights.arguments * arguments, "calls": weights.calls * calls}
    earned = parts["arguments"] + parts["calls"]
    discipline = weights.discipline * earned / (weights.arguments + weights.calls) - costs.of(flaws)
    total = min(max(earned + discipline, 0.0), BELOW_ONE)
    return Score(total=total, parts={**parts, "discipline": total - earned})


def economy(trace: Trace, required: int, achieved: bool) -> float:
    """What share of the writes made were needed: `required` of all that were accepted.

    Refused ones count as well until the goal is achieved, so that neither scattershot writing nor a refused attempt
    that was put right afterwards decides the score.
    """
    writes = [call for call in trace if call.kind == Kind.WRITE and (accepted(call) or not achieved)]
    return required / max(required, len(writes))


def share(right: int, of: int) -> float:
    """`right / of`, and 1 where nothing was to be right."""
    return right / of if of else 1.0
