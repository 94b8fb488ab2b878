"""Phrases that refer to an issue, and the searches that find it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from envs.episode import Task
from envs.phrasing import Frames, tidy
from envs.protocol import Turn
from envs.scenarios.decoys import decoy
from envs.scenarios.drafting import Draft, act, excerpt
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
        "[there are|I see] {count} issues [called|with the summary] {quoted} in {project}. "
        "[I mean|this is about] the one that {predicate}.",
        "{project} has {count} issues called {quoted}. [I mean|please take] the one that {predicate}.",
    ),
    heldout=("{project}: there are {count} issues called {quoted}, and the one that I mean {predicate}.",),
)
TWINS = Frames(
    train=(
        "[there are|I see] {count} issues [called|with the summary] {quoted} in {project}.",
        "{project} has {count} issues called {quoted}.",
    ),
    heldout=(
        "{project}: there are {count} issues called {quoted}.",
        "in {project}, I see {count} issues called {quoted}.",
    ),
)
THAT_ISSUE = Frames(
    train=("the issue in question", "this issue", "this ticket"),
    heldout=("the ticket in question",),
)
THAT_PROJECT = Frames(train=("this project", "the project"), heldout=("the project in question",))
SUMMARY_THERE = Frames(
    train=(
        "[the |our |][issue|ticket] {summary} in this project",
        "[the|our] [issue|ticket] called {summary} in the project",
        "the [issue|ticket] called {quoted}",
    ),
    heldout=("the {summary} issue in this project",),
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


@dataclass(frozen=True)
class Mention:
    """How a request refers to an issue."""

    phrase: str
    by_key: bool
    that: str = ""
    """The part of the phrase that stands for the issue's name."""
    choices: tuple[str, ...] = ()
    """The sentences that say which of two candidates is meant."""
    note: str = ""
    """What they say, in a few words, for the demonstrator."""
    others: tuple[Issue, ...] = ()
    """The issues that other choices would lead to."""


def mention(
    draft: Draft,
    issue: Issue,
    by_key: bool,
    by_name: bool | None = None,
    noun: str = "issue",
    similar: Callable[[Issue], bool] | None = None,
) -> Mention:
    """A reference to an issue that leaves its key, its summary or its project to sentences with a wrong candidate.

    With `similar`, the wrong candidates are issues that meet this condition. Otherwise the site gets issues of the same
    names in the wrong project.
    """
    rng, state, own = draft.rng, draft.state, has_own_summary(draft)

    def is_candidate(other: Issue) -> bool:
        return other.id != issue.id and (similar is None or similar(other))

    that = draft.part(THAT_ISSUE) if noun == "issue" else f"the {noun}"
    if by_key:
        other = draft.issue(is_candidate)
        choice = decoy(draft, noun, issue.key, other.key)
        return Mention(that, True, that, (choice,), f"issue: {issue.key}", (other,))
    project = state.projects[issue.project_id]
    by_name = rng.random() < 0.5 if by_name is None else by_name
    way = rng.choice(("project", "summary", "both", "both")) if similar is None else "summary"
    other = draft.issue(lambda o: is_candidate(o) and own(o) and o.project_id == project.id)
    phrase = that if way == "both" else f"{that} in {project_phrase(draft, project, by_name)}"
    choices, notes, others = [], [], [] if way == "project" else [other]
    if way != "summary":
        wrong = other_project(draft, project)
        if way == "project":
            names = {"summary": draft.named(issue.summary), "quoted": f'"{issue.summary}"'}
            phrase = draft.part(SUMMARY_THERE, **names)
        choices.append(choose_project(draft, project, wrong, by_name))
        notes.append(f"project: {project.name if by_name else project.key}")
        others += [namesake(draft, wrong, source) for source in ((issue,) if way == "project" else (issue, other))]
    if way != "project":
        choices.append(decoy(draft, noun, draft.named(issue.summary), draft.named(other.summary)))
        notes.append(f"issue: {issue.summary}")
    return Mention(phrase, False, that, tuple(choices), "; ".join(notes), tuple(others))


def namesake(draft: Draft, project: Project, source: str | Issue) -> Issue:
    """An issue of the project with the summary (and, if it is new, the labels) of the source."""
    summary = source if isinstance(source, str) else source.summary
    for issue in draft.state.issues.values():
        if (issue.project_id, issue.summary) == (project.id, summary):
            return issue
    labels = {} if isinstance(source, str) else {"labels": list(source.labels)}
    return write_issue(draft, project, summary, **labels)


def other_project(draft: Draft, project: Project) -> Project:
    return draft.rng.choice([other for other in draft.state.projects.values() if other.id != project.id])


def choose_project(draft: Draft, project: Project, wrong: Project, by_name: bool) -> str:
    """The sentence that says that `project`, and not `wrong`, is meant."""
    other = draft.named(wrong.name) if draft.rng.random() < (0.8 if by_name else 0.2) else wrong.key
    return decoy(draft, "project", draft.named(project.name) if by_name else project.key, other)


