"""The text of rich bodies as a reader sees it: Atlassian Document Format (ADF), Confluence storage format, wiki markup.

Each block becomes a line; blank lines are dropped, and a run of white space is one space. Text that is not displayed
(`display: none`, white on white, a comment) is dropped. Whatever is displayed but is not plain text (an image, a macro,
a mention, a link, text that is struck out) becomes OBJECT, and so does markup whose effect is not known here. A body
with such content therefore never equals the expected text.

Values come from a model, so they may have any type and any depth. Nothing here recurses or raises on them, and the
time is linear. Sources: "Atlassian Document Format" in the Jira platform documentation (developer.atlassian.com),
"Confluence Storage Format" and "Confluence Wiki Markup" in the Confluence documentation, and CSS for styles.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from typing import Any, NamedTuple

from rewards.matching import items, lookup
from rewards.styles import BLACK, TRANSPARENT, WHITE, Colour, Look, is_readable, parse_colour, styled

OBJECT = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for content that is not text."""

INVISIBLE = re.compile("[\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202d\u2060-\u2064\u2066-\u206f\ufeff]")
"""Characters of no width: soft hyphen, joiners, marks of direction. U+202E is not here: it reverses the text."""
REVERSAL = "\u202e"


def plain_text(text: str) -> str:
    """Text as it is displayed in one paragraph: a run of white space is one space.

    >>> plain_text(" Salt\\n and  pepper")
    'Salt and pepper'
    """
    return _tidy(text.replace("\n", " "))


def _tidy(text: str) -> str:
    """The lines of `text` as they are displayed, without blank lines."""
    visible = INVISIBLE.sub("", text).replace(REVERSAL, OBJECT)
    lines = (" ".join(line.split()) for line in visible.split("\n"))
    return "\n".join(line for line in lines if line)


def _flowing(text: str, code: bool) -> str:
    """Text of a body with its line breaks, which count in code only."""
    return re.sub("\r\n?", "\n", text) if code else text.replace("\n", " ")


# Atlassian Document Format

LINES = frozenset({"paragraph", "heading", "codeBlock", "taskItem", "decisionItem"})
"""ADF nodes that hold inline nodes. Each is a line."""
CONTAINERS = frozenset(
    "bulletList orderedList listItem blockquote panel expand nestedExpand table tableRow tableCell tableHeader "
    "taskList decisionList layoutSection layoutColumn".split()
)
"""ADF nodes that hold blocks. Each child starts a line."""
PLAIN_MARKS = frozenset({"strong", "em", "code", "underline", "subsup", "alignment", "indentation"})


class _Place(NamedTuple):
    """Where an ADF node stands."""

    in_line: bool = False
    code: bool = False
    background: Colour = WHITE


def adf_text(document: Any) -> str | None:
    """The text of an ADF document `{"type": "doc", "version": 1, "content": [...]}`, or None for any other value.

    >>> paragraph = {"type": "paragraph", "content": [{"type": "text", "text": "Hi"}]}
    >>> adf_text({"type": "doc", "version": 1, "content": [paragraph]})
    'Hi'
    """
    if not isinstance(document, dict) or document.get("type") != "doc" or not isinstance(document.get("content"), list):
        return None
    parts: list[str] = []
    pending = [(node, _Place()) for node in reversed(document["content"])]
    while pending:
        node, place = pending.pop()
        if not place.in_line:
            parts.append("\n")
        kind, content = lookup(node, "type"), lookup(node, "content")
        background = _background(node, place.background)
        line = isinstance(kind, str) and kind in LINES
        holds_nodes = line or (isinstance(kind, str) and kind in CONTAINERS and isinstance(content, list))
        if not holds_nodes:
            parts.append(_inline_text(kind, node, place))
            continue
        if lookup(node, "attrs", "title") is not None:  # An expandable section displays its title.
            parts.append(OBJECT)
        if background is None or not _are_plain(lookup(node, "marks")):
            parts.append(OBJECT)
        else:
            inside = _Place(line, kind == "codeBlock", background)
            pending.extend((child, inside) for child in reversed(items(content)))
    return _tidy("".join(parts))


def _background(node: Any, around: Colour) -> Colour | None:
    """The background of a table cell or a panel, or None for a colour that is not known."""
    for name in ("background", "panelColor"):
        value = lookup(node, "attrs", name)
        if value is not None:
            colour = parse_colour(value)
            return around if colour == TRANSPARENT else colour
    return around


