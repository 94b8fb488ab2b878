"""Properties that every checker must have, as assertions about (check, goal, trace).

The checker is an argument for two reasons. Negative controls show that each assertion fails for a broken checker, and
tests with and without a site share the assertions.
"""

from __future__ import annotations

import inspect
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs.scenarios.drafting import Checker
from rewards.score import Score
from rewards.trace import Call, Kind, Trace

Goal = Mapping[str, Any]
ROOT = Path(__file__).parents[2]
PARTS = {"arguments", "calls", "discipline"}
PRINT_SCORES = """
import functools, pickle, runpy, sys
load = functools.cache(runpy.run_path)
for file, name, goal, trace in pickle.load(sys.stdin.buffer):
    print(load(file)[name](goal, trace))
"""
"""A program that scores the cases on its standard input; see `assert_same_in_every_process`."""

STRAY_WRITES = (
    Call("addComment", {"issueIdOrKey": "APB-12", "body": {}}, 201, {"id": "20011"}, Kind.WRITE),
    Call("assignIssue", {"issueIdOrKey": "NIM-4", "accountId": None}, 204, None, Kind.WRITE),
    Call("editIssue", {"issueIdOrKey": "ZZZ-1", "fields": {"summary": "x"}}, 204, None, Kind.WRITE),
    Call("deletePage", {"id": "98400"}, 204, None, Kind.WRITE),
)
UNKNOWN_CALLS = (
    Call("getIssueByKey", {"key": "APB-12"}, 404, {"error": "Unknown tool"}, Kind.UNKNOWN),
    Call("createTask", {"fields": {"summary": "x"}}, 404, None, Kind.UNKNOWN),
)
MALFORMED_CALL = Call("", '{"name": "getIssue", "arguments": {', 400, {"error": "Malformed"}, Kind.MALFORMED)


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
    """Ids as strings and ids as integers give the same score, in arguments, responses and the goal."""
    expected = check(goal, trace)
    assert check(goal, [replace(call, arguments=_as_integers(call.arguments)) for call in trace]) == expected
    assert check(goal, [replace(call, body=_as_integers(call.body)) for call in trace]) == expected
    assert check(_as_integers(goal), trace) == expected


def assert_unmutated(check: Checker, goal: Goal, trace: Trace) -> None:
    """The checker does not change the goal or the trace."""
    before = repr((goal, trace))
    check(goal, trace)
    assert repr((goal, trace)) == before


def assert_perfect(check: Checker, goal: Goal, trace: Trace) -> None:
    assert check(goal, trace).total == 1.0


def assert_empty_is_zero(check: Checker, goal: Goal) -> None:
    score = check(goal, ())
    assert score.total == 0.0
    assert not any(score.parts.values())


def assert_dropping_a_call_lowers(check: Checker, goal: Goal, trace: Trace, required: Iterable[int]) -> None:
    """Dropping a required call lowers the score. The responses to the other calls stay the same."""
    full_score = check(goal, trace).total
    for index in required:
        assert check(goal, [*trace[:index], *trace[index + 1 :]]).total < full_score, f"without call {index}"


def assert_dropping_an_argument_lowers(
    check: Checker, goal: Goal, trace: Trace, required: Iterable[tuple[int, Sequence[str | int]]]
) -> None:
    """Dropping a required argument lowers the score, whether the API accepts that call or refuses it."""
    full_score = check(goal, trace).total
    for index, path in required:
        accepted = replace(trace[index], arguments=without(trace[index].arguments, path))
        refused = replace(accepted, status=400, body={"errorMessages": ["No."], "errors": {}})
        for call in (accepted, refused):
            changed_trace = [*trace[:index], call, *trace[index + 1 :]]
            assert check(goal, changed_trace).total < full_score, f"call {index} without {path}, status {call.status}"


def assert_no_insertion_raises(check: Checker, goal: Goal, trace: Trace, insertions: Sequence[Call]) -> None:
    """Inserting one of the calls never raises the score at any position, and lowers a perfect score."""
    before = check(goal, trace).total
    for place in range(len(trace) + 1):
        for call in insertions:
            after = check(goal, [*trace[:place], call, *trace[place:]]).total
            assert after <= before, f"{call.name} at {place}"
            assert before < 1.0 or after < 1.0, f"{call.name} at {place} is not noticed"


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


def without(value: Any, path: Sequence[str | int]) -> Any:
    """A copy of nested dicts and lists without the element at `path`."""
    copy = deepcopy(value)
    holder = copy
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    return copy


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
    holds_id = isinstance(name, str) and (name.lower().endswith(("id", "ids", "idorkey")) or name == "moves")
    return int(value) if holds_id and isinstance(value, str) and value.isascii() and value.isdigit() else value
