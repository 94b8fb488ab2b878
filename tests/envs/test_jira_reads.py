"""Jira's reads: an issue's fields, and the pages of a search."""

from __future__ import annotations

from typing import Any

import pytest

from envs.site.adf import document
from envs.site.http import dispatch
from envs.site.records import State
from tests.support.site import EMMA, ORC, TO_DO, call, field

SEARCH, SEARCH_POST = "searchAndReconsileIssuesUsingJql", "searchAndReconsileIssuesUsingJqlPost"
NOT_FOUND = "Issue does not exist or you do not have permission to see it."


@pytest.mark.parametrize("name", ["APB-3", "apb-3", "20003"])
def test_issue_is_found_by_id_and_by_key_in_any_case(state: State, name: str) -> None:
    assert call(state, "getIssue", issueIdOrKey=name).body["key"] == "APB-3"


@pytest.mark.parametrize("name", ["APB-99", "99", "", "APB", "APB-3 ", "10001", "%2e%2e"])
def test_unknown_issue_is_404(state: State, name: str) -> None:
    response = call(state, "getIssue", issueIdOrKey=name or " ")
    assert (response.status, response.body) == (404, {"errorMessages": [NOT_FOUND], "errors": {}})


def test_the_path_in_self_leads_back(state: State) -> None:
    body = call(state, "getIssue", issueIdOrKey="APB-3").body
    path = body["self"].removeprefix("https://synthetic.atlassian.net")
    assert dispatch(state, "GET", path, None, None).body == body
    assert dispatch(state, "PUT", path, None, {"fields": {"summary": "By id"}}).status == 204
    assert dispatch(state, "GET", path.replace("/3/", "/latest/"), None, None).body["fields"]["summary"] == "By id"


def test_get_issue_shows_everything_but_comments_and_worklogs(state: State) -> None:
    fields = call(state, "getIssue", issueIdOrKey="APB-10").body["fields"]
    assert next(iter(fields)) == "summary"
    assert set(fields) == {
        *("summary", "status", "issuetype", "priority", "assignee", "reporter", "labels", "project", "description"),
        *("resolution", "created", "updated", "subtasks", "issuelinks"),
    }
    assert fields["created"] == "2025-10-07T09:30:00.000+0000"
    assert fields["priority"] == {"name": "Highest", "id": "1"}
    assert fields["reporter"] == {"displayName": "Emma Richards", "accountId": EMMA, "active": True}


@pytest.mark.parametrize(
    ("selectors", "names"),
    [
        ("summary,status", ["summary", "status"]),
        (["status", "summary"], ["summary", "status"]),
        (["labels, priority", "nonsense"], ["priority", "labels"]),
        ("nonsense", []),
        ("summary,-summary", []),
        ("comment", ["comment"]),
    ],
)
def test_fields_are_selected(state: State, selectors: Any, names: list[str]) -> None:
    body = call(state, "getIssue", {"fields": selectors}, issueIdOrKey="APB-10").body
    assert list(body) == ["fields", "key", "id", "self"]
    assert list(body["fields"]) == names


def test_all_fields_and_exclusions(state: State) -> None:
    def names(selectors: str) -> set[str]:
        return set(call(state, "getIssue", {"fields": selectors}, issueIdOrKey="APB-10").body["fields"])

    everything = names("*all")
    assert everything - names("*navigable") == {"comment", "worklog"}
    assert names("-description") == names("*navigable") - {"description"}
    assert names("*all,-comment") == everything - {"comment"}
    comments = field(state, "comment", "APB-10")
    assert comments["total"] == 2
    assert comments["comments"][0]["author"]["displayName"] == "Emma Richards"


def test_responses_do_not_share_their_documents_with_the_site(state: State) -> None:
    text = document("Before")
    call(state, "editIssue", body={"fields": {"description": text}}, issueIdOrKey="APB-3")
    text["content"][0]["content"][0]["text"] = "changed by the client"
    field(state, "description", "APB-3")["content"].clear()
    assert field(state, "description", "APB-3") == document("Before")


def test_search_shows_only_ids_if_the_request_has_no_fields(state: State) -> None:
    body = call(state, SEARCH, {"jql": "project = ORC"}).body
    assert body == {"issues": [{"id": "20011"}, {"id": "20012"}, {"id": "20013"}], "isLast": True}
    issue = call(state, SEARCH, {"jql": "key = ORC-1", "fields": ["status", "summary"]}).body["issues"][0]
    assert list(issue) == ["fields", "key", "id", "self"]
    assert issue["fields"] == {"summary": "Harvest planning", "status": {"name": "To Do", "id": TO_DO}}


def test_pages_partition_the_results(state: State) -> None:
    query = {"jql": "project is not empty", "maxResults": 3}
    pages, token = [], None
    while True:
        body = call(state, SEARCH, {**query, "nextPageToken": token}).body
        pages.append([issue["id"] for issue in body["issues"]])
        assert body["isLast"] is ("nextPageToken" not in body)
        assert "total" not in body
        if body["isLast"]:
            break
        token = body["nextPageToken"]
    everything = [issue["id"] for issue in call(state, SEARCH, {"jql": query["jql"]}).body["issues"]]
    assert [id for page in pages for id in page] == everything
    assert [len(page) for page in pages] == [3, 3, 2]


def test_a_token_belongs_to_its_query(state: State) -> None:
    valid_token = call(state, SEARCH, {"jql": "project = APB", "maxResults": 1}).body["nextPageToken"]
    for jql, token in (
        ("project = ORC", valid_token),
        ("project = APB", valid_token[:-1]),
        ("project = APB", "2"),
        ("project = APB", ""),
    ):
        assert call(state, SEARCH, {"jql": jql, "nextPageToken": token}).status == 400


def test_post_searches_as_get_does(state: State) -> None:
    query = {"jql": "project = APB", "fields": ["summary", "*navigable"], "maxResults": 2}
    assert call(state, SEARCH_POST, body=query).body == call(state, SEARCH, query).body
    assert call(state, SEARCH_POST, body={"jql": "project = APB", "fields": None}).status == 200


@pytest.mark.parametrize(
    "body",
    [
        None,
        {"jql": "project = APB", "colour": 1},
        {"jql": 3},
        {"jql": "project = APB", "fields": "summary"},
        {"jql": "project = APB", "fields": [1]},
        {"jql": "project = APB", "maxResults": "5"},
        {"jql": "project = APB", "maxResults": True},
        {"jql": "project = APB", "maxResults": 0},
        {"jql": "project = APB", "reconcileIssues": ["a"]},
        {"jql": "project = APB", "nextPageToken": 3},
        {"maxResults": 3},
    ],
)
def test_post_refuses(state: State, body: Any) -> None:
    assert call(state, SEARCH_POST, body=body).status == 400


def test_get_refuses_invalid_page_sizes(state: State) -> None:
    for size in ("0", "-1", "many", "1.5", "9" * 30):
        assert call(state, SEARCH, {"jql": "project = APB", "maxResults": size}).status == 400


def test_the_old_search_is_gone(state: State) -> None:
    assert dispatch(state, "GET", "/rest/api/3/search", {"jql": f"project = {ORC}"}, None).status == 410
