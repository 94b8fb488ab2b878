"""`issue-create`: create an issue with nested arguments. People, projects and parents may have to be looked up.

Difficulty 1 names the project's key and asks for one or two of priority, labels and description. 2 asks for two or
three, names the project by its name or its key, and often a person as the assignee. 3 also has a parent, named by key
or by summary; some requests are lists of fields. 4 is one of these:

- a value has to be read elsewhere: the reporter or assignee of another issue, the lead of the project, the priority,
  the labels or the parent of another issue;
- a field depends on a condition on another issue;
- the issue may exist already, with something missing or wrong that has to be mended;
- the person, the project, the parent or the issue type does not exist, so that nothing can be created.

A request never asks for the default priority. The goal's member `way` is for the demonstrator alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from envs.episode import Task
from envs.phrasing import Frames
from envs.protocol import Turn
from envs.scenarios import issue_create_frames as frames
from envs.scenarios.drafting import AtlassianScenario, Demonstration, Draft, act, quotation
from envs.scenarios.goals import issue_goal
from envs.site import adf
from envs.site.adf import document
from envs.site.lookup import default_priority
from envs.site.records import Issue, Project, State, User
from rewards import issue_create

STANDARD = ("Story", "Task", "Bug")
NO_TYPES = ("Incident", "Improvement", "Feature", "Question", "Change", "Risk")
"""Issue types that no project has."""
OPTIONAL = ("priority", "labels", "description")
FOLDABLE = ("priority", "labels", "assignee")
"""What may stand in the first sentence, after "with"."""
FOLDED, JOINED, FORM, REASONED, ASSIGNED = 0.35, 0.3, 0.3, 0.15, 0.6
"""The shares of requests with details in the first sentence, with two wishes in one sentence, as a list of fields (from
difficulty 3 on), with a reason, and (from difficulty 2 on) with an assignee."""


@dataclass
class Wish:
    """The issue that a request asks for, as far as it has been drawn."""

    draft: Draft
    project: Project
    by_name: bool
    """Whether the request names the project by its name."""
    type: str
    summary: str
    create: dict[str, Any] = field(default_factory=dict)
    """The optional attributes of the goal's issue."""
    said: dict[str, Any] = field(default_factory=dict)
    """What the request says of them: names and texts."""
    lookups: list[list[str]] = field(default_factory=list)
    way: dict[str, Any] = field(default_factory=dict)

    @property
    def project_phrase(self) -> str:
        if self.by_name:
            return self.draft.part(frames.PROJECT_NAME, name=self.draft.named(self.project.name))
        return self.draft.part(frames.PROJECT_KEY, key=self.project.key)

    def goal(self, request: str) -> dict[str, Any]:
        """The goal of a request that can be met by creating an issue."""
        type_id = next(t.id for t in self.draft.state.issue_types.values() if t.name == self.type)
        issue = {"project": self.project.id, "type": type_id, "summary": self.summary, **self.create}
        return {"create": {"issue": issue}, "lookups": self.all_lookups(request), "way": self.way}

    def all_lookups(self, request: str) -> list[list[str]]:
        """The look-ups, with the project's unless the request shows its key (perhaps in that of an issue)."""
        shown = re.search(rf"\b{self.project.key}\b", request)
        return [*([] if shown else [[self.project.id, self.project.key]]), *self.lookups]

    # What may be asked for
    def priority(self) -> None:
        self.create["priority"], self.said["priority"] = _priority(self.draft)

    def labels(self) -> None:
        names = [self.draft.names.label() for _ in range(self.draft.rng.randrange(1, 3))]
        self.create["labels"] = self.said["labels"] = names

    def description(self) -> None:
        self.create["description"] = self.said["description"] = self.draft.names.sentence()

    def assignee(self) -> None:
        user = _person(self.draft)
        self.create["assignee"], self.said["assignee"] = user.account_id, user.display_name
        self.lookups.append([user.account_id])

    def parent(self) -> None:
        """Draws an epic, or for a sub-task one of the issues that may have them."""
        draft, types = self.draft, self.draft.state.issue_types
        level = 0 if self.type == "Sub-task" else 1
        parent = draft.issue(lambda i: i.project_id == self.project.id and types[i.type_id].level == level)
        by_key = draft.rng.random() < 0.5 or _is_repeated(draft, parent)
        self.create["parent"] = parent.id
        self.said["parent"] = (types[parent.type_id].name.lower(), parent.key if by_key else parent.summary, by_key)
        if not by_key:
            self.lookups.append([parent.id, parent.key])


