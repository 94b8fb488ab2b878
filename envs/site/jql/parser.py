"""Parsing a JQL query: text -> syntax tree.

Covers what people use most: clauses of a field, an operator and a value, list or function; AND, OR, NOT and
parentheses; ORDER BY. Lexical rules, reserved words and messages follow Atlassian's "Use advanced search with JQL"
(https://support.atlassian.com/jira-software-cloud/docs/what-is-advanced-search-in-jira-cloud/).
"""

from __future__ import annotations

from typing import NoReturn

from envs.site.jql.syntax import OPERATORS, And, Clause, JqlError, Node, Not, Operand, Or, Query
from envs.site.jql.tokens import RESERVED_WORDS, Token, location, tokenize

MAX_LENGTH = 10_000
MAX_DEPTH = 50
"""Limit on the nesting of parentheses and NOTs; deeper queries are refused."""
_AND = ("and", "&", "&&")
_OR = ("or", "|", "||")
_NOT = ("not", "!")


def parse(text: str) -> Query:
    """The syntax tree of a query; raises JqlError."""
    if len(text) > MAX_LENGTH:
        raise JqlError(f"The JQL query is too long: at most {MAX_LENGTH} characters are allowed.")
    return _Parser(text).query()


class _Parser:
    """A recursive-descent parser. `depth` bounds the recursion."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.index = 0

    @property
    def next_token(self) -> Token:
        return self.tokens[self.index]

    def take(self) -> Token:
        token = self.tokens[self.index]
        self.index += 1
        return token

    def takes(self, *keywords: str) -> bool:
        """Consumes the next token if it is one of `keywords`; returns whether it was."""
        if self.next_token.keyword not in keywords or self.next_token.kind == "end":
            return False
        self.index += 1
        return True

    def fail(self, expectation: str, token: Token) -> NoReturn:
        got = f"'{token.text[:60]}'" if token.kind != "end" else "the end of the query"
        place = location(self.text, token.position)
        raise JqlError(f"Error in the JQL Query: Expecting {expectation} but got {got}. {place}")

    def query(self) -> Query:
        where = None
        if self.next_token.kind != "end" and self.next_token.keyword != "order":
            where = self.disjunction(0)
        order: tuple[tuple[str, bool], ...] = ()
        if self.takes("order"):
            if not self.takes("by"):
                self.fail("'BY'", self.next_token)
            order = self.sorts()
        if self.next_token.kind != "end":
            self.fail("',' or the end of the query" if order else "either 'OR' or 'AND'", self.next_token)
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
                self.fail("')'", self.next_token)
            return inside
        return self.clause()

    def field(self) -> str:
        token = self.take()
        if token.kind not in ("word", "string"):
            self.fail("a field name", token)
        if token.keyword in RESERVED_WORDS:
            raise JqlError(
                f"Error in the JQL Query: '{token.text}' is a reserved JQL word. You must surround it in quotation "
                f"marks to use it in a query. {location(self.text, token.position)}"
            )
        return token.text

    def clause(self) -> Clause:
        field = self.field()
        operator = self.operator()
        if operator in ("IN", "NOT IN"):
            return self.membership(field, operator)
        if self.next_token.keyword == "(":
            return Clause(field, operator, self.operands(), is_list=True)
        return Clause(field, operator, (self.operand(),))

    def operator(self) -> str:
        token = self.take()
        if token.keyword == "not":
            if self.takes("in"):
                return "NOT IN"
            self.fail("'IN'", self.next_token)
        if token.keyword == "is":
            return "IS NOT" if self.takes("not") else "IS"
        if token.keyword == "in":
            return "IN"
        if token.kind != "symbol" or token.text not in OPERATORS:
            names = ", ".join(f"'{operator}'" for operator in OPERATORS[:-1]) + f" and '{OPERATORS[-1]}'"
            got = f"'{token.text[:60]}'" if token.kind != "end" else "the end of the query"
            raise JqlError(
                f"Error in the JQL Query: Expecting operator but got {got}. The valid operators are {names}. "
                f"{location(self.text, token.position)}"
            )
        return token.text

    def membership(self, field: str, operator: str) -> Clause:
        """The list of IN and NOT IN. A function that returns a list needs no parentheses."""
        if self.next_token.keyword == "(":
            return Clause(field, operator, self.operands(), is_list=True)
        start = self.next_token
        operand = self.operand() if start.kind == "word" else None
        if operand is None or operand.kind != "function":
            self.fail("'('", start)
        return Clause(field, operator, (operand,), is_list=True)

    def operands(self) -> tuple[Operand, ...]:
        self.take()
        operands = [self.operand()]
        while self.takes(","):
            operands.append(self.operand())
        if not self.takes(")"):
            self.fail("')' or ','", self.next_token)
        return tuple(operands)

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
                f"surround '{token.text}' in quotation marks to use it as a value. "
                f"{location(self.text, token.position)}"
            )
        if self.takes("("):
            return Operand("function", token.text, self.arguments())
        return Operand("value", token.text)

    def arguments(self) -> tuple[str, ...]:
        arguments: list[str] = []
        while not self.takes(")"):
            if arguments and not self.takes(","):
                self.fail("')' or ','", self.next_token)
            token = self.take()
            if token.kind not in ("word", "string"):
                self.fail("an argument", token)
            arguments.append(token.text)
        return tuple(arguments)
