"""The identifiers in a JQL query: `key = APB-12`, `parent in (APB-3, 10023)`, `assignee = 5b10a2844c20165700ede21g`.

This reads only fields, operators and their values. It need not reject a query that is not JQL: the API does, and a
failed call is a flaw of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

TOKEN = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|!=|!~|>=|<=|[=~<>(),]|[^\s=!~<>(),"']+|!""")
OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not", "was"})
"""Operators that compare with an exact value. The values of `~` and `!~` are words to search for."""
ISSUE_FIELDS = frozenset({"key", "issue", "issuekey", "id", "parent", "epic link"})
USER_FIELDS = frozenset({"assignee", "reporter", "creator", "voter", "watcher"})
CONSTANTS = frozenset({"empty", "null"})


def values(query: str) -> Iterator[tuple[str, str]]:
    """Each (field in lower case, value) of a query's exact comparisons. Functions and constants are skipped."""
    tokens = [match.group() for match in TOKEN.finditer(query)]
    position = 0
    while position < len(tokens):
        operator = tokens[position].lower()
        if operator == "not" and tokens[position + 1 : position + 2] and tokens[position + 1].lower() == "in":
            position += 1
            operator = "not in"
        if position == 0 or operator not in OPERATORS:
            position += 1
            continue
        field = tokens[position - 1 - (operator == "not in")]
        position += 1
        if operator == "is" and tokens[position : position + 1] and tokens[position].lower() == "not":
            position += 1
        operand, position = _operand(tokens, position)
        yield from ((_plain(field).lower(), value) for value in operand)


def _operand(tokens: list[str], position: int) -> tuple[list[str], int]:
    """The values that start at `position`, one or a list, and the position after them."""
    operand: list[str] = []
    depth = 0
    while position < len(tokens):
        token = tokens[position]
        following = tokens[position + 1] if position + 1 < len(tokens) else ""
        depth += (token == "(") - (token == ")")
        if depth < 0:
            break
        position += 1
        function = following == "(" and token not in ("(", ")", ",")
        if token not in ("(", ")", ",") and not function and token.lower() not in CONSTANTS:
            operand.append(_plain(token))
        if depth == 0 and not function:
            break
    return operand, position


def _plain(token: str) -> str:
    """A token without its quotes and escapes."""
    if len(token) > 1 and token[0] == token[-1] and token[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    return token


def identifiers(query: str) -> Iterator[tuple[str, bool]]:
    """Each (value, whether it might be a name) of a query that could be an identifier.

    Names and numbers of statuses, types and priorities are constants of the site, not identifiers. A query may name a
    project by its key or its name; the caller tells the two apart.
    """
    for field, value in values(query):
        if field in ISSUE_FIELDS or (field in USER_FIELDS and any(character.isdigit() for character in value)):
            yield value, False
        elif field == "project":
            yield value, True