def draft(draft: Draft) -> tuple[str, dict[str, Any]]:
    while True:
        draft.wording.clear()
        try:
            if draft.difficulty < 4:
                return _plain(draft)
            return draft.rng.choice((_elsewhere, _condition, _half_made, _impossible))(draft)
        except IndexError:
            pass  # The site lacks something that the task needs.


def _plain(draft: Draft) -> tuple[str, dict[str, Any]]:
    wish = _wish(draft)
    if draft.difficulty == 3:
        wish.parent()
    _add_details(wish)
    request = draft.request(*_say(wish))
    return _lines(request), wish.goal(request)


def _wish(draft: Draft) -> Wish:
    rng, state = draft.rng, draft.state
    project = state.projects[rng.choice(sorted(state.projects))]
    kinds = (
        (*STANDARD, "Epic") if draft.difficulty < 3 else (*STANDARD, "Sub-task") if draft.difficulty == 3 else STANDARD
    )
    summary = draft.new_name(draft.names.summary, {issue.summary for issue in state.issues.values()})
    return Wish(draft, project, draft.difficulty > 1 and rng.random() < 0.4, rng.choice(kinds), summary)


def _add_details(wish: Wish, *without: str) -> None:
    """Draws some optional attributes into the wish: all but those in `without`."""
    rng, difficulty = wish.draft.rng, wish.draft.difficulty
    names = [name for name in OPTIONAL if name not in without]
    count = {1: rng.choice((1, 2)), 2: rng.choice((2, 3)), 3: rng.choice((1, 2)), 4: rng.choice((0, 1, 1, 2))}[
        difficulty
    ]
    for name in rng.sample(names, min(count, len(names))):
        getattr(wish, name)()
    if difficulty > 1 and "assignee" not in without and rng.random() < ASSIGNED:
        wish.assignee()


def _priority(draft: Draft, *others: str) -> tuple[str, str]:
    """(id, name) of a priority that is neither the default nor one of the ids `others`."""
    ids = sorted(draft.state.priorities.keys() - {default_priority(draft.state), *others})
    id = draft.rng.choice(ids)
    return id, draft.state.priorities[id]


def _person(draft: Draft, *others: str) -> User:
    users = draft.state.users
    return users[draft.rng.choice(sorted(id for id, user in users.items() if user.active and id not in others))]


def _is_repeated(draft: Draft, issue: Issue) -> bool:
    return sum(other.summary == issue.summary for other in draft.state.issues.values()) > 1


# Kinds of difficulty 4
ELSEWHERE = {
    "reporter": frames.WHO_REPORTED,
    "assignee": frames.WHO_WORKS,
    "lead": frames.LEAD,
    "priority": frames.SAME_PRIORITY,
    "labels": frames.SAME_LABELS,
    "parent": frames.SAME_PARENT,
}
"""What has to be read -> how a request asks for the same."""


