"""A small site written by hand, so that tests can name its records, and functions that call its operations."""

from __future__ import annotations

from typing import Any

from envs.site.adf import document
from envs.site.http import OPERATIONS, Response, dispatch, fill
from envs.site.records import (
    Comment,
    Issue,
    IssueLink,
    IssueType,
    Page,
    PageVersion,
    Project,
    Space,
    State,
    Status,
    Transition,
    User,
)

START = 1_767_605_400
"""2026-01-05T09:30:00Z"""
DAY = 86_400
MIA, EMMA, MIA_SANTOS, OMAR, NOAH = (f"712020:{number}" for number in range(1, 6))
"""Mia Krystof (the current user), Emma Richards, Mia Santos, Omar Haddad, and Noah Adler, who is inactive."""
EPIC, STORY, TASK, BUG, SUBTASK = "10301", "10302", "10303", "10304", "10305"
TO_DO, IN_PROGRESS, IN_REVIEW, DONE = "10201", "10202", "10203", "10204"
HIGH, MEDIUM, LOW = "2", "3", "4"
APB, ORC = "10001", "10002"
"""Projects: in Apollo Billing, Done is reachable only from In Progress; in Orchard, one move leads to Done."""


def _issue(number: int, key: str, kind: str, summary: str, **attributes: Any) -> Issue:
    project = APB if key.startswith("APB") else ORC
    moment = START - DAY * (100 - number)
    defaults: dict[str, Any] = {"status_id": TO_DO, "priority_id": MEDIUM, "reporter": EMMA, "updated": moment}
    return Issue(str(20000 + number), key, project, kind, summary, created=moment, **(defaults | attributes))


def _workflows() -> tuple[dict[str, tuple[Transition, ...]], dict[str, tuple[Transition, ...]]]:
    apollo = {
        TO_DO: (Transition("11", "Start work", IN_PROGRESS),),
        IN_PROGRESS: (
            Transition("21", "Ask for review", IN_REVIEW),
            Transition("31", "Finish", DONE, resolution=True),
            Transition("41", "Stop work", TO_DO),
        ),
        IN_REVIEW: (Transition("51", "Send back", IN_PROGRESS),),
        DONE: (Transition("61", "Reopen", TO_DO),),
    }
    orchard = {
        TO_DO: (Transition("12", "Begin", IN_PROGRESS), Transition("22", "Close", DONE)),
        IN_PROGRESS: (Transition("32", "Complete", DONE, resolution=True),),
        DONE: (Transition("42", "Reopen", TO_DO),),
    }
    return apollo, orchard


def small_state() -> State:
    """Two projects with different workflows, five people (two Mias), eight issues of all types, one space."""
    state = State(current_user=MIA, clock=START, next_id=30_000)
    names = {MIA: "Mia Krystof", EMMA: "Emma Richards", MIA_SANTOS: "Mia Santos", OMAR: "Omar Haddad"}
    state.users = {number: User(number, name) for number, name in names.items()}
    state.users[NOAH] = User(NOAH, "Noah Adler", active=False)
    types = {EPIC: ("Epic", 1), STORY: ("Story", 0), TASK: ("Task", 0), BUG: ("Bug", 0), SUBTASK: ("Sub-task", -1)}
    state.issue_types = {number: IssueType(number, name, level) for number, (name, level) in types.items()}
    statuses = {TO_DO: "new", IN_PROGRESS: "indeterminate", IN_REVIEW: "indeterminate", DONE: "done"}
    labels = ("To Do", "In Progress", "In Review", "Done")
    state.statuses = {n: Status(n, name, kind) for (n, kind), name in zip(statuses.items(), labels, strict=True)}
    state.priorities = {"1": "Highest", HIGH: "High", MEDIUM: "Medium", LOW: "Low", "5": "Lowest"}
    state.resolutions = {"10000": "Fixed", "10001": "Declined"}
    state.link_types = {
        "10100": ("Blocks", "is blocked by", "blocks"),
        "10101": ("Relates", "relates to", "relates to"),
    }
    apollo, orchard = _workflows()
    state.projects = {
        APB: Project(APB, "APB", "Apollo Billing", EMMA, (EPIC, STORY, TASK, BUG, SUBTASK), apollo, TO_DO, 11),
        ORC: Project(ORC, "ORC", "Orchard", OMAR, (EPIC, TASK, BUG, SUBTASK), orchard, TO_DO, 4),
    }
    _add_issues(state)
    _add_space(state)
    return state


