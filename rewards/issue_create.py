"""`issue-create`: create one issue with exactly the requested fields, or complete the one that is there.

Goal: `create["issue"]` or `issues`, `lookups`, or `impossible`. See `envs.scenarios.goals`.

The facts are the requested fields of the issue as it is at the end, whichever writes made it so. A field that nobody
asked for is a side effect if it differs from the default, and so is every other issue that was created, deleted or
changed.
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
