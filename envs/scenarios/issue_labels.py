"""`issue-labels`: add and remove labels of issues without losing the others.

Difficulty 1 adds or removes one label of an issue named by its key. 2 adds one or two labels and usually removes one;
the issue is named by its key or its summary. 3 replaces labels of an issue named by its summary and its project's name,
or adds the same labels to two issues. Most requests of 2 and 3 name two candidates for the issue, the project or a
label and say which is meant. 4 needs a decision:

- a condition: which change is wanted depends on a property of the issue, often on a label that it may carry;
- a set: one label changes on all issues of a project that have two properties;
- look-alikes: two or three issues of a project have the same summary, and a second property says which one is meant;
- half done: the request says how the labels should be in the end, and a part of that is already so;
- a request that cannot be met: there is no such issue, or a label that must be there is not.

A label that is already there is added, and one that is not there removed, only in "half done". A goal's `plan` is for
the demonstrator alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from envs.episode import Task
from envs.scenarios.decoys import decoy, is_asked
from envs.scenarios.drafting import AtlassianScenario, Demonstration, Draft, act, locate
from envs.scenarios.goals import issue_goal
from envs.scenarios.issue_properties import JIRA_FIELDS, MANY, ONE, Property, draw_condition, draw_group, shown
from envs.scenarios.issue_reference import (
    SEARCH,
    THAT_ISSUE,
    around,
    draw_twins,
    find_twin,
    has_own_summary,
    issue_phrase,
    lookups,
    mention,
    project_phrase,
    project_term,
    sentences,
    summary_phrase,
)
from envs.scenarios.labels_wording import (
    ADD,
    ADD_IT,
    ADD_TO_ALL,
    ADD_TO_BOTH,
    ALSO_ADD,
    ALSO_REMOVE,
    BOTH,
    CHANGE_IT,
    CONDITION,
    ENSURE,
    EXACT,
    FORM_BOTH_ISSUES,
    FORM_HEAD,
    FORM_LINES,
    GUARD,
    HALF,
    LABEL,
    LABELS,
    REMOVE,
    REMOVE_FROM_ALL,
    REMOVE_IT,
    REMOVE_THAT,
    SWAP,
    SWAP_IT,
)
from envs.site.records import Issue
from rewards import issue_labels

CONDITIONS = ("status", "priority", "type", "assignee", "reporter", "resolution")
GROUPED = ("status", "category", "priority", "type", "assignee", "reporter", "resolution")
MOST = 3
"""The most issues of a set."""

Drawn = tuple[str, dict[str, Any]]


def draft(draft: Draft) -> Drawn:
    if draft.difficulty < 3:
        return _one_issue(draft)
    if draft.difficulty == 3:
        return draft.rng.choice((_swap, _changes_by_name, _two_issues))(draft)
    return draft.rng.choice((_condition, _set, _twins, _half_done, _cannot))(draft)


def _one_issue(draft: Draft) -> Drawn:
    rng, own = draft.rng, has_own_summary(draft)
    issue = draft.issue(lambda issue: own(issue) and bool(issue.labels))
    if draft.difficulty == 1:
        by_key, adding = True, rng.random() < 0.5
        add, remove = ([_new(draft, issue)], []) if adding else ([], [rng.choice(issue.labels)])
    else:
        by_key = rng.random() < 0.5
        add = [_new(draft, issue) for _ in range(rng.randrange(1, 3))]
        remove = [rng.choice(issue.labels)] if rng.random() < 0.7 else []
    return _plain(draft, issue, by_key, None, add, remove)


def _changes_by_name(draft: Draft) -> Drawn:
    own = has_own_summary(draft)
    issue = draft.issue(lambda issue: own(issue) and bool(issue.labels))
    remove = [draft.rng.choice(issue.labels)]
    add = [_new(draft, issue) for _ in range(draft.rng.randrange(1, 3))]
    return _plain(draft, issue, False, True, add, remove)


def _plain(
    draft: Draft, issue: Issue, by_key: bool, by_name: bool | None, add: Sequence[str], remove: Sequence[str]
) -> Drawn:
    if is_asked(draft):
        return _chosen(draft, issue, by_key, by_name, add[:1], remove, _change)
    if draft.rng.random() < 0.15:
        name = issue.key
        if not by_key:
            project = draft.state.projects[issue.project_id]
            use_name = by_name if by_name is not None else draft.rng.random() < 0.5
            name = f"{issue.summary}\nProject: {project.name if use_name else project.key}"
        return sentences(draft, _form(draft, name, add, remove)), _goal(draft, [(issue, add, remove)], by_key)
    parts = _change(draft, issue_phrase(draft, issue, by_key, by_name), _labels(draft, add), _labels(draft, remove))
    return sentences(draft, *parts), _goal(draft, [(issue, add, remove)], by_key)


def _goal(
    draft: Draft, changes: Sequence[tuple[Issue, Sequence[str], Sequence[str]]], by_key: bool = True, **plan: Any
) -> dict[str, Any]:
    """The goal for (issue, labels to add, labels to remove), whose last issue is named by its key if `by_key`."""
    issues = [
        issue_goal(draft.state, issue, labels={"add": list(add), "remove": list(remove)})
        for issue, add, remove in changes
    ]
    return {"issues": issues, "lookups": lookups(changes[-1][0], by_key), "plan": {"kind": "plain", **plan}}


def _chosen(
    draft: Draft,
    issue: Issue,
    by_key: bool,
    by_name: bool | None,
    add: Sequence[str],
    remove: Sequence[str],
    change: Callable[[Draft, str, str, str], list[str]],
) -> Drawn:
    """A `change` of an issue that sentences choose, like at least one of its labels."""
    draft.wording.append("labels quoted")
    meant = mention(draft, issue, by_key, by_name)
    choices, notes, phrases = (
        list(meant.choices),
        [meant.note],
        {"new": _labels(draft, add), "old": _labels(draft, remove)},
    )
    for kind, labels in draft.rng.sample((("new", add), ("old", remove)), 2):
        if not labels or len(choices) > 2:
            continue
        others = [label for label in issue.labels if label not in labels] if kind == "old" else []
        wrong = draft.rng.choice(others) if others else _unlike(draft, issue, labels[0])
        choices.append(decoy(draft, f"{kind} label", f'"{labels[0]}"', f'"{wrong}"'))
        notes.append(f"{kind} label: {labels[0]}")
        phrases[kind] = f"the {kind} label"
    parts = change(draft, meant.phrase, phrases["new"], phrases["old"])
    goal = _goal(draft, [(issue, add, remove)], by_key, note="; ".join(notes))
    return sentences(draft, *around(draft, choices, parts)), goal


def _unlike(draft: Draft, issue: Issue, label: str) -> str:
    """Another label that the issue does not have."""
    while (other := draft.rng.choice((_other(draft, issue), _new(draft, issue)))) == label:
        pass
    return other


def _change(draft: Draft, issue: str, added: str, removed: str) -> list[str]:
    """The sentences that ask for a change of an issue's labels."""
    rng = draft.rng
    if not removed:
        return [draft.phrase(ADD, issue=issue, labels=added)]
    if not added:
        return [draft.phrase(REMOVE, issue=issue, labels=removed)]
    way = rng.random()
    if way < 0.3:
        return [draft.phrase(ADD, issue=issue, labels=added), draft.phrase(ALSO_REMOVE, labels=removed)]
    if way < 0.5:
        return [draft.phrase(REMOVE, issue=issue, labels=removed), draft.phrase(ALSO_ADD, labels=added)]
    parts = [f"add {added}", f"remove {removed}"]
    rng.shuffle(parts)
    return [draft.phrase(BOTH, issue=issue, first=parts[0], second=parts[1])]


