"""x"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from envs.site import adf
from envs.site.jql.dates import date_of
from envs.site.jql.orders import key_order, priority_rank
from envs.site.jql.syntax import JqlError, Operand
from envs.site.lookup import find_issue, find_project
from envs.site.records import STATUS_CATEGORIES, Issue, State

Values = Callable[[Issue], Sequence[Any]]
"""An issue's values in a field; empty when the field is."""
Compare = Callable[[Any, Any], int | None]
"""Negative, zero or positive; None when the two cannot be compared."""
Resolve = Callable[[State, str, Operand], Sequence[Any]]
"""What an operand stands for, in the terms of the field's values. The text is the field's name as the query writes it,
for the message of the JqlError that an unknown value raises."""


@dataclass(frozen=True)
class SearchField:
    operators: frozenset[str]
    values: Callable[[State], Values]
    resolve: Resolve
    compare: Callable[[State], Compare] = lambda state: _difference
    empty_word: str | None = None
    """A lower-case value that means EMPTY."""

    def is_empty(self, operand: Operand) -> bool:
        return operand.kind == "empty" or (operand.kind == "value" and operand.text.lower() == self.empty_word)


def _no_function(operand: Operand) -> JqlError:
    return JqlError(f"Unable to find JQL function '{operand.text[:60]}({', '.join(operand.arguments)[:60]})'.")


def _difference(value: Any, limit: Any) -> int | None:
    return int(value) - int(limit)


_EQUALITY = frozenset({"=", "!=", "IN", "NOT IN", "IS", "IS NOT"})
_ORDER = _EQUALITY | {"<", "<=", ">", ">="}
_TEXT = frozenset({"~", "!~", "IS", "IS NOT"})


def _project(state: State, field: str, operand: Operand) -> Sequence[str]:
    name = _plain(operand)
    project = find_project(state, name)
    if project is not None:
        return (project.id,)
    folded = name.casefold()
    return _found([p.id for p in state.projects.values() if p.name.casefold() == folded], name, field)


def _catalogue(names: Callable[[State], dict[str, str]]) -> Resolve:
    """Resolves a name (in any letter case; several records may share it) or an id of a catalogue (id -> name)."""

    def resolve(state: State, field: str, operand: Operand) -> Sequence[str]:
        text = _plain(operand)
        folded = text.casefold()
        catalogue = names(state)
        found = [number for number, name in catalogue.items() if name.casefold() == folded]
        return _found(found or [number for number in (text,) if number in catalogue], text, field)

    return resolve


def _user(state: State, field: str, operand: Operand) -> Sequence[str]:
    if operand.kind == "function":
        if operand.text.lower() != "currentuser" or operand.arguments:
            raise _no_function(operand)
        return (state.current_user,)
    if operand.text in state.users:
        return (operand.text,)
    folded = operand.text.casefold()
    named = [user.account_id for user in state.users.values() if user.display_name.casefold() == folded]
    return _found(named, operand.text, field)


def _issue(state: State, field: str, operand: Operand) -> Sequence[str]:
    issue = find_issue(state, _plain(operand))
    if issue is None:
        what = "ID" if operand.text.isdecimal() else "key"
        raise JqlError(f"An issue with {what} '{operand.text[:200]}' does not exist for field '{field}'.")
    return (issue.id,)


def _label(_: State, field: str, operand: Operand) -> Sequence[str]:
    return (_plain(operand),)


def _text(_: State, field: str, operand: Operand) -> Sequence[str]:
    raise _no_function(operand)


def _date(state: State, field: str, operand: Operand) -> Sequence[int]:
    seconds = date_of(operand, state.clock)
    if seconds is None and operand.kind == "function":
        raise _no_function(operand)
    if seconds is None:
        raise JqlError(
            f"Date value '{operand.text[:200]}' for field '{field}' is invalid. Valid formats include: "
            "'yyyy/MM/dd HH:mm', 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format "
            "e.g. '-5d', '4w 2d'."
        )
    return (seconds,)


def _plain(operand: Operand) -> str:
    if operand.kind == "function":
        raise _no_function(operand)
    return operand.text


