"""The Atlassian Document Format (ADF): validation, copies, and plain text.

Follows Atlassian's published structure (https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/):
a `doc` of version 1 whose block nodes have blocks or inline nodes as content. Validation is iterative, and the other
functions work on validated documents, whose depth is bounded. No request can therefore exhaust the stack.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 40
MAX_CHARACTERS = 32_767
"""Jira's limit on the text of a description or comment."""

_INLINE = frozenset({"text", "hardBreak", "mention", "emoji", "inlineCard", "date", "status"})
_LEAF_BLOCKS = frozenset({"paragraph", "heading", "codeBlock", "rule", "blockCard"})
_LISTS = frozenset({"bulletList", "orderedList"})
_TASKS = frozenset({"taskItem", "taskList"})
_NESTABLE = _LEAF_BLOCKS | _LISTS | {"taskList", "mediaSingle"}
_BLOCKS = _NESTABLE | {"blockquote", "panel", "table", "expand", "decisionList"}

CHILDREN: Mapping[str, frozenset[str]] = {
    "doc": _BLOCKS,
    "paragraph": _INLINE,
    "heading": _INLINE,
    "codeBlock": frozenset({"text"}),
    "blockquote": frozenset({"paragraph", "codeBlock", "mediaSingle"}) | _LISTS,
    "bulletList": frozenset({"listItem"}),
    "orderedList": frozenset({"listItem"}),
    "listItem": frozenset({"paragraph", "codeBlock", "mediaSingle", "taskList"}) | _LISTS,
    "panel": _NESTABLE,
    "expand": _NESTABLE | {"panel", "blockquote", "table"},
    "table": frozenset({"tableRow"}),
    "tableRow": frozenset({"tableCell", "tableHeader"}),
    "tableCell": _NESTABLE | {"panel", "blockquote"},
    "tableHeader": _NESTABLE | {"panel", "blockquote"},
    "taskList": _TASKS,
    "taskItem": _INLINE,
    "decisionList": frozenset({"decisionItem"}),
    "decisionItem": _INLINE,
    "mediaSingle": frozenset({"media"}),
    "rule": frozenset(),
    "blockCard": frozenset(),
    "media": frozenset(),
} | {name: frozenset() for name in _INLINE}
"""Node type -> the types that its content may have."""

_NEED_CONTENT = frozenset(
    {"bulletList", "orderedList", "listItem", "blockquote", "panel", "table", "tableRow", "mediaSingle"}
)
_NEED_ATTRIBUTES: Mapping[str, str] = {"heading": "level", "mention": "id", "emoji": "shortName", "date": "timestamp"}
_MARKS = frozenset({"strong", "em", "code", "link", "strike", "underline", "subsup", "textColor", "backgroundColor"})
_MEMBERS = frozenset({"type", "content", "attrs", "marks", "text"})


def document(text: str) -> dict[str, Any]:
    """A document of one paragraph per line of `text`.

    >>> document("Hello")["content"]
    [{'type': 'paragraph', 'content': [{'type': 'text', 'text': 'Hello'}]}]
    """
    paragraphs = [
        {"type": "paragraph", "content": [{"type": "text", "text": line}] if line else []} for line in text.split("\n")
    ]
    return {"type": "doc", "version": 1, "content": paragraphs}


def is_document(value: Any) -> bool:
    """Whether `value` is a well-formed ADF document. Never raises, whatever `value` is."""
    if not isinstance(value, dict) or value.get("type") != "doc" or not isinstance(value.get("content"), list):
        return False
    version = value.get("version")
    if version != 1 or isinstance(version, bool | float) or not set(value) <= {"type", "version", "content"}:
        return False
    pending: list[tuple[Any, str, int]] = [(child, "doc", 1) for child in value["content"]]
    while pending:
        node, parent, depth = pending.pop()
        if depth > MAX_DEPTH or not _is_node(node, parent):
            return False
        pending.extend((child, node["type"], depth + 1) for child in node.get("content", ()))
    return True


def _is_node(node: Any, parent: str) -> bool:
    """Whether `node`, apart from its children, is valid inside a node of type `parent`."""
    if not isinstance(node, dict) or not set(node) <= _MEMBERS:
        return False
    kind = node.get("type")
    if not isinstance(kind, str) or kind not in CHILDREN[parent]:
        return False
    content = node.get("content", [])
    if not isinstance(content, list) or (kind in _NEED_CONTENT and not content):
        return False
    text = node.get("text")
    if (kind == "text") != (text is not None) or (kind == "text" and not (isinstance(text, str) and text)):
        return False
    attributes = node.get("attrs", {})
    if not _are_attributes(attributes) or not _are_marks(node.get("marks", [])):
        return False
    required = _NEED_ATTRIBUTES.get(kind)
    if required is not None and required not in attributes:
        return False
    level = attributes.get("level")
    return kind != "heading" or (type(level) is int and 1 <= level <= 6)


def _are_attributes(value: Any) -> bool:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        return False
    return all(_is_scalar(v) or (isinstance(v, list) and all(map(_is_scalar, v))) for v in value.values())


def _is_scalar(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _are_marks(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    for mark in value:
        if not isinstance(mark, dict) or not set(mark) <= {"type", "attrs"}:
            return False
        kind = mark.get("type")
        if not isinstance(kind, str) or kind not in _MARKS or not _are_attributes(mark.get("attrs", {})):
            return False
    return True


def copy(value: Any) -> Any:
    """An independent copy of a validated document. Client and site thus cannot change each other's documents."""
    if isinstance(value, dict):
        return {name: copy(item) for name, item in value.items()}
    if isinstance(value, list):
        return [copy(item) for item in value]
    return value


def text(doc: Mapping[str, Any] | None) -> str:
    """The plain text of a validated document: one line per block that has text, "" for None.

    >>> text(document("Hello"))
    'Hello'
    """
    lines: list[str] = []
    if doc:
        _add_lines(doc, lines)
    return "\n".join(lines)


def _add_lines(node: Mapping[str, Any], lines: list[str]) -> None:
    content = node.get("content")
    if not content:
        return
    # No node mixes blocks and inline nodes, so the first child decides.
    if content[0]["type"] in _INLINE:
        lines.append("".join(map(_inline, content)))
        return
    for child in content:
        _add_lines(child, lines)


def _inline(node: Mapping[str, Any]) -> str:
    kind = node["type"]
    if kind == "text":
        return str(node["text"])
    if kind == "hardBreak":
        return "\n"
    attributes = node.get("attrs", {})
    return str(attributes.get("text") or attributes.get("shortName") or attributes.get("url") or "")
