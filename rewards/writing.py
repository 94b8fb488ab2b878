"""What the arguments of a Jira write change, in whichever way they say it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.matching import given, items, lookup, members, texts

NEUTRAL = frozenset({"notifyUsers", "returnIssue", "updateHistory"})
"""Arguments that decide how a write is announced or answered, not what it changes."""

Labels = frozenset[str]


@dataclass(frozen=True)
class Changes:
    """`fields` as given, the operations of `update` by field, and how many other arguments say something."""

    fields: Mapping[str, Any]
    update: Mapping[str, list[Any]]
    others: int

    def beyond(self, wanted: Collection[str]) -> int:
        """How many fields are changed that are not among the wanted, and other changes."""
        return len((set(self.fields) | set(self.update)) - set(wanted)) + self.others

    def value(self, field: str) -> Any:
        """What a field is set to, by `fields` or by a `set` operation; None where it is not, or by both."""
        if field not in self.update:
            return self.fields.get(field)
        operation = members(self.update[field][0])
        alone = field not in self.fields and len(self.update[field]) == 1 and set(operation) == {"set"}
        return operation["set"] if alone else None


def changes(arguments: Any, address: Collection[str] = ()) -> Changes:
    """Read a write's arguments; `address` are those that say on what it works."""
    fields = members(lookup(arguments, "fields"))
    update = {name: items(steps) for name, steps in members(lookup(arguments, "update")).items() if given(steps)}
    read = {"fields", "update", *NEUTRAL, *address}
    others = [name for name, value in members(arguments).items() if name not in read and given(value)]
    return Changes(fields, {name: steps for name, steps in update.items() if steps}, len(others))


@dataclass(frozen=True)
class LabelSteps:
    """What a write does to labels, in order, as (`add`, `remove` or `set`, labels); `wrong` counts unreadable ones."""

    steps: Sequence[tuple[str, Labels]]
    wrong: int

    @property
    def replaces(self) -> bool:
        """Whether the labels from before do not count."""
        return any(verb == "set" for verb, _ in self.steps)

    def apply(self, labels: Labels) -> Labels:
        """The labels after the write."""
        for verb, named in self.steps:
            labels = {"add": labels | named, "remove": labels - named, "set": named}[verb]
        return labels


def label_steps(change: Changes) -> LabelSteps:
    """Read `fields.labels`, which replaces the list (null empties it), and the operations of `update.labels`."""
    steps: list[tuple[str, Labels]] = []
    wrong = 0
    if "labels" in change.fields:
        value = change.fields["labels"]
        named = frozenset[str]() if value is None else texts(value)
        steps += [("set", named)] if named is not None else []
        wrong += named is None
    for operation in change.update.get("labels", []):
        read = _label_operation(members(operation))
        steps += read
        wrong += not read
    return LabelSteps(tuple(steps), wrong)


def _label_operation(told: Mapping[str, Any]) -> list[tuple[str, Labels]]:
    """One operation: `{"add": label}`, `{"remove": label}`, both for two labels, or `{"set": [label, ...]}`."""
    if set(told) == {"set"}:
        named = texts(told["set"])
        return [("set", named)] if named is not None else []
    single = all(isinstance(value, str) for value in told.values())
    # Two verbs in one operation have no order, unless it does not matter.
    if not single or not set(told) <= {"add", "remove"} or len(set(told.values())) < len(told):
        return []
    return [(verb, frozenset({told[verb]})) for verb in ("add", "remove") if verb in told]
