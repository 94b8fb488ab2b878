"""`page-create`: create one Confluence page under a parent, or complete the one that is there.

Goal: `create["page"]` or `pages`, `lookups`, or `impossible`. See `envs.scenarios.goals`.

The facts are the space, the title, the parent and the text of the page as it is at the end. A page without `parentId`
is under the space's homepage. Text counts as a reader sees it (`rewards.documents`).
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