def _elsewhere(draft: Draft) -> tuple[str, dict[str, Any]]:
    """A field gets a value that has to be read: from another issue, or the lead of the project."""
    wish, state = _wish(draft), draft.state
    source = draft.rng.choice(sorted(ELSEWHERE))
    target = "assignee" if source in ("reporter", "lead") else source
    levels = {id: kind.level for id, kind in state.issue_types.items()}

    def has_value(issue: Issue) -> bool:
        if issue.project_id != wish.project.id or (
            source == "priority" and issue.priority_id == default_priority(state)
        ):
            return False
        if source == "parent" and levels[issue.type_id] != 0:
            return False
        return bool(_value(issue, source)) and (target != "assignee" or state.users[_value(issue, source)].active)

    _add_details(wish, target)
    phrase = ""
    wish.way = {"read": source}
    if source == "lead":
        value = wish.project.lead
        if not state.users[value].active:
            raise IndexError
    else:
        issue = draft.issue(has_value)
        value = _value(issue, source)
        by_key = draft.rng.random() < 0.75 or _is_repeated(draft, issue)
        wish.way |= {"key": issue.key} if by_key else {"summary": issue.summary, "id": issue.id}
        phrase = issue.key
        if not by_key:
            kind = state.issue_types[issue.type_id].name.lower()
            phrase = draft.part(frames.ISSUE_SUMMARY, kind=kind, summary=issue.summary, project=wish.project_phrase)
            wish.lookups.append([issue.id, issue.key])
    wish.create[target] = list(value) if source == "labels" else value
    wish.lookups += _aliases(draft, target, value)
    request = draft.request(*_say(wish, draft.phrase(ELSEWHERE[source], issue=phrase)))
    return _lines(request), wish.goal(request)


def _value(issue: Issue, source: str) -> Any:
    names = {"priority": "priority_id", "parent": "parent_id"}
    return getattr(issue, names.get(source, source))


def _aliases(draft: Draft, target: str, value: Any) -> list[list[str]]:
    """The look-ups of a value that the request does not say."""
    if target == "labels":
        return [[label] for label in value]
    if target == "priority":
        return [[value, draft.state.priorities[value]]]
    return [[value, draft.state.issues[value].key]] if target == "parent" else [[value]]


def _condition(draft: Draft) -> tuple[str, dict[str, Any]]:
    """A field depends on a condition on another issue."""
    wish, rng = _wish(draft), draft.rng
    target = rng.choice(("assignee", "priority", "labels", "parent"))
    _add_details(wish, target)
    condition, holds = _draw_condition(wish)
    yes, no = _outcomes(wish, target)
    wanted = yes if holds else no
    if wanted is not None:
        wish.create[target] = [wanted[0]] if target == "labels" else wanted[0]
        wish.lookups += [[wanted[0]]] if target == "assignee" else []
    wish.way |= {"wanted": None if wanted is None else wanted[1], "target": target}
    if no is None:
        sentence = draft.phrase(frames.ONLY_IF[target], condition=condition, yes=yes[1])
    else:
        sentence = draft.phrase(frames.EITHER[target], condition=condition, yes=yes[1], no=no[1])
    request = draft.request(*_say(wish, sentence))
    return _lines(request), wish.goal(request)


def _draw_condition(wish: Wish) -> tuple[str, bool]:
    """(a condition on an issue of the wish's project, whether it holds). It is about one field of the issue."""
    draft, state, rng = wish.draft, wish.draft.state, wish.draft.rng
    name, holds = rng.choice(sorted(frames.CONDITIONS)), rng.random() < 0.5
    statuses = state.statuses
    value = ""
    if name == "assignee":
        issue = draft.issue(lambda i: i.project_id == wish.project.id and (i.assignee is None) == holds)
    else:
        issue = draft.issue(lambda i: i.project_id == wish.project.id and bool(i.labels))
        present, all_names = {
            "status": ([statuses[issue.status_id].name], [statuses[id].name for id in sorted(wish.project.workflow)]),
            "priority": ([state.priorities[issue.priority_id]], sorted(state.priorities.values())),
            "labels": (
                list(issue.labels),
                sorted({label for i in state.issues.values() if i.project_id == wish.project.id for label in i.labels}),
            ),
        }[name]
        value = rng.choice(present if holds else [other for other in all_names if other not in present])
    wish.way = {"if": name, "key": issue.key, "value": value}
    return draft.part(frames.CONDITIONS[name], issue=issue.key, value=value), holds


