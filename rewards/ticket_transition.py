"""`ticket-transition`: move a ticket to a status by the shortest way, with the resolution and the comment asked for.

Goal: `{"request", "issue": {"id", "key"}, "status": name, "moves": [[transition id, ...], ...], "resolution": name or
None, "comment": text or None}`; `moves` are all the shortest sequences, None means that nothing of the kind must be
given. The reward is finer than the paper's (`rewards.ticket_transition_saturated`), which a prompted model maxes
out: it asks for the lookups before each move, the shortest way, the resolution and the comment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.compose import Weights, compose
from rewards.discipline import COSTS, find_flaws
from rewards.provenance import goal_keys
from rewards.score import Score
from rewards.ticket_moves import judge
from rewards.trace import Trace

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
MOVED = 0.6
"""The share of the calls group for the accepted moves; the rest is for having seen their ids before."""


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the transition of one issue. See `rewards.compose` for what the parts mean."""
    moves = judge(goal, trace)
    calls = MOVED * moves.moved + (1 - MOVED) * moves.looked_up
    known = goal_keys(goal["issue"])
    flaws = find_flaws(moves.history, moves.ledger, stray=moves.stray, needed_reads=moves.lookups, known_keys=known)
    return compose(moves.arguments, calls, flaws, WEIGHTS, COSTS)
