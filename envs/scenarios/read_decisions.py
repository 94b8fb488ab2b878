"""`issue-read`: the kinds of difficulty 4, which need a decision after reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envs.scenarios.decoys import decoy
from envs.scenarios.drafting import Draft, reference
from envs.scenarios.issue_properties import (
    ONE,
    draw_condition,
    draw_group,
)
from envs.scenarios.issue_reference import (
    THAT_ISSUE,
    THAT_PROJECT,
    around,
    choose_project,
    draw_twins,
    has_own_summary,
    issue_phrase,
    lookups,
    namesake,
    other_project,
    project_phrase,
    sentences,
    summary_phrase,
)
from envs.scenarios.read_questions import (
    FIELDS,
    PEOPLE,
    ask,
    ask_its,
    differ,
    draw_fields,
    questions,
    same,
    short,
    verb,
    what,
)
from envs.scenarios.read_relatives import no_link, no_parent
from envs.scenarios.read_wording import (
    CONDITION,
    CONDITION_OF_TWO,
    COUNT,
    DOUBT,
    FORM_HEAD,
    KEYS,
    SET_FORM,
)
from envs.site.records import Issue, Project

CONDITIONS = ("status", "priority", "type", "assignee", "reporter", "labels", "resolution")
MOST = 4
"""The most issues of a set."""

Drawn = tuple[str, dict[str, Any]]


def twins_task(draft: Draft) -> Drawn:
    twins = draw_twins(draft, short)
    target, telling = twins.target, twins.telling
    differing = [
        field
        for field in FIELDS
        if field != telling.field and all(differ(draft, target, other, [field]) for other in twins.others)
    ]
    fields = draft.rng.sample(differing, min(len(differing), draft.rng.choice((1, 1, 2))))
    if not fields:
        return twins_task(draft)
    way = draft.rng.random()
    if way < 0.2:
        parts = [twins.intro(draft), ask_its(draft, fields)]
    elif way < 0.4:
        parts = ask(draft, twins.phrase(draft), fields)
    else:
        parts = [*twins.choice(draft), *ask(draft, draft.part(THAT_ISSUE), fields)]
    plan = {"kind": "twin", "property": [telling.field, telling.value]}
    goal = {"questions": questions(draft, target, fields), "lookups": lookups(target, False), "plan": plan}
    return sentences(draft, *parts), goal


def condition_task(draft: Draft) -> Drawn:
    """Both answers are of one kind, so that only the right one may be said."""
    rng, state, own = draft.rng, draft.state, has_own_summary(draft)
    if rng.random() < 0.5:
        return _condition_of_two(draft)
    issue = draft.issue(lambda issue: own(issue) and not same(draft, issue, *PEOPLE))
    holds = rng.random() < 0.5
    condition = draw_condition(draft, issue, holds, [field for field in CONDITIONS if field not in PEOPLE])
    yes, no = rng.sample(PEOPLE, 2)
    by_key = rng.random() < 0.6
    names = {"yes": yes, "no": no, **verb([yes], suffix="_yes"), **verb([no], suffix="_no")}
    predicate = condition.phrase(draft, ONE)
    text = draft.phrase(CONDITION, issue=issue_phrase(draft, issue, by_key), predicate=predicate, **names)
    plan = {"kind": "condition", "field": condition.field, "issue": issue.id}
    asked = questions(draft, state.issues[issue.id], [yes if holds else no])
    return sentences(draft, text), {"questions": asked, "lookups": lookups(issue, by_key), "plan": plan}


def _condition_of_two(draft: Draft) -> Drawn:
    """A property of one issue says about which of two others the question is."""
    rng, own = draft.rng, has_own_summary(draft)
    issue = draft.issue(own)
    first = draft.issue(lambda other: other.id != issue.id)
    field = rng.choice(FIELDS)
    while len(options := _other_values(draft, first, issue, field)) == 0:
        field = rng.choice(FIELDS)
    second = rng.choice(options)
    holds = rng.random() < 0.5
    condition = draw_condition(draft, issue, holds, CONDITIONS)
    by_key = rng.random() < 0.6
    names = {"issue": issue_phrase(draft, issue, by_key), "first": first.key, "second": second.key, "field": field}
    names["that"] = "those" if field == "labels" else "that"
    text = draft.phrase(CONDITION_OF_TWO, predicate=condition.phrase(draft, ONE), **names)
    plan = {"kind": "condition", "field": condition.field, "issue": issue.id}
    asked = questions(draft, first if holds else second, [field])
    return sentences(draft, text), {"questions": asked, "lookups": lookups(issue, by_key), "plan": plan}


def _other_values(draft: Draft, first: Issue, issue: Issue, field: str) -> list[Issue]:
    """The issues that differ from the first in the field and are not the one of the condition."""
    return [o for o in draft.state.issues.values() if o.id != issue.id and differ(draft, first, o, [field])]


def set_task(draft: Draft) -> Drawn:
    rng = draft.rng
    group = draw_group(draft, MOST)
    project = draft.state.projects[group.project_id]
    by_name = rng.random() < 0.4
    counted = rng.random() < 0.5
    choices = list[str]()
    if rng.random() < 0.15:
        lines = "\n".join(item.line for item in group.properties)
        wanted = "number of issues" if counted else "keys of the issues"
        name = project.name if by_name else project.key
        text = f"{draft.phrase(FORM_HEAD)}\n{draft.phrase(SET_FORM, project=name, lines=lines, wanted=wanted)}\n"
    else:
        things, predicates = group.phrases(draft)
        phrase = project_phrase(draft, project, by_name)
        wrong = [other for other in draft.state.projects.values() if group.count(draft, other.id) != len(group.issues)]
        if wrong and rng.random() < 0.8:
            phrase = draft.part(THAT_PROJECT)
            choices.append(choose_project(draft, project, rng.choice(wrong), by_name))
        text = draft.phrase(COUNT if counted else KEYS, things=things, project=phrase, predicates=predicates)
    question: dict[str, Any] = {"issues": [reference(issue) for issue in group.issues]}
    if counted:
        question |= {"field": "count", "values": [str(len(group.issues))]}
    else:
        question |= {"field": "keys", "values": [issue.key for issue in group.issues]}
    term = f'"{project.name}"' if by_name else project.key
    plan = {"kind": "set", "jql": group.jql(term), "note": f"project: {term}" if choices else ""}
    return sentences(draft, *around(draft, choices, [text])), {"questions": [question], "plan": plan}


def cannot(draft: Draft) -> Drawn:
    options: tuple[Callable[[Draft], Drawn], ...] = (_no_issue, _doubt, no_parent, no_link)
    return draft.rng.choice(options)(draft)


def _no_issue(draft: Draft) -> Drawn:
    """An issue that is in another project, or nowhere."""
    rng, state = draft.rng, draft.state
    project = state.projects[rng.choice(sorted({issue.project_id for issue in state.issues.values()}))]
    held = {issue.summary for issue in state.issues.values() if issue.project_id == project.id}
    if rng.random() < 0.5:
        summary = draft.issue(lambda issue: issue.summary not in held).summary
    else:
        summary = draft.new_name(draft.names.summary, {issue.summary for issue in state.issues.values()})
    fields, by_name = draw_fields(draft), rng.random() < 0.5
    plan = {"kind": "absent", "summary": summary, "project": project.id}
    if rng.random() < 0.2:
        phrase = summary_phrase(draft, summary, project_phrase(draft, project, by_name))
        return sentences(draft, *ask(draft, phrase, fields)), {"impossible": True, "plan": plan}
    return _absent(draft, project, summary, fields, by_name, plan)


def _absent(
    draft: Draft, project: Project, summary: str, fields: list[str], by_name: bool, plan: dict[str, Any]
) -> Drawn:
    """A missing issue where what a wrong choice would lead to does exist."""
    holders = [issue.project_id for issue in draft.state.issues.values() if issue.summary == summary]
    wrong = draft.state.projects[holders[0]] if holders else other_project(draft, project)
    present = draft.issue(lambda issue: issue.project_id == project.id)
    for name in (summary, present.summary):
        namesake(draft, wrong, name)
    choices = [
        choose_project(draft, project, wrong, by_name),
        decoy(draft, "issue", draft.named(summary), draft.named(present.summary)),
    ]
    plan |= {"note": f"project: {project.name if by_name else project.key}; issue: {summary}"}
    parts = ask(draft, draft.part(THAT_ISSUE), fields)
    return sentences(draft, *around(draft, choices, parts)), {"impossible": True, "plan": plan}


def _doubt(draft: Draft) -> Drawn:
    """An issue of a project that may not exist."""
    rng, own = draft.rng, has_own_summary(draft)
    exists = rng.random() < 0.5
    issue = draft.issue(lambda issue: own(issue) and short(issue))
    name = draft.state.projects[issue.project_id].name
    if not exists:
        name = draft.new_name(draft.names.project, {project.name for project in draft.state.projects.values()})
    fields = draw_fields(draft)
    names = {"name": draft.named(name), "summary": draft.named(issue.summary), "what": what(draft, fields)}
    text = draft.phrase(DOUBT, **verb(fields), **names)
    plan = {"kind": "doubt", "name": name, "summary": issue.summary}
    if not exists:
        return sentences(draft, text), {"impossible": True, "plan": plan}
    goal = {"questions": questions(draft, issue, fields), "lookups": lookups(issue, False), "plan": plan}
    return sentences(draft, text), goal
