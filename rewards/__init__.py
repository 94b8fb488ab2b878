"""Verifiable rewards: each checker is a pure function of a goal and a trace of tool calls."""

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
"""The checker of each scenario by the scenario's name."""
