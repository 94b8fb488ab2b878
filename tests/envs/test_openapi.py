"""Every response, of every operation, against Atlassian's OpenAPI documents (skipped where they are not at hand)."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import ValidationError

from envs.site.http import OPERATIONS, Response
from envs.site.records import Space
from envs.site.site import Site
from tests.support.openapi import (
    SUCCESSORS,
    check_component,
    check_fields,
    check_new_shape,
    check_request,
    check_response,
    described,
    needs_reference,
)
from tests.support.openapi_cases import cases, is_complete, parts

pytestmark = needs_reference
SEED = 7
NEVER_REFUSED = {"getIssueLinkTypes"}
"""Its 404 says that issue linking is switched off, which it never is here."""


CASES = cases(Site.from_seed(SEED).state)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operation}-{case.status}")
def test_response_is_as_described(case):
    response = case.send(Site.from_seed(SEED))
    assert response.status == case.status, response.body
    check_response(case.operation, response)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.body is not None and c.status < 300], ids=lambda case: case.operation
)
def test_accepted_request_is_as_described(case):
    if case.lenient:
        with pytest.raises(AssertionError):
            check_request(case.operation, case.body)
    else:
        check_request(case.operation, case.body)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 200), st.sampled_from(["train", "heldout"]), st.lists(st.integers(0, 10**6), min_size=5, max_size=15)
)
def test_responses_stay_as_described_while_a_site_changes(seed, split, draws):
    site = Site.from_seed(seed, split)
    for draw in draws:
        if not is_complete(site.state):
            break
        offered = cases(site.state)
        case = offered[draw % len(offered)]
        check_response(case.operation, case.send(site))


def test_operations_are_those_of_the_documents_and_the_successor():
    assert set(OPERATIONS) == set(described()) | set(SUCCESSORS)
    for id, operation in described().items():
        assert (OPERATIONS[id].method, OPERATIONS[id].path) == (operation.method, operation.path)
    assert len(described()) == 50


def test_every_operation_is_driven_to_success_and_where_it_can_be_to_failure():
    reached = {(case.operation, case.status < 400) for case in CASES}
    assert {name for name, fine in reached if fine} == set(OPERATIONS)
    for id, operation in described().items():
        refusals = set(operation.definition["responses"]) & {"400", "404"}
        assert not refusals or id in NEVER_REFUSED or (id, False) in reached, f"no failure of {id}"


def test_shapes_differ_where_a_schema_could_tell():
    page = {"title": "A", "id": "1", "status": "current", "version": {"number": 1}}
    check_new_shape("getPageById", Response(200, page))
    check_new_shape("getPageById", Response(200, {**page, "title": "B", "id": "2"}))
    for change in (
        {"status": "lost"},
        {"title": 5},
        {"version": {"number": 2**40}},
        {"createdAt": "today"},
        {"x": "y"},
    ):
        with pytest.raises(AssertionError):
            check_new_shape("getPageById", Response(200, {**page, **change}))


def test_every_response_of_every_test_is_watched(monkeypatch):
    """The session's watch stands before each handler: a wrong response cannot pass unseen."""
    site = Site.from_seed(SEED)
    monkeypatch.setattr(site.state, "spaces", {"1": Space("1", "K", "N", "2", "A", 0, status="unheard-of")})
    with pytest.raises(AssertionError, match="unheard-of"):
        site.request("GET", "/wiki/api/v2/spaces")


# Negative controls: the checks can fail.


def shown_page() -> tuple[Site, Response]:
    site = Site.from_seed(SEED)
    return site, site.request("GET", f"/wiki/api/v2/pages/{parts(site.state)[3].id}", {"body-format": "storage"})


@pytest.mark.parametrize(
    "change",
    [
        {"id": 5},
        {"status": "lost"},
        {"title": None},
        {"parentType": "room"},
        {"createdAt": "yesterday"},
        {"version": {"number": 2**40}},
        {"version": {"counter": 1}},
        {"body": {"storage": {"value": 5}}},
        {"_links": {"webui": "/x", "self": "/y"}},
        {"colour": "red"},
    ],
)
def test_broken_page_is_caught(change):
    _, response = shown_page()
    check_response("getPageById", response)
    with pytest.raises(AssertionError):
        check_response("getPageById", replace(response, body={**response.body, **change}))


def test_null_parent_is_allowed_and_other_nulls_are_not():
    _, response = shown_page()
    check_response("getPageById", replace(response, body={**response.body, "parentId": None, "parentType": None}))
    with pytest.raises(AssertionError):
        check_response("getPageById", replace(response, body={**response.body, "spaceId": None}))


def test_undescribed_status_and_broken_error_are_caught():
    with pytest.raises(AssertionError, match="status 418"):
        check_response("getPages", Response(418, {}))
    with pytest.raises(AssertionError):
        check_response("getPages", Response(400, {"errorMessages": ["Jira's form"], "errors": {}}))
    with pytest.raises(AssertionError):
        check_response("getIssue", Response(404, {"errors": [{"status": 404}]}))
    with pytest.raises(AssertionError):
        check_response("deletePage", Response(204, {}))


@pytest.mark.parametrize(
    "fields",
    [
        {"assignee": {"displayName": "A", "id": "1"}},
        {"priority": None},
        {"status": {"name": 5}},
        {"issuetype": {"name": "Task", "subtask": "no"}},
        {"project": {"title": "P"}},
        {"parent": {"fields": {"title": "x"}}},
        {"labels": ["x y"]},
        {"created": "2026-01-05"},
        {"description": {"type": "doc"}},
        {"subtasks": [{"name": "x"}]},
    ],
)
def test_broken_field_is_caught(fields):
    with pytest.raises((AssertionError, ValidationError)):
        check_fields(fields)


def test_request_bodies_are_told_apart():
    new = {"spaceId": "1", "title": "T"}
    check_request("createPage", {**new, "body": {"representation": "wiki", "value": "x"}})
    check_request("createPage", {**new, "body": {"wiki": {"value": "x"}}})
    for body in ({"representation": "html", "value": "x"}, {"storage": "x"}, {"html": {"value": "x"}}):
        with pytest.raises(AssertionError):
            check_request("createPage", {**new, "body": body})
    with pytest.raises(AssertionError):
        check_component("PageSingle", {"id": 5}, "getPageById")
