"""`ticket-transition`: move tickets to a status, with the requested resolution, comment and assignee.

Goal: `issues`, `lookups`, or `impossible`. See `envs.scenarios.goals`.

The facts are the requested attributes at the end. A status counts in part by the moves that it is away; a move that
brings a ticket no nearer costs. A resolution that nobody asked for is a side effect, unless it is the one that Jira
sets by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.compose import compose
from rewards.judge import judge
from rewards.score import Score
from rewards.trace import Trace


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score a trace. `rewards.judge` says what is counted and `rewards.compose` how."""
    return compose(judge(goal, trace))
