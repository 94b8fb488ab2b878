"""Every operation's responses against Atlassian's OpenAPI documents. Skipped without the documents."""

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
    definitions,
    needs_reference,
)
from tests.support.openapi_cases import Case, cases, is_complete, parts
from tests.support.tiers import examples

pytestmark = needs_reference
SEED = 7
NEVER_REFUSED = {"getIssueLinkTypes"}
"""Its 404 means that issue linking is switched off, which never happens here."""

CASES = cases(Site.from_seed(SEED).state)
OPERATION_CASES: dict[str, list[Case]] = {}
for _case in CASES:
    OPERATION_CASES.setdefault(_case.operation, []).append(_case)


@pytest.mark.parametrize("operation", OPERATION_CASES)
def test_responses_and_accepted_requests_match_the_document(operation):
    for case in OPERATION_CASES[operation]:
        response = case.send(Site.from_seed(SEED))
        assert response.status == case.status, (case, response.body)
        check_response(operation, response)
        if case.body is None or case.status >= 300:
            continue
        if case.lenient:
            with pytest.raises(AssertionError):
                check_request(operation, case.body)
        else:
            check_request(operation, case.body)


@settings(max_examples=examples(25), deadline=None)
@given(
    st.integers(0, 200), st.sampled_from(["train", "heldout"]), st.lists(st.integers(0, 10**6), min_size=5, max_size=15)
)
def test_responses_match_the_document_while_a_site_changes(seed, split, draws):
    site = Site.from_seed(seed, split)
    for draw in draws:
        if not is_complete(site.state):
            break
        current_cases = cases(site.state)
        case = current_cases[draw % len(current_cases)]
        check_response(case.operation, case.send(site))


def test_operations_are_those_of_the_documents_and_the_successor():
    assert set(OPERATIONS) == set(definitions()) | set(SUCCESSORS)
    for id, definition in definitions().items():
        assert (OPERATIONS[id].method, OPERATIONS[id].path) == (definition.method, definition.path)
    assert len(definitions()) == 50


def test_the_cases_have_a_success_and_if_possible_a_failure_of_every_operation():
    outcomes = {(case.operation, case.status < 400) for case in CASES}
    assert {name for name, success in outcomes if success} == set(OPERATIONS)
    for id, definition in definitions().items():
        refusals = set(definition.members["responses"]) & {"400", "404"}
        assert not refusals or id in NEVER_REFUSED or (id, False) in outcomes, f"no failure of {id}"


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


def test_every_response_of_every_test_is_checked(monkeypatch):
    """A session fixture checks the responses of all handlers, so no test can overlook a wrong one."""
    site = Site.from_seed(SEED)
    monkeypatch.setattr(site.state, "spaces", {"1": Space("1", "K", "N", "2", "A", 0, status="unheard-of")})
    with pytest.raises(AssertionError, match="unheard-of"):
        site.request("GET", "/wiki/api/v2/spaces")


# Negative controls: the checks can fail.


@pytest.fixture(scope="module")
def page_response() -> Response:
    site = Site.from_seed(SEED)
    return site.request("GET", f"/wiki/api/v2/pages/{parts(site.state)[3].id}", {"body-format": "storage"})


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
def test_wrong_page_is_noticed(page_response, change):
    check_response("getPageById", page_response)
    with pytest.raises(AssertionError):
        check_response("getPageById", replace(page_response, body={**page_response.body, **change}))


def test_null_parent_is_allowed_and_other_nulls_are_not(page_response):
    body = page_response.body
    check_response("getPageById", replace(page_response, body={**body, "parentId": None, "parentType": None}))
    with pytest.raises(AssertionError):
        check_response("getPageById", replace(page_response, body={**body, "spaceId": None}))


def test_unlisted_status_and_wrong_error_are_noticed():
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
def test_wrong_field_is_noticed(fields):
    with pytest.raises((AssertionError, ValidationError)):
        check_fields(fields)


def test_invalid_request_bodies_are_noticed():
    new = {"spaceId": "1", "title": "T"}
    check_request("createPage", {**new, "body": {"representation": "wiki", "value": "x"}})
    check_request("createPage", {**new, "body": {"wiki": {"value": "x"}}})
    for body in ({"representation": "html", "value": "x"}, {"storage": "x"}, {"html": {"value": "x"}}):
        with pytest.raises(AssertionError):
            check_request("createPage", {**new, "body": body})
    with pytest.raises(AssertionError):
        check_component("PageSingle", {"id": 5}, "getPageById")
