"""Episodes written by hand: goals, and for each goal a trace that achieves it without a superfluous call.

They need no site, so the checkers' properties can be tested in isolation. Every call is required. `required` names the
arguments without which a call would not serve its purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewards.trace import Call
from tests.support.calls import (
    HOST,
    document,
    issue,
    page,
    read,
    results,
    search_result,
    space,
    transitions,
    user,
    write,
)

SEARCH = "searchAndReconsileIssuesUsingJql"
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Example:
    """A goal with its shortest trace. `required` holds pairs (index of a call, path of an argument)."""

    scenario: str
    goal: Mapping[str, Any]
    trace: tuple[Call, ...]
    required: tuple[tuple[int, Path], ...]


LOGIN = {"id": "10023", "key": "APB-12"}
EXPORT = {"id": "10057", "key": "NIM-4"}

READ_FIELDS = Example(
    "issue-read",
    {
        "scenario": "issue-read",
        "request": 'What is the status and the priority of the issue "Repair the login form" in project APB?',
        "reads": [{"issue": LOGIN, "fields": ["status", "priority"]}],
    },
    (
        read(
            SEARCH,
            {"jql": 'project = APB AND summary ~ "Repair the login form"', "fields": ["summary"]},
            search_result(issue("APB-12", "10023", summary="Repair the login form")),
        ),
        read(
            "getIssue",
            {"issueIdOrKey": "APB-12", "fields": ["status", "priority"]},
            issue("APB-12", "10023", status={"name": "To Do", "id": "3"}, priority={"name": "High", "id": "2"}),
        ),
    ),
    ((1, ("fields",)), (1, ("fields", 0)), (1, ("fields", 1))),
)

READ_TWO = Example(
    "issue-read",
    {
        "scenario": "issue-read",
        "request": 'Tell me the comments of APB-12 and the assignee of the issue "Export fails" in project "Nimbus".',
        "reads": [{"issue": LOGIN, "comments": True}, {"issue": EXPORT, "fields": ["assignee"]}],
    },
    (
        read(
            "getComments",
            {"issueIdOrKey": "APB-12"},
            {"comments": [{"id": "20001", "body": document("Seen.")}], "maxResults": 50, "startAt": 0, "total": 1},
        ),
        read(
            SEARCH,
            {"jql": 'project = "Nimbus" AND summary ~ "Export fails"', "fields": ["summary"]},
            search_result(issue("NIM-4", "10057", summary="Export fails")),
        ),
        read(
            "getIssue",
            {"issueIdOrKey": "NIM-4", "fields": ["assignee"]},
            issue("NIM-4", "10057", assignee=user("Ann Miller", "5b10a2844c20165700ede21g")),
        ),
    ),
    ((2, ("fields",)), (2, ("fields", 0))),
)

CREATE_ALL = Example(
    "issue-create",
    {
        "scenario": "issue-create",
        "request": 'Create a sub-task in project "Apollo Billing" with the summary "Write the tests". Its parent is '
        'the issue "Repair the login form". Describe it as "Cover the form & the error page." Give it High priority. '
        'Label it "quality" and "web". Assign it to Ann Miller.',
        "project": {"id": "10000", "key": "APB"},
        "summary": "Write the tests",
        "issuetype": {"id": "10004", "name": "Sub-task"},
        "description": "Cover the form & the error page.",
        "priority": {"id": "2", "name": "High"},
        "labels": ["quality", "web"],
        "assignee": "5b10a2844c20165700ede21g",
        "parent": LOGIN,
    },
    (
        read(
            "searchProjects",
            {"query": "Apollo Billing"},
            {"values": [{"name": "Apollo Billing", "key": "APB", "id": "10000"}], "total": 1, "isLast": True},
        ),
        read("findUsers", {"query": "Ann Miller"}, [user("Ann Miller", "5b10a2844c20165700ede21g")]),
        read(
            SEARCH,
            {"jql": 'project = "Apollo Billing" AND summary ~ "Repair the login form"', "maxResults": 1},
            {"issues": [{"id": "10023"}], "isLast": True},
        ),
        write(
            "createIssue",
            {
                "fields": {
                    "project": {"key": "APB"},
                    "issuetype": {"name": "Sub-task"},
                    "summary": "Write the tests",
                    "description": document("Cover the form & the error page."),
                    "priority": {"name": "High"},
                    "labels": ["quality", "web"],
                    "assignee": {"accountId": "5b10a2844c20165700ede21g"},
                    "parent": {"id": "10023"},
                }
            },
            201,
            {"id": "10301", "key": "APB-31", "self": f"{HOST}/rest/api/3/issue/10301"},
        ),
    ),
    tuple(
        (3, ("fields", *path))
        for path in (
            *(("project",), ("issuetype",), ("summary",), ("description",), ("priority",), ("labels",), ("labels", 0)),
            *(("assignee",), ("parent",), ("project", "key"), ("issuetype", "name"), ("priority", "name")),
            *(("assignee", "accountId"), ("parent", "id"), ("description", "content", 0)),
        )
    ),
)

CREATE_FEW = Example(
    "issue-create",
    {
        "scenario": "issue-create",
        "request": 'Please create a bug in project NIM: "Export loses a row". The description is "It is the last one."',
        "project": {"id": "10001", "key": "NIM"},
        "summary": "Export loses a row",
        "issuetype": {"id": "10002", "name": "Bug"},
        "description": "It is the last one.",
        "priority": None,
        "labels": None,
        "assignee": None,
        "parent": None,
    },
    (
        write(
            "createIssue",
            {
                "fields": {
                    "project": {"key": "NIM"},
                    "issuetype": {"name": "Bug"},
                    "summary": "Export loses a row",
                    "description": document("It is the last one."),
                }
            },
            201,
            {"id": "10302", "key": "NIM-9", "self": f"{HOST}/rest/api/3/issue/10302"},
        ),
    ),
    tuple((0, ("fields", name)) for name in ("project", "issuetype", "summary", "description")),
)

PAGE_UNDER = Example(
    "page-create",
    {
        "scenario": "page-create",
        "request": 'Create a page "Release notes" in the space "Engineering Handbook" under the page "Processes". It '
        'says "Salt & pepper first."',
        "space": {"id": "98305", "key": "ENG"},
        "title": "Release notes",
        "parent": {"id": "98411", "title": "Processes", "homepage": False},
        "body": "Salt & pepper first.",
    },
    (
        read(
            "getSpaces",
            {},
            results(
                space("Sales Handbook", "SAL", "98301", "98400"),
                space("Engineering Handbook", "ENG", "98305", "98410"),
            ),
        ),
        read(
            "getPages",
            {"title": "Processes", "space-id": ["98305"]},
            results(page("Processes", "98411", "98305", "98410")),
        ),
        write(
            "createPage",
            {
                "spaceId": "98305",
                "title": "Release notes",
                "parentId": "98411",
                "body": {"representation": "storage", "value": "<p>Salt &amp; pepper first.</p>"},
            },
            200,
            page("Release notes", "98555", "98305", "98411"),
        ),
    ),
    tuple(
        (2, path)
        for path in (
            *(("spaceId",), ("title",), ("parentId",), ("body",), ("body", "representation"), ("body", "value")),
        )
    ),
)

PAGE_HOME = Example(
    "page-create",
    {
        "scenario": "page-create",
        "request": 'We need a new page "Lunch plan" in the space SAL. Use the body "Soup on Monday".',
        "space": {"id": "98301", "key": "SAL"},
        "title": "Lunch plan",
        "parent": {"id": "98400", "title": "Sales Handbook Home", "homepage": True},
        "body": "Soup on Monday",
    },
    (
        read("getSpaces", {"keys": ["SAL"]}, results(space("Sales Handbook", "SAL", "98301", "98400"))),
        write(
            "createPage",
            {"spaceId": "98301", "title": "Lunch plan", "body": {"storage": {"value": "<p>Soup on Monday</p>"}}},
            200,
            page("Lunch plan", "98556", "98301", "98400"),
        ),
    ),
    ((1, ("spaceId",)), (1, ("title",)), (1, ("body",)), (1, ("body", "storage", "value"))),
)


def _moves(scenario: str) -> tuple[Example, ...]:
    one = Example(
        scenario,
        {
            "scenario": scenario,
            "request": 'Move the issue "Export fails" in project NIM to Done with resolution Won\'t Do and comment '
            '"Not now."',
            "issue": EXPORT,
            "status": "Done",
            "moves": [["31"]],
            "resolution": "Won't Do",
            "comment": "Not now.",
        },
        (
            read(
                SEARCH,
                {"jql": 'project = NIM AND summary ~ "Export fails"', "fields": ["summary"]},
                search_result(issue("NIM-4", "10057", summary="Export fails")),
            ),
            read(
                "getTransitions",
                {"issueIdOrKey": "NIM-4"},
                transitions(("Start", "In Progress", "21"), ("Close", "Done", "31")),
            ),
            write(
                "doTransition",
                {
                    "issueIdOrKey": "NIM-4",
                    "transition": {"id": "31"},
                    "fields": {"resolution": {"name": "Won't Do"}},
                    "update": {"comment": [{"add": {"body": document("Not now.")}}]},
                },
            ),
        ),
        tuple(
            (2, path)
            for path in (
                *(("issueIdOrKey",), ("transition",), ("transition", "id"), ("fields",), ("fields", "resolution")),
                *(
                    ("update",),
                    ("update", "comment"),
                    ("update", "comment", 0),
                    ("update", "comment", 0, "add", "body"),
                ),
            )
        ),
    )
    two = Example(
        scenario,
        {
            "scenario": scenario,
            "request": "Please move APB-12 to Review.",
            "issue": LOGIN,
            "status": "Review",
            "moves": [["11", "41"], ["51", "61"]],
            "resolution": None,
            "comment": None,
        },
        (
            read(
                "getTransitions",
                {"issueIdOrKey": "APB-12"},
                transitions(("Start", "In Progress", "11"), ("Park", "Waiting", "51"), ("Drop", "Closed", "71")),
            ),
            write("doTransition", {"issueIdOrKey": "APB-12", "transition": {"id": "11"}}),
            read(
                "getTransitions",
                {"issueIdOrKey": "APB-12"},
                transitions(("Stop", "To Do", "12"), ("Hand over", "Review", "41")),
            ),
            write("doTransition", {"issueIdOrKey": "APB-12", "transition": {"id": "41"}}),
        ),
        tuple((index, path) for index in (1, 3) for path in (("issueIdOrKey",), ("transition",), ("transition", "id"))),
    )
    return one, two


LABELS_EDIT = Example(
    "issue-labels",
    {
        "scenario": "issue-labels",
        "request": 'On APB-12, add the label "web" and "urgent" and remove the label "later".',
        "issue": LOGIN,
        "before": ["later", "login", "form"],
        "add": ["web", "urgent"],
        "remove": ["later"],
    },
    (
        write(
            "editIssue",
            {
                "issueIdOrKey": "APB-12",
                "update": {"labels": [{"add": "web"}, {"add": "urgent"}, {"remove": "later"}]},
            },
        ),
    ),
    tuple(
        (0, path)
        for path in (
            *(("issueIdOrKey",), ("update",), ("update", "labels"), ("update", "labels", 0), ("update", "labels", 1)),
            ("update", "labels", 2),
        )
    ),
)

LABELS_REPLACE = Example(
    "issue-labels",
    {
        "scenario": "issue-labels",
        "request": 'For the issue "Export fails" in project NIM, please give it the label "csv".',
        "issue": EXPORT,
        "before": ["export", "rows"],
        "add": ["csv"],
        "remove": [],
    },
    (
        read(
            SEARCH,
            {"jql": 'project = NIM AND summary ~ "Export fails"', "fields": ["summary", "labels"]},
            search_result(issue("NIM-4", "10057", summary="Export fails", labels=["export", "rows"])),
        ),
        write("editIssue", {"issueIdOrKey": "NIM-4", "fields": {"labels": ["export", "rows", "csv"]}}),
    ),
    tuple(
        (1, path)
        for path in (("issueIdOrKey",), ("fields",), ("fields", "labels"), *(("fields", "labels", i) for i in range(3)))
    ),
)

EXAMPLES: tuple[Example, ...] = (
    READ_FIELDS,
    READ_TWO,
    CREATE_ALL,
    CREATE_FEW,
    PAGE_UNDER,
    PAGE_HOME,
    *_moves("ticket-transition"),
    *_moves("ticket-transition-saturated"),
    LABELS_EDIT,
    LABELS_REPLACE,
)
