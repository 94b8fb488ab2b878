"""A second reading of rich bodies, for the tests' judge: the same functions as `rewards.documents`, written anew.

Storage format is parsed into a tree by a scanner of characters, and each text asks its ancestors whether it can be
seen. Documents are walked recursively, to a depth of `DEEPEST`; what lies deeper counts as OBJECT.

The rules of both: a block is a line, blank lines do not count, a run of white space is a space, characters without
width do not count. What is not displayed is dropped. What is displayed but is no plain text is one OBJECT, and so is
what is not understood: unfinished markup, an unknown style or colour, a hiding element without its end tag.
"""

from __future__ import annotations

import html
import json
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

OBJECT = "\ufffc"
DEEPEST = 150
BLANK = " \t\n\r\f"

_WIDTHLESS = {0xAD, 0x34F, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202E), *range(0x2060, 0x2065)}
_WIDTHLESS |= {*range(0x2066, 0x2070), 0xFEFF}
_DISPLAYED = dict.fromkeys(_WIDTHLESS) | {0x202E: OBJECT}


def _displayed(text: str) -> str:
    lines = []
    for line in text.translate(_DISPLAYED).split("\n"):
        words = line.split()
        if words:
            lines.append(" ".join(words))
    return "\n".join(lines)


def plain_text(text: str) -> str:
    return _displayed(_one_line(text))


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def _code_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


# Colours: (red, green, blue, opacity), each from 0 to 255

_NAMED = """black 000000 white ffffff red ff0000 lime 00ff00 blue 0000ff yellow ffff00 aqua 00ffff fuchsia ff00ff
    silver c0c0c0 gray 808080 grey 808080 maroon 800000 green 008000 navy 000080 olive 808000 teal 008080 purple 800080
    orange ffa500 transparent 00000000""".split()
_HEX_OF = dict(zip(_NAMED[::2], _NAMED[1::2], strict=True))
Paint = tuple[int, ...]
_INK: Paint = (0, 0, 0, 255)
_PAPER: Paint = (255, 255, 255, 255)


def _paint(value: Any) -> Paint | None:
    if not isinstance(value, str):
        return None
    text = value.lower().strip(BLANK)
    if text.startswith(("rgb(", "rgba(")) and text.endswith(")"):
        numbers = [number.strip() for number in text[text.index("(") + 1 : -1].split(",")]
        if len(numbers) not in (3, 4) or not all(_is_number(n) and len(n) <= 3 for n in numbers[:3]):
            return None
        alpha = numbers[3] if len(numbers) == 4 else "1"
        whole, dot, rest = alpha.partition(".")
        if whole not in ("0", "1") or (dot and not (0 < len(rest) < 10 and set(rest) == {"0"})):
            return None
        return (*(min(255, int(number)) for number in numbers[:3]), 255 * int(whole))
    digits = _HEX_OF.get(text) or (text[1:] if text.startswith("#") else "")
    if len(digits) in (3, 4):
        digits = "".join(digit + digit for digit in digits)
    if len(digits) not in (6, 8) or not set(digits) <= set(string.hexdigits):
        return None
    paint = tuple(bytes.fromhex(digits if len(digits) == 8 else digits + "ff"))
    return paint if paint[3] in (0, 255) else None


def _can_be_read(ink: Paint, paper: Paint) -> bool:
    return ink[3] == 255 and max(abs(ink[i] - paper[i]) for i in range(3)) >= 48


def _is_number(text: str) -> bool:
    return text != "" and set(text) <= set(string.digits)


# Documents

_BLOCKS_OF_TEXT = "paragraph heading codeBlock taskItem decisionItem".split()
_BLOCKS_OF_BLOCKS = """bulletList orderedList listItem blockquote panel expand nestedExpand table tableRow tableCell
    tableHeader taskList decisionList layoutSection layoutColumn""".split()
_HARMLESS_MARKS = ("strong", "em", "code", "underline", "subsup", "alignment", "indentation")


def adf_text(document: Any) -> str | None:
    match document:
        case {"type": "doc", "content": list(content)} if isinstance(document, dict):
            return _displayed("\n".join(_block(node, _PAPER, 0) for node in content))
    return None


