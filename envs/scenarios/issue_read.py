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

from typing import Any

from envs.episode import Task
from envs.scenarios.decoys import decoy, is_asked
from envs.scenarios.drafting import AtlassianScenario, Demonstration, Draft, act, locate, quotation
from envs.scenarios.issue_properties import (
    JIRA_FIELDS,
    Property,
    shown,
)
from envs.scenarios.issue_reference import (
    SEARCH,
    around,
    find_twin,
    has_own_summary,
    issue_phrase,
    lookups,
    mention,
    project_term,
    sentences,
)
from envs.scenarios.read_decisions import cannot, condition_task, set_task, twins_task
from envs.scenarios.read_questions import (
    FIELDS,
    PEOPLE,
    ask,
    differ,
    direct,
    draw_fields,
    form,
    questions,
    same,
    short,
    verb,
    what,
)
from envs.scenarios.read_relatives import linked, parent
from envs.scenarios.read_wording import (
    FORM_HEAD,
    ONE_EACH,
    PERSON,
    SAME,
    TWO,
    TWO_DIRECT,
    TWO_FORM,
)
from rewards import issue_read

Drawn = tuple[str, dict[str, Any]]


def draft(draft: Draft) -> Drawn:
    if draft.difficulty < 3:
        return _one_issue(draft)
    if draft.difficulty == 3:
        return draft.rng.choice((_two_issues, parent, linked))(draft)
    return draft.rng.choice((twins_task, condition_task, set_task, cannot))(draft)


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
    if draft.rng.random() < 0.4 + 0.6 * (len(choices) < 2) and not same(draft, issue, *people):
        fields, parts = people[:1], [draft.phrase(PERSON, issue=meant.phrase)]
        choices.append(decoy(draft, "person", *(f"the {person}" for person in people)))
        plan["note"] += f"; person: {people[0]}"
    else:
        fields = draw_fields(draft, issue, meant.others)
        parts = ask(draft, meant.phrase, fields)
    goal = {"questions": questions(draft, issue, fields), "lookups": lookups(issue, by_key=False), "plan": plan}
    return sentences(draft, *around(draft, choices, parts)), goal


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
