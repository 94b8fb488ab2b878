"""The fields that JQL can search: their operators, an issue's values in them, and how values compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from envs.site import adf
from envs.site.jql.operands import (
    Resolve,
    resolve_category,
    resolve_date,
    resolve_issue,
    resolve_label,
    resolve_project,
    resolve_resolution,
    resolve_text,
    resolve_user,
    resolver_by_name,
)
from envs.site.jql.orders import key_order, priority_rank
from envs.site.jql.syntax import Operand
from envs.site.records import Issue, State

Values = Callable[[Issue], Sequence[Any]]
"""An issue's values in a field; empty if the field is."""
Compare = Callable[[Any, Any], int | None]
"""Negative, zero or positive; None if the two values cannot be compared."""


def _difference(value: Any, limit: Any) -> int | None:
    return int(value) - int(limit)


@dataclass(frozen=True)
class SearchField:
    """How a field is searched."""

    operators: frozenset[str]
    values: Callable[[State], Values]
    resolve: Resolve
    compare: Callable[[State], Compare] = lambda state: _difference
    empty_word: str | None = None
    """A lower-case value that means EMPTY."""

    def is_empty(self, operand: Operand) -> bool:
        return operand.kind == "empty" or (operand.kind == "value" and operand.text.lower() == self.empty_word)


def _compare_keys(state: State) -> Compare:
    def compare(value: str, limit: str) -> int | None:
        (project, number), (limit_project, limit_number) = (
            key_order(state.issues[issue_id].key) for issue_id in (value, limit)
        )
        # Jira compares only keys of the same project.
        return number - limit_number if project == limit_project else None

    return compare


def _compare_priorities(state: State) -> Compare:
    rank = priority_rank(state)
    return lambda value, limit: rank[value] - rank[limit]


def _single(attribute: Callable[[Issue], Any]) -> Callable[[State], Values]:
    """The values of a field that holds one value or None."""

    def values(_: State) -> Values:
        def of(issue: Issue) -> Sequence[Any]:
            value = attribute(issue)
            return () if value is None else (value,)

        return of

    return values


def _description(issue: Issue) -> Sequence[str]:
    return (adf.text(issue.description),) if issue.description is not None else ()


def _comments(issue: Issue) -> Sequence[str]:
    return [adf.text(comment.body) for comment in issue.comments]


_EQUALITY = frozenset({"=", "!=", "IN", "NOT IN", "IS", "IS NOT"})
_ORDER = _EQUALITY | {"<", "<=", ">", ">="}
_TEXT = frozenset({"~", "!~", "IS", "IS NOT"})

_PROJECT = SearchField(_EQUALITY, _single(lambda issue: issue.project_id), resolve_project)
_STATUS = SearchField(
    _EQUALITY,
    _single(lambda issue: issue.status_id),
    resolver_by_name(lambda state: {id: status.name for id, status in state.statuses.items()}),
)
_TYPE = SearchField(
    _EQUALITY,
    _single(lambda issue: issue.type_id),
    resolver_by_name(lambda state: {id: issue_type.name for id, issue_type in state.issue_types.items()}),
)
_PRIORITY = SearchField(
    _ORDER,
    _single(lambda issue: issue.priority_id),
    resolver_by_name(lambda state: state.priorities),
    _compare_priorities,
)
_KEY = SearchField(_ORDER, _single(lambda issue: issue.id), resolve_issue, _compare_keys)
FIELDS: dict[str, SearchField] = {
    "project": _PROJECT,
    "status": _STATUS,
    "issuetype": _TYPE,
    "type": _TYPE,
    "priority": _PRIORITY,
    "assignee": SearchField(_EQUALITY, _single(lambda issue: issue.assignee), resolve_user),
    "reporter": SearchField(_EQUALITY, _single(lambda issue: issue.reporter), resolve_user),
    "labels": SearchField(_EQUALITY, lambda state: lambda issue: issue.labels, resolve_label),
    "parent": SearchField(_EQUALITY, _single(lambda issue: issue.parent_id), resolve_issue),
    "key": _KEY,
    "issuekey": _KEY,
    "issue": _KEY,
    "id": _KEY,
    "resolution": SearchField(
        _EQUALITY, _single(lambda issue: issue.resolution), resolve_resolution, empty_word="unresolved"
    ),
    "statuscategory": SearchField(
        _EQUALITY, lambda state: lambda issue: (state.statuses[issue.status_id].category,), resolve_category
    ),
    "created": SearchField(_ORDER, _single(lambda issue: issue.created), resolve_date),
    "createddate": SearchField(_ORDER, _single(lambda issue: issue.created), resolve_date),
    "updated": SearchField(_ORDER, _single(lambda issue: issue.updated), resolve_date),
    "updateddate": SearchField(_ORDER, _single(lambda issue: issue.updated), resolve_date),
    "summary": SearchField(_TEXT, _single(lambda issue: issue.summary), resolve_text),
    "description": SearchField(_TEXT, lambda state: _description, resolve_text),
    "comment": SearchField(_TEXT - {"IS", "IS NOT"}, lambda state: _comments, resolve_text),
    "text": SearchField(
        _TEXT - {"IS", "IS NOT"},
        lambda state: lambda issue: [issue.summary, *_description(issue), *_comments(issue)],
        resolve_text,
    ),
}
"""Lower-case field name -> how it is searched."""
