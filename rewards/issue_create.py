"""`issue-create`: create one issue with exactly the requested fields, after looking up the ids that the request omits.

Goal: `{"request", "project": {"id", "key"}, "summary", "issuetype": {"id", "name"}, "description": text or None,
"priority": {"id", "name"} or None, "labels": [text] or None, "assignee": account id or None, "parent": {"id", "key"} or
None}`. None means that the field must not be set.

What is scored (`rewards.creation` has the rules):
- arguments (0.5): the fields of the goal that the issue has right. A field that was not requested counts as wrong.
- calls (0.3): 0.6 of it for the accepted createIssue, 0.4 for seeing the project, the assignee and the parent first,
  unless the request gives their ids.
- discipline (0.2): progress less the cost of flaws.

The score is 1.0 if a single createIssue was accepted with exactly the goal's fields, every id was seen before it, and
the trace has no flaw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.compose import Weights
from rewards.creation import Creation, score_creation
from rewards.discipline import COSTS
from rewards.documents import adf_text
from rewards.matching import aliases, designates, identifier, is_present, members
from rewards.provenance import goal_keys
from rewards.score import Score
from rewards.trace import Trace
from rewards.writing import Changes, changes, label_steps

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
WRITE_SHARE = 0.6
"""The share of the calls part for the creation. The rest is for the lookups before it."""

REQUIRED_FIELDS = ("project", "summary", "issuetype")
OPTIONAL_FIELDS = ("description", "priority", "labels", "assignee", "parent")


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the creation of one issue. `rewards.compose` explains the parts."""
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
    return score_creation(creation, trace, WEIGHTS, WRITE_SHARE, COSTS)


def _grade(goal: Mapping[str, Any], arguments: Any) -> tuple[int, int]:
    """(fields that are right, fields of the goal plus fields that nobody asked for)."""
    change = changes(arguments)
    goal_fields = [field for field in (*REQUIRED_FIELDS, *OPTIONAL_FIELDS) if goal.get(field) is not None]
    right = sum(_is_right(field, goal[field], change) for field in goal_fields)
    empty = [field for field, value in change.fields.items() if not is_present(value) and field not in change.update]
    return right, len(goal_fields) + change.extra_count((*goal_fields, *empty))


def _is_right(field: str, target: Any, change: Changes) -> bool:
    """Whether the write sets a field to the goal's value."""
    if field == "labels":
        labels = label_steps(change)
        return bool(labels.steps) and not labels.errors and labels.apply(frozenset()) == frozenset(target)
    value = change.value(field)
    if field == "summary":
        return isinstance(value, str) and value == target
    if field == "description":
        return adf_text(value) == target
    if field == "assignee":
        accounts = [member for name, member in members(value).items() if name in ("accountId", "id")]
        return bool(accounts) and all(identifier(account) == identifier(target) for account in accounts)
    return designates(value, target, ("id", "name") if field in ("issuetype", "priority") else ("id", "key"))