def _swap(draft: Draft) -> Drawn:
    own = has_own_summary(draft)
    issue = draft.issue(lambda issue: own(issue) and bool(issue.labels))
    old, new = draft.rng.choice(issue.labels), _new(draft, issue)
    if is_asked(draft):
        return _chosen(draft, issue, False, True, [new], [old], _replacement)
    phrase = issue_phrase(draft, issue, by_key=False, by_name=True)
    parts = _replacement(draft, phrase, _labels(draft, [new]), _labels(draft, [old]))
    return sentences(draft, *parts), _goal(draft, [(issue, [new], [old])], by_key=False)


def _replacement(draft: Draft, issue: str, added: str, removed: str) -> list[str]:
    return [draft.phrase(SWAP, issue=issue, old=removed, new=added)]


def _two_issues(draft: Draft) -> Drawn:
    rng, own = draft.rng, has_own_summary(draft)
    first = draft.issue()
    second = draft.issue(lambda issue: issue.id != first.id and own(issue))
    by_key = rng.random() < 0.4
    add = [_new(draft, first, second) for _ in range(rng.randrange(1, 3))]
    if is_asked(draft):
        draft.wording.append("labels quoted")
        meant = mention(draft, second, by_key, noun="other issue", similar=lambda issue: issue.id != first.id)
        wrong = _new(draft, first, second)
        choices = [*meant.choices, decoy(draft, "new label", f'"{add[0]}"', f'"{wrong}"')]
        text = draft.phrase(ADD_TO_BOTH, labels="the new label", issue=first.key, other=meant.phrase)
        note = f"{meant.note}; new label: {add[0]}"
        goal = _goal(draft, [(first, add[:1], []), (second, add[:1], [])], meant.by_key, note=note)
        return sentences(draft, *around(draft, choices, [text])), goal
    goal = _goal(draft, [(first, add, []), (second, add, [])], by_key)
    if by_key and rng.random() < 0.3:
        lines = draft.phrase(FORM_BOTH_ISSUES, issue=first.key, other=second.key, add=", ".join(add))
        return sentences(draft, f"{draft.phrase(FORM_HEAD)}\n{lines}\n"), goal
    names = {"issue": issue_phrase(draft, first, by_key=True), "other": issue_phrase(draft, second, by_key)}
    return sentences(draft, draft.phrase(ADD_TO_BOTH, labels=_labels(draft, add), **names)), goal


