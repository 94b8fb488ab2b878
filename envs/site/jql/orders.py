"""The fields that JQL can sort by (ORDER BY), and the order of their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from envs.site.records import Issue, State


def key_order(key: str) -> tuple[str, int]:
    """A sort key that orders issue keys by project, then by number.

    >>> key_order("ABC-9") < key_order("ABC-10")
    True
    """
    project, _, number = key.rpartition("-")
    return project, int(number)


def priority_rank(state: State) -> dict[str, int]:
    """Priority id -> rank. The highest priority has the greatest rank."""
    return {id: -position for position, id in enumerate(state.priorities)}


Rank = Callable[[Issue], Any]
"""An issue's sort key."""


def _last_when_empty(name: Callable[[Issue], str | None]) -> Rank:
    def rank(issue: Issue) -> tuple[bool, str]:
        value = name(issue)
        return value is None, (value or "").casefold()

    return rank


def _user_order(account: Callable[[Issue], str | None]) -> Callable[[State], Rank]:
    def order(state: State) -> Rank:
        def name(issue: Issue) -> str | None:
            account_id = account(issue)
            return None if account_id is None else state.users[account_id].display_name

        return _last_when_empty(name)

    return order


def _position_order(
    catalogue: Callable[[State], Sequence[str]], attribute: Callable[[Issue], str]
) -> Callable[[State], Rank]:
    def order(state: State) -> Rank:
        positions = {id: position for position, id in enumerate(catalogue(state))}
        return lambda issue: positions[attribute(issue)]

    return order


def _priority_order(state: State) -> Rank:
    rank = priority_rank(state)
    return lambda issue: rank[issue.priority_id]


def _parent_order(state: State) -> Rank:
    def rank(issue: Issue) -> tuple[bool, tuple[str, int]]:
        empty = issue.parent_id is None
        return empty, ("", 0) if empty else key_order(state.issues[str(issue.parent_id)].key)

    return rank


def _key_rank(_: State) -> Rank:
    return lambda issue: key_order(issue.key)


ORDERS: dict[str, Callable[[State], Rank]] = {
    "key": _key_rank,
    "issuekey": _key_rank,
    "issue": _key_rank,
    "id": _key_rank,
    "project": lambda state: lambda issue: state.projects[issue.project_id].name.casefold(),
    "status": _position_order(lambda state: list(state.statuses), lambda issue: issue.status_id),
    "issuetype": _position_order(lambda state: list(state.issue_types), lambda issue: issue.type_id),
    "type": _position_order(lambda state: list(state.issue_types), lambda issue: issue.type_id),
    "priority": _priority_order,
    "assignee": _user_order(lambda issue: issue.assignee),
    "reporter": _user_order(lambda issue: issue.reporter),
    "labels": lambda state: lambda issue: (not issue.labels, issue.labels),
    "parent": _parent_order,
    "created": lambda state: lambda issue: issue.created,
    "createddate": lambda state: lambda issue: issue.created,
    "updated": lambda state: lambda issue: issue.updated,
    "updateddate": lambda state: lambda issue: issue.updated,
    "summary": lambda state: lambda issue: issue.summary.casefold(),
}
"""Lower-case field name -> its ascending order. Empty fields come last."""
