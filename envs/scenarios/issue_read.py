"""`issue-read`: find issues and answer what the request asks about them. Any write is wrong.

Difficulty 1 asks for one or two fields, or the comments, of an issue named by its key. 2 names it by its summary and
its project. 3 asks about two issues, about an issue's parent, or about the issue that another one is linked to. Most
requests of 2 and 3 name two candidates for the issue, the project or the field and say which is meant. 4 needs a
decision:

- look-alikes: two or three issues of a project have the same summary, and a second property says which one is meant;
- a condition: whether the assignee or the reporter is asked for, or about which of two issues, depends on a property;
- a set: the keys or the number of a project's issues with two properties;
- a request that cannot be met: there is no such issue, project, parent or linked issue. Where a project may be missing
  the request says so, and in half of the tasks the project does exist.

A goal's `plan` is for the demonstrator alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envs.episode import Task
from envs.phrasing import Frames
from envs.scenarios.decoys import decoy, is_asked
from envs.scenarios.drafting import AtlassianScenario, Demonstration, Draft, act, locate, quotation, reference
from envs.scenarios.issue_properties import (
    JIRA_FIELDS,
    ONE,
    Property,
    draw_condition,
    draw_group,
    shown,
    values,
)
from envs.scenarios.issue_reference import (
    SEARCH,
    THAT_ISSUE,
    THAT_PROJECT,
    around,
    choose_project,
    draw_twins,
    find_twin,
    has_own_summary,
    issue_phrase,
    lookups,
    mention,
    namesake,
    other_project,
    project_phrase,
    project_term,
    sentences,
    summary_phrase,
)
from envs.scenarios.read_questions import (
    FIELDS,
    ask,
    ask_its,
    differ,
    direct,
    draw_fields,
    form,
    questions,
    short,
    verb,
    what,
)
from envs.scenarios.read_wording import (
    CONDITION,
    CONDITION_OF_TWO,
    COUNT,
    DOUBT,
    FORM_HEAD,
    KEYS,
    LINKED,
    ONE_EACH,
    PARENT,
    PERSON,
    SAME,
    SET_FORM,
    TWO,
    TWO_DIRECT,
    TWO_FORM,
)
from envs.site.records import Issue, IssueLink, Project
from rewards import issue_read

PEOPLE = ("assignee", "reporter")
CONDITIONS = ("status", "priority", "type", "assignee", "reporter", "labels", "resolution")
MOST = 4
"""The most issues of a set."""

Drawn = tuple[str, dict[str, Any]]


def draft(draft: Draft) -> Drawn:
    if draft.difficulty < 3:
        return _one_issue(draft)
    if draft.difficulty == 3:
        return draft.rng.choice((_two_issues, _parent, _linked))(draft)
    return draft.rng.choice((_twins, _condition, _set, _cannot))(draft)


def _one_issue(draft: Draft) -> Drawn:
    by_key = draft.difficulty == 1
    if is_asked(draft):
        return _chosen_issue(draft)
    own, fields = has_own_summary(draft), draw_fields(draft)
    issue = draft.issue(lambda issue: own(issue) and short(issue))
    goal = {"questions": questions(draft, issue, fields), "lookups": lookups(issue, by_key), "plan": {"kind": "plain"}}
    if draft.rng.random() < 0.15:
        return sentences(draft, form(draft, issue, fields, by_key)), goal
    return sentences(draft, *ask(draft, issue_phrase(draft, issue, by_key), fields)), goal


def _chosen_issue(draft: Draft) -> Drawn:
    """An issue, and often whether its assignee or its reporter is meant, left to sentences that choose."""
    own = has_own_summary(draft)
    issue = draft.issue(lambda issue: own(issue) and short(issue))
    meant = mention(draft, issue, by_key=False)
    people = list(PEOPLE)
    draft.rng.shuffle(people)
    plan = {"kind": "plain", "note": meant.note}
    choices = list(meant.choices)
    if draft.rng.random() < 0.4 + 0.6 * (len(choices) < 2) and not _same(draft, issue, *people):
        fields, parts = people[:1], [draft.phrase(PERSON, issue=meant.phrase)]
        choices.append(decoy(draft, "person", *(f"the {person}" for person in people)))
        plan["note"] += f"; person: {people[0]}"
    else:
        fields = draw_fields(draft, issue, meant.others)
        parts = ask(draft, meant.phrase, fields)
    goal = {"questions": questions(draft, issue, fields), "lookups": lookups(issue, by_key=False), "plan": plan}
    return sentences(draft, *around(draft, choices, parts)), goal


def _same(draft: Draft, issue: Issue, field: str, other: str) -> bool:
    return values(draft.state, issue, field) == values(draft.state, issue, other)


def _chosen_issues(draft: Draft) -> Drawn:
    """One field of each of two issues, which sentences choose by their keys."""
    issues = [draft.issue(short)]
    while len(issues) < 4:
        issues.append(draft.issue(lambda issue: short(issue) and issue not in issues))
    fields = draft.rng.sample(FIELDS, 2)
    while not all(differ(draft, issues[i], issues[i + 2], fields[i : i + 1]) for i in (0, 1)):
        fields = draft.rng.sample(FIELDS, 2)
    if draft.rng.random() < 0.3 and differ(draft, issues[0], issues[1], fields[:1]):
        issues[2] = issues[1]
    choices = [
        decoy(draft, f"issue for the {field}", right.key, wrong.key)
        for field, right, wrong in zip(fields, issues[:2], issues[2:], strict=True)
    ]
    note = "; ".join(f"{field}: {issue.key}" for field, issue in zip(fields, issues, strict=False))
    asked = [question for i in (0, 1) for question in questions(draft, issues[i], fields[i : i + 1])]
    text = draft.phrase(ONE_EACH, first=fields[0], second=fields[1])
    goal = {"questions": asked, "lookups": [], "plan": {"kind": "plain", "note": note}}
    return sentences(draft, *around(draft, choices, [text])), goal


def _two_issues(draft: Draft) -> Drawn:
    if is_asked(draft):
        return _chosen_issues(draft)
    rng, own = draft.rng, has_own_summary(draft)
    first = draft.issue(short)
    second = draft.issue(lambda issue: issue.id != first.id and own(issue) and short(issue))
    by_key = rng.random() < 0.4
    fields, other_fields = draw_fields(draft), draw_fields(draft)
    phrases = {"issue": issue_phrase(draft, first, by_key=True), "other": issue_phrase(draft, second, by_key)}
    way = rng.random()
    if way < 0.2:
        fields = other_fields = fields[:1]
        text = draft.phrase(SAME, what=what(draft, fields), **verb(fields), **phrases)
    elif way < 0.4 and len(fields + other_fields) == 2:
        first_question = direct(draft, phrases["issue"], fields)
        second_question = direct(draft, phrases["other"], other_fields)
        text = draft.phrase(TWO_DIRECT, first=first_question, second=second_question)
    elif way < 0.5 and by_key:
        listed = {"fields": ", ".join(fields), "other_fields": ", ".join(other_fields)}
        head = draft.phrase(FORM_HEAD)
        text = f"{head}\n{draft.phrase(TWO_FORM, issue=first.key, other=second.key, **listed)}\n"
    else:
        asked = {"what": what(draft, fields), **verb(fields)}
        asked |= {"other_what": what(draft, other_fields), **verb(other_fields, prefix="other_")}
        text = draft.phrase(TWO, **asked, **phrases)
    asked_all = questions(draft, first, fields) + questions(draft, second, other_fields)
    return sentences(draft, text), {
        "questions": asked_all,
        "lookups": lookups(second, by_key),
        "plan": {"kind": "plain"},
    }


def _parent(draft: Draft) -> Drawn:
    state, own = draft.state, has_own_summary(draft)
    child = draft.issue(lambda issue: own(issue) and issue.parent_id is not None)
    if is_asked(draft):
        return _chosen_relative(draft, child, lambda issue: issue.parent_id, PARENT, {"kind": "parent"})
    assert child.parent_id
    return _related(draft, child, state.issues[child.parent_id], PARENT, {"kind": "parent"})


def _linked(draft: Draft) -> Drawn:
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

        slots = {"relation": relation, "inverse": inverse}
        return _chosen_relative(draft, state.issues[issue.id], relative, LINKED, plan, **slots)
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


def _twins(draft: Draft) -> Drawn:
    twins = draw_twins(draft, short)
    target, telling = twins.target, twins.telling
    differing = [
        field
        for field in FIELDS
        if field != telling.field and all(differ(draft, target, other, [field]) for other in twins.others)
    ]
    fields = draft.rng.sample(differing, min(len(differing), draft.rng.choice((1, 1, 2))))
    if not fields:
        return _twins(draft)
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


def _condition(draft: Draft) -> Drawn:
    """Both answers are of one kind, so that only the right one may be said."""
    rng, state, own = draft.rng, draft.state, has_own_summary(draft)
    if rng.random() < 0.5:
        return _condition_of_two(draft)
    issue = draft.issue(lambda issue: own(issue) and not _same(draft, issue, *PEOPLE))
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
    text = draft.phrase(CONDITION_OF_TWO, predicate=condition.phrase(draft, ONE), **names)
    plan = {"kind": "condition", "field": condition.field, "issue": issue.id}
    asked = questions(draft, first if holds else second, [field])
    return sentences(draft, text), {"questions": asked, "lookups": lookups(issue, by_key), "plan": plan}


def _other_values(draft: Draft, first: Issue, issue: Issue, field: str) -> list[Issue]:
    """The issues that differ from the first in the field and are not the one of the condition."""
    return [o for o in draft.state.issues.values() if o.id != issue.id and differ(draft, first, o, [field])]


def _set(draft: Draft) -> Drawn:
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


def _cannot(draft: Draft) -> Drawn:
    options: tuple[Callable[[Draft], Drawn], ...] = (_no_issue, _doubt, _no_parent, _no_link)
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


def _no_parent(draft: Draft) -> Drawn:
    own = has_own_summary(draft)
    issue = draft.issue(lambda issue: own(issue) and not issue.parent_id)
    return _no_relative(draft, issue, PARENT, {"kind": "parent"})


def _no_link(draft: Draft) -> Drawn:
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


def demonstrate(task: Task) -> Demonstration:
    plan, kind = task.goal["plan"], task.goal["plan"]["kind"]
    state, questions = task.site().state, task.goal.get("questions", [])
    key, note = "", plan.get("note", "")
    if kind == "set":
        (response,) = yield act(SEARCH, {"jql": plan["jql"], "fields": ["key"]}, note)
        keys = [issue["key"] for issue in response["issues"]]
        return str(len(keys)) if questions[0]["field"] == "count" else ", ".join(keys)
    if kind == "absent":
        project = project_term(task, state.projects[plan["project"]])
        jql = f'project = {project} AND summary ~ "{plan["summary"]}"'
        yield act(SEARCH, {"jql": jql, "fields": ["summary"]}, note)
        return "Cannot: no such issue"
    if kind == "doubt":
        (response,) = yield act("searchProjects", {"query": plan["name"]})
        if not response["values"]:
            return "Cannot: no such project"
        project, note = quotation(response, plan["name"], "key")
        jql = f'project = {project} AND summary ~ "{plan["summary"]}"'
        (response,) = yield act(SEARCH, {"jql": jql, "fields": ["summary"]}, note)
        key, note = quotation(response, plan["summary"], "key")
    elif kind in ("parent", "link"):
        key, note = yield from locate(task, state.issues[plan["start"]], note)
        field = "parent" if kind == "parent" else "issuelinks"
        (response,) = yield act("getIssue", {"issueIdOrKey": key, "fields": [field]}, note)
        relative = _relative(response["fields"], plan)
        if relative is None:
            return "Cannot: no parent" if kind == "parent" else "Cannot: no such link"
        key, note = quotation(relative, relative["fields"]["summary"], "key")
    elif kind == "twin":
        property = Property(*plan["property"])
        key, note = yield from find_twin(task, state.issues[questions[0]["issue"]["id"]], property)
    elif kind == "condition":
        key, note = yield from locate(task, state.issues[plan["issue"]])
        field = plan["field"]
        (response,) = yield act("getIssue", {"issueIdOrKey": key, "fields": [JIRA_FIELDS[field]]}, note)
        note = f"{field}: {shown(field, response['fields'])}"
    answers = []
    for id in dict.fromkeys(question["issue"]["id"] for question in questions):
        if kind == "plain" or id != plan.get("issue", id):
            key, note = yield from locate(task, state.issues[id], note)
        fields = [question["field"] for question in questions if question["issue"]["id"] == id]
        if fields == ["comments"]:
            (response,) = yield act("getComments", {"issueIdOrKey": key}, note)
            answers.append(shown("comments", {"comment": response}))
        else:
            names = [JIRA_FIELDS[field] for field in fields]
            (response,) = yield act("getIssue", {"issueIdOrKey": key, "fields": names}, note)
            answers += [shown(field, response["fields"]) for field in fields]
        note = ""
    return "; ".join(answers)


def _relative(fields: Any, plan: Any) -> Any:
    """The parent or the linked issue in the `fields` of a response."""
    if plan["kind"] == "parent":
        return fields.get("parent")
    for link in fields["issuelinks"]:
        for end, text in (("inwardIssue", "inward"), ("outwardIssue", "outward")):
            if end in link and link["type"][text] == plan["relation"]:
                return link[end]
    return None


SCENARIO = AtlassianScenario(
    name="issue-read",
    tools=(
        "searchAndReconsileIssuesUsingJql",
        "getIssue",
        "getComments",
        "getTransitions",
        "findUsers",
        "getProject",
        "searchProjects",
        "getAllLabels",
        "addComment",
        "editIssue",
        "assignIssue",
    ),
    draft=draft,
    check=issue_read.check,
    demonstrate=demonstrate,
)