def _condition(draft: Draft) -> Drawn:
    """One of two changes, or a replacement that is only wanted if the old label is there."""
    rng, state, own = draft.rng, draft.state, has_own_summary(draft)
    issue = draft.issue(lambda issue: own(issue) and bool(issue.labels))
    by_key = rng.random() < 0.6
    way = rng.random()
    if way < 0.2:
        return _guarded(draft, issue, rng.choice(issue.labels), by_key)
    holds = rng.random() < 0.5
    if way < 0.6:
        condition = Property("labels", rng.choice(issue.labels) if holds else _other(draft, issue))
        assert condition.value
        added, removed = [_new(draft, issue)], [condition.value]
        changes: list[tuple[list[str], list[str]]] = [([], removed), (added, [])]
        yes = draft.part(REMOVE_THAT)
        no = draft.part(ADD_IT, labels=_labels(draft, added))
    else:
        condition = draw_condition(draft, issue, holds, CONDITIONS)
        first, second = [_new(draft, issue)], [_new(draft, issue)]
        changes = [(first, []), (second, [])]
        yes, no = (draft.part(ADD_IT, labels=_labels(draft, labels)) for labels in (first, second))
    predicate = condition.phrase(draft, ONE)
    phrase = issue_phrase(draft, issue, by_key)
    text = draft.phrase(CONDITION, issue=phrase, predicate=predicate, yes=yes, no=no)
    change = changes[0 if condition.holds(state, issue) else 1]
    return sentences(draft, text), _goal(draft, [(issue, *change)], by_key, kind="condition", field=condition.field)


def _guarded(draft: Draft, issue: Issue, old: str, by_key: bool) -> Drawn:
    """A replacement of the label `old`, which must be there."""
    new = _new(draft, issue)
    phrase = issue_phrase(draft, issue, by_key)
    text = draft.phrase(SWAP, issue=phrase, old=_labels(draft, [old]), new=_labels(draft, [new]))
    guard = draft.phrase(GUARD, old=_labels(draft, [old]))
    plan = {"kind": "condition", "field": "labels", "issue": issue.id}
    if old in issue.labels:
        return sentences(draft, text, guard), _goal(draft, [(issue, [new], [old])], by_key, **plan)
    return sentences(draft, text, guard), {"impossible": True, "lookups": lookups(issue, by_key), "plan": plan}


