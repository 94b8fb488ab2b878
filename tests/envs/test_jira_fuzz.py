"""No request to Jira raises, a refused request changes nothing, and a write keeps the site consistent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.site import adf
from envs.site.adf import document
from envs.site.http import OPERATIONS, Response
from envs.site.records import State
from tests.support.junk import damages, junk, nested_document
from tests.support.openapi import check_response, reference_folder
from tests.support.site import EMMA, call, small_state
from tests.support.tiers import FULL, examples

ISSUE = {"issueIdOrKey": "APB-4"}
SEARCH, SEARCH_POST = "searchAndReconsileIssuesUsingJql", "searchAndReconsileIssuesUsingJqlPost"
VALID_BODIES: dict[str, tuple[dict[str, str], Any]] = {
    "createIssue": (
        {},
        {
            "fields": {
                "project": {"key": "APB"},
                "issuetype": {"name": "Sub-task"},
                "summary": "New",
                "description": document("Text"),
                "priority": {"id": "2"},
                "assignee": {"accountId": EMMA},
                "parent": {"key": "APB-3"},
            },
            "update": {"labels": [{"add": "a"}, {"set": ["b"]}, {"remove": "a"}]},
        },
    ),
    "editIssue": (
        ISSUE,
        {
            "fields": {"summary": "Other", "labels": ["x"], "reporter": {"id": EMMA}, "parent": {"id": "20003"}},
            "update": {"comment": [{"add": {"body": document("Said")}}], "priority": [{"set": {"name": "Low"}}]},
        },
    ),
    "assignIssue": (ISSUE, {"accountId": EMMA}),
    "addComment": (ISSUE, {"body": document("Said")}),
    "addWorklog": (
        ISSUE,
        {"timeSpent": "1h", "comment": document("Dug"), "started": "2026-01-04T10:00:00.000+0200"},
    ),
    "doTransition": (
        ISSUE,
        {
            "transition": {"id": "31"},
            "fields": {"resolution": {"name": "Fixed"}},
            "update": {"comment": [{"add": {"body": document("Moved")}}]},
        },
    ),
    "linkIssues": (
        {},
        {
            "type": {"name": "Blocks"},
            "inwardIssue": {"key": "APB-2"},
            "outwardIssue": {"id": "20012"},
            "comment": {"body": document("Linked")},
        },
    ),
    SEARCH_POST: ({}, {"jql": "project = APB", "fields": ["summary"], "maxResults": 2, "expand": ""}),
}
READS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    SEARCH: ({}, ("jql", "maxResults", "nextPageToken", "fields")),
    "getIssue": (ISSUE, ("fields", "expand")),
    "getComments": (ISSUE, ("startAt", "maxResults", "orderBy")),
    "getTransitions": (ISSUE, ("expand", "transitionId")),
    "findUsers": ({}, ("query", "accountId", "startAt", "maxResults")),
    "findAssignableUsers": ({}, ("query", "project", "issueKey", "startAt")),
    "searchProjects": ({}, ("startAt", "maxResults", "orderBy", "id", "keys", "query", "status")),
    "getIssueTypesForProject": ({}, ("projectId", "level")),
    "getCreateIssueMetaIssueTypes": ({"projectIdOrKey": "APB"}, ("startAt", "maxResults")),
    "deleteIssue": ({"issueIdOrKey": "APB-2"}, ("deleteSubtasks",)),
    "editIssue": (ISSUE, ("returnIssue",)),
}
JIRA = sorted(id for id, operation in OPERATIONS.items() if operation.path.startswith("/rest/"))


def check_consistency(state: State) -> None:
    """Ids, keys, hierarchy, links and clocks must be consistent after any requests."""
    assert state.issue_keys == {issue.key: issue.id for issue in state.issues.values()}
    ids = list(state.issues)
    for issue in state.issues.values():
        ids += [comment.id for comment in issue.comments] + [worklog.id for worklog in issue.worklogs]
    assert len(ids) == len(set(ids))
    for issue in state.issues.values():
        project, kind = state.projects[issue.project_id], state.issue_types[issue.type_id]
        assert issue.key.startswith(f"{project.key}-")
        assert int(issue.key.rpartition("-")[2]) < project.next_number
        assert kind.id in project.issue_types
        assert issue.status_id in project.workflow
        assert (issue.resolution is not None) == (state.statuses[issue.status_id].category == "done")
        assert issue.created <= issue.updated <= state.clock
        assert {issue.assignee, issue.reporter} - {None} <= set(state.users)
        assert issue.summary.strip() and len(set(issue.labels)) == len(issue.labels)
        parent = state.issues[issue.parent_id] if issue.parent_id is not None else None
        assert parent is not None or not kind.subtask
        assert parent is None or state.issue_types[parent.type_id].level == kind.level + 1
        assert not kind.subtask or (parent is not None and parent.project_id == project.id)
        for link in issue.links:
            reverse = [x for x in state.issues[link.other].links if x.id == link.id]
            assert [(x.other, x.outward) for x in reverse] == [(issue.id, not link.outward)]


def check_request(state: State, operation: str, send: Callable[[], Response]) -> Response:
    """Sends a request and checks its response. A failure may change nothing, a success keeps the site consistent."""
    before = state.copy()
    response = send()
    assert response.status in (200, 201, 204, 400, 404)
    json.dumps(response.body)
    if response.status >= 400:
        assert set(response.body) == {"errorMessages", "errors"}
        assert response.body["errorMessages"] or response.body["errors"]
        assert state == before
    elif reference_folder() is not None:
        check_response(operation, response)
    check_consistency(state)
    return response


@pytest.mark.parametrize("operation", VALID_BODIES)
def test_valid_bodies_are_accepted(operation: str) -> None:
    state = small_state()
    path, body = VALID_BODIES[operation]
    assert check_request(state, operation, lambda: call(state, operation, None, body, **path)).status < 300


@pytest.mark.parametrize("operation", VALID_BODIES)
@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_damaged_bodies(operation: str, data: st.DataObject) -> None:
    state = small_state()
    path, valid = VALID_BODIES[operation]
    body = data.draw(st.one_of(damages(valid), junk))
    check_request(state, operation, lambda: call(state, operation, None, body, **path))


query_values = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.booleans(),
    st.sampled_from(
        ["-1", "*all", "-summary", "APB", "20003", "10001", "created", "x" * 400, "project = APB", "٣", "1e3"]
    ),
    st.lists(st.text(max_size=4), max_size=3),
)


@pytest.mark.parametrize("operation", READS)
@settings(max_examples=examples(40), deadline=None)
@given(st.data())
def test_any_query(operation: str, data: st.DataObject) -> None:
    state = small_state()
    path, names = READS[operation]
    query = data.draw(st.dictionaries(st.sampled_from(names), query_values))
    if operation == SEARCH:
        query.setdefault("jql", "project = APB")
    check_request(state, operation, lambda: call(state, operation, query, {"fields": {}}, **path))


@settings(max_examples=examples(60), deadline=None)
@given(st.sampled_from(JIRA), st.text(min_size=1, max_size=10), st.one_of(st.just({"fields": {}}), junk))
def test_any_path(operation: str, name: str, body: Any) -> None:
    state = small_state()
    parameters = dict.fromkeys(("issueIdOrKey", "projectIdOrKey", "issueTypeId"), name)
    check_request(state, operation, lambda: call(state, operation, None, body, **parameters))


def test_deep_documents_are_refused_without_exhausting_the_stack() -> None:
    state = small_state()
    # Any depth above Python's recursion limit of 1,000 exhausts a recursive check.
    for depth, status in ((adf.MAX_DEPTH // 2 - 1, 201), (adf.MAX_DEPTH, 400), (100_000 if FULL else 10_000, 400)):
        body = {"body": nested_document(depth)}
        assert call(state, "addComment", None, body, **ISSUE).status == status
        # Python frees nested structures recursively, so they must be taken apart first.
        take_apart(body)


def take_apart(value: Any) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        pending.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        if isinstance(item, dict | list):
            item.clear()


def test_long_texts_are_refused() -> None:
    state = small_state()
    long = document("x" * (adf.MAX_CHARACTERS + 1))
    for name, body in (("addComment", {"body": long}), ("editIssue", {"fields": {"description": long}})):
        response = check_request(state, name, partial(call, state, name, None, body, **ISSUE))
        assert "too long" in str(response.body["errors"])


# Negative controls: the checks above notice a faulty site.


def test_a_refusal_that_writes_is_noticed(inject: Callable[[str], None]) -> None:
    inject("site: an edit writes before it reads its changes")
    state = small_state()
    with pytest.raises(AssertionError):
        check_request(state, "editIssue", lambda: call(state, "editIssue", None, {"fields": {"foo": 1}}, **ISSUE))


FAULTS: dict[str, Callable[[State], None]] = {
    "key": lambda state: state.issue_keys.update({"APB-99": "20003"}),
    "orphan": lambda state: state.issues.update({"20004": replace(state.issues["20004"], parent_id=None)}),
    "link": lambda state: state.issues.update({"20003": replace(state.issues["20003"], links=())}),
    "resolution": lambda state: state.issues.update({"20013": replace(state.issues["20013"], resolution=None)}),
    "clock": lambda state: state.issues.update({"20003": replace(state.issues["20003"], updated=state.clock + 1)}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_inconsistent_site_is_noticed(name: str) -> None:
    state = small_state()
    check_consistency(state)
    FAULTS[name](state)
    with pytest.raises(AssertionError):
        check_consistency(state)