def _inline_text(kind: Any, node: Any, place: _Place) -> str:
    """The text of an ADF node without children."""
    if kind == "hardBreak":
        return "\n"
    text, marks = lookup(node, "text"), lookup(node, "marks")
    if kind != "text" or not isinstance(text, str):
        return OBJECT
    colour, background = BLACK, place.background
    plain = []
    for mark in items(marks):
        name = lookup(mark, "type")
        painted = parse_colour(lookup(mark, "attrs", "color")) if name in ("textColor", "backgroundColor") else None
        if painted is None:
            plain.append(mark)
        elif name == "textColor":
            colour = painted
        elif painted != TRANSPARENT:
            background = painted
    if not _are_plain(plain if isinstance(marks, list) else marks):
        return OBJECT
    return _flowing(text, place.code) if is_readable(colour, background) else ""


def _are_plain(marks: Any) -> bool:
    """Whether a node's marks leave it plain text."""
    names = [lookup(mark, "type") for mark in items(marks)]
    return (marks is None or isinstance(marks, list)) and all(isinstance(n, str) and n in PLAIN_MARKS for n in names)


# Storage format

BLOCK_TAGS = frozenset(
    "p h1 h2 h3 h4 h5 h6 ul ol li dl dt dd div blockquote pre table caption thead tbody tfoot tr td th "
    "ac:layout ac:layout-section ac:layout-cell".split()
)
INLINE_TAGS = frozenset("strong b em i u ins sub sup code span small big tt kbd samp var cite a br".split())
UNSEEN_TAGS = frozenset({"col", "colgroup", "wbr"})
VOID_TAGS = frozenset("area base br col embed hr img input link meta param source track wbr".split())
"""HTML's elements without an end tag. In XHTML each is written as `<br/>`."""

MARKUP = re.compile(r"<(?:!--|!\[CDATA\[|[!?]|/?[A-Za-z]|/)")
TAG_NAME = re.compile(r"</?([^ \t\n\r\f/>]*)")
ATTRIBUTE = re.compile(
    r"""[ \t\n\r\f/]*+([^ \t\n\r\f/>][^ \t\n\r\f/>=]*+)"""
    r"""(?:[ \t\n\r\f]*+=[ \t\n\r\f]*+(?:"([^"]*+)"|'([^']*+)'|(["'])|([^ \t\n\r\f>]*+)))?"""
)
TAG_END = re.compile(r"[ \t\n\r\f/]*+>")
HUGE_REFERENCE = re.compile(r"(&#[0-9]{1000,}+;?)")
"""Python refuses to convert so many digits. No character has so high a number."""


class _Tag(NamedTuple):
    name: str
    attributes: dict[str, str]
    closes: bool
    """`</p>`"""
    is_empty: bool
    """`<p/>`, or an element that never has content"""


def _tag(value: str, start: int) -> tuple[_Tag, int] | None:
    """The tag at `start` and the position after it, or None if it does not end. Quoted values may contain ">"."""
    name = TAG_NAME.match(value, start)
    assert name
    attributes: dict[str, str] = {}
    position = name.end()
    while not (end := TAG_END.match(value, position)):
        attribute = ATTRIBUTE.match(value, position)
        if not attribute or attribute[4]:  # The end of the text, or a quotation mark that is never closed.
            return None
        attributes.setdefault(attribute[1].lower(), _unescape(attribute[2] or attribute[3] or attribute[5] or ""))
        position = attribute.end()
    tag = name[1].lower()
    return _Tag(tag, attributes, value[start + 1] == "/", end[0].endswith("/>") or tag in VOID_TAGS), end.end()