def _set(draft: Draft) -> Drawn:
    rng, state = draft.rng, draft.state
    removing = rng.random() < 0.4
    while True:
        group = draw_group(draft, MOST, (*GROUPED, *(["labels"] * 3 if removing else [])))
        carried = [item for item in group.properties if item.field == "labels"]
        if removing == bool(carried):
            break
    project = state.projects[group.project_id]
    by_name = rng.random() < 0.4
    phrase = project_phrase(draft, project, by_name)
    if removing:
        label = carried[0].value
        assert label
        others = [item for item in group.properties if item is not carried[0]]
        names = {"label": _labels(draft, [label]), "predicates": others[0].phrase(draft, MANY)}
        text = draft.phrase(REMOVE_FROM_ALL, project=phrase, **names)
        changes: list[tuple[Issue, list[str], list[str]]] = [(issue, [], [label]) for issue in group.issues]
    else:
        label = _new(draft, *group.issues)
        things, predicates = group.phrases(draft)
        names = {"things": things, "predicates": predicates, "label": _labels(draft, [label])}
        text = draft.phrase(ADD_TO_ALL, project=phrase, **names)
        changes = [(issue, [label], []) for issue in group.issues]
    goal = _goal(draft, changes, kind="set", jql=group.jql(f'"{project.name}"' if by_name else project.key))
    return sentences(draft, text), {**goal, "lookups": [[issue.id, issue.key] for issue in group.issues]}


def _twins(draft: Draft) -> Drawn:
    rng = draft.rng
    twins = draw_twins(draft, lambda issue: bool(issue.labels))
    target, telling = twins.target, twins.telling
    add = [_new(draft, target)] if rng.random() < 0.7 else []
    remove = [rng.choice(target.labels)] if not add or rng.random() < 0.5 else []
    way = rng.random()
    if way < 0.3:
        changes = [draft.part(ADD_IT, labels=_labels(draft, add))] if add else []
        changes += [draft.part(REMOVE_IT, labels=_labels(draft, remove))] if remove else []
        change = draft.phrase(CHANGE_IT, change=" and ".join(changes))
        parts = [twins.intro(draft), change]
    elif way < 0.6:
        parts = _change(draft, twins.phrase(draft), _labels(draft, add), _labels(draft, remove))
    else:
        issue = draft.part(THAT_ISSUE)
        parts = [*twins.choice(draft), *_change(draft, issue, _labels(draft, add), _labels(draft, remove))]
    plan = {"kind": "twin", "property": [telling.field, telling.value]}
    return sentences(draft, *parts), _goal(draft, [(target, add, remove)], by_key=False, **plan)


def _half_done(draft: Draft) -> Drawn:
    """The labels as they should be, of which one is there and one is missing, or too many."""
    rng, own = draft.rng, has_own_summary(draft)
    issue = draft.issue(lambda issue: own(issue) and bool(issue.labels))
    by_key = rng.random() < 0.5
    there, missing = rng.choice(issue.labels), _new(draft, issue)
    wanted = rng.sample((there, missing), 2)
    rest = [label for label in issue.labels if label != there]
    way = rng.random()
    phrase = issue_phrase(draft, issue, by_key)
    if way < 0.5:
        text = draft.phrase(EXACT, issue=phrase, labels=_labels(draft, wanted))
        add, remove = [missing], rest
    elif way < 0.75:
        unwanted = rng.choice(rest) if rest and rng.random() < 0.6 else _other(draft, issue)
        names = {"labels": _labels(draft, wanted), "other": _labels(draft, [unwanted])}
        text = draft.phrase(ENSURE, issue=phrase, **names)
        add, remove = [missing], [unwanted] if unwanted in rest else []
    else:
        # A replacement of which the first or the second half is already done.
        first_half = not rest or rng.random() < 0.5
        old, new = (_other(draft, issue), missing) if first_half else (there, rest[0])
        text = draft.phrase(SWAP_IT, issue=phrase, old=_labels(draft, [old]), new=_labels(draft, [new]))
        add, remove = ([new], []) if first_half else ([], [old])
    goal = _goal(draft, [(issue, add, remove)], by_key, kind="condition", field="labels")
    return sentences(draft, text, *([draft.phrase(HALF)] if rng.random() < 0.5 else [])), goal


def _cannot(draft: Draft) -> Drawn:
    """An issue that its project does not have, or a label to replace that the issue does not have."""
    rng, state, own = draft.rng, draft.state, has_own_summary(draft)
    if rng.random() < 0.5:
        issue = draft.issue(own)
        return _guarded(draft, issue, _other(draft, issue), by_key=rng.random() < 0.6)
    project = state.projects[rng.choice(sorted(state.projects))]
    held = {issue.summary for issue in state.issues.values() if issue.project_id == project.id}
    source = draft.issue(lambda issue: issue.summary not in held and bool(issue.labels))
    summary = source.summary
    if rng.random() < 0.5:
        summary = draft.new_name(draft.names.summary, {issue.summary for issue in state.issues.values()})
    phrase = summary_phrase(draft, summary, project_phrase(draft, project, rng.random() < 0.5))
    add = [_new(draft, source)] if rng.random() < 0.7 else []
    remove = [rng.choice(source.labels)] if not add or rng.random() < 0.3 else []
    plan = {"kind": "absent", "summary": summary, "project": project.id}
    parts = _change(draft, phrase, _labels(draft, add), _labels(draft, remove))
    return sentences(draft, *parts), {"impossible": True, "plan": plan}


