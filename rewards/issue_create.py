"""`issue-create`: one issue with exactly the asked fields, after looking up the ids that the request does not give.

Goal: `{"request", "project": {"id", "key"}, "summary", "issuetype": {"id", "name"}, "description": text or None,
"priority": {"id", "name"} or None, "labels": [text] or None, "assignee": account id or None, "parent": {"id", "key"} or
None}`, where None means that the field must not be given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.compose import Weights
from rewards.creation import Creation, score_creation
from rewards.discipline import COSTS
from rewards.documents import adf_text
from rewards.matching import aliases, designates, given, identifier, members
from rewards.provenance import goal_keys
from rewards.score import Score
from rewards.trace import Trace
from rewards.writing import Changes, changes, label_steps

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
SUCCEEDED = 0.6
"""The share of the calls group for an issue that was created; the rest is for the lookups before."""

REQUIRED = ("project", "summary", "issuetype")
OPTIONAL = ("description", "priority", "labels", "assignee", "parent")


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the creation of one issue. See `rewards.compose` for what the parts mean."""
    assignee = identifier(goal.get("assignee"))
    parent = goal.get("parent")
    lookups = [aliases(goal["project"], "id", "key")]
    lookups += [frozenset({assignee})] if assignee is not None else []
    lookups += [aliases(parent, "id", "key")] if parent else []
    creation = Creation(
        tool="createIssue",
        undo="deleteIssue",
        grade=lambda arguments: _grade(goal, arguments),
        lookups=lookups,
        around=aliases(parent or {}, "id", "key"),
        known_keys=goal_keys(goal["project"], parent),
        request=goal.get("request", ""),
    )
    return score_creation(creation, trace, WEIGHTS, SUCCEEDED, COSTS)


def _grade(goal: Mapping[str, Any], arguments: Any) -> tuple[int, int]:
    """(right fields, asked fields and those given without being asked)."""
    change = changes(arguments)
    asked = [field for field in (*REQUIRED, *OPTIONAL) if goal.get(field) is not None]
    right = sum(_right(field, goal[field], change) for field in asked)
    empty = [field for field, value in change.fields.items() if not given(value) and field not in change.update]
    return right, len(asked) + change.beyond((*asked, *empty))


def _right(field: str, wanted: Any, change: Changes) -> bool:
    if field == "labels":
        labels = label_steps(change)
        return bool(labels.steps) and not labels.wrong and labels.apply(frozenset()) == frozenset(wanted)
    value = change.value(field)
    if field == "summary":
        return isinstance(value, str) and value == wanted
    if field == "description":
        return adf_text(value) == wanted
    if field == "assignee":
        told = [member for name, member in members(value).items() if name in ("accountId", "id")]
        return bool(told) and all(identifier(member) == identifier(wanted) for member in told)
    return designates(value, wanted, ("id", "name") if field in ("issuetype", "priority") else ("id", "key"))
