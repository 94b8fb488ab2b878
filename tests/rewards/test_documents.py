"""The text of bodies as a reader sees it: concrete cases, two implementations, and what must not change a text.

The strategies below build a body together with the text that its reader sees, so neither reader is the judge of the
other. Each property has a negative control: a broken reader that it detects.
"""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rewards import documents, styles
from rewards.documents import OBJECT
from rewards.matching import lookup
from tests.support import reading
from tests.support.calls import document
from tests.support.confluence_site import DOCS, HOME, ConfluenceSite
from tests.support.tiers import examples

BOTH = (documents, reading)
SOME = settings(max_examples=examples(500), deadline=None, suppress_health_check=[HealthCheck.too_slow])
SEARCH = settings(
    max_examples=400,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""For negative controls: the same search each time, and no time for shrinking."""

STORAGE = [
    # White space
    ("<p>New\nmembers noticed</p>", "New members noticed"),
    ("<p>New&nbsp;members&#160; noticed\t</p>", "New members noticed"),
    ("<p>New&ensp;members</p>\n\n<p>noticed</p>", "New members\nnoticed"),
    ("<p>New mem&#8203;bers no&shy;ticed\ufeff</p>", "New members noticed"),
    ("<p>&#8238;New</p>", OBJECT + "New"),
    ("<p>New<br/>members<br>noticed</p>", "New\nmembers\nnoticed"),
    ("<pre>New\nmembers</pre>", "New\nmembers"),
    ("<p>New</p><p> </p><p>&nbsp;</p><p>members</p>", "New\nmembers"),
    # Elements of text
    ("<h1>New</h1><ul><li><p>members</p></li><li>noticed</li></ul>", "New\nmembers\nnoticed"),
    ("<table><colgroup><col/></colgroup><tbody><tr><th>New</th><td>members</td></tr></tbody></table>", "New\nmembers"),
    ("<p><b>N</b>e<code>w</code> <em><u>mem</u>bers</em> <a>noticed</a></p>", "New members noticed"),
    ('<p title="a > b">New</p>', "New"),
    ("<p title='<b>'>New</p>", "New"),
    ('<P STYLE="Text-Align: Center;">New</P>', "New"),
    ('<p style="color: #172b4d; margin-left: 30.0px">New</p>', "New"),
    # Not displayed
    ('<p style="display:none">New members</p>', ""),
    ('<p>New</p><p style="display: none;">members</p>', "New"),
    ("<p style='DISPLAY:&#110;one'>New</p>", ""),
    ('<p style="visibility: hidden">New <span style="visibility: visible">members</span></p>', "members"),
    ('<p style="font-size:0">New <em style="font-size: 2em">members</em></p>', ""),
    ('<p style="font-size:0px">New <em style="font-size: 12px">members</em></p>', "members"),
    ('<p style="opacity:0">New</p>', ""),
    ("<p hidden>New</p>", ""),
    ("<p>N<!-- > </p> -->ew</p><!-- <p>members</p> -->", "New"),
    *((f'<p style="color:{white}">New</p>', "") for white in ("white", "#fff", "#FFFFFF", "rgb(255, 255, 255)")),
    *((f'<p style="color:{clear}">New</p>', "") for clear in ("transparent", "#0000", "rgba(1,2,3,0)", "#fefefe")),
    ('<p style="color: white; background-color: black">New</p>', "New"),
    ('<p style="background: #000">New</p>', ""),
    ('<div style="color:red"><p style="background-color:#f00">New</p></div>', ""),
    # Displayed, but not as plain text
    *((f"<p>New <{tag}>members</{tag}></p>", f"New {OBJECT}") for tag in ("del", "s", "strike")),
    ('<p>New <span style="text-decoration: line-through">members</span></p>', f"New {OBJECT}"),
    ('<p><a href="https://example.org">New</a> members</p>', f"{OBJECT} members"),
    ('<p>New<img alt="members"/></p>', "New" + OBJECT),
    ('<p>New</p><ac:structured-macro ac:name="info"><p>members</p></ac:structured-macro>', "New\n" + OBJECT),
    (
        "<ac:link><ri:page ri:content-title='New'/><ac:plain-text-link-body><![CDATA[<p>New</p></ac:link>]]>"
        "</ac:plain-text-link-body></ac:link>",
        OBJECT,
    ),
    ("<p>New</p><hr/>", "New\n" + OBJECT),
    ('<p style="color:white">New <img/></p>', OBJECT),
    *((f"<p>New</p><{tag}>members</{tag}>", "New\n" + OBJECT) for tag in ("script", "style", "template", "title")),
    # Not understood
    ('<p style="position: absolute; left: -9999px">New</p>', OBJECT),
    ('<p style="color: snow">New</p>', OBJECT),
    ('<p style="font-size: 1px">New</p>', OBJECT),
    ('<p style="display: no ne">New</p>', OBJECT),
    ("<p>New</p><p", "New\n" + OBJECT),
    ('<p>New</p><p title="members</p>', "New\n" + OBJECT),
    ("<p>New</p><!-- members", "New\n" + OBJECT),
    ("<?xml version='1.0'?><p>New</p>", OBJECT + "\nNew"),
    ('<p>New</p><p style="display:none">members<p>noticed</p>', "New\n" + OBJECT * 2),
    ('<p style="display:none"/>New', OBJECT + "New"),
    ("a < b &amp;&lt; c <3", "a < b &< c <3"),
]


@pytest.mark.parametrize(("value", "text"), STORAGE)
@pytest.mark.parametrize("module", BOTH)
def test_storage_format(module: Any, value: str, text: str) -> None:
    assert module.storage_text(value) == text


def node(text: str, *marks: Any) -> dict[str, Any]:
    """A text node. A mark is a type, or (type, colour)."""
    list_of_marks = [{"type": m} if isinstance(m, str) else {"type": m[0], "attrs": {"color": m[1]}} for m in marks]
    return {"type": "text", "text": text, **({"marks": list_of_marks} if marks else {})}


def block(kind: str, *content: Any, **attributes: Any) -> dict[str, Any]:
    return {"type": kind, "content": list(content), **({"attrs": attributes} if attributes else {})}


def doc(*content: Any) -> dict[str, Any]:
    return {"type": "doc", "version": 1, "content": list(content)}


MENTION = {"type": "mention", "attrs": {"id": "712020:71752", "text": "Two users"}}
ADF = [
    ([block("paragraph", MENTION, node(" expected a delay"))], OBJECT + " expected a delay"),
    ([block("paragraph", node("Two\nusers \t"), node("\xa0expected"))], "Two users expected"),
    ([block("codeBlock", node("Two\nusers"))], "Two\nusers"),
    ([block("paragraph", node("Two"), {"type": "hardBreak"}, node("users"))], "Two\nusers"),
    ([block("paragraph", node("T", "strong"), node("w", "em", "underline"), node("o", "code"))], "Two"),
    ([block("paragraph", node("Two "), node("users", "strike"))], "Two " + OBJECT),
    ([block("paragraph", node("Two "), node("users", "link"))], "Two " + OBJECT),
    ([block("paragraph", node("Two "), node("users", "spoiler"))], "Two " + OBJECT),
    ([block("paragraph", node("Two", ("textColor", "#ff0000")), node("users", ("textColor", "#FFFFFF")))], "Two"),
    ([block("paragraph", node("Two", ("textColor", "#fff"), ("backgroundColor", "#000000")))], "Two"),
    ([block("paragraph", node("Two", ("textColor", "#123456"), ("backgroundColor", "#123456")))], ""),
    ([block("paragraph", node("Two", ("textColor", "ivory")))], OBJECT),
    ([block("paragraph", node("Two", "textColor"))], OBJECT),
    ([block("tableCell", block("paragraph", node("Two", ("textColor", "#deebff"))), background="#deebff")], ""),
    *(
        ([block("paragraph", node("Two"), {"type": kind, "attrs": {"text": "users"}})], "Two" + OBJECT)
        for kind in ("emoji", "inlineCard", "date", "status", "mediaInline", "inlineExtension", "unknown")
    ),
    ([block("bodiedExtension", block("paragraph", node("Two")))], OBJECT),
    ([block("mediaSingle", {"type": "media"}, block("caption", node("Two")))], OBJECT),
    ([block("panel", block("paragraph", node("Two")), panelType="info")], "Two"),
    ([block("expand", block("paragraph", node("Two")), title="users")], OBJECT + "\nTwo"),
    ([{"type": "text", "text": "Two", "marks": 5}, {"type": "text"}, 5], "\n".join([OBJECT] * 3)),
]


@pytest.mark.parametrize(("content", "text"), ADF)
@pytest.mark.parametrize("module", BOTH)
def test_adf(module: Any, content: list[Any], text: str) -> None:
    assert module.adf_text(doc(*content)) == text
    assert module.body_text({"representation": "atlas_doc_format", "value": json.dumps(doc(*content))}) == text


WIKI = [
    ("New  members\r\nnoticed\n\n\n", "New members\nnoticed"),
    ("h1. New members\n\nnoticed", "New members\nnoticed"),
    ("Wow! A follow-up of snake_case - and 2*3 * 4? (sign-in), well-known.", None),
    *((markup, OBJECT) for markup in ("*New*", "_New_", "{color:white}New{color}", "-New-", "!New.png!")),
    *((markup, OBJECT) for markup in ("[New|http://example.org]", "* New", "|New|", "bq. New", "New :)", "&nbsp;New")),
    ("New\nh1. members", "New\n" + OBJECT),
]


@pytest.mark.parametrize(("value", "text"), WIKI)
@pytest.mark.parametrize("module", BOTH)
def test_wiki_markup(module: Any, value: str, text: str | None) -> None:
    assert module.body_text({"representation": "wiki", "value": value}) == (value if text is None else text)


@pytest.mark.parametrize("module", BOTH)
def test_white_space_of_a_text(module: Any) -> None:
    assert module.plain_text(" New\n\xa0 mem\u200bbers\r\n") == "New members"


# Bodies with the text that a reader sees

Sample = tuple[str, str]
"""(storage format, text with any white space)"""
GAPS = st.sampled_from([" ", "  ", "\n", " \t\r\n", "\xa0", "&nbsp;", "&#160;", "&#xA0;", "&emsp;", "\u2009"])
NOTHING = st.sampled_from(["", "<!-- a -->", "<!--<p>-->", "<!-- </p> > -->", "&#8203;", "\xad", "\u2060", "<wbr/>"])
WORDS = st.text(alphabet="abcXY<>&\"'é/=", min_size=1, max_size=4)
HIDING = st.sampled_from(
    [
        *("hidden", "hidden='a>b'", 'style="display:none"', "style='color:red;display : NONE;'", "style=display:none"),
        *('style="opacity:0.0"', 'style="visibility:hidden"', 'style="font-size:0em"', 'style="color:#fff"'),
        *('style="color:white"', 'style="color: rgb(255,255,255)"', 'style="color:blue;background-color:#0000ff"'),
    ]
)
HARMLESS = st.sampled_from(
    ["", ' title="a>b"', " class='<p>'", ' style="text-align:left"', ' style="color:#333;"', " b=c"]
)
OBJECTS = [
    "<del{}>{}</del>",
    "<s{}>{}</s>",
    "<a href='x'{}>{}</a>",
    "<ac:link{}>{}</ac:link>",
    "<STRIKE{}>{}</STRIKE >",
]
OBJECTS += ["<img{}/>", "<u style='text-decoration:line-through'>{1}</u>", "<x-y{}>{}</x-y>", "<![CDATA[<p>]]>"]
OBJECTS += ["<span style='left:-1px'>{1}</span>"]
"""Patterns of elements that are OBJECT. They are filled with attributes and content."""


@st.composite
def words(draw: st.DrawFn) -> Sample:
    """Words with white space and characters of no width in between."""
    source = shown = ""
    for word in draw(st.lists(WORDS, min_size=1, max_size=3)):
        gap = draw(st.one_of(GAPS, st.just("")))
        quoted = html.escape(word, quote=draw(st.booleans()))
        source += draw(NOTHING) + gap + quoted
        shown += (" " if gap else "") + word
    return source, shown


@st.composite
def element(draw: st.DrawFn, inner: st.SearchStrategy[list[Sample]]) -> Sample:
    """An inline element around `inner`."""
    content = draw(inner)
    source, shown = "".join(one for one, _ in content), "".join(other for _, other in content)
    kind = draw(st.sampled_from(["text", "text", "hidden", "object"]))
    attributes = draw(HARMLESS)
    if kind == "text":
        tag = draw(st.sampled_from(["em", "strong", "code", "span", "a", "B", "sub"]))
        return f"<{tag}{attributes}>{source}</{tag}>", shown
    if kind == "hidden":
        # Elements that are OBJECT are displayed even in white.
        return f"<span {draw(HIDING)}>{draw(words())[0]}</span>", ""
    return draw(st.sampled_from(OBJECTS)).format(attributes if "style" not in attributes else "", source), OBJECT


BREAK = st.sampled_from([("<br/>", "\n"), ("<br>", "\n"), ("<br />", "\n")])
INLINE = st.recursive(st.one_of(words(), BREAK), lambda inner: element(st.lists(inner, max_size=3)), max_leaves=6)


@st.composite
def blocks(draw: st.DrawFn, inner: st.SearchStrategy[list[Sample]]) -> Sample:
    content = draw(inner)
    source, shown = "".join(one for one, _ in content), "".join(other for _, other in content)
    kind = draw(st.sampled_from(["text", "text", "text", "hidden", "object"]))
    if kind == "hidden":
        return f"<div style='display:none'>{source}</div>".replace("<p", "<h1").replace("</p>", "</h1>"), "\n"
    if kind == "object":
        return f"<ac:structured-macro ac:name='info'>{source}</ac:structured-macro>", OBJECT
    before, after = draw(st.sampled_from([("<div{}>", "</div>"), ("<ul><li{}>", "</li></ul>"), ("<td{}>", "</td>")]))
    return before.format(draw(HARMLESS)) + source + after, f"\n{shown}\n"


@st.composite
def paragraphs(draw: st.DrawFn) -> Sample:
    content = draw(st.lists(INLINE, max_size=3))
    source, shown = "".join(one for one, _ in content), "".join(other for _, other in content)
    tag = draw(st.sampled_from(["p", "h2"]))
    return f"<{tag}{draw(HARMLESS)}>{source}</{tag}>" + draw(NOTHING), f"\n{shown}\n"


BLOCK = st.recursive(paragraphs(), lambda inner: blocks(st.lists(inner, max_size=3)), max_leaves=5)
BODY = st.lists(BLOCK, max_size=3).map(lambda parts: ("".join(p[0] for p in parts), "".join(p[1] for p in parts)))


def lines(shown: str) -> str:
    """The text that is expected: no blank lines, one space for any white space."""
    return "\n".join(" ".join(line.split()) for line in shown.split("\n") if line.strip())


# ADF with the text that a reader sees

Nodes = tuple[list[Any], str]
PLAIN = st.sampled_from(["strong", "em", "code", "underline", ("textColor", "#ff5630"), ("textColor", "black")])
STRUCK = st.sampled_from(["strike", "link", "annotation", "textColor", ("textColor", "var(--x)")])
PALE = st.sampled_from(
    [("textColor", "#ffffff"), ("textColor", "White"), ("backgroundColor", "#000"), ("textColor", "#0000")]
)
INLINE_OBJECTS = st.sampled_from(
    ["mention", "emoji", "inlineCard", "date", "status", "media", "inlineExtension", "?", None]
)
BLOCK_OBJECTS = st.sampled_from(["rule", "mediaSingle", "extension", "bodiedExtension", "blockCard", "caption", "doc"])


@st.composite
def text_nodes(draw: st.DrawFn) -> Nodes:
    gap, word = draw(st.sampled_from(["", " ", "\n", "\xa0 ", "\t"])), draw(WORDS)
    marks = draw(st.lists(PLAIN, max_size=2))
    extra = draw(st.one_of(st.none(), st.none(), STRUCK, PALE))
    shown = gap + word
    if extra is not None:
        marks.insert(draw(st.integers(0, len(marks))), extra)
        marks = [m for m in marks if m == extra or m in ("strong", "em", "code", "underline")]
        shown = OBJECT if extra in ("strike", "link", "annotation", "textColor") or "var" in extra[1] else ""
    return [node(gap + draw(st.sampled_from(["", "\u200b", "\u2060"])) + word, *marks)], shown.replace("\n", " ")


@st.composite
def inline_objects(draw: st.DrawFn) -> Nodes:
    return [{"type": draw(INLINE_OBJECTS), "attrs": {"text": draw(WORDS)}, "text": draw(WORDS)}], OBJECT


INLINE_NODES = st.one_of(text_nodes(), text_nodes(), inline_objects(), st.just(([{"type": "hardBreak"}], "\n")))


def joined(parts: list[Nodes]) -> Nodes:
    return [one for nodes, _ in parts for one in nodes], "".join(shown for _, shown in parts)


@st.composite
def lines_of_nodes(draw: st.DrawFn) -> Nodes:
    kind = draw(st.sampled_from(["paragraph", "heading", "taskItem", "decisionItem", "codeBlock"]))
    if kind == "codeBlock":
        one, other = draw(WORDS), draw(WORDS)
        return [block(kind, node(f"{one}\n{other}"))], f"\n{one}\n{other}\n"
    nodes, shown = joined(draw(st.lists(INLINE_NODES, max_size=4)))
    return [block(kind, *nodes)], f"\n{shown}\n"


@st.composite
def containers(draw: st.DrawFn, inner: st.SearchStrategy[list[Nodes]]) -> Nodes:
    nodes, shown = joined(draw(inner))
    if draw(st.integers(0, 3)) == 0:
        return [block(draw(BLOCK_OBJECTS), *nodes)], f"\n{OBJECT}\n"
    kind = draw(st.sampled_from(["bulletList", "listItem", "panel", "expand", "tableCell", "blockquote"]))
    title = {"title": "Two"} if kind == "expand" and draw(st.booleans()) else {}
    return [block(kind, *nodes, **title)], f"\n{OBJECT if title else ''}\n{shown}\n"


NODES = st.recursive(lines_of_nodes(), lambda inner: containers(st.lists(inner, max_size=3)), max_leaves=5)
DOCUMENT = st.lists(NODES, max_size=3).map(joined)

Reader = Any
"""`rewards.documents`, `tests.support.reading`, or a broken copy."""


def check_storage(reader: Reader, sample: Sample) -> None:
    assert beside(reader.storage_text(sample[0])) == beside(lines(sample[1]))


def beside(text: str) -> str:
    """The text without line breaks between things that are not text: the samples do not say where these stand."""
    return re.sub(rf"(?<={OBJECT})\n(?={OBJECT})", "", text)


def check_adf(reader: Reader, sample: Nodes) -> None:
    assert reader.adf_text(doc(*sample[0])) == lines(sample[1])


@SOME
@given(BODY)
def test_storage_format_reads_as_it_was_built(sample: Sample) -> None:
    for reader in BOTH:
        check_storage(reader, sample)


@SOME
@given(DOCUMENT)
def test_adf_reads_as_it_was_built(sample: Nodes) -> None:
    for reader in BOTH:
        check_adf(reader, sample)


# Two implementations

MARKUP = """<p> </p> <p/> <b> </b> <br> </br> <br/> <!-- --> <!--x--> <![CDATA[ ]]> <a> </a> <del> </del> <pre> </pre>
    <div·hidden> </div> <a·href="x>y"> <img/> <li> </li> <P·ID=1> <p·a=" <p·style=x> </span> <colgroup> </colgroup>
    <col/> <? <! </ < > / & ; &amp; &# 99 &#x41; lt; " ' = a b { } [ ] * _ - ! | ? \\ bq. # h1. :) (x) :// ~""".split()
STYLES = """color:white color:#000 color:transparent color:red background:black background-color:#fff display:none ; :
    visibility:hidden visibility:visible font-size:0 font-size:2em font-size:12px font-size:medium opacity:0 opacity:1
    opacity:0.5 font-size:120% font-size:05px color:rgb(1,2,300) color:rgba(0,0,0,0.0) margin:0 width:100.0% width:0
    margin-left:-9px text-decoration:line-through display:block color:#ffff font-size:0.0pt opacity:100%""".split()
STYLED = st.lists(st.sampled_from(STYLES), max_size=3).map(lambda parts: f'<span style="{";".join(parts)}">')
TOKENS = st.one_of(
    st.sampled_from([token.replace("·", " ") for token in MARKUP]),
    st.sampled_from([" ", "\n", "\n\n", "\r", "\r\n", "\xa0", "\u200b", "\u202e", "\x85", "\ud800"]),
    STYLED,
)
GARBAGE = st.one_of(st.lists(TOKENS, max_size=14).map("".join), st.text(max_size=20))


def check_agreement(reader: Reader, value: str) -> None:
    for representation in ("storage", "wiki", "atlas_doc_format"):
        body = {"representation": representation, "value": value}
        assert reader.body_text(body) == reading.body_text(body)


@settings(SOME, max_examples=examples(2000))
@given(GARBAGE)
def test_both_read_any_string_alike(value: str) -> None:
    check_agreement(documents, value)


LOOSE = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=3), st.just({"type": "text", "text": "a"})),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.fixed_dictionaries(
            {
                "type": st.one_of(
                    inner, st.sampled_from(["paragraph", "panel", "text", "codeBlock", "hardBreak", "table"])
                )
            },
            optional={
                "content": st.one_of(inner, st.lists(inner, max_size=3)),
                "text": inner,
                "marks": st.one_of(inner, st.lists(st.fixed_dictionaries({"type": st.one_of(inner, st.just("em"))}))),
                "attrs": st.fixed_dictionaries({}, optional={"title": inner, "background": inner, "panelColor": inner}),
            },
        ),
    ),
    max_leaves=12,
)


