"""`issue-labels`: add and remove labels of one issue without losing the others.

Goal: `{"request", "issue": {"id", "key"}, "before": [label], "add": [label], "remove": [label]}`. `fields.labels` replaces
the whole list, so that it takes having read the labels that stay; `update.labels` adds and removes one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewards.compose import Weights, compose, economy, share
from rewards.discipline import COSTS, find_flaws
from rewards.matching import aliases, identifier, items, lookup, members
from rewards.provenance import Ledger, accepted, goal_keys
from rewards.score import Score
from rewards.trace import Call, Kind, Trace
from rewards.writing import Labels, LabelSteps, changes, label_steps

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
SUCCEEDED = 0.6
"""The share of the calls group for changes that were accepted; the rest is for having read what they rest on."""

EDIT = "editIssue"
SEARCHES = ("searchAndReconsileIssuesUsingJql", "searchAndReconsileIssuesUsingJqlPost")


@dataclass(frozen=True)
class Edit:
    """One editIssue call: what it does to labels, and how much it changes beyond them."""

    index: int
    accepted: bool
    on_issue: bool
    labels: LabelSteps
    beyond: int


@dataclass(frozen=True)
class Outcome:
    """What the accepted edits did: the labels at last, the credited edits, and what was changed beyond labels."""

    labels: Labels
    credited: tuple[int, ...]
    beyond: int


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the editing of one issue's labels. See `rewards.compose` for what the parts mean."""
    issue = aliases(goal["issue"], "id", "key")
    before = frozenset(goal["before"])
    target = (before - frozenset(goal["remove"])) | frozenset(goal["add"])
    edits = [_edit(index, call, issue) for index, call in enumerate(trace) if _is_edit(call)]
    made = [edit for edit in edits if edit.accepted and edit.on_issue]
    outcome = _outcome(before, target, made)
    achieved = outcome.labels == target and outcome.beyond == 0 and bool(made)

    stray = [
        index
        for index, call in enumerate(trace)
        if call.kind == Kind.WRITE and accepted(call) and index not in outcome.credited
    ]
    ledger = Ledger(goal.get("request", ""), trace, silent=stray)
    if made:
        right, asked = _grade(goal, outcome.labels, True)
        arguments = share(right, asked + outcome.beyond)
    else:
        grades = [(*_grade(goal, edit.labels.apply(before), edit.on_issue), edit.beyond) for edit in edits]
        arguments = max((share(right, asked + beyond) for right, asked, beyond in grades), default=0.0)
    arguments *= economy(trace, max(1, len(outcome.credited)), achieved)

    guessed = _guessed(goal, trace, made, before & target, issue)
    found = [ledger.before(edits[0].index if edits else len(trace), issue)] if not ledger.before(0, issue) else []
    if guessed is not None:
        found.append(not guessed)
    done = _progress(before, target, outcome.labels) if made else 0.0
    calls = SUCCEEDED * done + (1 - SUCCEEDED) * share(sum(found), len(found)) if found else done
    flaws = find_flaws(
        trace,
        ledger,
        stray=stray,
        needed_reads=1 + (not ledger.before(0, issue)),
        known_keys=goal_keys(goal["issue"]),
        unseen_values=guessed or 0,
    )
    return compose(arguments, calls, flaws, WEIGHTS, COSTS)


def _is_edit(call: Call) -> bool:
    return call.kind == Kind.WRITE and call.name == EDIT


def _edit(index: int, call: Call, issue: frozenset[str]) -> Edit:
    """Read an editIssue call; operations that are none are counted among what is beyond labels."""
    change = changes(call.arguments, address=("issueIdOrKey",))
    labels = label_steps(change)
    on_issue = identifier(lookup(call.arguments, "issueIdOrKey")) in issue
    return Edit(index, call.ok, on_issue, labels, change.beyond(("labels",)) + labels.wrong)


def _outcome(before: Labels, target: Labels, made: list[Edit]) -> Outcome:
    """Apply the accepted edits; an edit is credited when it brings the labels closer and changes nothing else."""
    labels, credited, beyond = before, [], 0
    for edit in made:
        after = edit.labels.apply(labels)
        if len(after ^ target) < len(labels ^ target) and not edit.beyond:
            credited.append(edit.index)
        labels = after
        beyond += edit.beyond
    return Outcome(labels, tuple(credited), beyond)


def _grade(goal: Mapping[str, Any], labels: Labels, on_issue: bool) -> tuple[int, int]:
    """(right: the issue and each label added or removed, asked: those and each label lost or added unasked)."""
    before, add, remove = (frozenset(goal[name]) for name in ("before", "add", "remove"))
    right = on_issue + len(add & labels) + len(remove - labels)
    harm = len((before - remove) - labels) + len(labels - before - add)
    return right, 1 + len(add) + len(remove) + harm


def _progress(before: Labels, target: Labels, labels: Labels) -> float:
    """The part of the way from the labels before to the target that has been made, 0 for a way back."""
    return max(0.0, 1 - share(len(labels ^ target), len(before ^ target)))


def _guessed(
    goal: Mapping[str, Any], trace: Trace, made: list[Edit], stay: Labels, issue: frozenset[str]
) -> int | None:
    """How many labels that stay were set again without having been read; None where no edit replaced the list."""
    replacing = [edit for edit in made if edit.labels.replaces]
    if not replacing:
        return None
    return max(len(stay & edit.labels.apply(frozenset()) - _shown(trace[: edit.index], issue)) for edit in replacing)


def _shown(trace: Trace, issue: frozenset[str]) -> Labels:
    """The labels of the issue that successful reads have shown."""
    shown: set[str] = set()
    for call in trace:
        if call.kind != Kind.READ or not call.ok:
            continue
        bodies = items(lookup(call.body, "issues")) if call.name in SEARCHES else [call.body]
        for body in bodies:
            if aliases(members(body), "id", "key") & issue:
                shown |= {label for label in items(lookup(body, "fields", "labels")) if isinstance(label, str)}
    return frozenset(shown)
