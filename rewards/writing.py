"""What the arguments of a Jira write change.

Jira accepts a change in two forms: `fields` sets a field, `update` holds operations on it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.matching import is_present, items, lookup, members, texts

NEUTRAL = frozenset({"notifyUsers", "returnIssue", "updateHistory"})
"""Arguments that control notifications and the response. They change nothing."""

Labels = frozenset[str]


@dataclass(frozen=True)
class Changes:
    """The changes that a write's arguments ask for."""

    fields: Mapping[str, Any]
    """The member `fields`, unchanged."""
    update: Mapping[str, list[Any]]
    """Field -> its operations in `update`, without fields that have none."""
    other_count: int
    """The number of other arguments that have content."""

    def extra_count(self, expected: Collection[str]) -> int:
        """The number of changes to fields that are not expected, plus the other arguments."""
        return len((set(self.fields) | set(self.update)) - set(expected)) + self.other_count

    def value(self, field: str) -> Any:
        """The value that `fields` or a single `set` operation gives a field. None if neither or both do."""
        if field not in self.update:
            return self.fields.get(field)
        operation = members(self.update[field][0])
        alone = field not in self.fields and len(self.update[field]) == 1 and set(operation) == {"set"}
        return operation["set"] if alone else None


def changes(arguments: Any, address: Collection[str] = ()) -> Changes:
    """Read the arguments of a write. `address` names the arguments that identify what it changes."""
    fields = members(lookup(arguments, "fields"))
    update = {name: items(steps) for name, steps in members(lookup(arguments, "update")).items() if is_present(steps)}
    handled = {"fields", "update", *NEUTRAL, *address}
    others = [name for name, value in members(arguments).items() if name not in handled and is_present(value)]
    return Changes(fields, {name: steps for name, steps in update.items() if steps}, len(others))


@dataclass(frozen=True)
class LabelSteps:
    """What a write does to labels, step by step."""

    steps: Sequence[tuple[str, Labels]]
    """(`add`, `remove` or `set`, labels), in the order of execution."""
    errors: int
    """The number of steps that have no valid form."""

    @property
    def replaces(self) -> bool:
        """Whether the write replaces the list of labels."""
        return any(verb == "set" for verb, _ in self.steps)

    def apply(self, labels: Labels) -> Labels:
        """The labels after the write, if `labels` were there before."""
        for verb, operand in self.steps:
            labels = {"add": labels | operand, "remove": labels - operand, "set": operand}[verb]
        return labels


def label_steps(change: Changes) -> LabelSteps:
    """The steps of `fields.labels`, which replaces the list (null empties it), and of `update.labels`."""
    steps: list[tuple[str, Labels]] = []
    errors = 0
    if "labels" in change.fields:
        value = change.fields["labels"]
        labels = frozenset[str]() if value is None else texts(value)
        steps += [("set", labels)] if labels is not None else []
        errors += labels is None
    for operation in change.update.get("labels", []):
        operation_steps = _operation_steps(members(operation))
        steps += operation_steps
        errors += not operation_steps
    return LabelSteps(tuple(steps), errors)


def _operation_steps(operation: Mapping[str, Any]) -> list[tuple[str, Labels]]:
    """The steps of one operation; none if it is invalid.

    Valid are `{"add": label}`, `{"remove": label}`, both of them with different labels, and `{"set": [label, ...]}`.
    """
    if set(operation) == {"set"}:
        labels = texts(operation["set"])
        return [("set", labels)] if labels is not None else []
    all_strings = all(isinstance(value, str) for value in operation.values())
    # The API gives two verbs in one operation no order, so they must not concern the same label.
    if not all_strings or not set(operation) <= {"add", "remove"} or len(set(operation.values())) < len(operation):
        return []
    return [(verb, frozenset({operation[verb]})) for verb in ("add", "remove") if verb in operation]