def _block(node: Any, paper: Paint, depth: int) -> str:
    kind = _get(node, "type")
    if kind not in (*_BLOCKS_OF_TEXT, *_BLOCKS_OF_BLOCKS) or depth > DEEPEST:
        return _inline(node, paper)
    children = _get(node, "content")
    if not isinstance(children, list | tuple):
        children = None
    if children is None and kind in _BLOCKS_OF_BLOCKS:
        return OBJECT
    attributes = _get(node, "attrs")
    title = OBJECT if _get(attributes, "title") is not None else ""
    for name in ("background", "panelColor"):
        if _get(attributes, name) is not None:
            own = _paint(_get(attributes, name))
            if own is None:
                return title + OBJECT
            paper = own if own[3] else paper
            break
    if not _marks_are_harmless(_get(node, "marks")):
        return title + OBJECT
    if kind in _BLOCKS_OF_BLOCKS:
        return "\n".join([title, *(_block(child, paper, depth + 1) for child in children or ())])
    pieces = [title]
    for child in children or ():
        if _get(child, "type") in (*_BLOCKS_OF_TEXT, *_BLOCKS_OF_BLOCKS):
            pieces.append(_block(child, paper, depth + 1))  # Not valid, but some text.
        else:
            pieces.append(_inline(child, paper, code=kind == "codeBlock"))
    return "".join(pieces)


def _inline(node: Any, paper: Paint, code: bool = False) -> str:
    kind, text, marks = _get(node, "type"), _get(node, "text"), _get(node, "marks")
    if kind == "hardBreak":
        return "\n"
    if kind != "text" or not isinstance(text, str):
        return OBJECT
    ink, others = _INK, []
    for mark in marks if isinstance(marks, list) else ():
        paint = _paint(_get(_get(mark, "attrs"), "color"))
        if paint and _get(mark, "type") == "textColor":
            ink = paint
        elif paint and _get(mark, "type") == "backgroundColor":
            paper = paint if paint[3] else paper
        else:
            others.append(mark)
    if not _marks_are_harmless(others if isinstance(marks, list) else marks):
        return OBJECT
    if not _can_be_read(ink, paper):
        return ""
    return _code_lines(text) if code else _one_line(text)


def _marks_are_harmless(marks: Any) -> bool:
    if marks is None:
        return True
    return isinstance(marks, list) and all(_get(mark, "type") in _HARMLESS_MARKS for mark in marks)


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


# Storage format: the tree

_BLOCK = set(
    "p h1 h2 h3 h4 h5 h6 ul ol li dl dt dd div blockquote pre table caption thead tbody tfoot tr td th".split()
)
_BLOCK |= {"ac:layout", "ac:layout-section", "ac:layout-cell"}
_PHRASE = set("strong b em i u ins sub sup code span small big tt kbd samp var cite a br".split())
_NEVER_SEEN = ("col", "colgroup", "wbr")
_WITHOUT_END_TAG = set("area base br col embed hr img input link meta param source track wbr".split())


