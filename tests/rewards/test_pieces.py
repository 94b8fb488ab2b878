"""The shared pieces: matching, documents, JQL, the provenance of ids, label edits, scores."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards import matching
from rewards.compose import economy
from rewards.documents import OBJECT, adf_text, body_text, storage_text
from rewards.jql import identifiers, values
from rewards.matching import canonical, designates, identifier, lookup
from rewards.provenance import IN_REQUEST, Ledger
from rewards.score import Score
from rewards.trace import Call, Kind
from rewards.writing import changes, label_steps
from tests.support.calls import document, read, transitions, write
from tests.support.tiers import examples
from tests.support.traces import garbage

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text(max_size=4), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)
SOME = settings(max_examples=examples(100), deadline=None)


@SOME
@given(JSON, JSON)
def test_canonical_forms_are_equal_exactly_for_equal_values(one: Any, other: Any) -> None:
    """A number and its text have the same form, so the comparison replaces numbers by their text."""
    same = json.dumps(_texts(one), sort_keys=True) == json.dumps(_texts(other), sort_keys=True)
    assert (canonical(one) == canonical(other)) == same


def _texts(value: Any) -> Any:
    """The value with numbers as the text that identifies them."""
    if isinstance(value, dict):
        return {name: _texts(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_texts(element) for element in value]
    return identifier(value) or repr(value) if isinstance(value, float) else value


def test_canonical_form_ignores_the_order_of_members_and_the_type_of_ids() -> None:
    assert canonical({"b": [1, "x"], "a": {"id": 5}}) == canonical({"a": {"id": "5"}, "b": ["1", "x"]})
    assert canonical({"a": None}) != canonical({}) != canonical([])
    assert canonical(["a", "b"]) != canonical([["a"], "b"]) != canonical(["ab"])
    assert canonical(True) != canonical(1)


@SOME
@given(garbage())
def test_canonical_form_accepts_any_value(value: Any) -> None:
    assert canonical(value) == canonical(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(("APB-12", "apb-12"), (10023, "10023"), ("10023", "10023"), (10023.0, "10023"), ("", None), (None, None)),
        *(
            (True, None),
            (0, "0"),
            (float("nan"), None),
            (float("inf"), None),
            ([], None),
        ),
    ],
)
def test_identifier(value: Any, text: str | None) -> None:
    assert identifier(value) == text


def test_identifier_of_a_number_that_python_refuses_to_print() -> None:
    assert identifier(1 << 20_000) == hex(1 << 20_000)


def test_matching_of_references() -> None:
    project = {"id": "10000", "key": "APB"}
    for match in ({"id": 10000}, {"key": "apb"}, {"id": "10000", "key": "APB"}, {"key": "APB", "name": "Apollo"}):
        assert designates(match, project, ("id", "key"))
    for mismatch in ({}, {"id": 1}, {"id": None, "key": "APB"}, {"id": "10000", "key": "NIM"}, "APB", None, ["APB"]):
        assert not designates(mismatch, project, ("id", "key"))
    assert lookup({"a": {"b": 1}}, "a", "b") == 1
    assert lookup({"a": [1]}, "a", "b") is None
    assert not any(map(matching.is_present, (None, "", [], {}, {"accountId": None})))
    assert all(map(matching.is_present, (0, False, "x", {"accountId": "x"}, [None])))


TEXT = {"type": "text", "text": "one"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "paragraph", "content": [TEXT, {**TEXT, "marks": [{"type": "strong"}]}]}], "oneone"),
        ([{"type": "paragraph", "content": [TEXT]}, {"type": "heading", "content": [TEXT]}], "one\none"),
        ([{"type": "paragraph", "content": [TEXT, {"type": "hardBreak"}, TEXT]}], "one\none"),
        (
            [
                {
                    "type": "bulletList",
                    "content": [{"type": "listItem", "content": [{"type": "paragraph", "content": [TEXT]}]}],
                }
            ],
            "one",
        ),
        (
            [{"type": "paragraph", "content": [TEXT, {"type": "mention", "attrs": {"id": "5", "text": "@Ann"}}]}],
            "one" + OBJECT,
        ),
        ([{"type": "paragraph", "content": [TEXT]}, {"type": "rule"}], "one\n" + OBJECT),
        ([{"type": "paragraph", "content": [TEXT]}, {"type": "paragraph", "content": []}], "one"),
        ([{"type": "paragraph", "content": [{"type": "text", "text": " one  two "}]}], "one two"),
        ([{"type": "paragraph", "content": [{"type": "status", "attrs": {"text": "one"}}]}], OBJECT),
        ([{"type": "paragraph", "content": [{"type": "emoji", "attrs": {"text": "one"}}]}], OBJECT),
        ([{"type": "mediaSingle", "content": [{"type": "media"}]}], OBJECT),
        ([{"type": "expand", "attrs": {"title": "More"}, "content": []}], OBJECT),
        ([{"type": "text", "text": 5}], OBJECT),
        ([], ""),
        (["one", None, {"type": ["paragraph"]}], "\n".join([OBJECT] * 3)),
    ],
)
def test_text_of_documents(content: Any, text: str) -> None:
    assert adf_text({"type": "doc", "version": 1, "content": content}) == text


@pytest.mark.parametrize("value", [None, "one", [], {}, {"type": "doc"}, {"type": "paragraph", "content": [TEXT]}])
def test_a_value_that_is_not_a_document_has_no_text(value: Any) -> None:
    assert adf_text(value) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(("<p>one</p>", "one"), ("one", "one"), ("<p>a &lt;b&gt; &amp; c</p>\n", "a <b> & c"), ("a < b", "a < b")),
        *(
            ("<p>one</p><p>two</p>", "one\ntwo"),
            ("<p>one<br/>two</p>", "one\ntwo"),
            ("<p><strong>o</strong>ne</p>", "one"),
        ),
        *(("<h1>one</h1><ul><li>two</li></ul>", "one\ntwo"), ("<p>one<ac:emoticon /></p>", "one" + OBJECT)),
        *(
            ("<p>one</p><!-- two -->", "one"),
            ("<p> one&nbsp; two </p>", "one two"),
            ("<![CDATA[one]]>", OBJECT),
            ("", ""),
            ("<p>one</p><img>", "one\n" + OBJECT),
        ),
        pytest.param("&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";", id="a huge reference"),
    ],
)
def test_text_of_storage(value: str, text: str) -> None:
    assert storage_text(value) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"representation": "storage", "value": "<p>one</p>"}, "one"),
        ({"storage": {"value": "<p>one</p>"}}, "one"),
        ({"storage": {"value": "<p>one</p>", "representation": "storage"}}, "one"),
        ({"representation": "wiki", "value": "one"}, "one"),
        ({"representation": "atlas_doc_format", "value": json.dumps(document("one"))}, "one"),
        ({"atlas_doc_format": {"value": json.dumps(document("one"))}}, "one"),
        ({"storage": {"value": "<p>one</p>", "representation": "wiki"}}, None),
        ({"storage": {"value": "one"}, "wiki": {"value": "one"}}, None),
        ({"storage": {"value": "one"}, "value": "one"}, None),
        ({"representation": "view", "value": "one"}, None),
        ({"value": "one"}, None),
        ({"representation": ["storage"], "value": "one"}, None),
        ({"representation": "atlas_doc_format", "value": "["}, None),
        pytest.param({"representation": "atlas_doc_format", "value": "[" * 50_000}, None, id="a deep text"),
        ("<p>one</p>", None),
        (None, None),
    ],
)
def test_text_of_bodies(body: Any, text: str | None) -> None:
    assert body_text(body) == text


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("key = APB-12", [("key", "APB-12")]),
        ('"Epic Link" = APB-3 AND status != Done', [("epic link", "APB-3"), ("status", "Done")]),
        ("parent in (APB-3, 'APB 4') ORDER BY key", [("parent", "APB-3"), ("parent", "APB 4")]),
        ("key NOT IN (APB-3) OR NOT project = APB", [("key", "APB-3"), ("project", "APB")]),
        ("assignee is not EMPTY AND reporter = currentUser()", []),
        ('summary ~ "key = APB-9" AND created > -3d', [("created", "-3d")]),
        ("issue in linkedIssues(APB-5)", [("issue", "APB-5")]),
        ('project = "say \\"hi\\""', [("project", 'say "hi"')]),
        ("= APB-1", []),
        ("key =", []),
        ("key in (APB-1, (APB-2", [("key", "APB-1"), ("key", "APB-2")]),
        ("", []),
    ],
)
def test_values_in_queries(query: str, pairs: list[tuple[str, str]]) -> None:
    assert list(values(query)) == pairs


def test_identifiers_in_queries() -> None:
    assert list(identifiers("project = APB AND type = Bug AND id = 10023")) == [("APB", True), ("10023", False)]
    assert list(identifiers("assignee = Ann AND reporter = 5b10a2844c20165700ede21g")) == [
        ("5b10a2844c20165700ede21g", False)
    ]


@SOME
@given(st.text(alphabet="ab =!~<>()'\",\\1-", max_size=30))
def test_any_text_can_be_read_as_a_query(query: str) -> None:
    list(identifiers(query))


def test_ids_in_the_request() -> None:
    ledger = Ledger("On APB-12 and page 98305, see (NIM). The version is 2026-01-05 and v31.", ())
    for text in ("apb-12", "apb", "98305", "nim"):
        assert ledger.before(0, (text,)), text
    for text in ("12", "98", "31", "apb-1", "pb-12", "9830"):
        assert not ledger.before(0, (text,)), text
    assert not ledger.transition_before(5, "12")
    assert Ledger("Use transition 31.", ()).transition_before(IN_REQUEST + 1, "31")


def test_ids_in_responses_count_from_the_next_call_on() -> None:
    body = {
        "transitions": [{"name": "Close", "to": {"id": "10002", "name": "Done"}, "id": "31"}],
        "self": "https://site/rest/api/3/issue/10023",
        "comment": "See APB-7, PAGE 44 and the space ENG.",
        "total": 77,
        "spaceId": 98305,
    }
    trace = [
        Call("getIssue", {"issueIdOrKey": "APB-12"}, 404, {"id": "55"}, Kind.READ),
        Call("getIssue", {"issueIdOrKey": "APB-12"}, 200, body, Kind.READ),
        Call("addComment", {}, 201, {"id": "66"}, Kind.WRITE),
        Call("getIssue", {}, 200, {"id": "88"}, Kind.READ),
    ]
    ledger = Ledger("", trace, silent=[2])
    for text in ("31", "10002", "10023", "apb-7", "apb", "98305", "eng"):
        assert ledger.before(2, (text,)), text
        assert not ledger.before(1, (text,)), text
    for text in ("3", "44", "77", "55", "66", "88", "done", "close"):
        assert not ledger.before(9, (text,)), text
    assert ledger.transition_before(2, "31")
    assert not ledger.transition_before(2, "10002")
    assert ledger.target("31") == "Done"
    assert ledger.named_before(2, "close", "31")
    assert not ledger.named_before(1, "close", "31")


def test_transitions_of_another_issue_are_not_those_of_the_issue() -> None:
    trace = [read("getTransitions", {"issueIdOrKey": "NIM-4"}, transitions(("Close", "Done", "31")))]
    assert Ledger("", trace, issue={"nim-4"}).transition_before(1, "31")
    assert not Ledger("", trace, issue={"apb-12"}).transition_before(1, "31")


@pytest.mark.parametrize(
    ("arguments", "result", "errors"),
    [
        ({"fields": {"labels": ["x"]}}, {"x"}, 0),
        ({"fields": {"labels": None}}, set(), 0),
        ({"fields": {"labels": "x"}}, {"a", "b"}, 1),
        ({"fields": {"labels": ["x", 5]}}, {"a", "b"}, 1),
        ({"update": {"labels": [{"add": "x"}, {"remove": "a"}]}}, {"b", "x"}, 0),
        ({"update": {"labels": [{"add": "x", "remove": "a"}]}}, {"b", "x"}, 0),
        ({"update": {"labels": [{"add": "x", "remove": "x"}]}}, {"a", "b"}, 1),
        ({"update": {"labels": [{"set": ["x"], "add": "y"}]}}, {"a", "b"}, 1),
        ({"update": {"labels": [{"set": ["x"]}, {"add": "y"}]}}, {"x", "y"}, 0),
        ({"update": {"labels": [{"replace": "x"}, "add", {}]}}, {"a", "b"}, 3),
        ({"update": {"labels": {"add": "x"}}}, {"a", "b"}, 0),
        (None, {"a", "b"}, 0),
    ],
)
def test_labels_after_an_edit(arguments: Any, result: set[str], errors: int) -> None:
    steps = label_steps(changes(arguments))
    assert steps.apply(frozenset({"a", "b"})) == result
    assert steps.errors == errors


@pytest.mark.parametrize(
    ("successes", "failures", "required", "achieved", "expected"),
    [
        *((1, 0, 1, True, 1.0), (3, 0, 1, True, 1 / 3), (3, 0, 2, True, 2 / 3), (1, 0, 2, False, 1.0)),
        *((1, 3, 1, True, 1.0), (1, 3, 1, False, 1 / 4), (0, 2, 1, False, 1 / 2), (0, 0, 1, False, 1.0)),
    ],
)
def test_economy_of_writes(successes: int, failures: int, required: int, achieved: bool, expected: float) -> None:
    """Failed writes count until the goal is achieved. Reads never count."""
    failure, lookup = write("createIssue", {}, 400), read("getIssue", {}, {})
    trace = [lookup, *[failure] * failures, *[write("createIssue", {})] * successes]
    assert economy(trace, required, achieved) == expected


@pytest.mark.parametrize("total", [7.0, -0.1, math.nan, math.inf, None, "1.0"])
def test_a_total_outside_the_unit_interval_is_refused(total):
    with pytest.raises(ValueError, match="total"):
        Score(total, {})


def test_parts_of_none_are_refused():
    with pytest.raises(ValueError, match="parts None"):
        Score(0.5, None)  # type: ignore[arg-type]


def test_a_total_may_have_a_rounding_error():
    assert Score(1 + 2e-16, {}).total > 1.0
