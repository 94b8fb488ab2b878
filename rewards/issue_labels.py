"""`issue-labels`: add and remove labels of issues without losing the others.

Goal: `issues`, `lookups`, or `impossible`. See `envs.scenarios.goals`.

The facts are the labels to add and to remove, each on its own. Every other label that is lost or added is a side
effect. A write that replaces the list of labels needs to have read them.
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