@SOME
@given(st.lists(LOOSE, max_size=3), LOOSE)
def test_both_read_any_value_alike(content: list[Any], value: Any) -> None:
    for body in (doc(*content), value):
        assert documents.adf_text(body) == reading.adf_text(body)
    for body in ({"storage": value}, {"representation": value, "value": value}, value):
        assert documents.body_text(body) == reading.body_text(body)


# What must not change a text, and what must


def check_emphasis(reader: Reader, sample: Sample) -> None:
    """Emphasis of everything changes nothing."""
    assert reader.storage_text(f"<em>{sample[0]}</em>") == reader.storage_text(sample[0])


def check_comment(reader: Reader, sample: Sample) -> None:
    """A comment between two tags changes nothing."""
    assert reader.storage_text(sample[0].replace("><", "><!-- <del> -->" + "<")) == reader.storage_text(sample[0])


def check_hiding(reader: Reader, sample: Sample) -> None:
    """A part that is hidden is no part."""
    hidden = f"<div style='display:none'>{sample[0].replace('<p', '<h1').replace('</p>', '</h1>')}</div>"
    assert reader.storage_text(f"<p>a</p>{hidden}<p>b</p>") == reader.storage_text("<p>a</p><p>b</p>")


def check_white_space(reader: Reader, sample: Sample) -> None:
    """A line break in the source is white space like any other."""
    assert reader.storage_text(sample[0].replace(" ", "\n")) == reader.storage_text(sample[0])


