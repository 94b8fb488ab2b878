"""`issue-labels`: add and remove labels of one issue without losing the others.

Goal: `{"request", "issue": {"id", "key"}, "before": [label], "add": [label], "remove": [label]}`. `fields.labels`
replaces the whole list, so that it takes having read the labels that stay; `update.labels` adds and removes one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rewards.compose import Weights, compose, economy, share
from rewards.discipline import COSTS, find_flaws, read_history
from rewards.matching import aliases, identifier, items, lookup, members
from rewards.provenance import Ledger, accepted, goal_keys
from rewards.reading import issues_shown
from rewards.score import Score
from rewards.trace import Call, Kind, Trace
from rewards.writing import Labels, LabelSteps, changes, label_steps

WEIGHTS = Weights(arguments=0.5, calls=0.3, discipline=0.2)
SUCCEEDED = 0.6
"""The share of the calls group for changes that were accepted; the rest is for having read what they rest on."""

EDIT = "editIssue"


@dataclass(frozen=True)
class Edit:
    """One editIssue call: what it does to labels, and how much it changes beyond them."""

    index: int
    accepted: bool
    on_issue: bool
    labels: LabelSteps
    beyond: int


def check(goal: Mapping[str, Any], trace: Trace) -> Score:
    """Score the editing of one issue's labels. See `rewards.compose` for what the parts mean."""
    issue = aliases(goal["issue"], "id", "key")
    before = frozenset(goal["before"])
    target = (before - frozenset(goal["remove"])) | frozenset(goal["add"])
    edits = [_edit(index, call, issue) for index, call in enumerate(trace) if _is_edit(call)]
    made = [edit for edit in edits if edit.accepted and edit.on_issue]
    history = read_history(trace)
    once = [edit for edit in made if edit.index not in history.copies]
    credited = _credited(before, target, once)
    # Doing a thing again after undoing it is worth no more than having left it undone.
    results = [_applied(before, made), _applied(before, once)]
    beyond = sum(edit.beyond for edit in made)
    achieved = bool(made) and beyond == 0 and all(labels == target for labels in results)

    idle = _idle(before, made)
    wanted = credited | idle
    stray = [i for i, call in enumerate(trace) if call.kind == Kind.WRITE and accepted(call) and i not in wanted]
    ledger = Ledger(goal.get("request", ""), trace, silent=stray)
    known = ledger.before(0, issue)
    if made:
        arguments = min(_fraction(goal, labels, True, beyond) for labels in results)
    else:
        fractions = (_fraction(goal, edit.labels.apply(before), edit.on_issue, edit.beyond) for edit in edits)
        arguments = max(fractions, default=0.0)
    busy = [call for index, call in enumerate(trace) if index not in idle]
    arguments *= economy(busy, max(1, len(credited)), achieved)

    guessed = _guessed(trace, made, before & target, issue)
    found = [] if known else [ledger.before(edits[0].index if edits else len(trace), issue)]
    found += [] if guessed is None else [not guessed]
    done = min(_progress(before, target, labels) for labels in results) if made else 0.0
    calls = SUCCEEDED * done + (1 - SUCCEEDED) * share(sum(found), len(found)) if found else done
    flaws = find_flaws(
        history,
        ledger,
        stray=stray,
        needed_reads=2 - known,
        known_keys=goal_keys(goal["issue"]),
        unseen_values=guessed or 0,
    )
    flaws = replace(flaws, repeated_call=max(flaws.repeated_call, len(idle)))
    return compose(arguments, calls, flaws, WEIGHTS, COSTS)


def _is_edit(call: Call) -> bool:
    return call.kind == Kind.WRITE and call.name == EDIT


def _edit(index: int, call: Call, issue: frozenset[str]) -> Edit:
    """Read an editIssue call; operations that are none are counted among what is beyond labels."""
    change = changes(call.arguments, address=("issueIdOrKey",))
    labels = label_steps(change)
    on_issue = identifier(lookup(call.arguments, "issueIdOrKey")) in issue
    return Edit(index, call.ok, on_issue, labels, change.beyond(("labels",)) + labels.wrong)


def _applied(labels: Labels, edits: Sequence[Edit]) -> Labels:
    """The labels after all the edits."""
    for edit in edits:
        labels = edit.labels.apply(labels)
    return labels


def _credited(labels: Labels, target: Labels, edits: Sequence[Edit]) -> frozenset[int]:
    """The indices of the edits that bring the labels closer to the target and change nothing else."""
    credited = set()
    for edit in edits:
        after = edit.labels.apply(labels)
        if len(after ^ target) < len(labels ^ target) and not edit.beyond:
            credited.add(edit.index)
        labels = after
    return frozenset(credited)


def _idle(labels: Labels, edits: Sequence[Edit]) -> frozenset[int]:
    """The indices of the edits that change nothing, which cost what a repeat does."""
    idle = set()
    for edit in edits:
        after = edit.labels.apply(labels)
        if after == labels and not edit.beyond:
            idle.add(edit.index)
        labels = after
    return frozenset(idle)


def _fraction(goal: Mapping[str, Any], labels: Labels, on_issue: bool, beyond: int) -> float:
    """The fraction right: of the issue and each label to add or remove, of what else was changed nothing."""
    before, add, remove = (frozenset(goal[name]) for name in ("before", "add", "remove"))
    right = on_issue + len(add & labels) + len(remove - labels)
    harm = len((before - remove) - labels) + len(labels - before - add)
    return share(right, 1 + len(add) + len(remove) + harm + beyond)


def _progress(before: Labels, target: Labels, labels: Labels) -> float:
    """The part of the way from the labels before to the target that has been made, 0 for a way back."""
    return max(0.0, 1 - share(len(labels ^ target), len(before ^ target)))


def _guessed(trace: Trace, made: list[Edit], stay: Labels, issue: frozenset[str]) -> int | None:
    """How many labels that stay were set again without having been read; None where no edit replaced the list."""
    replacing = [edit for edit in made if edit.labels.replaces]
    if not replacing:
        return None
    return max(len(stay & edit.labels.apply(frozenset()) - _shown(trace[: edit.index], issue)) for edit in replacing)


def _shown(trace: Trace, issue: frozenset[str]) -> Labels:
    """The labels of the issue that successful reads have shown."""
    shown: set[str] = set()
    for call in trace:
        for body in issues_shown(call):
            if aliases(members(body), "id", "key") & issue:
                shown |= {label for label in items(lookup(body, "fields", "labels")) if isinstance(label, str)}
    return frozenset(shown)
