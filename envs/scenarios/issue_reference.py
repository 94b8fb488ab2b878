"""Phrases that refer to an issue, and the searches that find it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from typing import Any

from envs.episode import Task
from envs.phrasing import Frames, tidy
from envs.protocol import Turn
from envs.scenarios.drafting import Draft, act
from envs.scenarios.issue_properties import JIRA_FIELDS, ONE, Property, properties
from envs.site.adf import document
from envs.site.records import Issue, Project

PROJECT_KEY = Frames(train=("[the |]project {key}", "{key}"), heldout=("the {key} project",))
PROJECT_NAME = Frames(train=("[the |]project {name}", "{name}"), heldout=("the {name} project",))
KEY = Frames(train=("{key}", "[the |our |]issue {key}", "the ticket {key}"), heldout=("our ticket {key}", "{key}"))
SUMMARY = Frames(
    train=(
        "[the |our |][issue|ticket] {summary} in {project}",
        "{summary} in {project}",
        "[the|our] [issue|ticket] called {summary} in {project}",
        "the [issue|ticket] in {project} called {quoted}",
    ),
    heldout=("the {summary} issue in {project}", "our issue in {project} called {quoted}"),
)
TWIN = Frames(
    train=(
        "the [issue|ticket] {summary} in {project} that {predicate}",
        "{summary} in {project} (the one that {predicate})",
        "the [issue|ticket] in {project} that {predicate} and is called {quoted}",
    ),
    heldout=("the {summary} issue in {project} that {predicate}",),
)
TWIN_INTRO = Frames(
    train=(
        "[there are|I see] two issues [called|with the summary] {quoted} in {project}. "
        "[I mean|this is about] the one that {predicate}.",
        "{project} has two issues called {quoted}. [I mean|please take] the one that {predicate}.",
    ),
    heldout=("{project}: there are two issues called {quoted}, and the one that I mean {predicate}.",),
)
SEARCH = "searchAndReconsileIssuesUsingJql"
Search = Generator[Turn, list[Any], tuple[str, str]]


def sentences(draft: Draft, *parts: str) -> str:
    """The request of these sentences. A line break at the end of one stays, and sentences start with capitals."""
    return tidy(re.sub(r" *\n *", "\n", draft.request(*parts)).strip())


def project_phrase(draft: Draft, project: Project, by_name: bool) -> str:
    if by_name:
        return draft.part(PROJECT_NAME, name=draft.named(project.name))
    return draft.part(PROJECT_KEY, key=project.key)


def summary_phrase(draft: Draft, summary: str, project: str) -> str:
    return draft.part(SUMMARY, summary=draft.named(summary), quoted=f'"{summary}"', project=project)


def issue_phrase(draft: Draft, issue: Issue, by_key: bool, by_name: bool | None = None) -> str:
    """A phrase for an issue by its key, or by its summary and its project's key or name."""
    if by_key:
        return draft.part(KEY, key=issue.key)
    if by_name is None:
        by_name = draft.rng.random() < 0.5
    return summary_phrase(draft, issue.summary, project_phrase(draft, draft.state.projects[issue.project_id], by_name))


def has_own_summary(draft: Draft) -> Callable[[Issue], bool]:
    """Whether no other issue of its project has an issue's summary."""
    count: dict[tuple[str, str], int] = {}
    for issue in draft.state.issues.values():
        name = (issue.project_id, issue.summary)
        count[name] = count.get(name, 0) + 1
    return lambda issue: count[issue.project_id, issue.summary] == 1


def lookups(issue: Issue, by_key: bool) -> list[list[str]]:
    return [] if by_key else [[issue.id, issue.key]]


def draw_twins(draft: Draft, condition: Callable[[Issue], bool] = lambda _: True) -> tuple[Issue, Issue, Property]:
    """An issue, another one of its project with the same summary, and a property of the first that tells them apart."""
    rng, state = draft.rng, draft.state
    own = has_own_summary(draft)
    source = draft.issue(lambda issue: own(issue) and condition(issue))
    project = state.projects[source.project_id]
    people = sorted(id for id, user in state.users.items() if user.active)
    labels = sorted({label for issue in state.issues.values() for label in issue.labels})
    fields: dict[str, Any] = {
        "project": {"id": project.id},
        "issuetype": {"id": rng.choice([id for id in project.issue_types if state.issue_types[id].level == 0])},
        "summary": source.summary,
        "priority": {"id": rng.choice(sorted(state.priorities.keys() - {source.priority_id}))},
        "reporter": {"accountId": rng.choice(people)},
        "labels": rng.sample(labels, rng.randrange(1, 3)),
    }
    if rng.random() < 0.7:
        fields["assignee"] = {"accountId": rng.choice(people)}
    if rng.random() < 0.5:
        fields["description"] = document(draft.names.sentence())
    created = draft.write("POST", "/rest/api/3/issue", {"fields": fields})
    pair = [source, state.issues[created["id"]]]
    rng.shuffle(pair)
    target, other = pair
    if not condition(target):
        target, other = other, target
    telling = [
        item
        for item in properties(state, target, ("status", "priority", "type", "assignee", "reporter"))
        if not item.holds(state, other)
    ]
    return target, other, rng.choice(telling)


def twin_phrase(draft: Draft, issue: Issue, property: Property) -> str:
    project = project_phrase(draft, draft.state.projects[issue.project_id], draft.rng.random() < 0.4)
    names = {"summary": draft.named(issue.summary), "quoted": f'"{issue.summary}"', "project": project}
    return draft.part(TWIN, predicate=property.phrase(draft, ONE), **names)


def twin_intro(draft: Draft, issue: Issue, property: Property) -> str:
    """Two sentences after which "it" is the issue."""
    project = project_phrase(draft, draft.state.projects[issue.project_id], draft.rng.random() < 0.4)
    names = {"quoted": f'"{issue.summary}"', "project": project}
    return draft.phrase(TWIN_INTRO, predicate=property.phrase(draft, ONE), **names)


def mentions(task: Task, name: str) -> bool:
    """Whether the request has `name` as a word of its own."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?!\w)", task.prompt) is not None


def project_term(task: Task, project: Project) -> str:
    """The project in JQL, as the request names it."""
    return f'"{project.name}"' if mentions(task, project.name) else project.key


def excerpt(text: str, start: str, id_key: str = "key") -> tuple[str, str]:
    """The id that follows `start` in a response's text, and the stretch from `start` to it."""
    begin = text.index(start)
    marker = f'"{id_key}": "'
    id_begin = text.index(marker, begin) + len(marker)
    end = text.index('"', id_begin)
    return text[id_begin:end], text[begin : end + 1]


def find_twin(task: Task, issue: Issue, property: Property) -> Search:
    """The key of the issue with the property among those with its summary, and the note for the next turn."""
    project = task.site().state.projects[issue.project_id]
    field = JIRA_FIELDS[property.field]
    jql = f'project = {project_term(task, project)} AND summary ~ "{issue.summary}"'
    (response,) = yield act(SEARCH, {"jql": jql, "fields": [field]})
    return excerpt(json.dumps(response), json.dumps(property.value) if property.value else f'"{field}": null')