def _outcomes(wish: Wish, target: str) -> tuple[tuple[str, str], tuple[str, str] | None]:
    """The values (goal's value, name in the request) of the target if the condition holds and if not."""
    draft = wish.draft
    both = draft.rng.random() < 0.65
    if target == "assignee":
        first = _person(draft)
        second = _person(draft, first.account_id)
        yes, no = (first.account_id, first.display_name), (second.account_id, second.display_name)
    elif target == "priority":
        yes = _priority(draft)
        no = _priority(draft, yes[0])
    elif target == "labels":
        yes, no = ((label, label) for label in (draft.names.label(), draft.names.label()))
    else:
        epics = draft.state.issue_types
        epic = draft.issue(lambda i: i.project_id == wish.project.id and epics[i.type_id].level == 1)
        return (epic.id, epic.key), None
    return yes, no if both else None


def _half_made(draft: Draft) -> tuple[str, dict[str, Any]]:
    """The issue may exist already; then what is missing or wrong has to be mended, otherwise it has to be created."""
    wish, rng, state = _wish(draft), draft.rng, draft.state
    names = rng.sample(("priority", "labels", "assignee", "description"), rng.choice((2, 2, 3)))
    for name in names:
        getattr(wish, name)()
    exists = rng.random() < 0.5
    wrong = set(rng.sample(names, rng.randrange(1, len(names))))
    if exists:
        issue = _create_half(wish, wrong)
        wish.way = {"asked": names, "wrong": [name for name in names if name in wrong]}
    elif rng.random() < 0.4 and len(state.projects) > 1:
        other = rng.choice(sorted(state.projects.keys() - {wish.project.id}))
        _post(wish, {"project": {"id": other}, **_start(wish, set(names))})
        wish.way = {"asked": names}
    else:
        wish.way = {"asked": names}
    sentences = _say(wish, draft.phrase(frames.MEND), opening=frames.MAKE_SURE)
    request = draft.request(*sentences)
    goal = wish.goal(request)
    if exists:
        target = {
            name: {"add": wish.create[name], "remove": []} if name == "labels" else wish.create[name]
            for name in names
            if name in wrong
        }
        del goal["create"]
        goal["issues"] = [issue_goal(state, issue, **target)]
        goal["lookups"] = [
            *([[issue.id, issue.key]]),
            *([[wish.create["assignee"]]] if "assignee" in wrong else []),
        ]
    return _lines(request), goal


def _create_half(wish: Wish, wrong: set[str]) -> Issue:
    """Creates the issue with the attributes in `wrong` missing or different."""
    body = _post(wish, {"project": {"id": wish.project.id}, **_start(wish, wrong)})
    return wish.draft.state.issues[body["id"]]


def _start(wish: Wish, wrong: set[str]) -> dict[str, Any]:
    """The fields of an issue like the wish's, in which the attributes in `wrong` are missing or different."""
    draft, wanted = wish.draft, wish.create
    fields: dict[str, Any] = {"summary": wish.summary, "issuetype": {"name": wish.type}}
    differs = {name: name in wrong and draft.rng.random() < 0.6 for name in sorted(wanted)}
    for name in sorted(wanted):
        if name in wrong and not differs[name]:
            continue
        if name == "priority":
            fields[name] = {"id": _priority(draft, wanted[name])[0] if differs[name] else wanted[name]}
        elif name == "labels":
            fields[name] = [draft.names.label()] if differs[name] else wanted[name]
        elif name == "assignee":
            account = _person(draft, wanted[name]).account_id if differs[name] else wanted[name]
            fields[name] = {"accountId": account}
        else:
            fields[name] = document(draft.names.sentence() if differs[name] else wanted[name])
    return fields


def _post(wish: Wish, fields: dict[str, Any]) -> Any:
    return wish.draft.write("POST", "/rest/api/3/issue", {"fields": fields})


