"""Verifiable rewards: one checker per scenario, a pure function of the task's goal and the trace of tool calls.

A checker imports only the standard library, reads no clock, random number or hash order, and raises on nothing that a
model can emit. `rewards.compose` says how a score is put together; each scenario's module says what it scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rewards import issue_create, issue_labels, issue_read, page_create, ticket_transition, ticket_transition_saturated
from rewards.score import Score
from rewards.trace import Trace

Check = Callable[[Mapping[str, Any], Trace], Score]

CHECKERS: dict[str, Check] = {
    "issue-read": issue_read.check,
    "issue-create": issue_create.check,
    "page-create": page_create.check,
    "ticket-transition": ticket_transition.check,
    "ticket-transition-saturated": ticket_transition_saturated.check,
    "issue-labels": issue_labels.check,
}
"""Scenario name -> checker."""
