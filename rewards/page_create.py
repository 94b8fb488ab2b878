"""`page-create`: one Confluence page under a parent, after reading the numeric id of the space and that of the parent.

Goal: `{"request", "space": {"id", "key"}, "title", "parent": {"id", "title", "homepage": bool}, "body": text}`. A page
without `parentId` hangs on the space's homepage, so that one may be left out where the homepage is the parent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.compose import Weights
from rewards.creation import Creation, score_creation
from rewards.discipline import COSTS
from rewards.documents import body_text
from rewards.matching import aliases, given, identifier, members
from rewards.score import Score
from rewards.trace import Trace

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
SUCCEEDED = 0.6
"""The share of the calls group for a page that was created; the rest is for the lookups before."""

ASKED = frozenset({"spaceId", "title", "parentId", "body"})
NEUTRAL = {"status": ("current",), "embedded": (False,), "private": (False,), "root-level": (False,)}
"""Arguments that change nothing when they have these values, which are the defaults."""


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the creation of one page. See `rewards.compose` for what the parts mean."""
    parent = aliases(goal["parent"], "id")
    creation = Creation(
        tool="createPage",
        undo="deletePage",
        grade=lambda arguments: _grade(goal, arguments),
        lookups=[aliases(goal["space"], "id")] + ([] if goal["parent"]["homepage"] else [parent]),
        around=parent,
        known_keys=frozenset(),
        request=goal.get("request", ""),
    )
    return score_creation(creation, trace, WEIGHTS, SUCCEEDED, COSTS)


def _grade(goal: Mapping[str, Any], arguments: Any) -> tuple[int, int]:
    """(right arguments, asked arguments and those given without being asked)."""
    told = {name: value for name, value in members(arguments).items() if given(value)}
    title = told.get("title")
    right = [
        identifier(told.get("spaceId")) == identifier(goal["space"]["id"]),
        isinstance(title, str) and title == goal["title"],
        _under_parent(goal["parent"], told),
        body_text(told.get("body")) == goal["body"],
    ]
    beyond = [name for name, value in told.items() if name not in ASKED and not _neutral(name, value)]
    return sum(right) if told else 0, len(right) + len(beyond)


def _under_parent(parent: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    if "parentId" not in told:
        return bool(parent["homepage"])
    return identifier(told["parentId"]) == identifier(parent["id"])


def _neutral(name: str, value: Any) -> bool:
    """Whether an argument says what holds without it."""
    return isinstance(value, str | bool) and value in NEUTRAL.get(name, ())