def _add_issues(state: State) -> None:
    rounding = document("Invoices show the wrong total when rounding is off.")
    first = Comment("25001", EMMA, document("Seen on the staging server."), START - 5000)
    second = Comment("25002", OMAR, document("I cannot reproduce it."), START - 4000)
    blocks, blocked = IssueLink("26001", "10100", False, "20010"), IssueLink("26001", "10100", True, "20003")
    issues = (
        _issue(1, "APB-1", EPIC, "Invoice overhaul", labels=("billing",)),
        _issue(2, "APB-2", STORY, "Show taxes on invoices", parent_id="20001", assignee=MIA, priority_id=HIGH),
        _issue(3, "APB-3", TASK, "Update the login page", assignee=EMMA, labels=("web", "urgent"), links=(blocks,)),
        _issue(
            4, "APB-4", SUBTASK, "Write the tax test", parent_id="20002", status_id=IN_PROGRESS, assignee=MIA_SANTOS
        ),
        _issue(
            *(10, "APB-10", BUG, "Invoice total is wrong"),
            description=rounding,
            comments=(first, second),
            links=(blocked,),
            priority_id="1",
        ),
        _issue(11, "ORC-1", EPIC, "Harvest planning", reporter=MIA),
        _issue(12, "ORC-2", TASK, "Update the login page", assignee=EMMA, parent_id="20011", labels=("web",)),
        _issue(13, "ORC-3", BUG, "Apples sort wrongly", status_id=DONE, resolution="Fixed", priority_id=LOW),
    )
    state.issues = {issue.id: issue for issue in issues}
    state.issue_keys = {issue.key: issue.id for issue in issues}


def _add_space(state: State) -> None:
    home = PageVersion(1, START - DAY, MIA, "", "Billing Home", "<p>Welcome</p>")
    state.spaces = {"27001": Space("27001", "BILL", "Billing", "27002", MIA, START - DAY)}
    state.pages = {
        "27002": Page("27002", "27001", None, "Billing Home", "<p>Welcome</p>", MIA, START - DAY, 0, (home,))
    }


def call(state: State, operation_id: str, query: Any = None, body: Any = None, **path: Any) -> Response:
    """Calls an operation by its id through the route table. Path parameters are keywords."""
    operation = OPERATIONS[operation_id]
    return dispatch(state, operation.method, fill(operation.path, path), query, body)


def field(state: State, name: str, key: str = "APB-3") -> Any:
    """A field of an issue as getIssue shows it; None if the issue does not have it."""
    response = call(state, "getIssue", {"fields": name}, issueIdOrKey=key)
    assert response.status == 200, response.body
    return response.body["fields"].get(name)


def search_keys(state: State, jql: str) -> list[str]:
    """The keys of the issues that a query finds, in order."""
    response = call(state, "searchAndReconsileIssuesUsingJql", {"jql": jql, "fields": "key"})
    assert response.status == 200, response.body
    return [issue["key"] for issue in response.body["issues"]]


def required_fields(state: State, transition: Transition) -> dict[str, Any]:
    """The members of a doTransition body that a transition requires."""
    members: dict[str, Any] = {}
    if "resolution" in transition.required:
        members["fields"] = {"resolution": {"id": next(iter(state.resolutions))}}
    if "comment" in transition.required:
        members["update"] = {"comment": [{"add": {"body": document("Moved")}}]}
    return members