def check_split(reader: Reader, sample: Nodes) -> None:
    """A text node may be split in two."""

    def split(item: Any) -> Any:
        content = lookup(item, "content")
        if not isinstance(content, list):
            return item
        halves: list[Any] = []
        for child in content:
            text = lookup(child, "text")
            if lookup(child, "type") == "text" and lookup(child, "marks") is None:
                halves += [{**child, "text": text[:1]}, {**child, "text": text[1:]}]
            else:
                halves.append(split(child))
        return {**item, "content": halves}

    whole = doc(*sample[0])
    assert reader.adf_text(split(whole)) == reader.adf_text(whole)


PROPERTIES: list[tuple[Callable[[Reader, Any], None], Any]] = [
    *((check_emphasis, BODY), (check_comment, BODY), (check_hiding, BODY), (check_white_space, BODY)),
    (check_split, DOCUMENT),
]


@pytest.mark.parametrize(("check", "samples"), PROPERTIES)
@pytest.mark.parametrize("reader", BOTH)
def test_what_changes_a_text(reader: Reader, check: Callable[[Reader, Any], None], samples: Any) -> None:
    @settings(SOME, max_examples=examples(150))
    @given(samples)
    def run(sample: Any) -> None:
        check(reader, sample)

    run()


class Broken:
    """`rewards.documents` with a change before or after it reads."""

    def __init__(self, before: Callable[[str], str] = str, after: Callable[[str], str] = str) -> None:
        self.before, self.after = before, after

    def storage_text(self, value: str) -> str:
        return self.after(documents.storage_text(self.before(value)))

    def adf_text(self, value: Any) -> str:
        return self.after(documents.adf_text(value) or "")


