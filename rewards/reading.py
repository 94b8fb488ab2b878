"""Which issues the response to a read contains."""

from __future__ import annotations

from typing import Any

from rewards.matching import items, lookup
from rewards.provenance import was_answered
from rewards.trace import Call, Kind

GET = "getIssue"
SEARCHES = ("searchAndReconsileIssuesUsingJql", "searchAndReconsileIssuesUsingJqlPost")


def issues_in(call: Call) -> list[Any]:
    """The issues in the body of a successful getIssue or search, each as the API returned it."""
    if call.kind != Kind.READ or not was_answered(call):
        return []
    if call.name == GET:
        return [call.body]
    return items(lookup(call.body, "issues")) if call.name in SEARCHES else []
