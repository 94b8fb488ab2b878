"""`issue-labels`: add and remove labels of one issue and preserve its other labels.

Goal: `{"request", "issue": {"id", "key"}, "before": [label], "add": [label], "remove": [label]}`. `fields.labels`
replaces the whole list, so it requires that the labels to preserve were read before. `update.labels` adds and removes
labels one by one and needs no read.

What is scored:
- arguments (0.5): the issue and each label to add or remove, judged on the labels after all accepted edits. A label
  lost, a label added without need and a change to another field count as one wrong argument each. Unnecessary writes
  divide the fraction.
- calls (0.3): 0.6 of it for the progress from the labels before to the target, 0.4 for the reads: the issue's key or
  id, unless the request gives it, and the labels that an edit replaced.
- discipline (0.2): progress less the cost of flaws. An edit that changes nothing counts as a repeat.

The score is 1.0 if the accepted edits lead exactly to the target, each brings the labels closer to it and changes
nothing else, all reads were made before, and the trace has no flaw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rewards.compose import Weights, compose, economy, share
from rewards.discipline import COSTS, find_flaws, read_history
from rewards.matching import aliases, identifier, items, lookup, members
from rewards.provenance import Ledger, goal_keys, was_accepted
from rewards.reading import issues_in
from rewards.score import Score
from rewards.trace import Call, Kind, Trace
from rewards.writing import Labels, LabelSteps, changes, label_steps

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
EDIT_SHARE = 0.6
"""The share of the calls part for the accepted edits. The rest is for the reads that they need."""

EDIT = "editIssue"


@dataclass(frozen=True)
class Edit:
    """One editIssue call."""

    index: int
    accepted: bool
    on_issue: bool
    labels: LabelSteps
    """What the call does to labels."""
    extras: int
    """The number of other changes, and of invalid operations on labels."""


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the edits of one issue's labels. `rewards.compose` explains the parts."""
    issue = aliases(goal["issue"], "id", "key")
    before = frozenset(goal["before"])
    target = (before - frozenset(goal["remove"])) | frozenset(goal["add"])
    attempts = [_edit(index, call, issue) for index, call in enumerate(trace) if _is_edit(call)]
    edits = [edit for edit in attempts if edit.accepted and edit.on_issue]
    history = read_history(trace)
    originals = [edit for edit in edits if edit.index not in history.copies]
    credit = _helpful_edits(before, target, originals)
    # Both results count, with and without copies: to repeat an edit after undoing it must not pay.
    results = [_labels_after(before, edits), _labels_after(before, originals)]
    extras = sum(edit.extras for edit in edits)
    achieved = bool(edits) and extras == 0 and all(labels == target for labels in results)

    idle = _idle_edits(before, edits)
    harmless = credit | idle
    stray = [i for i, call in enumerate(trace) if call.kind == Kind.WRITE and was_accepted(call) and i not in harmless]
    ledger = Ledger(goal.get("request", ""), trace, silent=stray)
    in_request = ledger.before(0, issue)
    if edits:
        arguments = min(_fraction_right(goal, labels, True, extras) for labels in results)
    else:
        fractions = (_fraction_right(goal, edit.labels.apply(before), edit.on_issue, edit.extras) for edit in attempts)
        arguments = max(fractions, default=0.0)
    trace_without_idle = [call for index, call in enumerate(trace) if index not in idle]
    arguments *= economy(trace_without_idle, max(1, len(credit)), achieved)

    guesses = _count_guesses(trace, edits, before & target, issue)
    reads = [] if in_request else [ledger.before(attempts[0].index if attempts else len(trace), issue)]
    reads += [] if guesses is None else [not guesses]
    progress = min(_progress(before, target, labels) for labels in results) if edits else 0.0
    calls = EDIT_SHARE * progress + (1 - EDIT_SHARE) * share(sum(reads), len(reads)) if reads else progress
    flaws = find_flaws(
        history,
        ledger,
        stray=stray,
        needed_reads=2 - in_request,
        known_keys=goal_keys(goal["issue"]),
        unseen_values=guesses or 0,
    )
    flaws = replace(flaws, repeated_call=max(flaws.repeated_call, len(idle)))
    return compose(arguments, calls, flaws, WEIGHTS, COSTS)


def _is_edit(call: Call) -> bool:
    return call.kind == Kind.WRITE and call.name == EDIT


def _edit(index: int, call: Call, issue: frozenset[str]) -> Edit:
    """Read an editIssue call."""
    change = changes(call.arguments, address=("issueIdOrKey",))
    labels = label_steps(change)
    on_issue = identifier(lookup(call.arguments, "issueIdOrKey")) in issue
    return Edit(index, call.ok, on_issue, labels, change.extra_count(("labels",)) + labels.errors)


def _labels_after(labels: Labels, edits: Sequence[Edit]) -> Labels:
    """The labels after all the edits, if `labels` were there before."""
    for edit in edits:
        labels = edit.labels.apply(labels)
    return labels


def _helpful_edits(labels: Labels, target: Labels, edits: Sequence[Edit]) -> frozenset[int]:
    """The indices of the edits that bring the labels closer to the target and change nothing else."""
    indices = set()
    for edit in edits:
        after = edit.labels.apply(labels)
        if len(after ^ target) < len(labels ^ target) and not edit.extras:
            indices.add(edit.index)
        labels = after
    return frozenset(indices)


def _idle_edits(labels: Labels, edits: Sequence[Edit]) -> frozenset[int]:
    """The indices of the edits that change nothing. They cost as much as a repeated call."""
    indices = set()
    for edit in edits:
        after = edit.labels.apply(labels)
        if after == labels and not edit.extras:
            indices.add(edit.index)
        labels = after
    return frozenset(indices)


def _fraction_right(goal: Mapping[str, Any], labels: Labels, on_issue: bool, extras: int) -> float:
    """The fraction of the arguments that are right, where `labels` are those after the edit.

    The issue and each label to add or remove can be right. Each wrong label and each extra change adds one to the
    denominator.
    """
    before, add, remove = (frozenset(goal[name]) for name in ("before", "add", "remove"))
    right = on_issue + len(add & labels) + len(remove - labels)
    harm = len((before - remove) - labels) + len(labels - before - add)
    return share(right, 1 + len(add) + len(remove) + harm + extras)


def _progress(before: Labels, target: Labels, labels: Labels) -> float:
    """How much closer to the target `labels` are than `before`: 1 at the target, 0 if no closer."""
    return max(0.0, 1 - share(len(labels ^ target), len(before ^ target)))


def _count_guesses(trace: Trace, edits: list[Edit], preserve: Labels, issue: frozenset[str]) -> int | None:
    """The number of labels to preserve that the worst edit set again without reading them.

    None if no edit replaced the list.
    """
    replacing = [edit for edit in edits if edit.labels.replaces]
    if not replacing:
        return None
    return max(
        len(preserve & edit.labels.apply(frozenset()) - _labels_read(trace[: edit.index], issue)) for edit in replacing
    )


def _labels_read(trace: Trace, issue: frozenset[str]) -> Labels:
    """The labels of the issue in the responses to successful reads."""
    labels: set[str] = set()
    for call in trace:
        for body in issues_in(call):
            if aliases(members(body), "id", "key") & issue:
                labels |= {label for label in items(lookup(body, "fields", "labels")) if isinstance(label, str)}
    return frozenset(labels)