def around(draft: Draft, choices: Sequence[str], parts: Sequence[str]) -> list[str]:
    """The parts of a request with the sentences that choose, some before and some after."""
    shuffled = draft.rng.sample(choices, len(choices))
    cut = draft.rng.randint(0, len(shuffled))
    return [*shuffled[:cut], *parts, *shuffled[cut:]]


def write_issue(draft: Draft, project: Project, summary: str, **fields: Any) -> Issue:
    """An issue of the project that somebody creates before the episode, with properties of its own."""
    rng, state = draft.rng, draft.state
    people = sorted(id for id, user in state.users.items() if user.active)
    labels = sorted({label for issue in state.issues.values() for label in issue.labels})
    drawn: dict[str, Any] = {
        "project": {"id": project.id},
        "issuetype": {"id": rng.choice([id for id in project.issue_types if state.issue_types[id].level == 0])},
        "summary": summary,
        "priority": {"id": rng.choice(sorted(state.priorities))},
        "reporter": {"accountId": rng.choice(people)},
        "labels": rng.sample(labels, rng.randrange(1, 3)),
    }
    if rng.random() < 0.7:
        drawn["assignee"] = {"accountId": rng.choice(people)}
    if rng.random() < 0.5:
        drawn["description"] = document(draft.names.sentence())
    created = draft.write("POST", "/rest/api/3/issue", {"fields": drawn | fields})
    return draft.state.issues[created["id"]]


def has_own_summary(draft: Draft) -> Callable[[Issue], bool]:
    """Whether no other issue of its project has an issue's summary."""
    count: dict[tuple[str, str], int] = {}
    for issue in draft.state.issues.values():
        name = (issue.project_id, issue.summary)
        count[name] = count.get(name, 0) + 1
    return lambda issue: count[issue.project_id, issue.summary] == 1


def lookups(issue: Issue, by_key: bool) -> list[list[str]]:
    return [] if by_key else [[issue.id, issue.key]]


TWIN_FIELDS = ("status", "priority", "type", "assignee", "reporter")


@dataclass(frozen=True)
class Twins:
    """Issues of a project with the same summary, and the property of one that tells it from the others."""

    target: Issue
    others: tuple[Issue, ...]
    telling: Property

    def names(self, draft: Draft) -> dict[str, str]:
        """The slots of the frames, without the predicate."""
        project = project_phrase(draft, draft.state.projects[self.target.project_id], draft.rng.random() < 0.4)
        count = ("two", "three")[len(self.others) - 1]
        summary = self.target.summary
        return {"summary": draft.named(summary), "quoted": f'"{summary}"', "project": project, "count": count}

    def phrase(self, draft: Draft) -> str:
        return draft.part(TWIN, predicate=self.telling.phrase(draft, ONE), **self.names(draft))

    def intro(self, draft: Draft) -> str:
        """Two sentences after which "it" is the issue."""
        return draft.phrase(TWIN_INTRO, predicate=self.telling.phrase(draft, ONE), **self.names(draft))

    def choice(self, draft: Draft) -> list[str]:
        """A sentence on the look-alikes, and one that says which is meant and which is not."""
        state, other = draft.state, draft.rng.choice(self.others)
        wrong = [item for item in properties(state, other, TWIN_FIELDS) if not item.holds(state, self.target)]
        candidates = [self.telling, draft.rng.choice(wrong)]
        right, left = (f"the one that {item.phrase(draft, ONE)}" for item in candidates)
        return [draft.phrase(TWINS, **self.names(draft)), decoy(draft, "issue", right, left)]


def draw_twins(draft: Draft, condition: Callable[[Issue], bool] = lambda _: True) -> Twins:
    """Two or three look-alikes, of which at least the one that is meant meets the condition."""
    rng, own = draft.rng, has_own_summary(draft)
    source = draft.issue(lambda issue: own(issue) and condition(issue))
    project = draft.state.projects[source.project_id]
    group = [source]
    for _ in range(rng.choice((1, 2, 2))):
        priority = rng.choice(sorted(draft.state.priorities.keys() - {source.priority_id}))
        group.append(write_issue(draft, project, source.summary, priority={"id": priority}))
    state, target = draft.state, rng.choice([issue for issue in group if condition(issue)])
    others = tuple(issue for issue in group if issue is not target)
    held = list(properties(state, target, TWIN_FIELDS))
    telling = [item for item in held if not any(item.holds(state, other) for other in others)]
    return Twins(target, others, rng.choice(telling)) if telling else draw_twins(draft, condition)


def mentions(task: Task, name: str) -> bool:
    """Whether the request has `name` as a word of its own."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?!\w)", task.prompt) is not None


def project_term(task: Task, project: Project) -> str:
    """The project in JQL, as the request names it."""
    return f'"{project.name}"' if mentions(task, project.name) else project.key


def find_twin(task: Task, issue: Issue, property: Property) -> Search:
    """The key of the issue with the property among those with its summary, and the note for the next turn."""
    project = task.site().state.projects[issue.project_id]
    field = JIRA_FIELDS[property.field]
    jql = f'project = {project_term(task, project)} AND summary ~ "{issue.summary}"'
    (response,) = yield act(SEARCH, {"jql": jql, "fields": [field]})
    return excerpt(json.dumps(response), json.dumps(property.value) if property.value else f'"{field}": null')
