"""`ticket-transition-saturated`: the paper's reward for the scenario, a boundary case kept on purpose.

Whoever reaches the status has nearly everything, whichever way and with whatever else: in the paper (arXiv 2607.01465)
a prompted 4B model already maxes it out, so that groups have no variance and GRPO has nothing to learn. The goal is
that of `rewards.ticket_transition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.compose import Weights, compose
from rewards.discipline import Costs, find_flaws
from rewards.provenance import goal_keys
from rewards.score import Score
from rewards.ticket_moves import judge
from rewards.trace import Trace

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
MOVED = 0.6
"""The share of the calls group for the accepted moves; the rest is for having seen their ids before."""
SATURATION = 0.97
"""The part of the arguments and calls groups that reaching the status gives at once."""
COSTS = Costs(
    failed_call=0.004,
    unknown_tool=0.008,
    malformed_call=0.008,
    repeated_call=0.006,
    stray_write=0.02,
    unseen_id=0.01,
    extra_read=0.003,
)
"""A tenth of what the other checkers charge."""


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the transition of one issue, saturating. See `rewards.compose` for what the parts mean."""
    moves = judge(goal, trace)
    calls = MOVED * moves.moved + (1 - MOVED) * moves.looked_up
    arguments = moves.arguments
    if moves.reached:
        arguments = SATURATION + (1 - SATURATION) * arguments
        calls = SATURATION + (1 - SATURATION) * calls
    known = goal_keys(goal["issue"])
    flaws = find_flaws(moves.history, moves.ledger, stray=moves.stray, needed_reads=moves.lookups, known_keys=known)
    return compose(arguments, calls, flaws, WEIGHTS, COSTS)
