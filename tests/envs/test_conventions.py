"""No private conventions: everything that costs is said where the policy can read it."""

from __future__ import annotations

from dataclasses import fields

import pytest

from envs.episode import SYSTEM
from envs.scenarios import SCENARIOS
from envs.tools import TOOLS
from rewards.discipline import SHARES, Flaws

SAID = {
    "failed_call": "Avoid calls that fail",
    "unknown_tool": "only through the tools",
    "malformed_call": "Avoid calls that fail",
    "repeated_call": "Avoid calls that fail, repeat",
    "unseen_id": "Use only ids and keys that the request or an earlier turn shows; never guess",
    "extra_read": "repeat or are needless",
    "listing": "search for what you need instead of listing everything",
    "extra_move": "Take no more moves than needed",
    "wrong_value": "change nothing else, not even for a moment",
    "wrong_answer": "Only if the request cannot be met",
    "a side effect that is left": "change nothing else",
    "a side effect that is reverted": "not even for a moment",
    "an answer that lacks a value": "If something was asked, state the values",
    "an answer in other words": "as the tools show them",
    "answers in another order": "in the order asked",
    "an empty value that is not said": '"none" for an empty one',
    "a request that cannot be met": 'answer "Cannot"',
    "a list that is replaced unread": "replaces whole lists",
    "a page in another place": "under its homepage unless parentId is given",
}
"""What costs -> the words that say so."""


@pytest.mark.parametrize("cost", SAID)
def test_what_costs_is_said(cost: str) -> None:
    texts = [SYSTEM, *(TOOLS[name].tool.description for one in SCENARIOS.values() for name in one.tools)]
    assert any(SAID[cost] in text for text in texts)


def test_every_flaw_is_in_the_list() -> None:
    assert {flaw.name for flaw in fields(Flaws)} == set(SHARES)
    assert set(SHARES) <= set(SAID)
