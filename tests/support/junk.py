"""Hypothesis strategies for clients' mistakes: arbitrary JSON, and valid bodies with one damaged place."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 10**30, -(10**19), 2**63]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", " ", "\n", "-1", "10001", "٣", "a b", "x" * 300, "\ud800", "{}", "*all", "%2F", "../.."]),
)
keys = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["id", "key", "name", "type", "content", "accountId", "fields", "update", "add", "set", "status"]),
)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3),
        st.dictionaries(st.integers(), inner, max_size=1),
    ),
    max_leaves=8,
)
"""JSON values, and a few that are not JSON: NaN, integer keys."""


def nested_document(depth: int) -> dict[str, Any]:
    """An ADF-like document with `depth` nested lists."""
    node: dict[str, Any] = {"type": "paragraph", "content": [{"type": "text", "text": "deep"}]}
    for _ in range(depth):
        node = {"type": "bulletList", "content": [{"type": "listItem", "content": [node]}]}
    return {"type": "doc", "version": 1, "content": [node]}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    places = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            places += _places(item, (*path, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            places += _places(item, (*path, index))
    return places


@st.composite
def damages(draw: st.DrawFn, valid: Any) -> Any:
    """Copies of `valid` in which one value is replaced by junk or removed, or one object has a junk member."""
    body = copy.deepcopy(valid)
    path = draw(st.sampled_from(_places(body)))
    if not path:
        return draw(junk)
    parent = body
    for step in path[:-1]:
        parent = parent[step]
    action = draw(st.sampled_from(["replace", "remove", "add"]))
    if action == "remove":
        del parent[path[-1]]
    elif action == "add" and isinstance(parent, dict):
        parent[draw(keys)] = draw(junk)
    else:
        parent[path[-1]] = draw(junk)
    return body
