"""The syntax tree of a JQL query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


class JqlError(Exception):
    """A query is invalid; `messages` are Jira's."""

    def __init__(self, *messages: str) -> None:
        super().__init__(*messages)
        self.messages = messages


@dataclass(frozen=True)
class Operand:
    """A value, EMPTY, or a function with its arguments."""

    kind: Literal["value", "empty", "function"]
    text: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clause:
    field: str
    """As the query writes it. The letter case has no meaning."""
    operator: str
    operands: tuple[Operand, ...]
    is_list: bool = False


@dataclass(frozen=True)
class Not:
    item: Node


@dataclass(frozen=True)
class And:
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    items: tuple[Node, ...]


Node = Clause | Not | And | Or


@dataclass(frozen=True)
class Query:
    where: Node | None
    """None if the query has no conditions."""
    order: tuple[tuple[str, bool], ...] = ()
    """(field, descending) pairs."""


OPERATORS = ("=", "!=", "<", ">", "<=", ">=", "~", "!~", "IN", "NOT IN", "IS", "IS NOT")
