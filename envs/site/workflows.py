"""The workflows of synthetic sites: which statuses there are, and which moves lead from one to another.

Three workflows and one status belong to the held-out split alone. All their words occur in workflows of the training
split. In some workflows a status cannot be reached again once it was left, such as Triage.
"""

from __future__ import annotations

from collections.abc import Mapping

from envs.protocol import Split

STATUSES: Mapping[str, str] = {
    "To Do": "new",
    "Backlog": "new",
    "Open": "new",
    "Triage": "new",
    "Selected": "new",
    "Ready": "new",
    "In Design": "indeterminate",
    "In Progress": "indeterminate",
    "In Review": "indeterminate",
    "Code Review": "indeterminate",
    "Design Review": "indeterminate",
    "Testing": "indeterminate",
    "QA": "indeterminate",
    "Blocked": "indeterminate",
    "Waiting": "indeterminate",
    "On Hold": "indeterminate",
    "Deployed": "indeterminate",
    "Done": "done",
    "Closed": "done",
    "Resolved": "done",
    "Verified": "done",
    "Cancelled": "done",
}
"""Status -> category. No name is a part of another, so that a name in a sentence has one reading."""
PAUSES = ("Blocked", "Waiting", "On Hold")
"""Statuses that some projects want a comment for."""

Workflow = tuple[tuple[str, str, str], ...]
"""Moves: (from, name of the transition, to). The first one starts at the initial status."""

_SHARED: tuple[Workflow, ...] = (
    (
        ("To Do", "Start work", "In Progress"),
        ("In Progress", "Ask for review", "In Review"),
        ("In Progress", "Stop work", "To Do"),
        ("In Progress", "Report a blocker", "Blocked"),
        ("Blocked", "Resume", "In Progress"),
        ("In Review", "Approve", "Done"),
        ("In Review", "Send back", "In Progress"),
        ("Done", "Reopen", "To Do"),
    ),
    (
        ("To Do", "Begin", "In Progress"),
        ("To Do", "Finish early", "Done"),
        ("In Progress", "Hand to testers", "Testing"),
        ("In Progress", "Put back", "To Do"),
        ("Testing", "Pass", "Done"),
        ("Testing", "Fail", "In Progress"),
        ("Done", "Reopen", "In Progress"),
    ),
    (
        ("Backlog", "Select", "Selected"),
        ("Selected", "Start work", "In Progress"),
        ("Selected", "Return", "Backlog"),
        ("In Progress", "Ask for review", "In Review"),
        ("In Progress", "Report a blocker", "Blocked"),
        ("In Review", "Close", "Closed"),
        ("In Review", "Send back", "In Progress"),
        ("Blocked", "Give up", "Closed"),
        ("Blocked", "Resume", "In Progress"),
        ("Closed", "Reopen", "Backlog"),
    ),
    (
        ("Open", "Take", "In Progress"),
        ("In Progress", "Put back", "Open"),
        ("In Progress", "Resolve", "Closed"),
        ("Closed", "Reopen", "Open"),
    ),
    (
        ("Triage", "Accept", "Open"),
        ("Triage", "Reject", "Closed"),
        ("Open", "Wait for an answer", "Waiting"),
        ("Open", "Resolve", "Resolved"),
        ("Waiting", "Continue", "Open"),
        ("Resolved", "Confirm", "Closed"),
        ("Resolved", "Reopen", "Open"),
        ("Closed", "Reopen", "Open"),
    ),
    (
        ("Backlog", "Prepare", "Ready"),
        ("Ready", "Start work", "In Progress"),
        ("Ready", "Return", "Backlog"),
        ("In Progress", "Ask for review", "Code Review"),
        ("Code Review", "Approve", "QA"),
        ("Code Review", "Request changes", "In Progress"),
        ("QA", "Deploy", "Deployed"),
        ("QA", "Fail", "In Progress"),
        ("Deployed", "Verify", "Verified"),
        ("Deployed", "Roll back", "In Progress"),
        ("Verified", "Reopen", "Backlog"),
    ),
    (
        ("To Do", "Begin design", "In Design"),
        ("In Design", "Hand over", "In Progress"),
        ("In Design", "Put on hold", "On Hold"),
        ("In Progress", "Finish", "Done"),
        ("In Progress", "Design again", "In Design"),
        ("On Hold", "Resume", "In Design"),
        ("Done", "Reopen", "In Progress"),
    ),
    (
        ("Open", "Start work", "In Progress"),
        ("Open", "Cancel", "Cancelled"),
        ("In Progress", "Ask the customer", "Waiting"),
        ("In Progress", "Complete", "Done"),
        ("Waiting", "Resume", "In Progress"),
        ("Waiting", "Give up", "Cancelled"),
        ("Done", "Reopen", "In Progress"),
        ("Cancelled", "Reopen", "Open"),
    ),
    (
        ("Ready", "Take", "In Progress"),
        ("In Progress", "Hand to testers", "QA"),
        ("In Progress", "Report a blocker", "Blocked"),
        ("Blocked", "Resume", "In Progress"),
        ("QA", "Pass", "Verified"),
        ("QA", "Fail", "In Progress"),
        ("Verified", "Close", "Closed"),
        ("Closed", "Reopen", "In Progress"),
    ),
    (
        ("Triage", "Plan", "Backlog"),
        ("Triage", "Decline", "Cancelled"),
        ("Backlog", "Select", "Selected"),
        ("Selected", "Start work", "In Progress"),
        ("Selected", "Return", "Backlog"),
        ("In Progress", "Finish", "Done"),
        ("In Progress", "Cancel", "Cancelled"),
        ("Done", "Reopen", "Selected"),
        ("Cancelled", "Reopen", "Backlog"),
    ),
)
_HELDOUT: tuple[Workflow, ...] = (
    (
        ("Open", "Start design", "In Design"),
        ("In Design", "Ask for review", "Design Review"),
        ("Design Review", "Request changes", "In Design"),
        ("Design Review", "Approve", "Verified"),
        ("Design Review", "Put on hold", "On Hold"),
        ("On Hold", "Continue", "Design Review"),
        ("Verified", "Design again", "In Design"),
    ),
    (
        ("Triage", "Accept", "Ready"),
        ("Triage", "Reject", "Closed"),
        ("Ready", "Begin work", "In Progress"),
        ("In Progress", "Hand over", "Testing"),
        ("Testing", "Deploy", "Deployed"),
        ("Testing", "Send back", "In Progress"),
        ("Testing", "Ask for changes", "Waiting"),
        ("Waiting", "Continue", "Testing"),
        ("Deployed", "Confirm", "Closed"),
        ("Deployed", "Roll back", "Testing"),
        ("Closed", "Reopen", "Ready"),
    ),
    (
        ("Backlog", "Take", "In Progress"),
        ("In Progress", "Hand to testers", "QA"),
        ("In Progress", "Report a blocker", "Blocked"),
        ("Blocked", "Stop work", "Cancelled"),
        ("Blocked", "Start again", "In Progress"),
        ("QA", "Pass", "Resolved"),
        ("QA", "Put back", "In Progress"),
        ("Resolved", "Reopen", "QA"),
        ("Cancelled", "Return", "Backlog"),
    ),
)
WORKFLOWS: Mapping[Split, tuple[Workflow, ...]] = {"train": _SHARED, "heldout": (*_SHARED, *_HELDOUT)}
