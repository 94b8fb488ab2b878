"""`ticket-transition-saturated`: the paper's reward for this scenario, kept as a boundary case.

A policy that reaches the status gets nearly the full reward, by whichever path and with whatever else it does. In the
paper (arXiv 2607.01465) a prompted 4B model already saturates it. The rewards within a group then have no variance, so
GRPO has nothing to learn.

Goal and judgement are those of `rewards.ticket_transition`, with two differences. Reaching the status raises arguments
and calls to at least SATURATION and pays discipline, and flaws and side effects cost a tenth. The score is 1.0 for the
same traces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rewards.compose import compose
from rewards.judge import judge, statuses_reached
from rewards.score import Score
from rewards.trace import Trace

SATURATION = 0.97
"""The fraction of arguments and calls that reaching the status gives at once."""
COST_SCALE = 0.1
"""Flaws and side effects cost this fraction of what they cost elsewhere."""


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score a trace with saturation."""
    outcome = judge(goal, trace)
    reached = statuses_reached(goal, trace)
    if reached:
        arguments, calls = (SATURATION + (1 - SATURATION) * one for one in (outcome.arguments, outcome.calls))
        outcome = replace(outcome, arguments=arguments, calls=calls)
    return compose(outcome, scale=COST_SCALE, is_enough=reached)
