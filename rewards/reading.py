"""Which issues the response to a read shows."""

from __future__ import annotations

from typing import Any

from rewards.matching import items, lookup
from rewards.provenance import answered
from rewards.trace import Call, Kind

GET = "getIssue"
SEARCHES = ("searchAndReconsileIssuesUsingJql", "searchAndReconsileIssuesUsingJqlPost")


def issues_shown(call: Call) -> list[Any]:
    """The issues in the body of a successful getIssue or search, each with its id, key and fields where shown."""
    if call.kind != Kind.READ or not answered(call):
        return []
    if call.name == GET:
        return [call.body]
    return items(lookup(call.body, "issues")) if call.name in SEARCHES else []