@dataclass(eq=False)
class _Element:
    name: str
    parent: _Element | None
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[_Element | str] = field(default_factory=list)
    ended: bool = False
    """Has an end tag of its own."""

    def line(self) -> Iterator[_Element]:
        """This element and those around it, from the inside to the outside."""
        element: _Element | None = self
        while element is not None:
            yield element
            element = element.parent


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.root = self.here = _Element("", None, ended=True)
        self.words: list[str] = []

    def tree(self) -> _Element:
        while self.at < len(self.text):
            if self.text[self.at] == "<" and self.markup():
                continue
            self.words.append(self.text[self.at])
            self.at += 1
        self.flush()
        return self.root

    def flush(self) -> None:
        """Text up to here has ended. References are resolved within it."""
        if self.words:
            self.here.children.append(_resolve("".join(self.words)))
            self.words = []

    def add(self, name: str, **members: Any) -> _Element:
        self.flush()
        element = _Element(name, self.here, **members)
        self.here.children.append(element)
        return element

    def lose(self) -> bool:
        """The rest cannot be understood."""
        self.add("?", ended=True)
        self.at = len(self.text)
        return True

    def markup(self) -> bool:
        """Reads markup here, if there is any."""
        ahead = self.text[self.at : self.at + 9]
        if ahead.startswith("<!--"):
            return self.until("-->", 4, seen=False)
        if ahead == "<![CDATA[":
            return self.until("]]>", 9)
        letter = ahead[2:3] if ahead.startswith("</") else ahead[1:2]
        if letter and letter in string.ascii_letters:
            return self.tag(ahead.startswith("</"))
        return ahead[1:2] in ("!", "?", "/") and self.until(">", 2)

    def until(self, end: str, skip: int, seen: bool = True) -> bool:
        found = self.text.find(end, self.at + skip)
        if found < 0:
            return self.lose()
        self.flush()
        if seen:
            self.add("?", ended=True)
        self.at = found + len(end)
        return True

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, stop: str) -> str:
        """The characters up to one of `stop` or the end."""
        start = self.at
        while self.peek() and self.peek() not in stop:
            self.at += 1
        return self.text[start : self.at]

    def skip(self, characters: str) -> None:
        while self.peek() and self.peek() in characters:
            self.at += 1

    def tag(self, ends: bool) -> bool:
        self.at += 2 if ends else 1
        name = self.take(BLANK + "/>").lower()
        attributes: dict[str, str] = {}
        while True:
            self.skip(BLANK + "/")
            if not self.peek():
                return self.lose()
            if self.peek() == ">":
                empty = self.text[self.at - 1] == "/"
                self.at += 1
                break
            key = self.text[self.at]
            self.at += 1
            key += self.take(BLANK + "/>=")
            value = self.value()
            if value is None:
                return self.lose()
            attributes.setdefault(key.lower(), _resolve(value))
        (self.end if ends else self.begin)(name, attributes, empty or name in _WITHOUT_END_TAG)
        return True

    def value(self) -> str | None:
        """The value of an attribute, or None if its quotation mark is missing at the end."""
        before = self.at
        self.skip(BLANK)
        if self.peek() != "=":
            self.at = before
            return ""
        self.at += 1
        self.skip(BLANK)
        quote = self.peek()
        if not quote or quote not in "\"'":
            return self.take(BLANK + ">")
        self.at += 1
        value = self.take(quote)
        if not self.peek():
            return None
        self.at += 1
        return value

    def begin(self, name: str, attributes: dict[str, str], empty: bool) -> None:
        element = self.add(name, attributes=attributes, ended=name in _WITHOUT_END_TAG)
        if not empty:
            self.here = element

    def end(self, name: str, attributes: dict[str, str], empty: bool) -> None:
        self.flush()
        for element in self.here.line():
            if element.name == name and element.parent is not None:
                element.ended = True
                self.here = element.parent
                return
        if name in _BLOCK or name == "br":
            self.add("br", ended=True)


def _resolve(text: str) -> str:
    """Character references resolved. One with thousands of digits, which Python cannot resolve, stays."""
    pieces = text.split("&#")
    kept = [pieces[0]]
    for piece in pieces[1:]:
        digits = len(piece) - len(piece.lstrip(string.digits))
        if digits >= 1000:
            tail = digits + (piece[digits : digits + 1] == ";")
            kept[-1:] = [html.unescape(kept[-1]) + "&#" + piece[:tail], piece[tail:]]
        else:
            kept[-1] += "&#" + piece
    return "".join(kept[:-1]) + html.unescape(kept[-1])


# Storage format: what is seen


def storage_text(value: str) -> str:
    root = _Scanner(value).tree()
    pieces: list[str] = []
    pending: list[tuple[_Element | str, _Element | None]] = [(root, None)]
    while pending:
        node, parent = pending.pop()
        if isinstance(node, str):
            if parent is None:  # The part that ends an element, prepared below.
                pieces.append(node)
            elif not _hidden(parent):
                pieces.append(_code_lines(node) if _in_code(parent) else _one_line(node))
            continue
        before, inside, after = _parts(node)
        pieces.append(before)
        pending.append((after, None))
        if inside:
            pending.extend((child, node) for child in reversed(node.children))
    return _displayed("".join(pieces))


