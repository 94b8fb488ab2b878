"""The shared pieces: matching, JQL, the provenance of ids, scores."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards import matching
from rewards.jql import identifiers, values
from rewards.matching import canonical, designates, identifier, lookup
from rewards.provenance import Ledger
from rewards.score import Score
from rewards.trace import Call, Kind
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


def ledger(request: str, trace: Sequence[Call] = (), silent: Sequence[int] = ()) -> Ledger:
    return Ledger(request, trace, silent, lambda issue: str(issue).split("-")[0].lower())


def test_ids_in_the_request() -> None:
    seen = ledger("On APB-12 and page 98305, see (NIM). The version is 2026-01-05 and v31.")
    for text in ("apb-12", "apb", "98305", "nim"):
        assert seen.before(0, (text,)), text
    for text in ("12", "98", "31", "apb-1", "pb-12", "9830"):
        assert not seen.before(0, (text,)), text


def test_ids_in_responses_count_from_the_next_turn_on() -> None:
    body = {
        "transitions": [{"name": "Close", "to": {"id": "10002", "name": "Done"}, "id": "31"}],
        "self": "https://site/rest/api/3/issue/10023",
        "comment": "See APB-7, PAGE 44 and the space ENG.",
        "total": 77,
        "spaceId": 98305,
    }
    trace = [
        Call("getIssue", {"issueIdOrKey": "APB-12"}, 404, {"id": "55"}, Kind.READ, 0),
        Call("getIssue", {"issueIdOrKey": "APB-12"}, 200, body, Kind.READ, 1),
        Call("addComment", {}, 201, {"id": "66"}, Kind.WRITE, 2),
        Call("getIssue", {}, 200, {"id": "88"}, Kind.READ, 3),
    ]
    seen = ledger("", trace, silent=[2])
    for text in ("31", "10002", "10023", "apb-7", "apb", "98305", "eng"):
        assert seen.before(2, (text,)), text
        assert not seen.before(1, (text,)), text
    for text in ("3", "44", "77", "55", "66", "88", "done", "close"):
        assert not seen.before(9, (text,)), text
    assert seen.transition_before(2, "apb", "31")
    assert not seen.transition_before(1, "apb", "31")
    assert not seen.transition_before(2, "apb", "10002")
    assert not seen.transition_before(2, "nim", "31")


@pytest.mark.parametrize("total", [7.0, -0.1, math.nan, math.inf, None, "1.0"])
def test_a_total_outside_the_unit_interval_is_refused(total: Any) -> None:
    with pytest.raises(ValueError, match="total"):
        Score(total, {})


def test_parts_of_none_are_refused() -> None:
    with pytest.raises(ValueError, match="parts None"):
        Score(0.5, None)  # type: ignore[arg-type]


def test_a_total_may_have_a_rounding_error() -> None:
    assert Score(1 + 2e-16, {}).total > 1.0
