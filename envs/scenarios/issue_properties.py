"""Properties of issues: how requests say them, how JQL asks for them, and how responses show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from envs.phrasing import Frames
from envs.scenarios.drafting import Draft
from envs.site import adf
from envs.site.records import STATUS_CATEGORIES, Issue, State

JIRA_FIELDS = {
    "status": "status",
    "priority": "priority",
    "type": "issuetype",
    "assignee": "assignee",
    "reporter": "reporter",
    "labels": "labels",
    "description": "description",
    "resolution": "resolution",
    "comments": "comment",
}
"""Field in a goal -> field in Jira."""
PLURALS = {"Epic": "epics", "Story": "stories", "Task": "tasks", "Bug": "bugs", "Sub-task": "sub-tasks"}

PREDICATES = {
    "status": Frames(
        train=("{are} in [the |]status {value}", "{have} the status {value}"),
        heldout=("{have} {value} as the status",),
    ),
    "category": Frames(
        train=("{are} in the status category {value}", "{have} the status category {value}"),
        heldout=("{have} {value} as the status category",),
    ),
    "priority": Frames(
        train=("{have} [the |]priority {value}", "{have} {value} priority"),
        heldout=("{have} {value} as the priority",),
    ),
    "type": Frames(
        train=("{are} of [the |]type {value}", "{have} the [issue |]type {value}"),
        heldout=("{have} {value} as the type",),
    ),
    "assignee": Frames(
        train=("{are} assigned to {value}", "{have} {value} as the assignee"),
        heldout=("{have} the assignee {value}",),
    ),
    "reporter": Frames(
        train=("{were} reported by {value}", "{have} the reporter {value}"),
        heldout=("{have} {value} as the reporter",),
    ),
    "labels": Frames(
        train=("{have} the label {value}", "{carry} [the label |]{value}"),
        heldout=("{carry} the {value} label",),
    ),
}
NO_ASSIGNEE = Frames(
    train=(
        "{have} no assignee",
        "{are} assigned to nobody",
        "{are} not assigned to anybody",
        "{are} without an assignee",
    ),
    heldout=("{have} nobody as the assignee",),
)
NO_RESOLUTION = Frames(train=("{have} no resolution",), heldout=("{are} without a resolution",))
ONE = {"are": "is", "have": "has", "were": "was", "carry": "carries"}
MANY = {"are": "are", "have": "have", "were": "were", "carry": "carry"}


@dataclass(frozen=True)
class Property:
    """That an issue has `value` in `field`, or that the field is empty."""

    field: str
    """A field of a goal, or `category` for the status category."""
    value: str | None

    def holds(self, state: State, issue: Issue) -> bool:
        held = values(state, issue, self.field)
        return self.value in held if self.value else not held

    @property
    def jql(self) -> str:
        name = {"category": "statusCategory", "type": "issuetype"}.get(self.field, self.field)
        return f'{name} = "{self.value}"' if self.value else f"{name} IS EMPTY"

    @property
    def line(self) -> str:
        """The property as a line of a form."""
        name = {"category": "Status category", "labels": "Label"}.get(self.field, self.field.capitalize())
        return f"{name}: {self.value or 'none'}"

    def phrase(self, draft: Draft, forms: dict[str, str]) -> str:
        """`is assigned to Dana Reyes` or, of several issues, `are assigned to Dana Reyes`."""
        if not self.value:
            return draft.part(NO_ASSIGNEE if self.field == "assignee" else NO_RESOLUTION, **forms)
        name = draft.named(self.value) if self.field in ("status", "category", "labels") else self.value
        return draft.part(PREDICATES[self.field], value=name, **forms)


def values(state: State, issue: Issue, field: str) -> list[str]:
    """The values of a field as the tools show them."""
    status = state.statuses[issue.status_id]
    options: dict[str, Sequence[str | None]] = {
        "status": [status.name],
        "category": [STATUS_CATEGORIES[status.category][1]],
        "priority": [state.priorities[issue.priority_id]],
        "type": [state.issue_types[issue.type_id].name],
        "assignee": [state.users[issue.assignee].display_name if issue.assignee else None],
        "reporter": [state.users[issue.reporter].display_name],
        "labels": issue.labels,
        "description": [adf.text(issue.description)],
        "resolution": [issue.resolution],
        "comments": [adf.text(comment.body) for comment in issue.comments],
    }
    return [value for value in options[field] if value]


def properties(state: State, issue: Issue, fields: Sequence[str]) -> Iterator[Property]:
    """What is true of the issue in `fields`, as far as requests have words for it."""
    for field in fields:
        held = values(state, issue, field)
        if field == "resolution":
            yield from [] if held else [Property(field, None)]
        elif held:
            yield from (Property(field, value) for value in held)
        elif field == "assignee":
            yield Property(field, None)


def draw_condition(draft: Draft, issue: Issue, holds: bool, fields: Sequence[str]) -> Property:
    """A property that the issue has (`holds`) or that another one, of its project if possible, has instead."""
    siblings = [other for other in draft.state.issues.values() if other.project_id == issue.project_id]
    for attempt in range(1_000):
        source = issue if holds else draft.rng.choice(siblings) if attempt < 100 else draft.issue()
        known = list(properties(draft.state, source, (draft.rng.choice(fields),)))
        if known and (condition := draft.rng.choice(known)).holds(draft.state, issue) == holds:
            return condition
    raise RuntimeError("no issue of the site differs from this one")


@dataclass(frozen=True)
class Group:
    """The issues of a project that have two properties."""

    issues: tuple[Issue, ...]
    project_id: str
    properties: tuple[Property, Property]

    def phrases(self, draft: Draft) -> tuple[str, str]:
        """(`bugs`, `are assigned to Dana Reyes`) or (`issues`, `have priority High and carry the label x`)."""
        things, parts = "issues", list(self.properties)
        for item in self.properties:
            if item.field == "type" and item.value in PLURALS and draft.rng.random() < 0.7:
                things = PLURALS[item.value]
                parts.remove(item)
        return things, " and ".join(item.phrase(draft, MANY) for item in parts)

    def count(self, draft: Draft, project: str) -> int:
        """The number of issues of another project that have the properties."""
        issues = [issue for issue in draft.state.issues.values() if issue.project_id == project]
        return sum(all(item.holds(draft.state, issue) for item in self.properties) for issue in issues)

    def jql(self, project: str) -> str:
        return " AND ".join([f"project = {project}", *(item.jql for item in self.properties)])


GROUPED = ("status", "category", "priority", "type", "assignee", "reporter", "labels", "resolution")


def draw_group(draft: Draft, most: int, fields: Sequence[str] = GROUPED) -> Group:
    """A group of at most `most` issues, usually of several, of which each property alone describes more."""
    state = draft.state
    for attempt in range(1_000):
        issue = draft.issue()
        known = list(properties(state, issue, fields))
        if len(known) < 2:
            continue
        first, second = draft.rng.sample(known, 2)
        if first.field == second.field or {first.field, second.field} in ({"status", "category"},):
            continue
        siblings = [other for other in state.issues.values() if other.project_id == issue.project_id]
        alone = [[other for other in siblings if item.holds(state, other)] for item in (first, second)]
        members = tuple(other for other in alone[0] if other in alone[1])
        if len(members) > most or (attempt < 50 and (len(members) < 2 or len(members) == min(map(len, alone)))):
            continue
        return Group(members, issue.project_id, (first, second))
    raise RuntimeError("the site has no such group of issues")


def shown(field: str, fields: Any) -> str:
    """The value of a goal's field in the `fields` of a response, as an answer says it."""
    value = fields[JIRA_FIELDS[field]]
    if field == "labels":
        return ", ".join(value) or "none"
    if field == "description":
        return adf.text(value) or "none"
    if field == "comments":
        return "; ".join(adf.text(comment["body"]) for comment in value["comments"]) or "none"
    if value is None:
        return "none"
    return str(value["displayName"] if field in ("assignee", "reporter") else value["name"])