def _parts(element: _Element) -> tuple[str, bool, str]:
    """What stands before an element's content, whether the content is read, and what stands after it."""
    around = element.parent
    if around is None:
        return "", True, ""
    paragraphs = any(outer.name == "p" for outer in around.line())
    if element.name in _BLOCK and paragraphs and _hidden(around):
        return OBJECT, False, ""
    if _is_gone(around):
        return "", True, ""
    styles = _styles(element)
    if any(not _is_known(name, value) for name, value in styles):
        return OBJECT, False, ""
    if not _is_gone(element):
        is_text = element.name in _BLOCK or (element.name in _PHRASE and "href" not in element.attributes)
        if not is_text:
            return OBJECT, False, ""
    after = OBJECT if not element.ended and _hidden(element) and not _hidden(around) else ""
    line = "\n" if (element.name in _BLOCK or element.name == "br") and not _is_gone(element) else ""
    return line, True, after + line


def _styles(element: _Element) -> list[tuple[str, str]]:
    styles = []
    for declaration in element.attributes.get("style", "").lower().split(";"):
        name, colon, value = declaration.partition(":")
        if colon or name.strip(BLANK):
            styles.append((name.strip(BLANK), value.strip(BLANK)))
    return styles


_KEYWORDS = {
    "text-align": "left right center justify start end",
    "font-weight": "normal bold bolder lighter 100 200 300 400 500 600 700 800 900",
    "font-style": "normal italic oblique",
    "text-decoration": "none underline",
    "vertical-align": "top middle bottom baseline",
    "visibility": "visible hidden collapse",
    "display": "none",
}
_SIDES = [f"{name}{side}" for name in ("margin", "padding") for side in ("", "-left", "-right", "-top", "-bottom")]


def _is_known(name: str, value: str) -> bool:
    """Whether the effect of a declaration on a text is understood."""
    if name in _KEYWORDS:
        return value in _KEYWORDS[name].split()
    if name in ("color", "background", "background-color"):
        return _paint(value) is not None
    if name == "font-size":
        return _size(value) is not None
    if name == "opacity":
        return _opacity(value) is not None
    whole, fraction, unit = _measure(value)
    if name == "width":
        return whole.lstrip("0") == whole != "" and fraction is not None and unit in ("px", "pt", "em", "rem", "%")
    return name in _SIDES and 1 <= len(whole) <= 2 and fraction is not None and unit in ("", *_UNITS)


_UNITS = ("px", "pt", "em", "rem", "%")


def _measure(value: str) -> tuple[str, str | None, str]:
    """Digits, decimals (None if there is a point without decimals), unit."""
    whole = value[: len(value) - len(value.lstrip(string.digits))]
    rest = value[len(whole) :]
    if not rest.startswith("."):
        return whole, "", rest
    decimals = rest[1 : len(rest) - len(rest[1:].lstrip(string.digits))]
    return whole, decimals or None, rest[1 + len(decimals) :]


def _size(value: str) -> str | None:
    """What a font size means: "none", "readable", "as around"."""
    if value in "medium x-small xx-small small large x-large xx-large".split():
        return "readable"
    whole, decimals, unit = _measure(value)
    if not whole or decimals is None or unit not in ("", *_UNITS):
        return None
    if set(whole + decimals) == {"0"}:
        return "none"
    if whole[0] == "0":
        return None
    if unit in ("px", "pt"):
        return "readable" if 6 <= int(whole[:3]) <= 99 else None
    if unit == "%":
        return "as around" if len(whole) == 3 and whole[0] == "1" and not decimals and "." not in value else None
    if unit in ("em", "rem") and len(whole) == 1:
        return "as around" if unit == "em" else "readable"
    return None


def _opacity(value: str) -> bool | None:
    """Whether something can be seen, None if only in part."""
    whole, decimals, unit = _measure(value)
    if not whole or decimals is None or unit not in ("", "%") or set(decimals) > {"0"} or decimals.strip("0"):
        return None
    if set(whole) == {"0"}:
        return False
    return True if value == "100%" or (whole == "1" and not unit) else None