@pytest.mark.parametrize(
    ("check", "samples", "reader"),
    [
        (check_emphasis, BODY, Broken(lambda value: value.replace("<em>", "<del>"))),
        (check_comment, BODY, Broken(lambda value: value.replace("<!--", "").replace("-->", ""))),
        (check_hiding, BODY, Broken(lambda value: value.replace("display:none", "margin:0"))),
        (check_white_space, BODY, Broken(lambda value: value.replace("\n", "<br/>"))),
        (check_storage, BODY, Broken(after=lambda text: text.replace(OBJECT, ""))),
        (check_adf, DOCUMENT, Broken(after=lambda text: text.replace(OBJECT, ""))),
        (check_agreement, GARBAGE, reading),
    ],
)
def test_a_broken_reader_is_detected(check: Any, samples: Any, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    if reader is reading:
        monkeypatch.setitem(documents.READERS, "storage", lambda value: documents._tidy(value))
        reader = documents
    assert finds_a_fault(check, samples, reader)


def finds_a_fault(check: Callable[[Reader, Any], None], samples: Any, reader: Reader) -> bool:
    @SEARCH
    @given(samples)
    def run(sample: Any) -> None:
        check(reader, sample)

    try:
        run()
    except (AssertionError, ExceptionGroup):
        return True
    return False


def split_lines(document: Any) -> str:
    """A broken reader of ADF, which starts a line at each text."""
    texts = [child["text"] for line in document["content"] for child in line.get("content", []) if "text" in child]
    return "\n".join(texts)


def test_a_reader_that_breaks_lines_between_texts_is_detected() -> None:
    reader = Broken()
    reader.adf_text = split_lines  # type: ignore[method-assign]
    assert finds_a_fault(check_split, DOCUMENT, reader)


NEVER = re.compile("(?!)")
UNQUOTED = re.compile("[ /]*([^ />=]+)(?:=()()()([^ >]*))?")
"""Attributes without regard for quotation marks."""


@pytest.mark.parametrize(
    ("module", "name", "value", "check", "samples"),
    [
        (documents, "INVISIBLE", NEVER, check_storage, BODY),
        (documents, "INLINE_TAGS", documents.INLINE_TAGS | {"del"}, check_storage, BODY),
        (documents, "UNSEEN_TAGS", frozenset(), check_storage, BODY),
        (documents, "BLOCK_TAGS", documents.BLOCK_TAGS - {"h2"}, check_storage, BODY),
        (documents, "LINES", documents.LINES - {"heading"}, check_adf, DOCUMENT),
        (documents, "CONTAINERS", documents.CONTAINERS | {"bodiedExtension"}, check_adf, DOCUMENT),
        (documents, "PLAIN_MARKS", documents.PLAIN_MARKS | {"strike"}, check_adf, DOCUMENT),
        (documents, "PLAIN_MARKS", documents.PLAIN_MARKS | {"link"}, check_adf, DOCUMENT),
        (documents, "is_readable", lambda colour, background: True, check_adf, DOCUMENT),
        (styles, "is_readable", lambda colour, background: True, check_storage, BODY),
        (styles, "GONE_STYLE", NEVER, check_storage, BODY),
        (styles, "NO_SIZE", NEVER, check_storage, BODY),
        (styles, "SAFE_STYLE", re.compile(".*"), check_storage, BODY),
        (styles, "CONTRAST", 0, check_storage, BODY),
        (styles, "RELATIVE_SIZE", NEVER, check_agreement, GARBAGE),
        (documents, "ATTRIBUTE", UNQUOTED, check_storage, BODY),
    ],
)
def test_a_fault_in_the_reader_is_detected(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: Any, check: Any, samples: Any
) -> None:
    monkeypatch.setattr(module, name, value)
    assert finds_a_fault(check, samples, documents)


# The site, size and depth


@pytest.mark.parametrize(
    "body",
    [
        *({"representation": "storage", "value": value} for value, _ in STORAGE if value),
        {"representation": "wiki", "value": "h1. New members\n\nnoticed\nthis & that <b>"},
        {"representation": "atlas_doc_format", "value": json.dumps(document("New\nmembers <b>&amp;"))},
    ],
)
def test_a_page_reads_as_the_body_that_was_written(body: Any) -> None:
    site = ConfluenceSite()
    page = site.post("/pages", {"spaceId": DOCS, "parentId": HOME, "title": "New page", "body": body})
    assert page.status == 200
    read = site.get(f"/pages/{page.body['id']}", body_format="storage").body["body"]
    for reader in BOTH:
        assert reader.body_text(read) == documents.body_text(body)


@SOME
@given(GARBAGE)
def test_wiki_markup_never_reads_better_than_the_site_shows_it(value: str) -> None:
    """The site turns wiki markup into storage format. A text that is not plain in either is not plain here."""
    site = ConfluenceSite()
    body = {"representation": "wiki", "value": value}
    page = site.post("/pages", {"spaceId": DOCS, "parentId": HOME, "title": "New page", "body": body})
    read = site.get(f"/pages/{page.body['id']}", body_format="storage").body["body"]
    text = documents.body_text(body) or ""
    assert OBJECT in text or documents.body_text(read) == text


N = 20_000
"""At this length, quadratic time is minutes."""


@pytest.mark.parametrize(
    "value",
    [
        *("<b>" * N, "</b>" * N, "<b>" * N + "</i>" * N, "<p>" * N + "</p>" * N, "<" * N, "<!--" * N, "<![CDATA[" * N),
        *(
            "<p a=" * N,
            "<p " + "a='" * N,
            "<p " + " " * N,
            "<p " + "a " * N,
            "&#" * N,
            "&" * N,
            "&#9" + "9" * N,
            "\n" * N,
        ),
        *(
            "<p style='" + ";" * N + "'>",
            "<p style='color:rgb(" + " " * N + "'>",
            "*" * N,
            " *a" * N,
            "&a" * N,
            "- " * N,
        ),
        *("h1. " * N, "<p hidden>" * N, "<del>" * N, "<b/>" * N, "a\n\n" * N, "\\" * N, "(" * N),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_time_is_linear(value: str) -> None:
    start = time.process_time()
    for representation in ("storage", "wiki"):
        documents.body_text({"representation": representation, "value": value})
    assert time.process_time() - start < 10


def test_depth_does_not_matter() -> None:
    deep: Any = block("paragraph", node("a"))
    for _ in range(20_000):
        deep = block("panel", deep)
    assert documents.adf_text(doc(deep)) == "a"
    assert documents.storage_text("<b>" * N + "a" + "</b>" * N) == "a"
