"""An episode ends once, its trace knows turns, and transitions count as known only for their project."""

from __future__ import annotations

import pytest

from envs.protocol import ToolCall, Turn
from envs.scenarios import NAMES, SCENARIOS
from rewards.provenance import Ledger
from rewards.trace import Call, Kind, answer_of


@pytest.mark.parametrize("name", NAMES)
def test_a_turn_after_the_end_raises(name: str) -> None:
    env = SCENARIOS[name].env(0, "train")
    env.reset()
    assert env.step(Turn("Done.")).done
    score = env.score()
    with pytest.raises(RuntimeError, match="the episode is over"):
        env.step(Turn("", (ToolCall(env.tools[0].name, {}),)))
    assert [(call.kind, call.arguments) for call in env.trace] == [(Kind.ANSWER, "Done.")]
    assert env.score() == score


def test_transitions_of_one_project_are_not_known_for_another() -> None:
    body = {"key": "APB-1", "transitions": [{"name": "Close", "to": {"id": "10002", "name": "Done"}, "id": "31"}]}
    trace = [Call("getIssue", {"issueIdOrKey": "APB-1", "expand": "transitions"}, 200, body, Kind.READ)]
    ledger = Ledger("", trace, (), lambda issue: str(issue).partition("-")[0])
    assert ledger.transition_before(1, "APB", "31")
    assert not ledger.transition_before(0, "APB", "31")
    assert not ledger.transition_before(1, "ORC", "31")
    assert ledger.before(1, ("apb-1",))


def test_calls_know_their_turn_and_the_answer_ends_the_trace() -> None:
    env = SCENARIOS["issue-read"].env(0, "train")
    env.reset()
    call = ToolCall("getAllLabels", {})
    env.step(Turn("", (call, call)))
    env.step(Turn("", (call,)))
    env.step(Turn("In Review"))
    assert [entry.turn for entry in env.trace] == [0, 0, 1, 2]
    assert answer_of(env.trace) == "In Review" and answer_of(env.trace[:-1]) == ""