def _impossible(draft: Draft) -> tuple[str, dict[str, Any]]:
    """The person, the project, the parent or the issue type that the request names does not exist."""
    wish, state, rng = _wish(draft), draft.state, draft.rng
    missing = rng.choice(("person", "project", "parent", "type"))
    _add_details(wish, *(["assignee"] if missing == "person" else []))
    if missing == "person":
        name = draft.new_name(draft.names.person, {user.display_name for user in state.users.values()})
        wish.said["assignee"] = name
    elif missing == "project":
        names = {text.upper() for project in state.projects.values() for text in (project.name, project.key)}
        name = draft.names.project() if wish.by_name else draft.names.key()
        if any(name.upper() in other for other in names):
            raise IndexError
        wish.project = Project("", name, name, "", (), {}, "", 0)
    elif missing == "parent":
        name = draft.new_name(draft.names.summary, {wish.summary, *(issue.summary for issue in state.issues.values())})
        wish.said["parent"] = ("epic", name, False)
    else:
        name = wish.type = rng.choice(NO_TYPES)
    request = draft.request(*_say(wish))
    way = {"missing": missing, "name": name, "project": wish.project.name if wish.by_name else wish.project.key}
    return _lines(request), {"impossible": True, "lookups": [], "way": way}


# The request
def _say(wish: Wish, *extra: str, opening: Frames | None = None) -> list[str]:
    """The sentences of the request; `extra` are those of difficulty 4. `opening` is one for details in it."""
    draft, rng, said = wish.draft, wish.draft.rng, dict(wish.said)
    if opening is None and draft.difficulty > 2 and rng.random() < FORM:
        return [_form(wish), *extra]
    fold = [name for name in FOLDABLE if name in said]
    slots = {
        "type": wish.type,
        "a_type": f"{'an' if wish.type[0] in 'AEIOU' else 'a'} {wish.type}",
        "project": wish.project_phrase,
        "summary": wish.summary,
    }
    if fold and (opening is not None or rng.random() < FOLDED):
        chosen = rng.sample(fold, rng.randrange(1, min(len(fold), 2) + 1))
        chosen.sort(key="labels".__eq__)  # Labels come last: they may have an "and" of their own.
        items = [_item(wish, name, said.pop(name)) for name in chosen]
        first = _sentence(draft, opening or frames.OPENING_WITH, **slots, **{"with": "with " + " and ".join(items)})
    else:
        first = _sentence(draft, frames.OPENING, **slots)
    details = _details(wish, said)
    rng.shuffle(details)
    if rng.random() < REASONED:
        details.insert(0, draft.phrase(frames.REASON))
    return [first, *details, *extra]


def _details(wish: Wish, said: dict[str, Any]) -> list[str]:
    """The sentences for what is left to say."""
    draft, rng = wish.draft, wish.draft.rng
    clauses = [name for name in frames.CLAUSES if name in said]
    sentences = []
    if len(clauses) > 1 and rng.random() < JOINED:
        one, two = (
            draft.part(frames.CLAUSES[name], name=_value_phrase(wish, name, said.pop(name)))
            for name in rng.sample(clauses, 2)
        )
        sentences.append(draft.phrase(frames.JOINED, one=one, two=two))
    for name, value in said.items():
        if name == "description":
            sentences.append(_sentence(draft, frames.SENTENCES[name], text=value))
            continue
        slots = {"name": _value_phrase(wish, name, value)}
        if name == "parent":
            slots["last"] = f"the {value[0]} {value[1]}" if rng.random() < 0.4 else slots["name"]
        sentences.append(draft.phrase(frames.SENTENCES[name], **slots))
    return sentences


def _item(wish: Wish, name: str, value: Any) -> str:
    phrase = _value_phrase(wish, name, value)
    return phrase if name == "labels" else wish.draft.part(frames.ITEMS[name], name=phrase)


def _value_phrase(wish: Wish, name: str, value: Any) -> str:
    """A value as it stands within a sentence."""
    draft = wish.draft
    if name == "labels":
        quote = '"' if draft.named("").startswith('"') else ""
        names = [f"{quote}{label}{quote}" for label in value]
        if len(names) == 1:
            return draft.part(frames.ONE_LABEL, first=names[0])
        return draft.part(frames.TWO_LABELS, first=names[0], second=names[1])
    if name == "parent":
        kind, text, by_key = value
        bare = by_key and draft.rng.random() < 0.5
        return str(text) if bare else f"the {kind} {text}" if by_key else f'the {kind} "{text}"'
    return str(value)