def _is_gone(element: _Element) -> bool:
    """Whether nothing in the element is displayed, whatever it has for styles."""
    for outer in element.line():
        if outer.name in _NEVER_SEEN or "hidden" in outer.attributes:
            return True
        if any((n == "display" and v == "none") or (n == "opacity" and not _opacity(v)) for n, v in _styles(outer)):
            return True
    return False


def _hidden(element: _Element) -> bool:
    """Whether a text right in the element cannot be seen. The nearest declaration of each property decides."""
    if _is_gone(element):
        return True
    if _nearest(element, ("visibility",), lambda value: True) in ("hidden", "collapse"):
        return True
    size = _nearest(element, ("font-size",), lambda value: _size(value) != "as around")
    if size is not None and _size(size) == "none":
        return True
    ink = _paint(_nearest(element, ("color",), lambda value: True) or "black")
    paper = _paint(_nearest(element, ("background", "background-color"), _is_opaque) or "white")
    return ink is not None and paper is not None and not _can_be_read(ink, paper)


def _is_opaque(value: str) -> bool:
    paint = _paint(value)
    return paint is not None and paint[3] == 255


def _nearest(element: _Element, names: tuple[str, ...], counts: Any) -> str | None:
    for outer in element.line():
        for name, value in reversed(_styles(outer)):
            if name in names and counts(value):
                return value
    return None


def _in_code(element: _Element) -> bool:
    return any(outer.name == "pre" for outer in element.line())


# Wiki markup


def _wiki_text(value: str) -> str:
    """A heading on its own and plain lines are text. The site displays other marks as they are, Confluence does not."""
    lines: list[str] = []
    for block in value.replace("\r\n", "\n").split("\n\n"):
        block = block.strip()
        is_heading = block[:1] == "h" and block[1:2] in tuple("123456") and block[2:4] == ". " and "\n" not in block
        lines += [block[4:]] if is_heading else block.split("\n")
    return _displayed("\n".join(OBJECT if _is_marked(line) else line for line in lines))


_SMILEYS = ":( :) :P :D ;) (y) (n) (i) (/) (x) (!) (+) (?) (-) (on) (off) (*) (*r) (*g) (*b) (*y)".split()


def _is_marked(line: str) -> bool:
    if any(sign in line for sign in ["{", "[", "\\", "|", "--", "://", "&#", *_SMILEYS]):
        return True
    start = line.lstrip()
    if start.startswith(("bq.", "h1.", "h2.", "h3.", "h4.", "h5.", "h6.")):
        return True
    bullets = len(start) - len(start.lstrip("*#-"))
    if bullets and start[bullets : bullets + 1].isspace():
        return True
    for piece in line.split("&")[1:]:
        name, semicolon, _ = piece.partition(";")
        if semicolon and name and all(map(_is_word, name)):
            return True
    return any(_spans(line, mark) for mark in "*_-+^~!?")


def _spans(line: str, mark: str) -> bool:
    """Whether a mark begins before a word, after none, and another ends after a word, before none."""
    places = [place for place, character in enumerate(line) if character == mark]
    padded = f" {line} "
    opening = [p for p in places if not _is_word(padded[p]) and not padded[p + 2].isspace()]
    closing = [p for p in places if not padded[p].isspace() and not _is_word(padded[p + 2])]
    return bool(opening and closing and closing[-1] > opening[0] + 1)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


# Bodies


def body_text(body: Any) -> str | None:
    if not isinstance(body, dict):
        return None
    present = {name: body[name] for name in ("storage", "wiki", "atlas_doc_format") if body.get(name) is not None}
    flat = {name: body[name] for name in ("representation", "value") if body.get(name) is not None}
    if bool(present) == bool(flat) or len(present) > 1:
        return None
    for name, inner in present.items():
        flat = {"representation": _get(inner, "representation") or name, "value": _get(inner, "value")}
        if flat["representation"] != name:
            return None
    match flat:
        case {"representation": "storage", "value": str(value)}:
            return storage_text(value)
        case {"representation": "wiki", "value": str(value)}:
            return _wiki_text(value)
        case {"representation": "atlas_doc_format", "value": str(value)}:
            try:
                return adf_text(json.loads(value))
            except (ValueError, RecursionError):
                return None
    return None
