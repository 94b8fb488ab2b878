"""The operands of JQL: which values of a field a name, an id, a date or a function refers to.

A resolver takes the state, the field's name as the query writes it (for error messages), and the operand. It returns
the operand's values in the form in which the field holds them, or raises JqlError if there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from envs.site.jql.dates import date_of
from envs.site.jql.syntax import JqlError, Operand
from envs.site.lookup import find_issue, find_project
from envs.site.records import STATUS_CATEGORIES, State

Resolve = Callable[[State, str, Operand], Sequence[Any]]


def resolve_project(state: State, field: str, operand: Operand) -> Sequence[str]:
    text = _plain_text(operand)
    project = find_project(state, text)
    if project is not None:
        return (project.id,)
    name = text.casefold()
    return _require([p.id for p in state.projects.values() if p.name.casefold() == name], text, field)


def resolver_by_name(names: Callable[[State], dict[str, str]]) -> Resolve:
    """A resolver for `names` (id -> name): by name in any letter case, which several records may share, or by id."""

    def resolve(state: State, field: str, operand: Operand) -> Sequence[str]:
        text = _plain_text(operand)
        name = text.casefold()
        name_of = names(state)
        ids = [id for id, candidate in name_of.items() if candidate.casefold() == name]
        return _require(ids or [id for id in (text,) if id in name_of], text, field)

    return resolve


def resolve_user(state: State, field: str, operand: Operand) -> Sequence[str]:
    if operand.kind == "function":
        if operand.text.lower() != "currentuser" or operand.arguments:
            raise _unknown_function(operand)
        return (state.current_user,)
    if operand.text in state.users:
        return (operand.text,)
    name = operand.text.casefold()
    account_ids = [user.account_id for user in state.users.values() if user.display_name.casefold() == name]
    return _require(account_ids, operand.text, field)


def resolve_issue(state: State, field: str, operand: Operand) -> Sequence[str]:
    issue = find_issue(state, _plain_text(operand))
    if issue is None:
        kind = "ID" if operand.text.isdecimal() else "key"
        raise JqlError(f"An issue with {kind} '{operand.text[:200]}' does not exist for field '{field}'.")
    return (issue.id,)


def resolve_label(_: State, field: str, operand: Operand) -> Sequence[str]:
    return (_plain_text(operand),)


def resolve_text(_: State, field: str, operand: Operand) -> Sequence[str]:
    raise _unknown_function(operand)


def resolve_date(state: State, field: str, operand: Operand) -> Sequence[int]:
    seconds = date_of(operand, state.clock)
    if seconds is None and operand.kind == "function":
        raise _unknown_function(operand)
    if seconds is None:
        raise JqlError(
            f"Date value '{operand.text[:200]}' for field '{field}' is invalid. Valid formats include: "
            "'yyyy/MM/dd HH:mm', 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format "
            "e.g. '-5d', '4w 2d'."
        )
    return (seconds,)


def resolve_resolution(state: State, field: str, operand: Operand) -> Sequence[str]:
    """Names, not ids: an issue's record holds the name of its resolution."""
    ids = _resolution_ids(state, field, operand)
    return [state.resolutions[id] for id in ids]


_resolution_ids = resolver_by_name(lambda state: state.resolutions)


def resolve_category(state: State, field: str, operand: Operand) -> Sequence[str]:
    text = _plain_text(operand)
    name = text.casefold()
    keys = [key for key, (_, title) in STATUS_CATEGORIES.items() if name in (key, title.casefold())]
    return _require(keys, text, field)


def _plain_text(operand: Operand) -> str:
    if operand.kind == "function":
        raise _unknown_function(operand)
    return operand.text


def _require(values: list[str], text: str, field: str) -> Sequence[str]:
    """`values`; raises JqlError if they are empty."""
    if not values:
        subject = "A value with ID" if text.isdecimal() else "The value"
        raise JqlError(f"{subject} '{text[:200]}' does not exist for the field '{field}'.")
    return values


def _unknown_function(operand: Operand) -> JqlError:
    return JqlError(f"Unable to find JQL function '{operand.text[:60]}({', '.join(operand.arguments)[:60]})'.")
