"""Confluence's rules for reads, one test each, on a small site written by hand."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from envs.site import adf
from tests.support.confluence_site import (
    ANNA,
    DOCS,
    GUIDE,
    HOME,
    LABEL_ALPHA,
    LABEL_BETA,
    LABEL_MY,
    LABEL_TEAM,
    LINUX,
    NOTES,
    SETUP,
    TEAM,
    TEAM_GUIDE,
    error,
    ids,
    refusal,
)

# Ids, limits and paging


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/pages/Docs", "Docs"),
        ("/spaces/DOC", "DOC"),
        ("/spaces/1.0/pages", "1.0"),
        ("/pages/9223372036854775808", "9223372036854775808"),
        ("/pages/\u0661/labels", "\u0661"),
    ],
)
def test_an_id_that_is_not_a_long_is_refused_with_confluences_message(site, path, value):
    message = f"Provided value {{{value}}} for 'id' is not the correct type. Expected type is long."
    assert error(site.get(path)) == (400, "INVALID_REQUEST_PARAMETER", message)


def test_unknown_ids_are_not_found(site):
    for path in (
        "/pages/9",
        "/spaces/9",
        "/pages/9/labels",
        "/pages/9/versions",
        "/pages/9/direct-children",
        "/labels/9/pages",
    ):
        assert error(site.get(path)) == (404, "NOT_FOUND", "Not Found")
    assert site.get("/pages/9/children").status == 400  # the document lists no 404 for this operation


@pytest.mark.parametrize("limit", ["0", "251", "-1", "x", "1.0", "", "99999999999999999999"])
def test_limits_outside_1_to_250_are_refused(site, limit):
    assert refusal(site, "GET", "/pages", limit=limit)[0] == 400


@pytest.mark.parametrize("limit", [1, 250])
def test_the_smallest_and_the_largest_limit_are_allowed(site, limit):
    assert len(ids(site.get("/pages", limit=limit))) == min(limit, len(site.state.pages))


@pytest.mark.parametrize("sort", ["id", "-id", "title", "-title", "created-date", "-created-date", "-modified-date"])
def test_the_pages_of_a_list_make_up_the_list(site, sort):
    """The links to the next page repeat the filters and lead to every item once, in order."""
    full_list = ids(site.get("/pages", sort=sort, space_id=[DOCS, TEAM]))
    assert len(full_list) == len(site.state.pages)
    paged_list, response = [], site.get("/pages", sort=sort, space_id=[DOCS, TEAM], limit=2)
    while True:
        paged_list += ids(response)
        next_url = response.body["_links"].get("next")
        if next_url is None:
            break
        assert response.headers["Link"] == f'<{next_url}>; rel="next"'
        assert next_url.startswith("/wiki/api/v2/pages?")
        query = parse_qsl(urlsplit(next_url).query)
        assert [value for name, value in query if name == "space-id"] == [DOCS, TEAM]
        assert ("sort", sort) in query and ("limit", "2") in query
        response = site.request("GET", next_url)
    assert paged_list == full_list
    assert "Link" not in response.headers


def test_full_last_page_has_no_next(site):
    assert site.get("/pages", limit=len(site.state.pages)).body["_links"] == {}
    assert "next" in site.get("/pages", limit=len(site.state.pages) - 1).body["_links"]


def test_an_empty_id_is_refused(site):
    assert error(site.get("/pages/"))[2].startswith("Provided value {} for 'id'")


def test_paging_continues_when_the_last_item_of_a_page_is_deleted(site):
    first = site.get("/pages", limit=2)
    remainder = ids(site.get("/pages"))[2:]
    site.state.pages = {id: page for id, page in site.state.pages.items() if id != ids(first)[-1]}
    assert ids(site.request("GET", first.body["_links"]["next"])) == remainder[:2]


@pytest.mark.parametrize("cursor", ["", "x", "é", "bnVsbA==", "WzEsMiwzXQ==", "WyJpZCIsIngiLDFd", "W1tbW1s="])
def test_junk_cursors_are_refused(site, cursor):
    assert refusal(site, "GET", "/pages", cursor=cursor) == (400, "Invalid cursor.")


def test_cursor_of_another_sort_is_refused(site):
    query = dict(parse_qsl(urlsplit(site.get("/pages", limit=2).body["_links"]["next"]).query))
    assert refusal(site, "GET", "/pages", cursor=query["cursor"], sort="title") == (400, "Invalid cursor.")


# Spaces


def test_spaces_are_found_by_id_key_type_and_label(site):
    assert ids(site.get("/spaces")) == [DOCS, TEAM]
    assert ids(site.get("/spaces", ids=[TEAM])) == [TEAM]
    assert ids(site.get("/spaces", keys="DOC,TEAM", sort="-key")) == [TEAM, DOCS]
    assert ids(site.get("/spaces", keys=["doc"])) == []
    assert ids(site.get("/spaces", type="collaboration")) == [TEAM]
    assert ids(site.get("/spaces", labels="product")) == [DOCS]
    assert ids(site.get("/spaces", status="archived")) == []
    assert ids(site.get("/spaces", favorited_by=ANNA)) == []
    assert ids(site.get("/spaces", not_favorited_by=ANNA, sort="name")) == [DOCS, TEAM]


def test_space_names_come_before_ids_and_nothing_is_null(site):
    item = site.get("/spaces", ids=DOCS, description_format="plain", include_icon=True).body["results"][0]
    assert list(item) == ["name", "id", "key", "type", "status", "homepageId"]
    assert item["homepageId"] == HOME
    assert None not in item.values()


def test_include_parameters_add_members_to_a_space(site):
    assert "labels" not in site.get(f"/spaces/{DOCS}").body
    body = site.get(f"/spaces/{DOCS}", include_labels=True, include_operations="TRUE", include_permissions="false").body
    assert body["labels"]["results"] == [{"name": "product", "prefix": "team", "id": LABEL_TEAM}]
    assert body["operations"]["results"][0] == {"operation": "read", "targetType": "space"}
    assert "permissions" not in body
    assert refusal(site, "GET", f"/spaces/{DOCS}", include_labels="yes")[0] == 400


def test_pages_in_space(site):
    assert ids(site.get(f"/spaces/{DOCS}/pages")) == [HOME, GUIDE, SETUP, LINUX, NOTES]
    assert ids(site.get(f"/spaces/{DOCS}/pages", depth="root")) == [HOME]
    assert ids(site.get(f"/spaces/{TEAM}/pages", title="Guide")) == [TEAM_GUIDE]
    assert ids(site.get(f"/spaces/{TEAM}/pages", title="guide")) == []
    assert refusal(site, "GET", f"/spaces/{DOCS}/pages", depth="half")[0] == 400


def test_space_labels_and_content_labels(site):
    assert ids(site.get(f"/spaces/{DOCS}/labels")) == [LABEL_TEAM]
    assert ids(site.get(f"/spaces/{DOCS}/labels", prefix="my")) == []
    assert ids(site.get(f"/spaces/{DOCS}/content/labels")) == [LABEL_ALPHA, LABEL_BETA, LABEL_MY]
    assert ids(site.get(f"/spaces/{DOCS}/content/labels", prefix="my")) == [LABEL_MY]
    assert refusal(site, "GET", f"/spaces/{DOCS}/labels", prefix="global")[0] == 400


# Reading pages


def test_pages_are_filtered(site):
    assert ids(site.get("/pages", title="Guide")) == [GUIDE, TEAM_GUIDE]
    assert ids(site.get("/pages", title="Guide", space_id=TEAM)) == [TEAM_GUIDE]
    assert ids(site.get("/pages", id=f"{GUIDE},{NOTES}", sort="-title")) == [NOTES, GUIDE]
    assert ids(site.get("/pages", id="999")) == []
    assert refusal(site, "GET", "/pages", space_id="DOC")[1].startswith("Provided value {DOC} for 'space-id'")
    assert refusal(site, "GET", "/pages", id=list(range(251)))[0] == 400
    assert refusal(site, "GET", "/pages", status="draft")[0] == 400


def test_page_title_comes_before_its_id(site):
    item = site.get("/pages", id=GUIDE).body["results"][0]
    assert list(item) == ["title", "id", "spaceId", "parentId", "parentType", "status", "version"]
    assert (item["parentId"], item["parentType"]) == (HOME, "page")
    root = site.get("/pages", id=HOME).body["results"][0]
    assert (root["parentId"], root["parentType"]) == (None, None)


def test_body_format_adds_the_body_as_text(site):
    assert "body" not in site.get(f"/pages/{NOTES}").body
    body = site.get(f"/pages/{NOTES}", body_format="storage").body["body"]
    assert body == {"storage": {"representation": "storage", "value": "<p>second</p>"}}
    value = site.get(f"/pages/{NOTES}", body_format="atlas_doc_format").body["body"]["atlas_doc_format"]["value"]
    assert isinstance(value, str)
    assert adf.text(json.loads(value)) == "second"
    assert site.get(f"/pages/{NOTES}", body_format="view").body["body"]["view"]["value"] == "<p>second</p>"
    assert refusal(site, "GET", f"/pages/{NOTES}", body_format="wiki")[0] == 400
    assert refusal(site, "GET", "/pages", body_format="view")[0] == 400


def test_old_versions_of_a_page(site):
    old = site.get(f"/pages/{NOTES}", version=1, body_format="storage").body
    assert (old["title"], old["status"], old["version"]["number"]) == ("Notes", "historical", 1)
    assert old["body"]["storage"]["value"] == "<p>first</p>"
    assert site.get(f"/pages/{NOTES}", version=2).body == site.get(f"/pages/{NOTES}").body
    assert refusal(site, "GET", f"/pages/{NOTES}", version=3)[0] == 404
    assert refusal(site, "GET", f"/pages/{NOTES}", version="new")[0] == 400
    assert refusal(site, "GET", f"/pages/{NOTES}", status="draft")[0] == 404


def test_version_list_is_newest_first(site):
    response = site.get(f"/pages/{NOTES}/versions", body_format="storage")
    assert [v["number"] for v in response.body["results"]] == [2, 1]
    assert response.body["results"][0]["message"] == "reworded"
    assert response.body["results"][1]["page"]["body"]["storage"]["value"] == "<p>first</p>"
    assert [v["number"] for v in site.get(f"/pages/{NOTES}/versions", sort="modified-date").body["results"]] == [1, 2]


def test_include_parameters_add_members_to_a_page(site):
    body = site.get(f"/pages/{NOTES}", include_versions=True, include_labels=True, include_version=False).body
    assert [v["number"] for v in body["versions"]["results"]] == [2, 1]
    assert body["labels"]["results"] == []
    assert "version" not in body
    likes = site.get(f"/pages/{NOTES}", include_likes=True, include_favorited_by_current_user_status=True).body
    assert likes["likes"]["results"] == [] and likes["isFavoritedByCurrentUser"] is False


@pytest.mark.parametrize("name", ["children", "direct-children"])
def test_children_are_in_their_order(site, name):
    assert ids(site.get(f"/pages/{HOME}/{name}")) == [GUIDE, NOTES]
    assert ids(site.get(f"/pages/{HOME}/{name}", sort="-child-position")) == [NOTES, GUIDE]
    assert ids(site.get(f"/pages/{LINUX}/{name}")) == []
    assert [c["childPosition"] for c in site.get(f"/pages/{HOME}/{name}").body["results"]] == [0, 1]


def test_there_are_no_attachments(site):
    assert ids(site.get("/attachments", filename="x.png", status="current")) == []
    assert refusal(site, "GET", "/attachments", status="draft")[0] == 400