def _form(wish: Wish) -> str:
    """The request as a list of fields, one a line."""
    draft, said = wish.draft, wish.said
    values = {
        "Project": wish.project.name if wish.by_name else wish.project.key,
        draft.rng.choice(("Type", "Issue type")): wish.type,
        "Summary": wish.summary,
    }
    for name, value in said.items():
        text = ", ".join(value) if name == "labels" else value[1] if name == "parent" else value
        values[name.capitalize()] = text
    keys = list(values)
    draft.rng.shuffle(keys)
    intro = draft.phrase(frames.FORM_INTRO)
    line = draft.part(frames.FORM_LINE, key="{key}", value="{value}")
    draft.wording.append(" ".join(keys))
    return "\n".join([intro, *(line.format(key=key, value=values[key]) for key in keys)]) + "\n\n"


def _sentence(draft: Draft, kind: Frames, **slots: str) -> str:
    """A sentence. An empty line ends a text on lines of its own."""
    sentence = draft.phrase(kind, **slots)
    return sentence + "\n\n" if "\n" in sentence else sentence


def _lines(request: str) -> str:
    """The request without spaces at line breaks."""
    return re.sub(r" ?\n ?", "\n", request).strip()


# The demonstration
Reads = Generator[Turn, list[Any], str]
"""Turns that return the note for the turn after them."""


def demonstrate(task: Task) -> Demonstration:
    goal, way = task.goal, task.goal["way"]
    if goal.get("impossible"):
        yield from _look_for_missing(way)
        kind = {"person": "user", "type": "issue type"}.get(way["missing"], way["missing"])
        return f"Cannot: there is no {kind} {way['name']}."
    state = task.site().state
    wanted = goal["create"]["issue"] if "create" in goal else goal["site"]["issues"][goal["issues"][0]["id"]]
    project = state.projects[wanted["project"]]
    key, note = project.key, ""
    if project.name in task.prompt:
        (response,) = yield act("searchProjects", {"query": project.name})
        key, note = quotation(response, project.name, "key")
    if "asked" in way:
        (response,) = yield _search(key, wanted["summary"], way["asked"], note)
        note = _excerpt(response["issues"], [*way["asked"], "key"]) or "issues: none"
        if "issues" in goal:
            yield from _mend(task, response["issues"][0]["key"], note)
            return None
    fields = _fields(state, wanted, key)
    if "if" in way:
        (response,) = yield act("getIssue", {"issueIdOrKey": way["key"], "fields": [way["if"]]}, note)
        note = _excerpt(response["fields"], [way["if"]])
    if "read" in way:
        note = yield from _read_elsewhere(way, fields, key, note)
    parent = state.issues[wanted["parent"]] if "parent" in wanted and way.get("read") != "parent" else None
    if parent and not re.search(rf"\b{parent.key}\b", task.prompt):
        (response,) = yield _search(key, parent.summary, [], note)
        parent_key, note = quotation(response, parent.summary, "key")
        fields["parent"] = {"key": parent_key}
    if "assignee" in wanted and "assignee" not in fields:
        fields["assignee"], note = yield from _find_user(state.users[wanted["assignee"]].display_name, note)
    yield act("createIssue", {"fields": fields}, note)
    return None


def _fields(state: State, wanted: Any, key: str) -> dict[str, Any]:
    """The `fields` of createIssue, except for the assignee."""
    fields: dict[str, Any] = {
        "project": {"key": key},
        "issuetype": {"name": state.issue_types[wanted["type"]].name},
        "summary": wanted["summary"],
    }
    return fields | {name: _field(state, name, wanted[name]) for name in (*OPTIONAL, "parent") if name in wanted}


def _field(state: State, name: str, value: Any) -> Any:
    if name == "description":
        return document(value)
    if name == "priority":
        return {"name": state.priorities[value]}
    return {"key": state.issues[value].key} if name == "parent" else value


