"""Which issues the response to a read contains, and which of their fields it shows."""

from __future__ import annotations

from typing import Any

from rewards.matching import identifier, items, lookup, members
from rewards.provenance import was_answered
from rewards.trace import Call, Kind, Trace
from rewards.world import World

GET, COMMENTS = "getIssue", "getComments"
SEARCHES = ("searchAndReconsileIssuesUsingJql", "searchAndReconsileIssuesUsingJqlPost")
FIELDS = {"type": "issuetype", "comments": "comment"}
"""Attribute -> Jira's name of the field, where they differ."""


def issues_in(call: Call) -> list[Any]:
    """The issues in the body of a successful getIssue or search, each as the API returned it."""
    if call.kind != Kind.READ or not was_answered(call):
        return []
    if call.name == GET:
        return [call.body]
    return items(lookup(call.body, "issues")) if call.name in SEARCHES else []


def shown_issues(call: Call) -> set[str]:
    """The ids of the issues that a search shows."""
    if call.name not in SEARCHES:
        return set()
    ids = (identifier(lookup(issue, "id")) for issue in issues_in(call))
    return {id for id in ids if id is not None}


class Readings:
    """What a trace has read of issues. A trace whose searches show too many issues has found none by searching."""

    def __init__(self, world: World, trace: Trace, limit: int) -> None:
        searched = set[str]().union(*(shown_issues(call) for call in trace))
        self.searched = searched if len(searched) <= limit else set()
        """The issues that searches found."""
        self._fields: dict[str, set[str]] = {}
        """Issue -> the fields that were shown."""
        self._comments: dict[str, set[str]] = {}
        self._totals: dict[str, int] = {}
        for call in trace:
            if call.name == COMMENTS and call.kind == Kind.READ and was_answered(call):
                self._read_comments(world.id_of(lookup(call.arguments, "issueIdOrKey")), call.body)
            if call.name == GET or self.searched:
                for issue in issues_in(call):
                    self._read(identifier(lookup(issue, "id")), members(lookup(issue, "fields")))

    def _read(self, issue: str | None, fields: dict[str, Any]) -> None:
        if issue is None:
            return
        self._fields.setdefault(issue, set()).update(fields)
        if "comment" in fields:
            self._read_comments(issue, fields["comment"])

    def _read_comments(self, issue: str | None, page: Any) -> None:
        if issue is None:
            return
        ids = [identifier(lookup(comment, "id")) for comment in items(lookup(page, "comments"))]
        total = lookup(page, "total")
        self._comments.setdefault(issue, set()).update(id for id in ids if id is not None)
        self._totals[issue] = total if isinstance(total, int) else len(ids)

    def shows(self, issue: str, attribute: str) -> bool:
        """Whether some response shows an attribute of an issue: all its comments, in the case of comments."""
        if attribute == "comments":
            return issue in self._totals and len(self._comments[issue]) >= self._totals[issue]
        return FIELDS.get(attribute, attribute) in self._fields.get(issue, ())
