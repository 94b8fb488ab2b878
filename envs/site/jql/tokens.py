"""The tokens of a JQL query: words, quoted strings and symbols, with their positions for error messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from envs.site.jql.syntax import JqlError

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
"""Lower-case words that a query must put in quotation marks."""
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<symbol>!=|!~|>=|<=|&&|\|\||[=~<>!&|(),])
      | (?P<word>(?:[^\s"'=~<>!&|(),\\{}*/%+^$\#@?;\[\]]|\\.)+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\", "'": "'", '"': '"', " ": " "}


@dataclass(frozen=True, slots=True)
class Token:
    kind: Literal["word", "string", "symbol", "end"]
    text: str
    keyword: str
    """The lower-case word or symbol; empty for quoted text, which is never a keyword."""
    position: int


def tokenize(text: str) -> list[Token]:
    """The tokens of `text` and an end token; raises JqlError."""
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            _refuse_character(text, position)
        if match.lastgroup == "string":
            tokens.append(Token("string", _unescape(match[0][1:-1], text, position), "", position))
        elif match.lastgroup == "word":
            tokens.append(Token("word", _unescape(match[0], text, position), match[0].lower(), position))
        elif match.lastgroup == "symbol":
            tokens.append(Token("symbol", match[0], match[0], position))
        position = match.end()
    tokens.append(Token("end", "", "", len(text)))
    return tokens


def _refuse_character(text: str, position: int) -> NoReturn:
    character = text[position]
    place = location(text, position)
    if character in "\"'":
        quoted = text[position + 1 : position + 60]
        raise JqlError(f"Error in the JQL Query: The quoted string '{quoted}' has not been completed. {place}")
    if character == "\\":
        raise JqlError(f"Error in the JQL Query: The escape sequence at the end of the query is incomplete. {place}")
    raise JqlError(
        f"Error in the JQL Query: The character '{character}' is a reserved JQL character. You must enclose it in a "
        f"string or use the escape '\\u{ord(character):04x}' instead. {place}"
    )


def _unescape(raw: str, text: str, position: int) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match[1]
        character = chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code)
        # Half of a surrogate pair is not a character.
        if character is None or "\ud800" <= character <= "\udfff":
            raise JqlError(
                f"Error in the JQL Query: '\\{code}' is an illegal JQL escape sequence. The valid escape sequences are "
                f"\\', \\\", \\t, \\n, \\r, \\\\, '\\ ' and \\uXXXX. {location(text, position)}"
            )
        return character

    return _ESCAPE.sub(plain, raw) if "\\" in raw else raw


def location(text: str, position: int) -> str:
    """A position as Jira's error messages write it: `(line 1, character 3)`."""
    line = text.count("\n", 0, position) + 1
    return f"(line {line}, character {position - text.rfind(chr(10), 0, position)})"