def _search(key: str, summary: str, names: list[str], note: str) -> Turn:
    jql = f'project = {key} AND summary ~ "{summary}"'
    return act("searchAndReconsileIssuesUsingJql", {"jql": jql, "fields": ["summary", *names]}, note)


def _excerpt(holder: Any, names: list[str]) -> str:
    """The members `names` of an issue's fields, or of the first of a list of issues, as the response has them."""
    if isinstance(holder, list):
        return _excerpt({**holder[0]["fields"], **holder[0]}, names) if holder else ""
    texts = []
    for name in names:
        value = holder[name]
        if name == "description" and value is not None:
            value = adf.text(value)
        elif isinstance(value, dict):
            label = "displayName" if "displayName" in value else "name"
            value = {label: value[label]}
        texts.append(f"{name}: none" if not value else f'"{name}": {json.dumps(value)}'.rstrip("}"))
    return ", ".join(texts)


def _find_user(name: str, note: str) -> Generator[Turn, list[Any], tuple[dict[str, str], str]]:
    (response,) = yield act("findUsers", {"query": name}, note)
    account, note = quotation(response, name, "accountId")
    return {"accountId": account}, note


def _read_elsewhere(way: Any, fields: dict[str, Any], key: str, note: str) -> Reads:
    """Reads the value of one of `fields` and writes it there."""
    source = way["read"]
    if source == "lead":
        (response,) = yield act("getProject", {"projectIdOrKey": key}, note)
        holder = response
    elif "summary" in way:
        (response,) = yield _search(key, way["summary"], [source], note)
        holder = response["issues"][0]["fields"]
    else:
        (response,) = yield act("getIssue", {"issueIdOrKey": way["key"], "fields": [source]}, note)
        holder = response["fields"]
    value = holder[source]
    if source == "labels":
        fields["labels"], note = value, _excerpt(holder, ["labels"])
    elif source == "priority":
        fields["priority"], note = {"name": value["name"]}, _excerpt(holder, ["priority"])
    elif source == "parent":
        parent_key, note = quotation(response, value["fields"]["summary"], "key")
        fields["parent"] = {"key": parent_key}
    else:
        account, note = quotation(response, value["displayName"], "accountId")
        fields["assignee"] = {"accountId": account}
    return note


def _mend(task: Task, key: str, note: str) -> Generator[Turn, list[Any], None]:
    """Sets what is missing or wrong."""
    state, target = task.site().state, task.goal["issues"][0]["target"]
    arguments: dict[str, Any] = {"issueIdOrKey": key}
    fields: dict[str, Any] = {name: _field(state, name, target[name]) for name in target if name in OPTIONAL}
    if "labels" in fields:
        arguments["update"] = {"labels": [{"add": label} for label in fields.pop("labels")["add"]]}
    if "assignee" in target:
        fields["assignee"], note = yield from _find_user(state.users[target["assignee"]].display_name, note)
    yield act("editIssue", arguments | ({"fields": fields} if fields else {}), note)


def _look_for_missing(way: Any) -> Generator[Turn, list[Any], None]:
    """The reads that show that something does not exist."""
    name, project = way["name"], way["project"]
    if way["missing"] == "person":
        yield act("findUsers", {"query": name})
        return
    if way["missing"] == "project":
        yield act("searchProjects", {"query": name})
        return
    note = ""
    if " " in project:
        (response,) = yield act("searchProjects", {"query": project})
        project, note = quotation(response, project, "key")
    if way["missing"] == "parent":
        yield _search(project, name, [], note)
    else:
        yield act("getCreateIssueMetaIssueTypes", {"projectIdOrKey": project}, note)


SCENARIO = AtlassianScenario(
    name="issue-create",
    tools=(
        "createIssue",
        "editIssue",
        "searchAndReconsileIssuesUsingJql",
        "getIssue",
        "findUsers",
        "findAssignableUsers",
        "getProject",
        "searchProjects",
        "getCreateIssueMetaIssueTypes",
        "getPriorities",
        "addComment",
        "deleteIssue",
    ),
    draft=draft,
    check=issue_create.check,
    demonstrate=demonstrate,
)
