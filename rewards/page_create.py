"""`page-create`: create one Confluence page under a parent, after reading the numeric ids of the space and the parent.

Goal: `{"request", "space": {"id", "key"}, "title", "parent": {"id", "title", "homepage": bool}, "body": text}`. A page
without `parentId` goes under the space's homepage. So `parentId` is optional if the homepage is the parent.

What is scored (`rewards.creation` has the rules):
- arguments (0.5): space, title, parent and body. Any other argument that changes something counts as wrong.
- calls (0.3): 0.6 of it for the accepted createPage, 0.4 for seeing the id of the space, and of the parent unless that
  is the homepage, first.
- discipline (0.2): progress less the cost of flaws.

The score is 1.0 if a single createPage was accepted with these four arguments right and no other, the ids were seen
before it, and the trace has no flaw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.compose import Weights
from rewards.creation import Creation, score_creation
from rewards.discipline import COSTS
from rewards.documents import body_text
from rewards.matching import aliases, identifier, is_present, members
from rewards.score import Score
from rewards.trace import Trace

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
WRITE_SHARE = 0.6
"""The share of the calls part for the creation. The rest is for the lookups before it."""

GOAL_ARGUMENTS = frozenset({"spaceId", "title", "parentId", "body"})
DEFAULTS = {"status": ("current",), "embedded": (False,), "private": (False,), "root-level": (False,)}
"""Arguments that change nothing if they have these values, which are the API's defaults."""


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the creation of one page. `rewards.compose` explains the parts."""
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
    return score_creation(creation, trace, WEIGHTS, WRITE_SHARE, COSTS)


def _grade(goal: Mapping[str, Any], arguments: Any) -> tuple[int, int]:
    """(arguments that are right, arguments of the goal plus arguments that nobody asked for)."""
    values = {name: value for name, value in members(arguments).items() if is_present(value)}
    title = values.get("title")
    right = [
        identifier(values.get("spaceId")) == identifier(goal["space"]["id"]),
        isinstance(title, str) and title == goal["title"],
        _is_under_parent(goal["parent"], values),
        body_text(values.get("body")) == goal["body"],
    ]
    extras = [name for name, value in values.items() if name not in GOAL_ARGUMENTS and not _is_default(name, value)]
    return sum(right) if values else 0, len(right) + len(extras)


def _is_under_parent(parent: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    if "parentId" not in values:
        return bool(parent["homepage"])
    return identifier(values["parentId"]) == identifier(parent["id"])


def _is_default(name: str, value: Any) -> bool:
    """Whether leaving the argument out would have the same effect."""
    return isinstance(value, str | bool) and value in DEFAULTS.get(name, ())
