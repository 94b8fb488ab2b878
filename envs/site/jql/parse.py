"""The Jira Query Language: text -> syntax tree.

The part that people use: clauses of a field, an operator and a value, list or function; AND, OR, NOT and parentheses;
ORDER BY. Lexical rules, reserved words and messages follow Atlassian's "Use advanced search with JQL"
(https://support.atlassian.com/jira-software-cloud/docs/what-is-advanced-search-in-jira-cloud/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

MAX_LENGTH = 10_000
MAX_DEPTH = 50
"""Deepest nesting of parentheses and NOTs; deeper queries are refused."""


class JqlError(Exception):
    """A query is refused; `messages` say why, in Jira's words."""

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
    """As written; field names know no letter case."""
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
    """None when nothing restricts the query."""
    order: tuple[tuple[str, bool], ...] = ()
    """(field, descending) pairs."""


OPERATORS = ("=", "!=", "<", ">", "<=", ">=", "~", "!~", "IN", "NOT IN", "IS", "IS NOT")

_RESERVED = """
    abort access add after alias all alter and any are as asc at audit avg be before begin between boolean break by
    byte catch cf changed char character check checkpoint collate collation column commit connect continue count
    create current date decimal declare decrement default defaults define delete delimiter desc difference distinct
    divide do double drop else empty encoding end equals escape exclusive exec execute exists explain false fetch
    file field first float for from function go goto grant greater group having identified if immediate in increment
    index initial inner inout input insert int integer intersect intersection into is isempty isnull it join last
    left less like limit lock long max min minus mode modify modulo more multiply next no noaudit not notin nowait
    null number object of on option or order outer output power previous prior privileges public raise raw remove
    rename resource return returns revoke right row rowid rownum rows select session set share size sqrt start
    strict string subtract such sum synonym table that the their then there these they this to trans transaction
    trigger true uid union unique update user validate values view was when whenever where while with
"""
RESERVED_WORDS = frozenset(_RESERVED.split())
"""Lower-case words that a query must quote."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<symbol>!=|!~|>=|<=|&&|\|\||[=~<>!&|(),])
      | (?P<word>(?:[^\s"'=~<>!&|(),\\{}*/%+^$\#@?;\[\]]|\\.)+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\", "'": "'", '"': '"', " ": " "}
_AND = ("and", "&", "&&")
_OR = ("or", "|", "||")
_NOT = ("not", "!")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["word", "string", "symbol", "end"]
    text: str
    keyword: str
    """The lower-case word or symbol; empty for quoted text, which is never a keyword."""
    position: int


def parse(text: str) -> Query:
    """The syntax tree of a query; raises JqlError."""
    if len(text) > MAX_LENGTH:
        raise JqlError(f"The JQL query is too long: at most {MAX_LENGTH} characters are allowed.")
    return _Parser(text).query()


def _place(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    return f"(line {line}, character {position - text.rfind(chr(10), 0, position)})"


def _unescape(raw: str, text: str, position: int) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match[1]
        character = chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code)
        # Half of a surrogate pair is no character.
        if character is None or "\ud800" <= character <= "\udfff":
            raise JqlError(
                f"Error in the JQL Query: '\\{code}' is an illegal JQL escape sequence. The valid escape sequences are "
                f"\\', \\\", \\t, \\n, \\r, \\\\, '\\ ' and \\uXXXX. {_place(text, position)}"
            )
        return character

    return _ESCAPE.sub(plain, raw) if "\\" in raw else raw


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            _refuse_character(text, position)
        if match.lastgroup == "string":
            tokens.append(_Token("string", _unescape(match[0][1:-1], text, position), "", position))
        elif match.lastgroup == "word":
            tokens.append(_Token("word", _unescape(match[0], text, position), match[0].lower(), position))
        elif match.lastgroup == "symbol":
            tokens.append(_Token("symbol", match[0], match[0], position))
        position = match.end()
    tokens.append(_Token("end", "", "", len(text)))
    return tokens


def _refuse_character(text: str, position: int) -> NoReturn:
    character = text[position]
    place = _place(text, position)
    if character in "\"'":
        quoted = text[position + 1 : position + 60]
        raise JqlError(f"Error in the JQL Query: The quoted string '{quoted}' has not been completed. {place}")
    if character == "\\":
        raise JqlError(f"Error in the JQL Query: The escape sequence at the end of the query is incomplete. {place}")
    raise JqlError(
        f"Error in the JQL Query: The character '{character}' is a reserved JQL character. You must enclose it in a "
        f"string or use the escape '\\u{ord(character):04x}' instead. {place}"
    )


class _Parser:
    """Recursive descent; `depth` bounds the recursion."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.index = 0

    @property
    def here(self) -> _Token:
        return self.tokens[self.index]

    def take(self) -> _Token:
        token = self.tokens[self.index]
        self.index += 1
        return token

    def takes(self, *keywords: str) -> bool:
        """Whether the next token is one of `keywords`; if so it is consumed."""
        if self.here.keyword not in keywords or self.here.kind == "end":
            return False
        self.index += 1
        return True

    def fail(self, expected: str, token: _Token) -> NoReturn:
        got = f"'{token.text[:60]}'" if token.kind != "end" else "the end of the query"
        place = _place(self.text, token.position)
        raise JqlError(f"Error in the JQL Query: Expecting {expected} but got {got}. {place}")

    def query(self) -> Query:
        where = None
        if self.here.kind != "end" and self.here.keyword != "order":
            where = self.disjunction(0)
        order: tuple[tuple[str, bool], ...] = ()
        if self.takes("order"):
            if not self.takes("by"):
                self.fail("'BY'", self.here)
            order = self.sorts()
        if self.here.kind != "end":
            self.fail("',' or the end of the query" if order else "either 'OR' or 'AND'", self.here)
        return Query(where, order)

    def sorts(self) -> tuple[tuple[str, bool], ...]:
        order = []
        while True:
            name = self.field()
            order.append((name, self.takes("desc")))
            if not order[-1][1]:
                self.takes("asc")
            if not self.takes(","):
                return tuple(order)

    def disjunction(self, depth: int) -> Node:
        items = [self.conjunction(depth)]
        while self.takes(*_OR):
            items.append(self.conjunction(depth))
        return items[0] if len(items) == 1 else Or(tuple(items))

    def conjunction(self, depth: int) -> Node:
        items = [self.negation(depth)]
        while self.takes(*_AND):
            items.append(self.negation(depth))
        return items[0] if len(items) == 1 else And(tuple(items))

    def negation(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise JqlError("Error in the JQL Query: The query is nested too deeply.")
        if self.takes(*_NOT):
            return Not(self.negation(depth + 1))
        if self.takes("("):
            inside = self.disjunction(depth + 1)
            if not self.takes(")"):
                self.fail("')'", self.here)
            return inside
        return self.clause()

    def field(self) -> str:
        token = self.take()
        if token.kind not in ("word", "string"):
            self.fail("a field name", token)
        if token.keyword in RESERVED_WORDS:
            raise JqlError(
                f"Error in the JQL Query: '{token.text}' is a reserved JQL word. You must surround it in quotation "
                f"marks to use it in a query. {_place(self.text, token.position)}"
            )
        return token.text

    def clause(self) -> Clause:
        field = self.field()
        operator = self.operator()
        if operator in ("IN", "NOT IN"):
            return self.membership(field, operator)
        if self.here.keyword == "(":
            return Clause(field, operator, self.operands(), is_list=True)
        return Clause(field, operator, (self.operand(),))

    def operator(self) -> str:
        token = self.take()
        if token.keyword == "not":
            if self.takes("in"):
                return "NOT IN"
            self.fail("'IN'", self.here)
        if token.keyword == "is":
            return "IS NOT" if self.takes("not") else "IS"
        if token.keyword == "in":
            return "IN"
        if token.kind != "symbol" or token.text not in OPERATORS:
            listed = ", ".join(f"'{operator}'" for operator in OPERATORS[:-1]) + f" and '{OPERATORS[-1]}'"
            got = f"'{token.text[:60]}'" if token.kind != "end" else "the end of the query"
            raise JqlError(
                f"Error in the JQL Query: Expecting operator but got {got}. The valid operators are {listed}. "
                f"{_place(self.text, token.position)}"
            )
        return token.text

    def membership(self, field: str, operator: str) -> Clause:
        """The list of IN and NOT IN; a function that gives a list needs no parentheses."""
        if self.here.keyword == "(":
            return Clause(field, operator, self.operands(), is_list=True)
        start = self.here
        operand = self.operand() if start.kind == "word" else None
        if operand is None or operand.kind != "function":
            self.fail("'('", start)
        return Clause(field, operator, (operand,), is_list=True)

    def operands(self) -> tuple[Operand, ...]:
        self.take()
        found = [self.operand()]
        while self.takes(","):
            found.append(self.operand())
        if not self.takes(")"):
            self.fail("')' or ','", self.here)
        return tuple(found)

    def operand(self) -> Operand:
        token = self.take()
        if token.kind == "string":
            return Operand("value", token.text)
        if token.kind != "word":
            self.fail("either a value, list or function", token)
        if token.keyword in ("empty", "null"):
            return Operand("empty", token.text)
        if token.keyword in RESERVED_WORDS:
            raise JqlError(
                f"Error in the JQL Query: Expecting either a value, list or function but got '{token.text}'. You must "
                f"surround '{token.text}' in quotation marks to use it as a value. {_place(self.text, token.position)}"
            )
        if self.takes("("):
            return Operand("function", token.text, self.arguments())
        return Operand("value", token.text)

    def arguments(self) -> tuple[str, ...]:
        found: list[str] = []
        while not self.takes(")"):
            if found and not self.takes(","):
                self.fail("')' or ','", self.here)
            token = self.take()
            if token.kind not in ("word", "string"):
                self.fail("an argument", token)
            found.append(token.text)
        return tuple(found)
