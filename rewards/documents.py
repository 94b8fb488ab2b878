"""Plain text of rich bodies: Atlassian Document Format (ADF), Confluence storage format and wiki markup.

Each block becomes a line. Anything that is not text (an image, a macro, a rule) becomes OBJECT, so a body with
additional content never equals the expected text. Sources: "Atlassian Document Format" in the Jira platform
documentation (developer.atlassian.com), "Confluence Storage Format" in the Confluence documentation.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any

from rewards.matching import items, lookup

OBJECT = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for content that is not text."""

LINES = frozenset({"paragraph", "heading", "codeBlock", "taskItem", "decisionItem"})
"""ADF nodes that hold inline nodes. Each starts a line."""
SPACES = re.compile(r"[^\S\n]+")
"""A run of white space, which is displayed as one space."""

BLOCK_TAGS = re.compile(r"p|h[1-6]|[uo]l|li|div|blockquote|pre|table|tbody|thead|tr|td|th")
INLINE_TAGS = re.compile(r"strong|b|em|i|u|s|del|ins|sub|sup|code|span|a|small|big|tt")
TAG = re.compile(r"(<[^<>]*>)")
TAG_NAME = re.compile(r"</?\s*([A-Za-z][\w:.-]*)")


def adf_text(document: Any) -> str | None:
    """The text of an ADF document `{"type": "doc", "version": 1, "content": [...]}`, or None for any other value.

    >>> paragraph = {"type": "paragraph", "content": [{"type": "text", "text": "Hi"}]}
    >>> adf_text({"type": "doc", "version": 1, "content": [paragraph]})
    'Hi'
    """
    if not isinstance(document, dict) or document.get("type") != "doc" or not isinstance(document.get("content"), list):
        return None
    lines: list[str] = []
    pending = items(document["content"])[::-1]
    while pending:
        node = pending.pop()
        kind = lookup(node, "type")
        content = lookup(node, "content")
        if isinstance(kind, str) and kind in LINES:
            lines.append("")
        if lookup(node, "attrs", "title") is not None:  # An expandable section displays its title.
            lines.append(OBJECT)
        if isinstance(content, list) and kind != "text":
            pending.extend(reversed(content))
        elif not (isinstance(kind, str) and kind in LINES):
            if not lines:
                lines.append("")
            lines[-1] += _inline_text(kind, node)
    return _tidy(lines)


def _inline_text(kind: Any, node: Any) -> str:
    """The text of an ADF node without children."""
    if kind == "hardBreak":
        return "\n"
    text = lookup(node, "text") if kind == "text" else None
    if kind == "mention":
        text = lookup(node, "attrs", "text")
    return text if isinstance(text, str) else OBJECT


def storage_text(value: str) -> str:
    """The text of a storage-format body, with entities resolved.

    >>> storage_text("<p>Salt &amp; pepper</p>")
    'Salt & pepper'
    """
    lines = [""]
    for piece in TAG.split(value):
        if not TAG.fullmatch(piece):
            lines[-1] += _unescape(piece)
            continue
        if piece.startswith("<!--"):
            continue
        name = TAG_NAME.match(piece)
        tag = name.group(1).lower() if name else ""
        if BLOCK_TAGS.fullmatch(tag):
            lines.append("")
        elif tag == "br":
            lines[-1] += "\n"
        elif not INLINE_TAGS.fullmatch(tag):
            lines[-1] += OBJECT
    return _tidy(lines)


def _tidy(lines: Iterable[str]) -> str:
    """The lines as a browser displays them: no empty lines, runs of spaces collapsed."""
    return "\n".join(SPACES.sub(" ", line).strip() for line in lines if line.strip())


def _unescape(text: str) -> str:
    """The text with character references resolved."""
    try:
        return html.unescape(text)
    except ValueError:  # Python refuses a character reference of thousands of digits.
        return text


def _adf_in_string(value: str) -> str | None:
    """The text of an ADF document that is serialised as a JSON string."""
    try:
        return adf_text(json.loads(value))
    except (ValueError, RecursionError):
        return None


def _wiki_text(value: str) -> str:
    return _tidy(value.split("\n"))


READERS = {"storage": storage_text, "wiki": _wiki_text, "atlas_doc_format": _adf_in_string}
"""Representation of a page body -> the function that extracts its text."""


def body_text(body: Any) -> str | None:
    """The text of a page body: flat `{"representation", "value"}` or nested `{"storage": {"value"}}`.

    None if the body names no representation or several, or if its value is not a string.
    """
    if not isinstance(body, dict):
        return None
    nested_names = [name for name in READERS if body.get(name) is not None]
    representation, value = body.get("representation"), body.get("value")
    if nested_names:
        if len(nested_names) > 1 or representation is not None or value is not None:
            return None
        inner = body[nested_names[0]]
        representation = lookup(inner, "representation") or nested_names[0]
        value = lookup(inner, "value")
        if representation != nested_names[0]:
            return None
    if not isinstance(representation, str) or representation not in READERS or not isinstance(value, str):
        return None
    return READERS[representation](value)
