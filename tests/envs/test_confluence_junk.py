"""Confluence answers every request with a response, whatever a client sends, and a refused request changes nothing."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from envs.site import adf
from envs.site.confluence.storage_format import adf_to_storage, storage_to_adf
from envs.site.http import OPERATIONS
from tests.support.confluence_site import COMMENT, DOCS, FLAT, GUIDE, HOME, NOTES, TEAM, ConfluenceSite
from tests.support.tiers import examples

WORDS = st.sampled_from(
    [DOCS, TEAM, HOME, GUIDE, NOTES, COMMENT, "DOC", "Guide", "current", "draft", "storage", "true", "1", "2", "3"]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 500) | st.just(2**70) | st.floats() | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = (
    "spaceId",
    "title",
    "status",
    "parentId",
    "body",
    "id",
    "version",
    "pageId",
    "parentCommentId",
    "name",
    "prefix",
    "ownerId",
)
BODY = st.one_of(
    JUNK,
    st.dictionaries(
        st.sampled_from(MEMBERS), JUNK | st.just(FLAT) | st.just({"number": 2}) | st.just({"storage": FLAT}), max_size=8
    ),
    st.lists(st.fixed_dictionaries({"prefix": WORDS | st.just("global"), "name": st.text(max_size=5)}), max_size=3),
)
NAMES = (
    "id",
    "space-id",
    "sort",
    "status",
    "title",
    "body-format",
    "cursor",
    "limit",
    "purge",
    "draft",
    "root-level",
    "version",
    "get-draft",
    "prefix",
    "name",
    "start",
    "keys",
    "ids",
    "depth",
    "include-labels",
    "include-versions",
    "label-id",
)
QUERY = st.dictionaries(st.sampled_from(NAMES), WORDS | st.text(max_size=6) | st.lists(WORDS, max_size=3), max_size=4)
CONFLUENCE = sorted(op.id for op in OPERATIONS.values() if op.path.startswith("/wiki"))


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(CONFLUENCE), WORDS | st.text(max_size=6), QUERY, BODY), min_size=3, max_size=12)
)
def test_anything_gets_a_response_and_a_refusal_changes_nothing(calls):
    site = ConfluenceSite()
    for operation_id, value, query, body in calls:
        operation = OPERATIONS[operation_id]
        path = operation.path
        for name in ("id", "label"):
            path = path.replace("{" + name + "}", value.replace("/", "%2F").replace("?", "%3F") or "0")
        before, clock = repr(site.state), site.state.clock
        response = site.request(operation.method, path, query, body)
        assert 200 <= response.status < 300 or 400 <= response.status < 500
        json.dumps(response.body)
        if response.status >= 400 or operation.method == "GET":
            assert repr(site.state) == before
        else:
            assert site.state.clock - clock in (0, 60)


MARKUP = st.lists(
    st.sampled_from(
        [
            "<p>",
            "</p>",
            "<ul>",
            "</ul>",
            "<ol>",
            "<li>",
            "</li>",
            "<h2>",
            "</h2>",
            "<b>",
            "</b>",
            "<em>",
            "<br/>",
            "<![x",
            "<!--",
            "-->",
            "&amp;",
            "&",
            "<",
            "a",
            "b c",
            "\n",
            "<x:y z='1'>",
            "</",
            "<?x",
            "<p/>",
        ]
    ),
    max_size=40,
).map("".join)


@settings(max_examples=examples(100), deadline=None)
@given(MARKUP | st.text(max_size=30) | st.integers(1, 400).map(lambda n: "<ul><li>" * n + "x"))
def test_any_storage_text_becomes_a_valid_document(text):
    document = storage_to_adf(text)
    assert adf.is_document(document)
    again = storage_to_adf(adf_to_storage(document))
    assert adf.text(again).split() == adf.text(document).split()


def test_an_invalid_document_is_noticed():
    assert not adf.is_document({**storage_to_adf("<p>a</p>"), "content": [{"type": "listItem", "content": []}]})
