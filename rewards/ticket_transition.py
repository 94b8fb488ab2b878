"""`ticket-transition`: move a ticket to a status by the shortest path, with the requested resolution and comment.

Goal: `{"request", "issue": {"id", "key"}, "status": name, "moves": [[transition id, ...], ...], "resolution": name or
None, "comment": text or None}`. `moves` lists all shortest paths. None means that no resolution or comment must be set.

What is scored (`rewards.ticket_moves` has the rules):
- arguments (0.5): issue and transition of each move, the resolution with the last move, the comment. Extra changes
  count as wrong arguments, and unnecessary writes divide the fraction.
- calls (0.3): 0.6 of it for the accepted moves along a shortest path, 0.4 for seeing each transition's id, and the
  issue's unless the request gives it, before its use.
- discipline (0.2): progress less the cost of flaws.

The score is 1.0 if the accepted moves are exactly a shortest path with the right resolution and comment, every id was
seen before its use, and the trace has no flaw. This is stricter than the paper's reward
(`rewards.ticket_transition_saturated`), which a prompted model saturates.
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
MOVE_SHARE = 0.6
"""The share of the calls part for the accepted moves. The rest is for the lookups before them."""


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the transition of one issue. `rewards.compose` explains the parts."""
    moves = judge(goal, trace)
    calls = MOVE_SHARE * moves.progress + (1 - MOVE_SHARE) * moves.lookup_share
    keys = goal_keys(goal["issue"])
    flaws = find_flaws(moves.history, moves.ledger, stray=moves.stray, needed_reads=moves.lookups, known_keys=keys)
    return compose(moves.arguments, calls, flaws, WEIGHTS, COSTS)
