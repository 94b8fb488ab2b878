"""An episode ends once, and the transitions in an issue's response count as known only for that issue."""

from __future__ import annotations

import pytest

from envs.protocol import ToolCall, Turn
from envs.scenarios import NAMES, SCENARIOS
from rewards.provenance import Ledger
from rewards.trace import Call, Kind


@pytest.mark.parametrize("name", NAMES)
def test_a_turn_after_the_end_raises(name: str) -> None:
    env = SCENARIOS[name].env(0, "train")
    env.reset()
    assert env.step(Turn("Done.")).done
    score = env.score()
    with pytest.raises(RuntimeError, match="the episode is over"):
        env.step(Turn("", (ToolCall(env.tools[0].name, {}),)))
    assert (env.trace, env.score()) == ((), score)


def test_transitions_of_one_issue_are_not_known_for_another() -> None:
    body = {"key": "APB-1", "transitions": [{"name": "Close", "to": {"id": "10002", "name": "Done"}, "id": "31"}]}
    trace = [Call("getIssue", {"issueIdOrKey": "APB-1", "expand": "transitions"}, 200, body, Kind.READ)]
    for issues, is_known in ((frozenset({"apb-1"}), True), (frozenset({"orc-1"}), False), (None, True)):
        ledger = Ledger("", trace, issue=issues)
        assert ledger.transition_before(1, "31") is is_known
        assert ledger.before(1, ("apb-1",))
