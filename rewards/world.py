"""The state that the accepted writes of a trace lead to.

`World` starts with the facts of the site in a goal (`goal["site"]`, see `envs.scenarios.goals`) and follows every
accepted write on them. Each thing (an issue or a page, by its id) has items:

    "summary", "status", "parent", ...        an attribute and its value
    ("labels", name)                          whether the thing has the label
    ("comments", text)                        how many comments read so; the text is None if it is not plain text
    ("other", tool)                           how many changes of another kind the tool made
    "exists"                                  False before a thing is created and after it is deleted

It trusts the API: a write that was accepted is valid. It never raises, also if a trace never came from an API.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from rewards.documents import adf_text, body_text
from rewards.matching import identifier, is_present, items, lookup, members
from rewards.provenance import was_accepted
from rewards.trace import Call, Kind, Trace

Item = str | tuple[str, str | None]
AUTOMATIC = "-1"
"""The documented account id for the project's default assignee."""
NEUTRAL = frozenset({"notifyUsers", "returnIssue", "updateHistory", "overrideScreenSecurity", "overrideEditableFlag"})
"""Arguments that control notifications and the response. They change nothing."""
COMMENT_LIMITS = ("visibility", "properties")
"""A comment with one of these members is not a plain comment that everybody can read."""


@dataclass(frozen=True)
class Change:
    """One change that an accepted write made."""

    index: int
    """The call."""
    thing: str
    item: Item
    before: Any
    after: Any


def readable(text: Any) -> str | None:
    """A text of the goal with its white space as a reader sees it; None if it is empty."""
    if not isinstance(text, str):
        return None
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line) or None


def flatten(facts: Mapping[str, Any]) -> dict[Item, Any]:
    """The items of a thing's facts."""
    result: dict[Item, Any] = {"exists": True}
    for name, value in facts.items():
        if name == "labels":
            result |= {("labels", label): True for label in value}
        elif name == "comments":
            for text in value:
                item = ("comments", readable(text))
                result[item] = result.get(item, 0) + 1
        elif name in ("description", "body"):
            result[name] = readable(value)
        elif name != "key":
            result[name] = value
    return result


def default(item: Item) -> Any:
    """The value of an item that a thing does not have."""
    if isinstance(item, tuple):
        return False if item[0] == "labels" else 0
    return False if item == "exists" else None


