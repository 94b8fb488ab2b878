"""`ticket-transition-saturated`: the paper's reward for this scenario, kept as a boundary case.

A policy that reaches the status gets nearly the full reward, by whichever path and with whatever else it does. In the
paper (arXiv 2607.01465) a prompted 4B model already saturates it. The rewards within a group then have no variance, so
GRPO has nothing to learn.

Goal, weights and the two fractions are those of `rewards.ticket_transition`, with two differences. Reaching the status
raises the fractions of arguments and calls to at least 0.97, and flaws cost a tenth. The score is 1.0 for the same
traces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.compose import compose
from rewards.discipline import Costs, find_flaws
from rewards.provenance import goal_keys
from rewards.score import Score
from rewards.ticket_moves import judge
from rewards.ticket_transition import MOVE_SHARE, WEIGHTS
from rewards.trace import Trace

SATURATION = 0.97
"""The fraction of arguments and calls that reaching the status gives at once."""
COSTS = Costs(
    failed_call=0.004,
    unknown_tool=0.008,
    malformed_call=0.008,
    repeated_call=0.006,
    stray_write=0.02,
    unseen_id=0.01,
    extra_read=0.003,
)
"""A tenth of the costs of the other checkers."""


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the transition of one issue with saturation. `rewards.compose` explains the parts."""
    moves = judge(goal, trace)
    calls = MOVE_SHARE * moves.progress + (1 - MOVE_SHARE) * moves.lookup_share
    arguments = moves.arguments
    if moves.reached:
        arguments = SATURATION + (1 - SATURATION) * arguments
        calls = SATURATION + (1 - SATURATION) * calls
    keys = goal_keys(goal["issue"])
    flaws = find_flaws(moves.history, moves.ledger, stray=moves.stray, needed_reads=moves.lookups, known_keys=keys)
    return compose(arguments, calls, flaws, WEIGHTS, COSTS)
