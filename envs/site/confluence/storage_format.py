"""Confluence's storage format (XHTML): conversion from and to ADF, and from wiki markup.

The conversions cover paragraphs, headings, lists and the usual text marks. Other markup is reduced to its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from html.parser import HTMLParser
from typing import Any

from envs.site import adf

DEPTH_MAX = adf.MAX_DEPTH - 5
"""Limit on the nesting of blocks in a conversion to ADF; deeper tags are ignored."""
_BLOCKS = {"p": "paragraph", "ul": "bulletList", "ol": "orderedList", "li": "listItem"}
_LISTS = ("ul", "ol")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_MARKS = {"strong": "strong", "b": "strong", "em": "em", "i": "em", "code": "code", "u": "underline", "s": "strike"}
_BLOCK_TAGS = {node: tag for tag, node in _BLOCKS.items()}
_MARK_TAGS = {"strong": "strong", "em": "em", "code": "code", "underline": "u", "strike": "s"}


def wiki_to_storage(text: str) -> str:
    """Blank lines separate paragraphs; `h1.` to `h6.` start headings; other wiki markup stays as text."""
    blocks = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        tag, _, title = block.strip().partition(". ")
        if tag in _HEADINGS:
            blocks.append(f"<{tag}>{escape(title, quote=False)}</{tag}>")
        elif block.strip():
            blocks.append("<p>" + escape(block.strip(), quote=False).replace("\n", "<br />") + "</p>")
    return "".join(blocks)


def adf_to_storage(document: Mapping[str, Any]) -> str:
    """The storage text of an ADF document."""
    return "".join(_node_to_storage(node) for node in document["content"])


def _node_to_storage(node: Mapping[str, Any]) -> str:
    if node["type"] == "text":
        return _text_to_storage(node)
    if node["type"] == "hardBreak":
        return "<br />"
    inner = "".join(_node_to_storage(child) for child in node.get("content", ()))
    tag = _BLOCK_TAGS.get(node["type"])
    if node["type"] == "heading":
        attributes = node.get("attrs")
        level = attributes.get("level") if isinstance(attributes, dict) else None
        tag = f"h{level}" if type(level) is int and 1 <= level <= 6 else "h1"
    return f"<{tag}>{inner}</{tag}>" if tag else inner


def _text_to_storage(node: Mapping[str, Any]) -> str:
    text = escape(node["text"], quote=False)
    for mark in node.get("marks", ()):
        tag = _MARK_TAGS.get(mark["type"])
        text = f"<{tag}>{text}</{tag}>" if tag else text
    return text


def storage_to_adf(text: str) -> dict[str, Any]:
    """The ADF document of a storage text. Markup that cannot be parsed becomes text."""
    reader = _StorageReader()
    try:
        reader.feed(text)
        reader.close()
    except AssertionError:  # html.parser raises it for unknown declarations such as `<![x`
        reader = _StorageReader()
        reader.handle_data(text)
        reader.close()
    return {"type": "doc", "version": 1, "content": reader.content}


class _StorageReader(HTMLParser):
    """Builds a valid ADF document from storage tags.

    Text outside a block gets a paragraph, a list item outside a list gets a list.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.content: list[dict[str, Any]] = []
        self._open: list[tuple[str, dict[str, Any]]] = []
        self._marks: list[str] = []
        self._items: list[dict[str, Any]] = []

    def close(self) -> None:
        super().close()
        for item in self._items:
            if not item["content"]:
                item["content"].append({"type": "paragraph", "content": []})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _MARKS:
            self._marks.append(_MARKS[tag])
        elif tag == "br":
            self._inline({"type": "hardBreak"})
        elif tag == "li":
            self._item()
        elif (tag in _BLOCKS or tag in _HEADINGS) and len(self._open) < DEPTH_MAX:
            self._block(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _MARKS and _MARKS[tag] in self._marks:
            self._marks.remove(_MARKS[tag])
        elif any(name == tag for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if data.strip() or self._in_text:
            marks = [{"type": mark} for mark in dict.fromkeys(self._marks)]
            self._inline({"type": "text", "text": data, **({"marks": marks} if marks else {})})

    @property
    def _tag(self) -> str:
        """The innermost open block's tag."""
        return self._open[-1][0] if self._open else ""

    @property
    def _in_text(self) -> bool:
        """Whether a paragraph or heading is open: they can have only inline content."""
        return self._tag == "p" or self._tag in _HEADINGS

    def _append(self, tag: str, node: dict[str, Any]) -> None:
        (self._open[-1][1]["content"] if self._open else self.content).append(node)
        self._open.append((tag, node))

    def _close_text(self) -> None:
        if self._in_text:
            self._open.pop()

    def _item(self) -> None:
        self._close_text()
        if self._tag == "li":
            if not self._open[-1][1]["content"]:
                return
            self._open.pop()
        if not self._open:
            self._append("ul", {"type": "bulletList", "content": []})
        self._append("li", {"type": "listItem", "content": []})
        self._items.append(self._open[-1][1])

    def _block(self, tag: str) -> None:
        self._close_text()
        if self._tag in _LISTS:
            self._item()
        if tag in _LISTS:
            self._append(tag, {"type": _BLOCKS[tag], "content": []})
            self._item()
        elif tag in _HEADINGS and not self._open:
            self._append(tag, {"type": "heading", "attrs": {"level": _HEADINGS[tag]}, "content": []})
        else:
            self._append(tag, {"type": "paragraph", "content": []})

    def _inline(self, node: dict[str, Any]) -> None:
        if not self._in_text:
            self._block("p")
        self._open[-1][1]["content"].append(node)
