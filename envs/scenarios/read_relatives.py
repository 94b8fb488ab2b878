"""`issue-read`: questions about an issue's parent, or about the issue that another one is linked to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envs.phrasing import Frames
from envs.scenarios.decoys import decoy, is_asked
from envs.scenarios.drafting import Draft
from envs.scenarios.issue_reference import (
    around,
    has_own_summary,
    issue_phrase,
    lookups,
    mention,
    sentences,
)
from envs.scenarios.read_questions import (
    ask,
    draw_fields,
    questions,
)
from envs.scenarios.read_wording import (
    LINKED,
    LINKED_SHORT,
    PARENT,
)
from envs.site.records import Issue, IssueLink

Drawn = tuple[str, dict[str, Any]]


def parent(draft: Draft) -> Drawn:
    state, own = draft.state, has_own_summary(draft)
    child = draft.issue(lambda issue: own(issue) and issue.parent_id is not None)
    if is_asked(draft):
        return _chosen_relative(draft, child, lambda issue: issue.parent_id, PARENT, {"kind": "parent"})
    assert child.parent_id
    return _related(draft, child, state.issues[child.parent_id], PARENT, {"kind": "parent"})


def linked(draft: Draft) -> Drawn:
    """A question about the only issue that another one is linked to in one way; it may be linked in others too."""
    rng, state, own = draft.rng, draft.state, has_own_summary(draft)
    issue = draft.issue(lambda issue: own(issue) and bool(_single_links(issue)))
    link = rng.choice(_single_links(issue))
    if rng.random() < 0.5:
        ways = [(id, outward) for id in state.link_types for outward in (True, False)]
        id, outward = rng.choice([way for way in ways if _relation(draft, *way) != _relation(draft, *_way(link))])
        third = draft.issue(lambda other: other.id not in (issue.id, link.other))
        ends = (third, issue) if outward else (issue, third)
        body = {"type": {"id": id}, "inwardIssue": {"key": ends[0].key}, "outwardIssue": {"key": ends[1].key}}
        draft.write("POST", "/rest/api/3/issueLink", body)
    relation, inverse = _relation(draft, *_way(link))
    plan = {"kind": "link", "relation": relation}
    target = state.issues[link.other]
    if is_asked(draft):

        def relative(issue: Issue) -> str | None:
            return next((each.other for each in issue.links if _way(each) == _way(link)), None)

        return _chosen_relative(draft, state.issues[issue.id], relative, LINKED_SHORT, plan, inverse=inverse)
    return _related(draft, state.issues[issue.id], target, LINKED, plan, relation=relation, inverse=inverse)


def _way(link: IssueLink) -> tuple[str, bool]:
    return link.type_id, link.outward


def _relation(draft: Draft, type_id: str, outward: bool) -> tuple[str, str]:
    """(`blocks`, `is blocked by`): what an issue does to the other end of its link, and that end to it."""
    _, inward_text, outward_text = draft.state.link_types[type_id]
    return (inward_text, outward_text) if outward else (outward_text, inward_text)


def _single_links(issue: Issue) -> list[IssueLink]:
    ways = [_way(link) for link in issue.links]
    return [link for link in issue.links if ways.count(_way(link)) == 1]


def _related(draft: Draft, start: Issue, target: Issue, frames: Frames, plan: dict[str, Any], **slots: str) -> Drawn:
    """A question about `target`, which the request describes by its relation to `start`."""
    by_key = draft.rng.random() < 0.5
    fields = draw_fields(draft)
    if target.comments[2:]:
        fields = ["status"]
    phrase = draft.part(frames, issue=issue_phrase(draft, start, by_key), **slots)
    goal = {
        "questions": questions(draft, target, fields),
        "lookups": [*lookups(start, by_key), [target.id, target.key]],
        "plan": {**plan, "start": start.id},
    }
    return sentences(draft, *ask(draft, phrase, fields, pronouns=False)), goal


def _chosen_relative(
    draft: Draft,
    start: Issue,
    relative: Callable[[Issue], str | None],
    frames: Frames,
    plan: dict[str, Any],
    **slots: str,
) -> Drawn:
    """Sentences choose an issue, and usually whether it or its `relative` is meant."""
    rng, state = draft.rng, draft.state
    by_key = rng.random() < 0.7
    # The request must not name the issue that is to be found.
    known = (start.id, relative(start))
    try:
        meant = mention(draft, start, by_key, similar=lambda issue: bool(relative(issue)) and issue.id not in known)
    except IndexError:
        meant = mention(draft, start, True, similar=lambda issue: issue.id not in known)
    other = state.issues[relative(start) or ""]
    phrase, itself = (
        draft.part(frames, issue=meant.phrase, **slots),
        meant.phrase.replace(meant.that, f"{meant.that} itself", 1),
    )
    choices, note = list(meant.choices), meant.note
    target, plan = other, {**plan, "start": start.id}
    if rng.random() < 0.8:
        if rng.random() < 0.5:
            target, other, plan = start, other, {"kind": "plain"}
        one, two = (itself, phrase) if target is start else (phrase, itself)
        choices.append(decoy(draft, "one to look at", one, two))
        phrase = "the one to look at"
    fields = ["status"] if target.comments[2:] else draw_fields(draft, target, (start if target is other else other,))
    found = [] if target is start else [[target.id, target.key]]
    goal = {
        "questions": questions(draft, target, fields),
        "lookups": [*lookups(start, meant.by_key), *found],
        "plan": {**plan, "note": note},
    }
    return sentences(draft, *around(draft, choices, ask(draft, phrase, fields, pronouns=False))), goal


def no_parent(draft: Draft) -> Drawn:
    own = has_own_summary(draft)
    issue = draft.issue(lambda issue: own(issue) and not issue.parent_id)
    return _no_relative(draft, issue, PARENT, {"kind": "parent"})


def no_link(draft: Draft) -> Drawn:
    """An issue without a link of the kind that is asked for; often it has one in the opposite direction."""
    rng, state, own = draft.rng, draft.state, has_own_summary(draft)
    linked = rng.random() < 0.5
    issue = draft.issue(lambda issue: own(issue) and bool(issue.links) == linked)
    held = {_relation(draft, *_way(link)) for link in issue.links}
    ways = [(id, outward) for id in state.link_types for outward in (True, False)]
    relation, inverse = rng.choice([names for way in ways if (names := _relation(draft, *way)) not in held])
    plan = {"kind": "link", "relation": relation}
    return _no_relative(draft, issue, LINKED, plan, relation=relation, inverse=inverse)


def _no_relative(draft: Draft, start: Issue, frames: Frames, plan: dict[str, Any], **slots: str) -> Drawn:
    by_key = draft.rng.random() < 0.6
    phrase = draft.part(frames, issue=issue_phrase(draft, start, by_key), **slots)
    text = sentences(draft, *ask(draft, phrase, draw_fields(draft), pronouns=False))
    goal = {"impossible": True, "lookups": lookups(start, by_key), "plan": {**plan, "start": start.id}}
    return text, goal
