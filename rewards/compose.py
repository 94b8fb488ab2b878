"""How a score is put together from three additive parts.

    nearness    (0.5 * arguments + 0.3 * calls) / 0.8, both in [0, 1]: how near the end state is to the goal
    quality     the share of the discipline that the flaws of the way leave, in (0, 1] (`rewards.discipline`)
    harm        LEFT ** (side effects that are left) * REVERTED ** (side effects that were reverted)

    at the goal:  total = (0.8 + 0.2 * quality) * harm
    elsewhere:    total = 0.8 * nearness * (1 - WAY * (1 - quality)) * harm

So an episode that ends at the goal and did no harm scores at least 0.8, and every other one less. A write that brings
the state nearer always pays, because what a call can cost elsewhere is less than what a step towards the goal earns.
The total is 1.0 exactly at the goal, without a flaw and without harm. Any other total is at most BELOW_ONE.

The parts of a score sum to the total: `arguments` and `calls` are the nearness, `discipline` is the rest, which can be
negative.
"""

from __future__ import annotations

from dataclasses import dataclass

from rewards.discipline import Flaws, remaining
from rewards.score import Score

ARGUMENTS, CALLS, DISCIPLINE = 0.5, 0.3, 0.2
"""The most that each part contributes."""
WAY = 0.005
"""What the flaws of the way can take of the score while the goal is not reached: less than the smallest step to it."""
LEFT, REVERTED = 0.7, 0.9
"""What remains of the score for each side effect: one that is left costs three tenths, a reverted one a tenth.

Even after the worst way, 0.8 * REVERTED is above LEFT, so that undoing a side effect always pays.
"""
BELOW_ONE = 1 - 1e-6
"""The highest total of a trace that is not perfect."""
ROUNDING = 1e-9
"""A fraction this close to 1 counts as 1."""


@dataclass(frozen=True)
class Outcome:
    """What a trace achieved, and what its way cost."""

    arguments: float
    """The fraction of the goal's facts that hold at the end; nearer ones count in part."""
    calls: float
    """The fraction of the necessary steps that were made: the same, with credit for lookups."""
    flaws: Flaws
    left: int = 0
    """Side effects that are still there at the end."""
    reverted: int = 0
    """Side effects that were undone."""


def compose(outcome: Outcome, scale: float = 1.0, is_enough: bool = False) -> Score:
    """The score of an outcome. `scale` scales the costs of flaws and harm.

    `is_enough` pays discipline although the goal is not reached, as the saturated reward does.
    """
    reached = min(outcome.arguments, outcome.calls) > 1 - ROUNDING
    quality = remaining(outcome.flaws, scale)
    harm = (1 - scale * (1 - LEFT)) ** min(outcome.left, 50) * (1 - scale * (1 - REVERTED)) ** min(outcome.reverted, 50)
    if reached and quality == harm == 1.0:
        return Score(1.0, {"arguments": ARGUMENTS, "calls": CALLS, "discipline": DISCIPLINE})
    arguments, calls = ARGUMENTS * outcome.arguments, CALLS * outcome.calls
    way = DISCIPLINE * quality if reached or is_enough else -WAY * (1 - quality) * (arguments + calls)
    total = min(max((arguments + calls + way) * harm, 0.0), BELOW_ONE)
    parts = {"arguments": arguments, "calls": calls, "discipline": total - arguments - calls}
    return Score(total, parts)
