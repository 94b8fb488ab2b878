"""Checkers that are broken on purpose, each in one way: the negative controls of `tests.support.properties`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from rewards.compose import compose
from rewards.judge import judge
from rewards.score import Score
from rewards.trace import Kind, Trace

Goal = Mapping[str, Any]
_count = itertools.count()


def score(total: float) -> Score:
    return Score(total, {"arguments": total, "calls": 0.0, "discipline": 0.0})


def always_one(goal: Goal, trace: Trace) -> Score:
    return score(1.0)


def always_half(goal: Goal, trace: Trace) -> Score:
    return score(0.5)


def too_much(goal: Goal, trace: Trace) -> Score:
    """Exceeds 1 by an amount that `Score` tolerates."""
    return score(1 + 1e-10)


def wrong_sum(goal: Goal, trace: Trace) -> Score:
    """The parts do not sum to the total."""
    return Score(0.5, {"arguments": 0.1, "calls": 0.1, "discipline": 0.1})


def almost_one(goal: Goal, trace: Trace) -> Score:
    """Returns a score closer to 1 than an imperfect score may be."""
    return score(1 - 1e-9)


def changing(goal: Goal, trace: Trace) -> Score:
    """Returns a different score at every call."""
    return score(1 / (2 + next(_count)))


def hashing(goal: Goal, trace: Trace) -> Score:
    """Depends on PYTHONHASHSEED."""
    return score(hash(goal["request"]) % 1000 / 1000)


def first_key(goal: Goal, trace: Trace) -> Score:
    """Depends on the order of members."""
    return score(sum(len(next(iter(call.arguments))) for call in trace if call.arguments) / 100)


def trusting(goal: Goal, trace: Trace) -> Score:
    """Raises if an argument is missing."""
    return score(0.5 if all(call.arguments["fields"] for call in trace) else 0.0)


def consuming(goal: Goal, trace: Trace) -> Score:
    """Changes the arguments that it reads."""
    for call in trace:
        if isinstance(call.arguments, dict) and call.arguments:
            call.arguments.popitem()
    return score(0.5)


def strings_only(goal: Goal, trace: Trace) -> Score:
    """Distinguishes an integer id from the same id as a string."""

    def count(value: Any) -> int:
        if isinstance(value, dict | list):
            return sum(map(count, value.values() if isinstance(value, dict) else value))
        return isinstance(value, int)

    return score(1 / (1 + sum(count([call.arguments, call.body]) for call in trace)))


def any_success(goal: Goal, trace: Trace) -> Score:
    """Gives a perfect score for a single accepted call."""
    return score(1.0 if any(call.ok and call.kind != Kind.ANSWER for call in trace) else 0.0)


def more_is_better(goal: Goal, trace: Trace) -> Score:
    """Rewards every call."""
    return score(len(trace) / (1 + len(trace)))


def attempts_only(goal: Goal, trace: Trace) -> Score:
    """Sees what was written, not what it led to."""
    writes = [call for call in trace if call.kind == Kind.WRITE and call.ok]
    return score(0.7 if writes else 0.0)


def lenient(goal: Goal, trace: Trace) -> Score:
    """Does not see harm."""
    outcome = judge(goal, trace)
    return compose(type(outcome)(outcome.arguments, outcome.calls, outcome.flaws))


def harsh(goal: Goal, trace: Trace) -> Score:
    """An episode in which a write was refused scores almost nothing, whatever follows."""
    refused = any(call.kind == Kind.WRITE and not call.ok for call in trace)
    return score(judge(goal, trace).arguments * (0.01 if refused else 1))


def form_of_writes(goal: Goal, trace: Trace) -> Score:
    """Prefers writes with few members."""
    return score(1 / (1 + sum(len(str(call.arguments)) for call in trace if call.kind == Kind.WRITE)))
