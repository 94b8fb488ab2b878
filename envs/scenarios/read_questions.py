"""How `issue-read` asks for fields of an issue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envs.scenarios.drafting import Draft, reference
from envs.scenarios.issue_properties import values
from envs.scenarios.read_wording import (
    ASK,
    ASK_ITS,
    DIRECT,
    FORM_HEAD,
    FORM_KEY,
    FORM_SUMMARY,
    INTRO,
    LIST,
    QUESTION,
    TWO_DIRECT,
)
from envs.site.records import Issue

FIELDS = ("status", "priority", "type", "assignee", "reporter", "labels", "description", "resolution")
PLURAL = ("labels", "comments")


def short(issue: Issue) -> bool:
    """Whether an answer can quote all comments of an issue."""
    return len(issue.comments) < 3


def draw_fields(draft: Draft, issue: Issue | None = None, others: Sequence[Issue] = ()) -> list[str]:
    """What a request asks about an issue: its comments, or one or two fields.

    Where there are `others` that it may be mistaken for, it differs from each of them in a field that is asked for.
    """
    for _ in range(50):
        fields = ["comments"] if draft.rng.random() < 0.12 else draft.rng.sample(FIELDS, draft.rng.choice((1, 1, 2)))
        if issue is None or all(differ(draft, issue, other, fields) for other in others):
            return fields
    return ["description"]


def differ(draft: Draft, issue: Issue, other: Issue, fields: Sequence[str]) -> bool:
    return any(values(draft.state, issue, field) != values(draft.state, other, field) for field in fields)


def questions(draft: Draft, issue: Issue, fields: list[str]) -> list[dict[str, Any]]:
    return [
        {"issue": reference(issue), "field": field, "values": values(draft.state, issue, field)} for field in fields
    ]


def verb(fields: list[str], prefix: str = "", suffix: str = "") -> dict[str, str]:
    """The slots of `who is` or `what are` before the fields."""
    be = "are" if len(fields) > 1 or fields[0] in PLURAL else "is"
    who = "who" if set(fields) <= {"assignee", "reporter"} else "what"
    return {f"{prefix}who{suffix}": who, f"{prefix}be{suffix}": be}


def what(draft: Draft, fields: list[str]) -> str:
    """`the status`, or `the status and the priority`."""
    if len(fields) == 1:
        return f"the {fields[0]}"
    return draft.part(LIST, first=fields[0], second=fields[1])


def direct(draft: Draft, issue: str, fields: list[str]) -> str:
    """A question with words of its field: `who reported FOX-1`."""
    return draft.part(DIRECT[fields[0]], issue=issue)


def ask(draft: Draft, issue: str, fields: list[str], pronouns: bool = True) -> list[str]:
    """The sentences that ask for fields of an issue. Without `pronouns` no "it" has to refer to the issue."""
    way = draft.rng.random()
    if way < 0.35 and (len(fields) == 1 or pronouns):
        first = direct(draft, issue, fields[:1])
        if len(fields) == 1:
            return [draft.phrase(QUESTION, question=first)]
        return [draft.phrase(TWO_DIRECT, first=first, second=direct(draft, "it", fields[1:]))]
    if way < 0.6 and pronouns:
        return [draft.phrase(INTRO, issue=issue), ask_its(draft, fields)]
    return [draft.phrase(ASK, issue=issue, what=what(draft, fields), **verb(fields))]


def ask_its(draft: Draft, fields: list[str]) -> str:
    if len(fields) == 1 and draft.rng.random() < 0.4:
        return draft.phrase(QUESTION, question=direct(draft, "it", fields))
    return draft.phrase(ASK_ITS, bare=" and ".join(fields), **verb(fields))


def form(draft: Draft, issue: Issue, fields: list[str], by_key: bool) -> str:
    listed, head = ", ".join(fields), draft.phrase(FORM_HEAD)
    if by_key:
        return f"{head}\n{draft.phrase(FORM_KEY, issue=issue.key, fields=listed)}\n"
    project = draft.state.projects[issue.project_id]
    name = draft.rng.choice((project.key, project.name))
    return f"{head}\n{draft.phrase(FORM_SUMMARY, project=name, summary=issue.summary, fields=listed)}\n"