def _found(found: list[str], text: str, field: str) -> Sequence[str]:
    if not found:
        what = "A value with ID" if text.isdecimal() else "The value"
        raise JqlError(f"{what} '{text[:200]}' does not exist for the field '{field}'.")
    return found


def _resolution(state: State, field: str, operand: Operand) -> Sequence[str]:
    """An issue's record names its resolution."""
    return [state.resolutions[number] for number in _catalogue(lambda s: s.resolutions)(state, field, operand)]


def _category(state: State, field: str, operand: Operand) -> Sequence[str]:
    text = _plain(operand)
    folded = text.casefold()
    return _found(
        [key for key, (_, name) in STATUS_CATEGORIES.items() if folded in (key, name.casefold())], text, field
    )


def _compare_keys(state: State) -> Compare:
    def compare(value: str, limit: str) -> int | None:
        (project, number), (other, bound) = (key_order(state.issues[issue_id].key) for issue_id in (value, limit))
        # Jira compares keys within one project only.
        return number - bound if project == other else None

    return compare


def _compare_priorities(state: State) -> Compare:
    rank = priority_rank(state)
    return lambda value, limit: rank[value] - rank[limit]


def _one(read: Callable[[Issue], Any]) -> Callable[[State], Values]:
    """Values of a field that holds one value or None."""

    def values(_: State) -> Values:
        def of(issue: Issue) -> Sequence[Any]:
            value = read(issue)
            return () if value is None else (value,)

        return of

    return values


def _description(issue: Issue) -> Sequence[str]:
    return (adf.text(issue.description),) if issue.description is not None else ()


def _comments(issue: Issue) -> Sequence[str]:
    return [adf.text(comment.body) for comment in issue.comments]


_PROJECT = SearchField(_EQUALITY, _one(lambda issue: issue.project_id), _project)
_STATUS = SearchField(
    _EQUALITY, _one(lambda issue: issue.status_id), _catalogue(lambda s: {i: x.name for i, x in s.statuses.items()})
)
_TYPE = SearchField(
    _EQUALITY, _one(lambda issue: issue.type_id), _catalogue(lambda s: {i: x.name for i, x in s.issue_types.items()})
)
_PRIORITY = SearchField(
    _ORDER, _one(lambda issue: issue.priority_id), _catalogue(lambda s: s.priorities), _compare_priorities
)
_KEY = SearchField(_ORDER, _one(lambda issue: issue.id), _issue, _compare_keys)
FIELDS: dict[str, SearchField] = {
    "project": _PROJECT,
    "status": _STATUS,
    "issuetype": _TYPE,
    "type": _TYPE,
    "priority": _PRIORITY,
    "assignee": SearchField(_EQUALITY, _one(lambda issue: issue.assignee), _user),
    "reporter": SearchField(_EQUALITY, _one(lambda issue: issue.reporter), _user),
    "labels": SearchField(_EQUALITY, lambda state: lambda issue: issue.labels, _label),
    "parent": SearchField(_EQUALITY, _one(lambda issue: issue.parent_id), _issue),
    "key": _KEY,
    "issuekey": _KEY,
    "issue": _KEY,
    "id": _KEY,
    "resolution": SearchField(_EQUALITY, _one(lambda issue: issue.resolution), _resolution, empty_word="unresolved"),
    "statuscategory": SearchField(
        _EQUALITY, lambda state: lambda issue: (state.statuses[issue.status_id].category,), _category
    ),
    "created": SearchField(_ORDER, _one(lambda issue: issue.created), _date),
    "createddate": SearchField(_ORDER, _one(lambda issue: issue.created), _date),
    "updated": SearchField(_ORDER, _one(lambda issue: issue.updated), _date),
    "updateddate": SearchField(_ORDER, _one(lambda issue: issue.updated), _date),
    "summary": SearchField(_TEXT, _one(lambda issue: issue.summary), _text),
    "description": SearchField(_TEXT, lambda state: _description, _text),
    "comment": SearchField(_TEXT - {"IS", "IS NOT"}, lambda state: _comments, _text),
    "text": SearchField(
        _TEXT - {"IS", "IS NOT"},
        lambda state: lambda issue: [issue.summary, *_description(issue), *_comments(issue)],
        _text,
    ),
}
"""Lower-case field name -> how it is searched."""