class _StorageReader:
    """Reads a storage-format body from the start to the end. `open` has the elements around the position."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.open: list[tuple[str, Look]] = [("", Look())]
        self.names: Counter[str] = Counter()

    def read(self, value: str) -> str:
        position = 0
        while position < len(value):
            markup = MARKUP.search(value, position)
            self._text(value[position : markup.start() if markup else len(value)])
            position = self._markup(value, markup.start(), markup[0]) if markup else len(value)
        while len(self.open) > 1:
            self._pop(closed=False)
        return _tidy("".join(self.parts))

    def _markup(self, value: str, start: int, kind: str) -> int:
        """Reads a tag, a comment or the like. Returns the position after it. Where it never ends, the rest is lost."""
        if re.fullmatch("</?[A-Za-z]", kind):
            found = _tag(value, start)
            if found is None:
                self._object()
                return len(value)
            self._tag(found[0])
            return found[1]
        terminator = {"<!--": "-->", "<![CDATA[": "]]>"}.get(kind, ">")
        end = value.find(terminator, start + len(kind))
        if end < 0 or kind != "<!--":
            self._object()
        return end + len(terminator) if end >= 0 else len(value)

    def _text(self, text: str) -> None:
        look = self.open[-1][1]
        if look.seen and not look.skipped:
            self.parts.append(_flowing(_unescape(text), look.code))

    def _object(self) -> None:
        look = self.open[-1][1]
        if not (look.gone or look.skipped):
            self.parts.append(OBJECT)

    def _tag(self, tag: _Tag) -> None:
        if tag.closes:
            if self.names[tag.name]:
                while self.open[-1][0] != tag.name:
                    self._pop(closed=False)
                self._pop(closed=True)
            else:
                self._break(tag.name, self.open[-1][1])
            return
        around = self.open[-1][1]
        look = self._look(tag, around)
        if look.skipped and not around.skipped:
            self.parts.append(OBJECT)
        self._break(tag.name, look)
        self.open.append((tag.name, look))
        self.names[tag.name] += 1
        if tag.is_empty:
            self._pop(closed=tag.name in VOID_TAGS)

    def _look(self, tag: _Tag, around: Look) -> Look:
        """The look of an element's content."""
        if around.skipped:
            return around
        if tag.name in BLOCK_TAGS and self.names["p"] and not around.seen:
            return around._replace(skipped=True)  # A browser ends a paragraph where a block begins, so this is visible.
        if around.gone:
            return around
        look = styled(around, tag.attributes.get("style", ""))
        if look is None:
            return around._replace(skipped=True)
        if "hidden" in tag.attributes or tag.name in UNSEEN_TAGS:
            look = look._replace(gone=True)
        is_text = tag.name in BLOCK_TAGS or (tag.name in INLINE_TAGS and "href" not in tag.attributes)
        return look._replace(skipped=not (is_text or look.gone), code=look.code or tag.name == "pre")

    def _break(self, name: str, look: Look) -> None:
        """The line break before and after a block, or at `<br/>`."""
        if (name in BLOCK_TAGS or name == "br") and not (look.gone or look.skipped):
            self.parts.append("\n")

    def _pop(self, closed: bool) -> None:
        """Leaves the innermost element. Where one that hides text has no end tag, it is unclear how far it hides."""
        name, look = self.open.pop()
        self.names[name] -= 1
        if not closed and not look.seen and not look.skipped and self.open[-1][1].seen:
            self.parts.append(OBJECT)
        self._break(name, look)


def _unescape(text: str) -> str:
    """The text with character references resolved."""
    return "".join(piece if i % 2 else html.unescape(piece) for i, piece in enumerate(HUGE_REFERENCE.split(text)))


def storage_text(value: str) -> str:
    """The text of a storage-format body.

    >>> storage_text('<p>Salt &amp;\\n<em>pepper</em></p> <!-- and --> <p style="display: none">sugar</p>')
    'Salt & pepper'
    """
    return _StorageReader().read(value)


# Wiki markup

HEADING = re.compile(r"h[1-6]\. (.*)")
WIKI_MARKUP = re.compile(
    r"\s*+(?:[*#-]+\s|bq\.|h[1-6]\.|\|)|.*?(?:[{\[\\|]|--|://|&(?:#|\w+;)"
    r"|:[()PD]|;\)|\((?:[yni/x!+?-]|on|off|\*[rgby]?)\))"
)
"""The start of a line with a list, a quotation or a table, or anywhere a macro, a link, an escape or an emoticon."""
PHRASE_MARKS = "*_-+^~!?"
"""Marks around a phrase: `*bold*`, `-struck out-`, `!image.png!`."""


def _wiki_text(value: str) -> str:
    """Lines and headings. A line with other markup is OBJECT, also bold text: the site displays its asterisks."""
    lines: list[str] = []
    for block in map(str.strip, value.replace("\r\n", "\n").split("\n\n")):
        heading = HEADING.fullmatch(block)
        lines.extend([heading[1]] if heading else block.split("\n"))
    return _tidy("\n".join(OBJECT if _has_markup(line) else line for line in lines))


def _has_markup(line: str) -> bool:
    if WIKI_MARKUP.match(line):
        return True
    for mark in map(re.escape, PHRASE_MARKS):
        opening = re.search(rf"(?<!\w){mark}(?=\S)", line)
        if opening and re.compile(rf"(?<=\S){mark}(?!\w)").search(line, opening.end() + 1):
            return True
    return False


# Bodies of pages


def _adf_in_string(value: str) -> str | None:
    """The text of an ADF document that is serialised as a JSON string."""
    try:
        return adf_text(json.loads(value))
    except (ValueError, RecursionError):
        return None


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