def _new(draft: Draft, *issues: Issue) -> str:
    """A label that none of the issues has."""
    return draft.new_name(draft.names.label, {label for issue in issues for label in issue.labels})


def _other(draft: Draft, issue: Issue) -> str:
    """A label of the site that the issue does not have."""
    labels = {label for other in draft.state.issues.values() for label in other.labels} - set(issue.labels)
    return draft.rng.choice(sorted(labels)) if labels else _new(draft, issue)


def _quote(draft: Draft, label: str) -> str:
    """A label, in quotation marks if all labels of the request are."""
    if not any(text in ("labels quoted", "labels plain") for text in draft.wording):
        draft.wording.append(draft.rng.choice(("labels quoted", "labels plain")))
    return f'"{label}"' if "labels quoted" in draft.wording else label


def _labels(draft: Draft, labels: Sequence[str]) -> str:
    """`the label x`, or `x and y`, or nothing."""
    if not labels:
        return ""
    if len(labels) == 1:
        return draft.part(LABEL, label=_quote(draft, labels[0]))
    return draft.part(LABELS, first=_quote(draft, labels[0]), second=_quote(draft, labels[1]))


def _form(draft: Draft, issue: str, add: Sequence[str], remove: Sequence[str]) -> str:
    lines = [*([f"Add: {', '.join(add)}"] if add else []), *([f"Remove: {', '.join(remove)}"] if remove else [])]
    return f"{draft.phrase(FORM_HEAD)}\n{draft.phrase(FORM_LINES, issue=issue, lines=chr(10).join(lines))}\n"


def demonstrate(task: Task) -> Demonstration:
    goal, plan, kind = task.goal, task.goal["plan"], task.goal["plan"]["kind"]
    state, issues = task.site().state, goal.get("issues", [])
    if kind == "absent":
        project = project_term(task, state.projects[plan["project"]])
        jql = f'project = {project} AND summary ~ "{plan["summary"]}"'
        yield act(SEARCH, {"jql": jql, "fields": ["summary"]})
        return "Cannot: no such issue"
    if kind == "set":
        (response,) = yield act(SEARCH, {"jql": plan["jql"], "fields": ["key"]})
        for found in response["issues"]:
            target = next(entry["target"] for entry in issues if entry["key"] == found["key"])
            yield _edit(found["key"], target["labels"], f'"key": "{found["key"]}"')
        return None
    note = plan.get("note", "")
    for id in [entry["id"] for entry in issues] or [plan["issue"]]:
        if kind == "twin":
            key, note = yield from find_twin(task, state.issues[id], Property(*plan["property"]))
        else:
            key, note = yield from locate(task, state.issues[id], note)
        if kind == "condition":
            field = plan["field"]
            (response,) = yield act("getIssue", {"issueIdOrKey": key, "fields": [JIRA_FIELDS[field]]}, note)
            note = f"{field}: {shown(field, response['fields'])}"
        if not issues:
            return "Cannot: no such label"
        target = next(entry["target"] for entry in issues if entry["id"] == id)
        yield _edit(key, target["labels"], note)
        note = ""
    return None


def _edit(key: str, change: Any, note: str) -> Any:
    operations = [{"add": label} for label in change["add"]] + [{"remove": label} for label in change["remove"]]
    return act("editIssue", {"issueIdOrKey": key, "update": {"labels": operations}}, note)


SCENARIO = AtlassianScenario(
    name="issue-labels",
    tools=(
        "getIssue",
        "editIssue",
        "searchAndReconsileIssuesUsingJql",
        "getAllLabels",
        "getComments",
        "getProject",
        "addComment",
        "assignIssue",
        "findUsers",
    ),
    draft=draft,
    check=issue_labels.check,
    demonstrate=demonstrate,
)