class World:
    """A site's issues and pages, and every change that the accepted writes of a trace made to them."""

    def __init__(self, site: Mapping[str, Any], trace: Trace = ()) -> None:
        self.site = site
        self.start: dict[str, dict[Item, Any]] = {}
        """Thing -> its items before the trace; for a created thing, what a new one has without further arguments."""
        self.now: dict[str, dict[Item, Any]] = {}
        """Thing -> its items now. A thing of the site is in both tables as soon as somebody asked for it."""
        self.created: dict[str, str] = {}
        """Thing -> "issue" or "page", for the things that the trace created."""
        self.changes: list[Change] = []
        self.effects: dict[int, bool] = {}
        """Index of each accepted write -> whether it changed anything."""
        self._ids = {facts["key"].casefold(): id for id, facts in site["issues"].items()}
        for index, call in enumerate(trace):
            if call.kind == Kind.WRITE and was_accepted(call):
                self.apply(index, call)

    def id_of(self, value: Any) -> str | None:
        """The id of the issue or page that an argument names by its id or key."""
        name = identifier(value) or ""
        return name if name in self._site_things(name) or name in self.created else self._ids.get(name)

    def _site_things(self, thing: str) -> Mapping[str, Any]:
        """The table of the site that has the thing, if one has it."""
        return self.site["issues" if thing in self.site["issues"] else "pages"]

    def value(self, thing: str, item: Item) -> Any:
        """The value of an item now."""
        return self._items(self.now, thing).get(item, default(item))

    def first(self, thing: str, item: Item) -> Any:
        """The value of an item before the trace."""
        return self._items(self.start, thing).get(item, default(item))

    def _items(self, table: dict[str, dict[Item, Any]], thing: str) -> dict[Item, Any]:
        """The items of a thing in `start` or `now`, which are read from the site at the first question."""
        if thing not in table:
            facts = self._site_things(thing).get(thing)
            table[thing] = {} if facts is None else flatten(facts)
        return table[thing]

    def children(self, thing: str) -> list[str]:
        """The issues or pages that have a parent now."""
        return [
            child
            for child in (*self._site_things(thing), *self.created)
            if (self.now.get(child) or self._site_things(child).get(child, {})).get("parent") == thing
        ]

    def apply(self, index: int, call: Call) -> None:
        """Follows one accepted write."""
        count = len(self.changes)
        arguments = members(call.arguments)
        action = ACTIONS.get(call.name) if isinstance(call.name, str) else None
        if action is None:
            self._other(index, str(call.name), "")
        else:
            action(self, index, call, arguments)
        self.effects[index] = len(self.changes) > count

    def _set(self, index: int, thing: str, item: Item, value: Any, silent: bool = False) -> None:
        """Sets an item. A `silent` change follows from another one and is not recorded."""
        before = self.value(thing, item)
        if not silent and before != value:
            self.changes.append(Change(index, thing, item, before, value))
        self._items(self.now, thing)[item] = value

    def _add(self, index: int, thing: str, item: Item) -> None:
        self._set(index, thing, item, self.value(thing, item) + 1)

    def _other(self, index: int, tool: str, thing: str | None) -> None:
        """A change that nothing here describes further."""
        self._add(index, thing or "", ("other", tool))

    # Jira

    def _create_issue(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        steps = operations(arguments)
        project = self._reference(_last(steps, "project"), {i: p["key"] for i, p in self._table("projects")}, "key")
        thing = identifier(lookup(call.body, "id")) or f"#{index}"
        new: dict[Item, Any] = {"status": lookup(self.site, "projects", project or "", "initial")}
        new |= {"priority": self.site.get("default_priority"), "reporter": self.site.get("current_user")}
        self._begin(index, "issue", thing, new)
        self._ids[(identifier(lookup(call.body, "key")) or thing)] = thing
        self._set(index, thing, "project", project)
        self._edit(index, thing, {name: step for name, step in steps.items() if name != "project"})
        self._unknown_arguments(index, call, arguments, thing, ())

    def _begin(self, index: int, kind: str, thing: str, new: Mapping[Item, Any]) -> None:
        """A new thing, with the items that it has whatever the arguments are."""
        self.start[thing] = {**new, "exists": False}
        self.now[thing] = dict(new)
        self.created[thing] = kind
        self._set(index, thing, "exists", True)

    def _edit_issue(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        thing = self.id_of(arguments.get("issueIdOrKey"))
        if thing is None:
            self._other(index, call.name, None)
            return
        self._edit(index, thing, operations(arguments))
        self._unknown_arguments(index, call, arguments, thing, ("issueIdOrKey",))

    def _unknown_arguments(
        self, index: int, call: Call, arguments: dict[str, Any], thing: str, known: tuple[str, ...]
    ) -> None:
        handled = {"fields", "update", *NEUTRAL, *known}
        if any(name not in handled and is_present(value) for name, value in arguments.items()):
            self._other(index, call.name, thing)

    def _edit(self, index: int, thing: str, steps: Mapping[str, list[tuple[str, Any]]]) -> None:
        """Applies the operations on an issue's fields."""
        for name, operation in steps.items():
            for verb, value in operation:
                if name == "labels":
                    self._label(index, thing, verb, value)
                elif name == "comment":
                    self._comment(index, thing, value)
                elif name in FIELDS and verb == "set":
                    self._set(index, thing, FIELDS[name][0], FIELDS[name][1](self, thing, value))
                else:
                    self._other(index, name, thing)

    def _label(self, index: int, thing: str, verb: str, value: Any) -> None:
        if verb == "set":
            labels = {label for label in items(value) if isinstance(label, str)}
            present = {item[1] for item, on in self._items(self.now, thing).items() if item[0] == "labels" and on}
            for label in sorted((present - labels) | (labels - present), key=str):
                self._set(index, thing, ("labels", label), label in labels)
        elif isinstance(value, str):
            self._set(index, thing, ("labels", value), verb == "add")

    def _comment(self, index: int, thing: str, value: Any) -> None:
        comment = members(value)
        plain = not any(map(comment.get, COMMENT_LIMITS))
        self._add(index, thing, ("comments", (adf_text(comment.get("body")) or None) if plain else None))

    def _add_comment(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        thing = self.id_of(arguments.get("issueIdOrKey"))
        if thing is None:
            self._other(index, call.name, None)
        else:
            self._comment(index, thing, arguments)

    def _assign(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        thing = self.id_of(arguments.get("issueIdOrKey"))
        if thing is None:
            self._other(index, call.name, None)
        else:
            self._set(index, thing, "assignee", self._account(thing, arguments.get("accountId")))

    def _move(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        thing = self.id_of(arguments.get("issueIdOrKey"))
        project = lookup(self.site, "projects", self.value(thing or "", "project") or "")
        offered = items(lookup(project, "moves", self.value(thing or "", "status") or ""))
        number = identifier(lookup(arguments, "transition", "id"))
        target = next((move[1] for move in offered if move[0] == number), None)
        if thing is None or target is None:
            self._other(index, call.name, thing)
            return
        steps = operations(arguments)
        chosen = _last(steps, "resolution")
        self._edit(index, thing, {name: step for name, step in steps.items() if name != "resolution"})
        self._set(index, thing, "status", target)
        names = self.site["resolutions"]
        resolution = None
        if target in self.site["done"]:
            resolution = self.value(thing, "resolution") or next(iter(names.values()), None)
        if chosen is not None:
            resolution = names.get(self._reference(chosen, names))
        # Jira sets and clears the resolution by itself, so only what the policy chose is its own change.
        self._set(index, thing, "resolution", resolution, silent=chosen is None)
        self._unknown_arguments(index, call, arguments, thing, ("issueIdOrKey", "transition"))

    def _delete_issue(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        thing = self.id_of(arguments.get("issueIdOrKey"))
        if thing is None:
            self._other(index, call.name, None)
            return
        self._set(index, thing, "exists", False)
        for child in self.children(thing):
            if self.value(child, "type") in self.site["subtask_types"]:
                self._set(index, child, "exists", False)
            else:
                self._set(index, child, "parent", None, silent=True)

    # Confluence

    def _create_page(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        thing = identifier(lookup(call.body, "id")) or f"#{index}"
        space = identifier(arguments.get("spaceId"))
        home = lookup(self.site, "spaces", space or "", "homepage")
        self._begin(index, "page", thing, {"status": "current"})
        self._set(index, thing, "space", space)
        self._set(index, thing, "title", arguments.get("title"))
        parent = identifier(arguments.get("parentId"))
        self._set(index, thing, "parent", parent if parent or arguments.get("root-level") is True else home)
        if arguments.get("body") is not None:
            self._set(index, thing, "body", body_text(arguments["body"]))
        if arguments.get("status") not in (None, "current"):
            self._set(index, thing, "status", str(arguments["status"]))

    def _update_page(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        thing = self.id_of(arguments.get("id"))
        if thing is None or arguments.get("status") == "draft":
            self._other(index, call.name, thing)
            return
        self._set(index, thing, "title", arguments.get("title"))
        self._set(index, thing, "body", body_text(arguments.get("body")))
        self._set(index, thing, "status", "current", silent=True)
        if is_present(arguments.get("parentId")):
            self._set(index, thing, "parent", identifier(arguments["parentId"]))

    def _delete_page(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        thing = self.id_of(arguments.get("id"))
        if thing is None or not self.value(thing, "exists"):
            self._other(index, call.name, thing)
            return
        parent = self.value(thing, "parent")
        self._set(index, thing, "exists", False)
        for child in self.children(thing):
            self._set(index, child, "parent", parent, silent=True)

    def _comment_page(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        thing = self.id_of(arguments.get("pageId"))
        self._add(index, thing or "", ("comments", body_text(arguments.get("body"))))

    def _label_page(self, index: int, call: Call, arguments: dict[str, Any]) -> None:
        thing = self.id_of(arguments.get("id"))
        for label in items(arguments.get("labels")):
            name = lookup(label, "name")
            if isinstance(name, str):
                self._set(index, thing or "", ("labels", name.lower()), True)

    # Values

    def _table(self, name: str) -> list[tuple[str, Any]]:
        return list(self.site[name].items())

    def _reference(self, value: Any, names: Mapping[str, str], by: str = "name") -> str | None:
        """The id that `{"id": ...}` or `{"name": ...}` refers to in `names` (id -> name)."""
        reference = members(value)
        if "id" in reference:
            return identifier(reference["id"])
        return next((id for id, name in names.items() if name == reference.get(by)), None)

    def _account(self, thing: str, value: Any) -> str | None:
        account = identifier(value)
        if account == AUTOMATIC:
            return self._text(lookup(self.site, "projects", self.value(thing, "project") or "", "lead"))
        return account

    def _user(self, thing: str, value: Any) -> str | None:
        reference = members(value)
        return self._account(thing, reference.get("accountId", reference.get("id")))

    def _issue(self, thing: str, value: Any) -> str | None:
        reference = members(value)
        named = reference["id"] if "id" in reference else reference.get("key")
        return self.id_of(named) or identifier(named)

    @staticmethod
    def _text(value: Any) -> str | None:
        return value if isinstance(value, str) else None


Reader = Callable[[World, str, Any], Hashable]
FIELDS: dict[str, tuple[str, Reader]] = {
    "summary": ("summary", lambda world, thing, value: world._text(value)),
    "description": ("description", lambda world, thing, value: adf_text(value) or None),
    "issuetype": ("type", lambda world, thing, value: world._reference(value, world.site["types"])),
    "priority": (
        "priority",
        lambda world, thing, value: (
            world.site.get("default_priority") if value is None else world._reference(value, world.site["priorities"])
        ),
    ),
    "assignee": ("assignee", lambda world, thing, value: world._user(thing, value)),
    "reporter": ("reporter", lambda world, thing, value: world._user(thing, value)),
    "parent": ("parent", lambda world, thing, value: world._issue(thing, value)),
}
"""Field of a request -> (attribute, how its value is read)."""

ACTIONS: dict[str, Callable[[World, int, Call, dict[str, Any]], None]] = {
    "createIssue": World._create_issue,
    "editIssue": World._edit_issue,
    "deleteIssue": World._delete_issue,
    "assignIssue": World._assign,
    "addComment": World._add_comment,
    "doTransition": World._move,
    "createPage": World._create_page,
    "updatePage": World._update_page,
    "deletePage": World._delete_page,
    "createFooterComment": World._comment_page,
    "addLabelsToContent": World._label_page,
}
"""Write -> how the world follows it. Every other write is a change that nothing describes further."""


def operations(arguments: Mapping[str, Any]) -> dict[str, list[tuple[str, Any]]]:
    """Field -> its (verb, value) operations in a Jira write: `fields` sets, `update` holds operations."""
    steps = {name: [("set", value)] for name, value in members(arguments.get("fields")).items()}
    for name, entries in members(arguments.get("update")).items():
        steps.setdefault(name, []).extend(
            (verb, value) for entry in items(entries) for verb, value in members(entry).items()
        )
    return steps


def _last(steps: Mapping[str, list[tuple[str, Any]]], name: str) -> Any:
    return next((value for verb, value in reversed(steps.get(name, [])) if verb == "set"), None)
