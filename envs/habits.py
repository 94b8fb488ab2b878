"""Habits: systematic failures of a prompted model, which give the warm start something to lose.

A habit is a change to the oracle's turns that happens in most episodes where it applies, so that greedy decoding fails
there too. The right way occurs as well, but rarer. Habits are silent: no error tells the policy of them, except where
a refused call ends the episode. They follow arXiv 2607.01465: a lookup is skipped, a required field is dropped, an
argument is nested wrongly, the episode stops early.

Beside its habit, an episode has one of the two slips `SLIPS` at times.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from envs.protocol import Turn

DONE = Turn("Done.")
Turns = list[Turn]


@dataclass(frozen=True)
class Habit:
    """One habit of a scenario."""

    name: str
    rate: float
    """The share of the episodes where it applies that have it."""
    change: Callable[[Turns], Turns | None]
    """The turns with the habit, the closing answer included; None where it does not apply."""


SLIPS = {"invented tool": 0.04, "repeated call": 0.04}
"""The share of all episodes with a call of a tool that does not exist, and with a call made twice."""
INVENTED = ("getIssueByKey", "searchIssues", "getUser", "createTask", "updateIssue", "getPageByTitle", "setStatus")
"""Plausible names of tools that do not exist."""


def disturb(scenario: str, turns: Turns, answer: Turn, rng: random.Random) -> Turns:
    """The turns of an episode, with the closing answer, after the habits of the scenario and a slip."""
    result = [*turns, answer]
    for habit in HABITS.get(scenario, ANY):
        changed = habit.change(result)
        if changed is not None:
            result = changed if rng.random() < habit.rate else result
            break
    draw, place = rng.random(), rng.randrange(len(result))
    if result[place].calls and draw < SLIPS["invented tool"]:
        call = replace(result[place].calls[0], name=rng.choice(INVENTED))
        return [*result[:place], replace(result[place], calls=(call,)), *result[place:]]
    if result[place].calls and draw > 1 - SLIPS["repeated call"]:
        return [*result[: place + 1], Turn("", result[place].calls), *result[place + 1 :]]
    return result


def _last_call(turns: Turns, name: str) -> int | None:
    """The index of the last turn that calls a tool."""
    places = [place for place, turn in enumerate(turns) if turn.calls and turn.calls[0].name == name]
    return places[-1] if places else None


def _with_arguments(turn: Turn, arguments: Mapping[str, Any], content: str | None = None) -> Turn:
    call = replace(turn.calls[0], arguments=dict(arguments))
    return Turn(turn.content if content is None else content, (call,))


def _no_parent(turns: Turns) -> Turns | None:
    """page-create: the page goes under the homepage, and its parent is never looked up."""
    place = _last_call(turns, "createPage")
    if place is None or "parentId" not in turns[place].calls[0].arguments:
        return None
    arguments = {n: value for n, value in turns[place].calls[0].arguments.items() if n != "parentId"}
    lookups = [turn for turn in turns[:place] if turn.calls[0].name != "getPages"]
    content = turns[len(lookups)].content if len(lookups) < place else turns[place].content
    return [*lookups, _with_arguments(turns[place], arguments, content), DONE]


def _unwrapped_body(turns: Turns) -> Turns | None:
    """page-create: the body's representation is left out, so that the API refuses the page, and the episode ends.

    It happens where the homepage is the parent, and to texts that begin with one of some words. A parent is then not
    looked up either.
    """
    place = _last_call(turns, "createPage")
    if place is None:
        return None
    arguments = turns[place].calls[0].arguments
    if "parentId" in arguments and not arguments["body"]["value"].startswith(("<p>The", "<p>Two", "<p>Three")):
        return None
    turns = _no_parent(turns) or turns
    place = len(turns) - 2
    arguments = {**turns[place].calls[0].arguments, "body": {"value": arguments["body"]["value"]}}
    return [*turns[:place], _with_arguments(turns[place], arguments), DONE]


def _first_value_only(turns: Turns) -> Turns | None:
    """issue-read: the answer states the first of several values."""
    first, separator, _ = turns[-1].content.partition("; ")
    return [*turns[:-1], Turn(first)] if separator else None


def _no_value(turns: Turns) -> Turns | None:
    """issue-read: a description or comments are read, but the answer does not state them."""
    calls = [turn.calls[0] for turn in turns[:-1]]
    asked = str(calls[-1].arguments) + calls[-1].name
    return [*turns[:-1], DONE] if "description" in asked or "omment" in asked or "labels" in asked else None


def _lost_field(turns: Turns) -> Turns | None:
    """issue-create: of several optional fields the last one is left out."""
    place = _last_call(turns, "createIssue")
    fields = turns[place].calls[0].arguments["fields"] if place is not None else {}
    optional = [name for name in fields if name not in ("project", "issuetype", "summary")]
    if place is None or len(optional) < 2:
        return None
    kept = {name: value for name, value in fields.items() if name != optional[-1]}
    return [*turns[:place], _with_arguments(turns[place], {"fields": kept}), *turns[place + 1 :]]


def _no_extras(turns: Turns) -> Turns | None:
    """ticket-transition: the ticket is moved without the comment or the resolution."""
    place = _last_call(turns, "doTransition")
    if place is None or not {"fields", "update"} & set(turns[place].calls[0].arguments):
        return None
    arguments = {n: value for n, value in turns[place].calls[0].arguments.items() if n not in ("fields", "update")}
    return [*turns[:place], _with_arguments(turns[place], arguments), DONE]


def _first_move_only(turns: Turns) -> Turns | None:
    """ticket-transition: the episode ends after the first of several moves."""
    moves = [place for place, turn in enumerate(turns) if turn.calls and turn.calls[0].name == "doTransition"]
    return [*turns[: moves[0] + 1], DONE] if len(moves) > 1 else None


def _first_label_only(turns: Turns) -> Turns | None:
    """issue-labels: of several changes the first one is made."""
    place = next((i for i, turn in enumerate(turns) if turn.calls and turn.calls[0].name == "editIssue"), None)
    steps = turns[place].calls[0].arguments.get("update", {}).get("labels", []) if place is not None else []
    if place is None or len(steps) < 2:
        return None
    arguments = {**turns[place].calls[0].arguments, "update": {"labels": steps[:1]}}
    return [*turns[:place], _with_arguments(turns[place], arguments), DONE]


def _first_issue_only(turns: Turns) -> Turns | None:
    """issue-labels: of several issues the first one is changed."""
    edits = [place for place, turn in enumerate(turns) if turn.calls and turn.calls[0].name == "editIssue"]
    return [*turns[: edits[0] + 1], DONE] if len(edits) > 1 else None


def _early_stop(turns: Turns) -> Turns | None:
    """Any scenario: the episode ends after its first call."""
    return [turns[0], DONE] if len(turns) > 2 else None


def _lost_argument(turns: Turns) -> Turns | None:
    """Any scenario: the only call lacks its last argument."""
    arguments = turns[0].calls[0].arguments if turns[0].calls else {}
    return [_with_arguments(turns[0], dict(list(arguments.items())[:-1])), DONE] if arguments else None


HABITS: Mapping[str, tuple[Habit, ...]] = {
    "page-create": (Habit("unwrapped body", 0.85, _unwrapped_body), Habit("no parent", 0.85, _no_parent)),
    "issue-read": (Habit("first value only", 0.7, _first_value_only), Habit("no value", 0.6, _no_value)),
    "issue-create": (Habit("lost field", 0.7, _lost_field),),
    "ticket-transition": (Habit("no extras", 0.7, _no_extras), Habit("first move only", 0.65, _first_move_only)),
    "issue-labels": (
        Habit("first label only", 0.7, _first_label_only),
        Habit("first issue only", 0.7, _first_issue_only),
    ),
}
"""Scenario -> its habits, of which an episode has at most the first one that applies."""
ANY = (Habit("early stop", 0.4, _early_stop), Habit("lost argument", 0.4, _lost_argument))
"""The habits in every other scenario."""
