"""`issue-read`: read what the request asks for and say it in the closing answer.

Goal: `questions`, `lookups`, or `impossible`. See `envs.scenarios.goals`.

- arguments: the questions that the closing answer answers rightly (`rewards.answers`), from values that were read.
- calls: the questions whose values were read: in a response of getIssue, getComments or a search that finds. A search
  that lists more issues than the task needs and five more finds none.
- Every change is a side effect.

The paper's reward reads calls only; here the answer counts too.
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
