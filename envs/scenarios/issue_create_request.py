"""Draws the issue that a request asks for, and composes the request."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import envs.scenarios.issue_create_frames as frames
from envs.phrasing import Frames
from envs.scenarios.decoys import decoy
from envs.scenarios.drafting import Draft
from envs.site.lookup import default_priority
from envs.site.records import Issue, Project, User

OPTIONAL = ("priority", "labels", "description")
FOLDABLE = ("priority", "labels", "assignee")
"""What may stand in the first sentence, after "with"."""
FOLDED, JOINED, FORM, REASONED = 0.35, 0.3, 0.3, 0.15
"""The shares of requests with details in the first sentence, with two wishes in one sentence, as a list of fields (from
difficulty 3 on), and with a reason."""


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
    wrong: dict[str, str] = field(default_factory=dict)
    """What the request names beside the right project, summary or type, and says that it is not meant."""

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
        self.create["priority"], self.said["priority"] = draw_priority(self.draft)

    def labels(self) -> None:
        names = [self.draft.names.label() for _ in range(self.draft.rng.randrange(1, 3))]
        self.create["labels"] = self.said["labels"] = names

    def description(self) -> None:
        self.create["description"] = self.said["description"] = self.draft.names.sentence()

    def assignee(self) -> None:
        user = draw_person(self.draft)
        self.create["assignee"], self.said["assignee"] = user.account_id, user.display_name
        self.lookups.append([user.account_id])

    def parent(self) -> None:
        """Draws an epic, or for a sub-task one of the issues that may have them."""
        draft, types = self.draft, self.draft.state.issue_types
        level = 0 if self.type == "Sub-task" else 1
        parent = draft.issue(lambda i: i.project_id == self.project.id and types[i.type_id].level == level)
        by_key = draft.rng.random() < 0.5 or is_repeated(draft, parent)
        if by_key and "project" in self.wrong:
            raise IndexError  # The key would say which project is meant.
        self.create["parent"] = parent.id
        self.said["parent"] = (types[parent.type_id].name.lower(), parent.key if by_key else parent.summary, by_key)
        if not by_key:
            self.lookups.append([parent.id, parent.key])


def draw_priority(draft: Draft, *others: str) -> tuple[str, str]:
    """(id, name) of a priority that is neither the default nor one of the ids `others`."""
    ids = sorted(draft.state.priorities.keys() - {default_priority(draft.state), *others})
    id = draft.rng.choice(ids)
    return id, draft.state.priorities[id]


def draw_person(draft: Draft, *others: str) -> User:
    users = draft.state.users
    return users[draft.rng.choice(sorted(id for id, user in users.items() if user.active and id not in others))]


def is_repeated(draft: Draft, issue: Issue) -> bool:
    return sum(other.summary == issue.summary for other in draft.state.issues.values()) > 1


def sentences(wish: Wish, *extra: str, opening: Frames | None = None) -> list[str]:
    """The sentences of the request; `extra` are those of difficulty 4. `opening` is one for details in it."""
    draft, rng, said = wish.draft, wish.draft.rng, dict(wish.said)
    before, after = _decoys(wish)
    if opening is None and draft.difficulty > 2 and rng.random() < FORM:
        return [*before.values(), _form(wish), *after.values(), *extra]
    fold = [name for name in FOLDABLE if name in said]
    kind = "issue" if "type" in wish.wrong else wish.type
    slots = {"type": kind, "a_type": f"{'an' if kind[0] in 'AEIOUi' else 'a'} {kind}"}
    if wish.wrong:
        slots |= {"where": _where(wish, "project" in before), "with": ""}
        if "summary" not in wish.wrong:
            said["summary"] = f'"{wish.summary}"'
    else:
        slots |= {"project": wish.project_phrase, "summary": wish.summary}
    if fold and (opening is not None or rng.random() < FOLDED):
        chosen = rng.sample(fold, rng.randrange(1, min(len(fold), 2) + 1))
        chosen.sort(key="labels".__eq__)  # Labels come last: they may have an "and" of their own.
        items = [_item(wish, name, said.pop(name)) for name in chosen]
        slots["with"] = (" with " if wish.wrong else "with ") + " and ".join(items)
        kinds = opening or frames.OPENING_WITH
    else:
        kinds = frames.OPENING
    first = _sentence(draft, frames.OPENING_BARE if wish.wrong else kinds, **slots)
    details = _details(wish, said)
    rng.shuffle(details)
    if rng.random() < REASONED:
        details.insert(0, draft.phrase(frames.REASON))
    return [*before.values(), first, *details, *after.values(), *extra]


def _decoys(wish: Wish) -> tuple[dict[str, str], dict[str, str]]:
    """The sentences before and after the first one that say which of two names is meant. Notes what they say."""
    draft = wish.draft
    right = {"project": wish.project.name if wish.by_name else wish.project.key, "type": wish.type}
    right["summary"] = wish.summary
    sentences: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for name in draft.rng.sample(sorted(wish.wrong), len(wish.wrong)):
        both = [right[name], wish.wrong[name]]
        if name == "summary":
            both = [f'"{text}"' for text in both]
        elif name == "project":
            both = [draft.named(text) if " " in text else text for text in both]
        noun = "issue type" if name == "type" else name
        draft.rng.choice(sentences)[name] = decoy(draft, noun, *both)
    if wish.wrong:
        wish.way |= {"chosen": {name: right[name] for name in wish.wrong}, "avoid": wish.wrong}
    return sentences


def _where(wish: Wish, before: bool) -> str:
    """Where the issue should be, in a first sentence that may leave this to another one."""
    if "project" not in wish.wrong:
        return f" in {wish.project_phrase}"
    if wish.draft.rng.random() < 0.5:
        return ""
    return wish.draft.part(frames.PROJECT_BEFORE if before else frames.PROJECT_AFTER)


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
    values = {key: value for key, value in values.items() if key.split()[-1].lower() not in wish.wrong}
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


def lines(request: str) -> str:
    """The request without spaces at line breaks."""
    return re.sub(r" ?\n ?", "\n", request).strip()
