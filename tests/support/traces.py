"""Hypothesis strategies for traces: garbage, and mutations of traces that were played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from envs.tools import TOOLS
from rewards.trace import Call, Kind

NAMES = (*sorted(TOOLS), "getIssueByKey", "")
MEMBERS = (
    *("fields", "update", "labels", "issueIdOrKey", "id", "key", "transition", "transitions", "resolution", "comment"),
    *("comments", "issues", "results", "body", "value", "representation", "storage", "project", "parent", "jql"),
    *("add", "remove", "set", "accountId", "assignee", "spaceId", "parentId", "title", "type", "content", "text", "to"),
    *("name", "total", "expand", "description", "atlas_doc_format", "summary", "issuetype", "status", "version"),
)
WORDS = (
    *("APB-12", "NIM-4", "10023", "10057", "31", "APB", "98305", "doc", "paragraph", "status", "*all", "-comment"),
    *(
        "key = APB-12",
        "parent in (1, (2",
        'project = "',
        "storage",
        "</p><p",
        "&#x;",
        "<![CDATA[",
        "\ud800",
        "*",
        "Done",
    ),
)


def scalars() -> st.SearchStrategy[Any]:
    """Scalars that Python's JSON parser can produce, and strings that checkers look for."""
    integers = st.sampled_from([10**18, -(10**30), 31, 10023, -1, 0])
    odd = st.sampled_from([float("nan"), float("inf"), 1e300, 10023.0, 0.5, True, False, None])
    return st.one_of(integers, odd, st.sampled_from(WORDS), st.text(max_size=8))


def garbage() -> st.SearchStrategy[Any]:
    """Values of any shape; the names of members may have any type."""
    names = st.one_of(st.sampled_from(MEMBERS), st.sampled_from([0, None, True, (1, 2), 2.5]), st.text(max_size=3))
    return st.recursive(
        scalars(),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=5)),
        max_leaves=12,
    )


def garbage_calls() -> st.SearchStrategy[Call]:
    """Calls whose members may have any type."""
    odd_names = st.sampled_from([None, 7, ["getIssue"], {"name": "x"}])
    statuses = st.one_of(st.sampled_from([200, 201, 204, 400, 404]), st.sampled_from([None, "200", True, 200.0, -1]))
    kinds = st.one_of(st.sampled_from(list(Kind)), st.sampled_from([None, "read", "nonsense", ["write"]]))
    return st.builds(
        Call, st.one_of(st.sampled_from(NAMES), odd_names), garbage(), statuses, garbage(), kinds, st.integers(0, 9)
    )


@st.composite
def mutations(draw: st.DrawFn, trace: Sequence[Call]) -> list[Call]:
    """A trace after up to five changes to calls, arguments, statuses or their order. No site gave such responses."""
    changed = list(trace)
    for _ in range(draw(st.integers(0, 5))):
        changed = draw(_mutation(changed))
    return changed


@st.composite
def _mutation(draw: st.DrawFn, trace: Sequence[Call]) -> list[Call]:
    """The trace after one change."""
    if not trace:
        return [draw(garbage_calls())]
    place = draw(st.integers(0, len(trace) - 1))
    before, call, after = list(trace[:place]), trace[place], list(trace[place + 1 :])
    action = draw(st.sampled_from(["drop", "copy", "swap", "insert", "status", "arguments", "body", "name", "kind"]))
    if action == "drop":
        return before + after
    if action == "copy":
        return [*before, call, *after, call]
    if action == "swap":
        return [*after, call, *before]
    if action == "insert":
        return [*before, draw(garbage_calls()), call, *after]
    if action == "status":
        return [*before, replace(call, status=draw(st.sampled_from([200, 204, 400, 404]))), *after]
    if action == "name":
        return [*before, replace(call, name=draw(st.sampled_from(NAMES))), *after]
    if action == "kind":
        return [*before, replace(call, kind=draw(st.sampled_from(list(Kind)))), *after]
    return [*before, replace(call, **{action: draw(_change(getattr(call, action)))}), *after]


@st.composite
def _change(draw: st.DrawFn, value: Any, depth: int = 0) -> Any:
    """A value after one change: a part is dropped, replaced, added or moved up a level."""
    if isinstance(value, dict) and value and depth < 20:
        name = draw(st.sampled_from(list(value)))
        rest = {key: member for key, member in value.items() if key != name}
        action = draw(st.sampled_from(["inside", "drop", "replace", "hoist", "extra"]))
        if action == "drop":
            return rest
        if action == "hoist" and isinstance(value[name], dict):
            return {**rest, **value[name]}
        if action == "extra":
            return {**value, draw(st.sampled_from(MEMBERS)): draw(scalars())}
        if action == "inside":
            return {**value, name: draw(_change(value[name], depth + 1))}
        return {**value, name: draw(garbage())}
    if isinstance(value, list) and value and depth < 20:
        place = draw(st.integers(0, len(value) - 1))
        if draw(st.booleans()):
            return value[:place] + value[place + 1 :]
        return [*value[:place], draw(_change(value[place], depth + 1)), *value[place + 1 :]]
    return draw(scalars())
