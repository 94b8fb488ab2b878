"""An episode ends once, and what a tool offers to expand is there."""

from __future__ import annotations

import pytest

from envs.protocol import ToolCall, Turn
from envs.scenarios import NAMES, SCENARIOS
from rewards.provenance import Ledger
from rewards.trace import Call, Kind


@pytest.mark.parametrize("name", NAMES)
def test_a_turn_after_the_end_is_a_mistake_of_the_caller(name: str) -> None:
    env = SCENARIOS[name].env(0, "train")
    env.reset()
    assert env.step(Turn("Done.")).done
    score = env.score()
    with pytest.raises(RuntimeError, match="the episode is over"):
        env.step(Turn("", (ToolCall(env.tools[0].name, {}),)))
    assert (env.trace, env.score()) == ((), score)


def test_transitions_beside_another_issue_say_nothing_of_the_one_that_moves() -> None:
    body = {"key": "APB-1", "transitions": [{"name": "Close", "to": {"id": "10002", "name": "Done"}, "id": "31"}]}
    trace = [Call("getIssue", {"issueIdOrKey": "APB-1", "expand": "transitions"}, 200, body, Kind.READ)]
    for moved, known in ((frozenset({"apb-1"}), True), (frozenset({"orc-1"}), False), (None, True)):
        ledger = Ledger("", trace, moved=moved)
        assert ledger.transition_before(1, "31") is known
        assert ledger.before(1, ("apb-1",))
