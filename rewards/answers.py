"""What a closing answer says, by plain string rules.

A value stands in an answer if it occurs there as the tools show it, with its capitals, and not as a part of a longer
word. An answer to a question is right if every value of it stands there and no other value of the same kind does: no
other status of the site, no other person, no other label. What the request itself names may be repeated. Answers to
several questions follow each other in the order asked, or each follows the key of its issue.

These rules depart from arXiv 2607.01465, whose rewards read tool calls only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rewards.matching import items
from rewards.world import readable

NONE = re.compile(r"\b(?:none|nobody|no one|unassigned|unresolved|empty)\b", re.IGNORECASE)
"""How an answer says that a value is empty."""
CANNOT = re.compile(
    r"\b(?:cannot|can not|can't|could not|couldn't|unable|impossible|does not exist|doesn't exist|no such|not found)\b",
    re.IGNORECASE,
)
"""How an answer says that a request cannot be met."""
KEY = re.compile(r"(?<![\w-])[A-Z][A-Z0-9_]+-\d+(?![\w-])")
NUMBER = re.compile(r"(?<![\w.,-])\d+(?![\w-]|[.,]\d)")
DONE = re.compile(r"\A\s*done[.!](?=\s)", re.IGNORECASE)
"""A word that closes a task and is no status."""


def denies(answer: str) -> bool:
    """Whether an answer says that the request cannot be met."""
    return CANNOT.search(answer) is not None


def answered(goal: Mapping[str, Any], answer: str) -> list[bool]:
    """Which questions of the goal the answer answers rightly."""
    questions = items(goal.get("questions"))
    text = " ".join(DONE.sub("", answer).split())
    request = " ".join(str(goal.get("request", "")).split())
    wrong = _wrong_kinds(goal, text, request)
    if NONE.search(text) and all(question["values"] for question in questions):
        return [False] * len(questions)
    rights = [_kind(q) not in wrong and _is_said(q, text) for q in questions]
    if all(rights) and not _in_order(questions, text):
        return [False] * len(questions)
    return rights


def places(value: str, text: str) -> list[int]:
    """Where a value stands in a text.

    >>> places("High", "Highest, High")
    [9]
    """
    return [match.start() for match in re.finditer(_pattern(value), text)]


def _pattern(value: str) -> str:
    """A value as a whole: not a part of a longer word."""
    return rf"(?<![\w-]){re.escape(' '.join(value.split()))}(?![\w-])"


def _is_said(question: Mapping[str, Any], text: str) -> bool:
    if not question["values"]:
        return NONE.search(text) is not None
    return all(places(value, text) for value in question["values"])


def _kind(question: Mapping[str, Any]) -> str:
    return "people" if question["field"] in ("assignee", "reporter") else str(question["field"])


def _wrong_kinds(goal: Mapping[str, Any], text: str, request: str) -> set[str]:
    """The kinds of which the answer states a value that nobody asked for and the request does not name."""
    right: dict[str, set[str]] = {}
    for question in items(goal.get("questions")):
        right.setdefault(_kind(question), set()).update(question["values"])
    wrong = set()
    for kind, values in right.items():
        # A right value may contain another one: a comment may name a status.
        rest = text
        for value in sorted(values, key=len, reverse=True):
            rest = re.sub(_pattern(value), " ", rest)
        if any(places(value, rest) and not places(value, request) for value in _stated(goal["site"], kind, rest)):
            wrong.add(kind)
    return wrong


def _stated(site: Mapping[str, Any], kind: str, text: str) -> Iterable[str]:
    """The values of a kind that an answer could state wrongly."""
    if kind == "keys":
        return KEY.findall(text)
    if kind == "count":
        return NUMBER.findall(text)
    if kind in ("description", "comments"):
        values = (issue.get(kind) for issue in site["issues"].values())
        texts = [line for value in values for line in (value if isinstance(value, list) else [value])]
        return [line for one in texts if (line := readable(one))]
    table = {
        "status": site["statuses"],
        "priority": site["priorities"].values(),
        "type": site["types"].values(),
        "resolution": site["resolutions"].values(),
        "people": site["users"].values(),
        "labels": site["labels"],
    }
    return table.get(kind, ())


def _in_order(questions: list[Any], text: str) -> bool:
    """Whether the answers to several questions are told apart: by the keys before them, or by the order asked.

    If all the issues are named, each value follows the key of its own. The order counts among values of one kind.
    """
    asked = [question["issue"]["key"] for question in questions if "issue" in question]
    named = list(dict.fromkeys(key for key in KEY.findall(text) if key in asked))
    if len(named) > 1 and set(named) == set(asked) and len(asked) == len(questions):
        if all(_follows_its_key(question, text) for question in questions):
            return True
        if named != list(dict.fromkeys(asked)) or KEY.match(text):
            return False
    by_kind: dict[str, list[Any]] = {}
    for question in questions:
        by_kind.setdefault(_kind(question), []).append(question)
    return all(
        len({tuple(question["values"]) for question in group}) == 1 or _follow_each_other(group, text)
        for group in by_kind.values()
    )


def _follow_each_other(questions: list[Any], text: str) -> bool:
    position = 0
    for question in questions:
        found = [[place for place in places_ if place >= position] for places_ in _all_places(question, text)]
        if not all(found):
            return False
        position = max(min(options) for options in found)
    return True


def _all_places(question: Mapping[str, Any], text: str) -> list[list[int]]:
    """Where each value of a question stands; for an empty value, where the answer says so."""
    if not question["values"]:
        return [[match.start() for match in NONE.finditer(text)]]
    return [places(value, text) for value in question["values"]]


def _follows_its_key(question: Mapping[str, Any], text: str) -> bool:
    """Whether each value stands after the key of its issue and before the key of another one."""
    keys = [(match.start(), match.group()) for match in KEY.finditer(text)]
    for found in _all_places(question, text):
        owners = [next((key for start, key in reversed(keys) if start < place), "") for place in found]
        if question["issue"]["key"] not in owners:
            return False
    return True
