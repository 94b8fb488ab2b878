"""What must hold of every checker, as plain assertions over (check, goal, trace).

They take the checker, so that negative controls can show that each assertion fails for a broken one, and so that tests
with and without a site share them.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from rewards import Check
from rewards.score import Score
from rewards.trace import Call, Kind, Trace

Goal = Mapping[str, Any]
ROOT = FilePath(__file__).parents[2]
PARTS = {"arguments", "calls", "discipline"}

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


def assert_in_range(check: Check, goal: Goal, trace: Trace) -> None:
    """A total in [0, 1] that is the sum of the three named parts, all of them finite."""
    score = check(goal, trace)
    assert isinstance(score, Score)
    assert 0.0 <= score.total <= 1.0
    assert set(score.parts) == PARTS
    assert all(math.isfinite(part) for part in score.parts.values())
    assert abs(sum(score.parts.values()) - score.total) < 1e-9
    assert score.total == 1.0 or score.total <= 1 - 1e-6


def assert_deterministic(check: Check, goal: Goal, trace: Trace) -> None:
    first = check(goal, trace)
    assert check(goal, trace) == first
    assert check(*deepcopy((goal, trace))) == first


def assert_order_of_keys_is_nothing(check: Check, goal: Goal, trace: Trace) -> None:
    """Members of arguments and responses in reverse order score alike."""
    reordered = [replace(call, arguments=_reversed(call.arguments), body=_reversed(call.body)) for call in trace]
    assert check(goal, reordered) == check(goal, trace)


def assert_ids_alike(check: Check, goal: Goal, trace: Trace) -> None:
    """Ids given as strings or as integers score alike, in arguments and in responses."""
    expected = check(goal, trace)
    assert check(goal, [replace(call, arguments=_as_integers(call.arguments)) for call in trace]) == expected
    assert check(goal, [replace(call, body=_as_integers(call.body)) for call in trace]) == expected
    assert check(_as_integers(goal), trace) == expected


def assert_unmutated(check: Check, goal: Goal, trace: Trace) -> None:
    before = repr((goal, trace))
    check(goal, trace)
    assert repr((goal, trace)) == before


def assert_perfect(check: Check, goal: Goal, trace: Trace) -> None:
    assert check(goal, trace).total == 1.0


def assert_empty_is_zero(check: Check, goal: Goal) -> None:
    score = check(goal, ())
    assert score.total == 0.0
    assert not any(score.parts.values())


def assert_dropping_a_call_lowers(check: Check, goal: Goal, trace: Trace, required: Iterable[int]) -> None:
    """Each required call's absence is noticed; the others' responses stay as they were."""
    whole = check(goal, trace).total
    for index in required:
        assert check(goal, [*trace[:index], *trace[index + 1 :]]).total < whole, f"without call {index}"


def assert_dropping_an_argument_lowers(
    check: Check, goal: Goal, trace: Trace, required: Iterable[tuple[int, Sequence[str | int]]]
) -> None:
    """Each required argument's absence is noticed, whether the API refuses the call without it or not."""
    whole = check(goal, trace).total
    for index, path in required:
        accepted = replace(trace[index], arguments=without(trace[index].arguments, path))
        refused = replace(accepted, status=400, body={"errorMessages": ["No."], "errors": {}})
        for call in (accepted, refused):
            dropped = [*trace[:index], call, *trace[index + 1 :]]
            assert check(goal, dropped).total < whole, f"call {index} without {path}, status {call.status}"


def assert_no_insertion_raises(check: Check, goal: Goal, trace: Trace, inserted: Sequence[Call]) -> None:
    """None of the calls raises the score, wherever it is inserted."""
    whole = check(goal, trace).total
    for place in range(len(trace) + 1):
        for call in inserted:
            longer = [*trace[:place], call, *trace[place:]]
            assert check(goal, longer).total <= whole, f"{call.name} at {place}"
            if whole == 1.0:
                assert check(goal, longer).total < 1.0, f"{call.name} at {place} is not noticed"


def assert_no_duplicate_raises(check: Check, goal: Goal, trace: Trace) -> None:
    """No copy of a call raises the score, wherever after the original it is inserted; at once after it, it costs."""
    whole = check(goal, trace).total
    for index, call in enumerate(trace):
        for place in range(index + 1, len(trace) + 1):
            total = check(goal, [*trace[:place], call, *trace[place:]]).total
            assert total <= whole, f"copy of call {index} at {place}"
            assert whole < 1.0 or place > index + 1 or total < 1.0, f"copy of call {index} is not noticed"


def assert_correcting_pays(check: Check, goal: Goal, trace: Trace, broken: Call) -> None:
    """A refused attempt before the last call costs something; going on to succeed is worth more than giving up."""
    corrected = check(goal, [*trace[:-1], broken, trace[-1]]).total
    given_up = check(goal, [*trace[:-1], broken]).total
    assert given_up < corrected < check(goal, trace).total


def assert_same_in_every_process(check: str) -> None:
    """A checker named `module:attribute` scores the examples alike under different PYTHONHASHSEED."""
    program = f"from tests.support.properties import print_scores; print_scores({check!r})"
    outputs = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", program]
        outputs.add(subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True).stdout)
    assert len(outputs) == 1


def print_scores(name: str) -> None:
    """Print the scores of all examples, whole and without each of their calls; `rewards` is each one's own checker."""
    from importlib import import_module

    from rewards import CHECKERS
    from tests.support.examples import EXAMPLES

    for example in EXAMPLES:
        check = CHECKERS[example.scenario]
        if name != "rewards":
            module, _, attribute = name.partition(":")
            check = getattr(import_module(module), attribute)
        traces = [example.trace, *(example.trace[:i] + example.trace[i + 1 :] for i in range(len(example.trace)))]
        print([repr(check(example.goal, trace)) for trace in traces])


def without(value: Any, path: Sequence[str | int]) -> Any:
    """A copy of nested dicts and lists without what stands at `path`."""
    copy = deepcopy(value)
    holder = copy
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    return copy


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _reversed(member) for name, member in reversed(value.items())}
    return [_reversed(element) for element in value] if isinstance(value, list) else value


def _as_integers(value: Any, name: str = "") -> Any:
    """A copy in which all-digit strings under the names of ids are integers."""
    if isinstance(value, dict):
        return {key: _as_integers(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [_as_integers(element, name) for element in value]
    holds_id = isinstance(name, str) and (name.lower().endswith(("id", "ids", "idorkey")) or name == "moves")
    return int(value) if holds_id and isinstance(value, str) and value.isascii() and value.isdigit() else value
