"""Properties that every checker must have, as functions (checker, episode) -> complaints.

The checker is an argument so that negative controls can show that each property finds a broken one.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs.episode import Checker
from rewards.score import Score
from rewards.trace import Call, Kind, Trace
from tests.support.replay import Episode
from tests.support.truth import Name

Goal = Mapping[str, Any]
Complaints = Iterator[str]
Property = Callable[[Checker, Episode], Complaints]
ROOT = Path(__file__).parents[2]
PARTS = {"arguments", "calls", "discipline"}
EPSILON = 1e-12
AT_GOAL = 0.8
"""Every episode that ends at the goal and did no harm scores at least this much, and every other one less."""
PRINT_SCORES = """
import functools, pickle, runpy, sys
load = functools.cache(runpy.run_path)
for file, name, goal, trace in pickle.load(sys.stdin.buffer):
    print(load(file)[name](goal, trace))
"""
"""A program that scores the cases on its standard input; see `assert_same_in_every_process`."""


# Properties of one score


def assert_in_range(check: Checker, goal: Goal, trace: Trace) -> None:
    """The total is in [0, 1] and the sum of the three parts, and all of them are finite."""
    score = check(goal, trace)
    assert isinstance(score, Score)
    assert 0.0 <= score.total <= 1.0
    assert set(score.parts) == PARTS
    assert all(math.isfinite(part) for part in score.parts.values())
    assert abs(sum(score.parts.values()) - score.total) < 1e-9
    assert score.total == 1.0 or score.total <= 1 - 1e-6


def assert_deterministic(check: Checker, goal: Goal, trace: Trace) -> None:
    """A second call and a call with copies give the same score."""
    first = check(goal, trace)
    assert check(goal, trace) == first
    assert check(*deepcopy((goal, trace))) == first


def assert_order_of_keys_is_nothing(check: Checker, goal: Goal, trace: Trace) -> None:
    """The order of members in arguments and responses does not change the score."""
    reordered = [replace(call, arguments=_reversed(call.arguments), body=_reversed(call.body)) for call in trace]
    assert check(goal, reordered) == check(goal, trace)


def assert_ids_alike(check: Checker, goal: Goal, trace: Trace) -> None:
    """Ids as strings and ids as integers give the same score, in arguments and responses."""
    expected = check(goal, trace)
    assert check(goal, [replace(call, arguments=_as_integers(call.arguments)) for call in trace]) == expected
    assert check(goal, [replace(call, body=_as_integers(call.body)) for call in trace]) == expected


def assert_unmutated(check: Checker, goal: Goal, trace: Trace) -> None:
    """The checker does not change the goal or the trace."""
    before = repr((goal, trace))
    check(goal, trace)
    assert repr((goal, trace)) == before


def assert_same_in_every_process(cases: Sequence[tuple[Checker, Goal, Trace]]) -> None:
    """Processes with different PYTHONHASHSEED give the same scores.

    The processes load only the files of the checkers, because `tests` imports torch, which takes most of the time.
    """
    program_input = pickle.dumps(
        [(inspect.getsourcefile(check), check.__name__, goal, trace) for check, goal, trace in cases]
    )
    command = [sys.executable, "-c", PRINT_SCORES]
    outputs = set()
    for hash_seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        process = subprocess.run(command, input=program_input, env=environment, check=True, capture_output=True)
        outputs.add(process.stdout)
    assert len(outputs) == 1
    assert outputs.pop().count(b"\n") == len(cases)


def assert_empty_is_zero(check: Checker, goal: Goal) -> None:
    score = check(goal, ())
    assert score.total == 0.0
    assert not any(score.parts.values())


def assert_no_duplicate_raises(check: Checker, goal: Goal, trace: Trace) -> None:
    """Copying a call to a later position never raises the score. Directly after the call it lowers a perfect score."""
    before = check(goal, trace).total
    for index, call in enumerate(trace):
        for place in range(index + 1, len(trace) + 1):
            after = check(goal, [*trace[:place], call, *trace[place:]]).total
            assert after <= before, f"copy of call {index} at {place}"
            assert before < 1.0 or place > index + 1 or after < 1.0, f"copy of call {index} is not noticed"


def assert_correcting_pays(check: Checker, goal: Goal, trace: Trace, failure: Call) -> None:
    """A failed call before the last call lowers the score, but to succeed after it scores more than to stop."""
    correction = check(goal, [*trace[:-1], failure, trace[-1]]).total
    early_stop = check(goal, [*trace[:-1], failure]).total
    assert early_stop < correction < check(goal, trace).total


# Properties of episodes


def total(check: Checker, episode: Episode, calls: Sequence[Call]) -> float:
    """The score of some calls of an episode with its closing answer."""
    answer = [call for call in episode.trace if call.kind == Kind.ANSWER]
    key = (check, *map(id, calls))
    if key not in episode.totals:
        episode.totals[key] = check(episode.task.goal, [*calls, *answer]).total
    return episode.totals[key]


def only_calls(episode: Episode) -> list[Call]:
    return [call for call in episode.trace if call.kind != Kind.ANSWER]


def is_refused(call: Call) -> bool:
    return call.kind in (Kind.UNKNOWN, Kind.MALFORMED) or not call.ok


def is_sound(check: Checker, episode: Episode) -> Complaints:
    """A score of 1.0 means that the judge agrees and nothing is to blame."""
    if total(check, episode, only_calls(episode)) == 1.0:
        if episode.is_true is False:
            yield "1.0, but the goal does not hold"
        elif episode.blame:
            yield f"1.0, but {episode.blame}"


def refusals_never_pay(check: Checker, episode: Episode) -> Complaints:
    """No refused, malformed or unknown call raises the score, at the end or anywhere.

    The exception is the failed read that shows that a request cannot be met.
    """
    calls = only_calls(episode)
    excused = bool(episode.task.goal.get("impossible"))
    for place, call in enumerate(calls):
        if is_refused(call) and not (excused and call.kind == Kind.READ):
            if total(check, episode, calls[: place + 1]) > total(check, episode, calls[:place]) + EPSILON:
                yield f"the refused call {place} pays at the end"
            rest = [*calls[:place], *calls[place + 1 :]]
            if total(check, episode, calls) > total(check, episode, rest) + EPSILON:
                yield f"the refused call {place} pays"


def every_step_counts(check: Checker, episode: Episode) -> Complaints:
    """What an accepted write does to the facts and to other things decides the sign of what it earns.

    - nearer: facts come nearer, nothing else changes for the worse: it raises the score;
    - farther: the reverse lowers it;
    - harm: only other things change: it lowers the score; tidying them up raises it;
    - nothing: it does not raise the score.

    Not judged are writes of which one part is good and another bad, the first move of a ticket (an attempt is worth
    something, wherever it leads) and a ticket's way out of a status where it has the wrong resolution.
    """
    calls, judge = only_calls(episode), episode.judge
    moved: set[str] = set()
    for place, call in enumerate(calls):
        if call.kind != Kind.WRITE or not call.ok:
            continue
        (old, harm), (new, more) = judge_state(episode, place), judge_state(episode, place + 1)
        worse = {name for name in old if new[name] > old[name]}
        better = {name for name in old if new[name] < old[name]}
        ticket = next((name[0] for name in old if name[1] == "status" and is_moved(episode, place, name[0])), None)
        attempt = ticket is not None and ticket not in moved and (ticket, "status") not in better
        moved |= {ticket} if ticket else set()
        if attempt or (worse and better) or any(judge.has_to_leave(name, old | new) for name in worse | better):
            continue
        before, after = (total(check, episode, calls[:end]) for end in (place, place + 1))
        kind = ""
        if better and more <= harm:
            kind = "nearer"
        elif worse and more >= harm:
            kind = "farther"
        elif not worse and not better and more != harm and (more < harm or more > harm):
            kind = "tidied" if more < harm else "harmful"
        elif not worse and not better and more == harm:
            kind = "vain"
        up, down = after > before + EPSILON, after < before - EPSILON
        silent = before == after == 0
        if kind == "nearer" and not up:
            yield f"write {place} ({call.name}) brings {better} nearer, but {before:.6f} -> {after:.6f}"
        if kind == "farther" and not down and not silent:
            yield f"write {place} ({call.name}) takes {worse} away, but {before:.6f} -> {after:.6f}"
        if kind == "harmful" and not down and not silent:
            yield f"write {place} ({call.name}) does harm {more - harm}, but {before:.6f} -> {after:.6f}"
        if kind == "tidied" and not up and not silent:
            yield f"write {place} ({call.name}) mends {harm - more}, but {before:.6f} -> {after:.6f}"
        if kind == "vain" and up:
            yield f"write {place} ({call.name}) changes nothing, but {before:.6f} -> {after:.6f}"


def is_moved(episode: Episode, place: int, ticket: str) -> bool:
    """Whether an entry of the trace changed the status of a ticket."""
    old, new = (episode.states[at].issues.get(ticket) for at in (place, place + 1))
    return old is not None and new is not None and old.status_id != new.status_id


def judge_state(episode: Episode, place: int) -> tuple[dict[Name, float], set[Name]]:
    """The facts and the harm before an entry of the trace. States are shared, so they are judged once."""
    state = episode.states[place]
    if id(state) not in episode.judged:
        episode.judged[id(state)] = episode.judge.facts(state), episode.judge.harm(state)
    return episode.judged[id(state)]


def junk_never_pays(check: Checker, episode: Episode) -> Complaints:
    """An episode with a harmful write whose effects stay scores at most as much as without it.

    No later write may be about the same thing, as it might have done the same harm.
    """
    calls = only_calls(episode)
    for place, call in enumerate(calls):
        if call.kind == Kind.WRITE and call.ok:
            (old, harm), (new, more) = judge_state(episode, place), judge_state(episode, place + 1)
            done = more - harm
            later = [judge_state(episode, after)[1] for after in range(place + 1, len(calls) + 1)]
            created = {*episode.judge.added(episode.states[place + 1])} - {*episode.judge.added(episode.states[place])}
            things = created | {thing for thing, _ in done}
            names = {name for thing in things for name in (thing, key_of(episode, place + 1, thing))}
            again = any(call.kind == Kind.WRITE and mentions(call, names) for call in calls[place + 1 :])
            if old == new and done and not again and all(done <= one for one in later):
                rest = [*calls[:place], *calls[place + 1 :]]
                if total(check, episode, calls) > total(check, episode, rest) + EPSILON:
                    yield f"the harmful write {place} pays"


def key_of(episode: Episode, place: int, thing: str) -> str:
    issue = episode.states[place].issues.get(thing)
    return issue.key if issue else thing


def mentions(call: Call, names: set[str]) -> bool:
    return any(f'"{name}"'.lower() in json.dumps(call.arguments).lower() for name in names)


def the_goal_ranks_first(check: Checker, episode: Episode) -> Complaints:
    """An episode that ends at the goal without harm scores at least AT_GOAL, every episode that does not, less."""
    reached, score = episode.is_true, total(check, episode, only_calls(episode))
    if reached and episode.did_no_harm and score < AT_GOAL - EPSILON:
        yield f"at the goal, but {score}"
    if reached is False and score >= AT_GOAL:
        yield f"not at the goal, but {score}"


def mending_pays(check: Checker, episode: Episode) -> Complaints:
    """An episode that ends at the goal scores above each of its beginnings that does not.

    This holds from any state on, if no new harm follows: at most one thing is deleted and made anew.
    """
    if not episode.is_true or not only_calls(episode):
        return
    calls, score = only_calls(episode), total(check, episode, only_calls(episode))
    judged = [judge_state(episode, place) for place in range(len(calls) + 1)]
    made = [episode.judge.made(state) for state in episode.states]
    for place, (facts, harm) in enumerate(judged):
        later = judged[place:]
        no_new_harm = all(more <= harm for _, more in later) and len({*made[place:]} - {None}) <= 2
        at_goal = not any(facts.values()) and not harm
        before = total(check, episode, calls[:place])
        if no_new_harm and not at_goal and before >= score:
            yield f"ends at the goal with {score:.6f}, but {before:.6f} before entry {place}"


def idling_is_nothing(check: Checker, episode: Episode) -> Complaints:
    """Without a call, no answer scores anything."""
    if total(check, episode, []) > 0:
        yield "an answer without a call scores"


PROPERTIES: tuple[Property, ...] = (
    *(is_sound, refusals_never_pay, every_step_counts, junk_never_pays, the_goal_ranks_first, mending_pays),
    idling_is_nothing,
)


def _reversed(value: Any) -> Any:
    """A copy with the members of every object in reverse order."""
    if isinstance(value, dict):
        return {name: _reversed(member) for name, member in reversed(value.items())}
    return [_reversed(element) for element in value] if isinstance(value, list) else value


def _as_integers(value: Any, name: str = "") -> Any:
    """A copy in which ids that consist of digits are integers."""
    if isinstance(value, dict):
        return {key: _as_integers(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [_as_integers(element, name) for element in value]
    holds_id = isinstance(name, str) and name.lower().endswith(("id", "ids", "idorkey"))
    return int(value) if holds_id and isinstance(value, str) and value.isascii() and value.isdigit() else value
