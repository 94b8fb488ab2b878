"""Confluence's rules, one case each, on a small site made by hand."""

import json
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.site import adf
from envs.site.confluence_bodies import adf_to_storage, storage_to_adf
from envs.site.confluence_writes import TITLE_TAKEN
from envs.site.http import OPERATIONS, Response
from tests.support.confluence_site import (
    ANNA,
    BEN,
    COMMENT,
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
    TEAM_HOME,
    ConfluenceSite,
)

DOCUMENT = {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "Hi"}]}]}
FLAT = {"representation": "storage", "value": "<p>Hi</p>"}


@pytest.fixture
def site() -> ConfluenceSite:
    return ConfluenceSite()


def ids(response: Response) -> list[str]:
    assert response.status == 200, response.body
    return [item["id"] for item in response.body["results"]]


def error(response: Response) -> tuple[int, str, str]:
    """(status, code, title) of a Confluence v2 error."""
    (only,) = response.body["errors"]
    assert only["status"] == response.status
    return response.status, only["code"], only["title"]


def refused(site: ConfluenceSite, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str]:
    """(status, title) of a v2 request that is refused and leaves everything as it was."""
    before = asdict(site.state)
    response = site.request(method, f"/wiki/api/v2{path}", {k.replace("_", "-"): v for k, v in query.items()}, body)
    assert asdict(site.state) == before
    status, _, title = error(response)
    return status, title


def update(page_id: str, number: Any, **members: Any) -> dict[str, Any]:
    """A valid body of updatePage, but for what `members` replaces."""
    body = {"id": page_id, "status": "current", "title": "Renamed", "body": FLAT, "version": {"number": number}}
    return {**body, **members}


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
def test_id_that_is_no_long_is_refused_in_confluences_words(site, path, value):
    expected = f"Provided value {{{value}}} for 'id' is not the correct type. Expected type is long."
    assert error(site.get(path)) == (400, "INVALID_REQUEST_PARAMETER", expected)


def test_unknown_ids_are_not_found(site):
    for path in ("/pages/9", "/spaces/9", "/pages/9/labels", "/pages/9/versions", "/pages/9/direct-children", "/labels/9/pages"):
        assert error(site.get(path)) == (404, "NOT_FOUND", "Not Found")
    assert site.get("/pages/9/children").status == 400  # its document has no 404


@pytest.mark.parametrize("limit", ["0", "251", "-1", "x", "1.0", "", "99999999999999999999"])
def test_limit_is_from_1_to_250(site, limit):
    assert refused(site, "GET", "/pages", limit=limit)[0] == 400


@pytest.mark.parametrize("limit", [1, 250])
def test_limits_ends_are_allowed(site, limit):
    assert len(ids(site.get("/pages", limit=limit))) == min(limit, len(site.state.pages))


@pytest.mark.parametrize("sort", ["id", "-id", "title", "-title", "created-date", "-created-date", "-modified-date"])
def test_pages_of_a_list_are_the_list(site, sort):
    """Following `next`, which repeats the filters, gives every item once and in order."""
    whole = ids(site.get("/pages", sort=sort, space_id=[DOCS, TEAM]))
    assert len(whole) == len(site.state.pages)
    found, response = [], site.get("/pages", sort=sort, space_id=[DOCS, TEAM], limit=2)
    while True:
        found += ids(response)
        following = response.body["_links"].get("next")
        if following is None:
            break
        assert response.headers["Link"] == f'<{following}>; rel="next"'
        assert following.startswith("/wiki/api/v2/pages?")
        query = parse_qsl(urlsplit(following).query)
        assert [value for name, value in query if name == "space-id"] == [DOCS, TEAM]
        assert ("sort", sort) in query and ("limit", "2") in query
        response = site.request("GET", following)
    assert found == whole
    assert "Link" not in response.headers


def test_paging_goes_on_when_the_last_item_shown_is_gone(site):
    first = site.get("/pages", limit=2)
    expected = ids(site.get("/pages"))[2:]
    site.state.pages = {id: page for id, page in site.state.pages.items() if id != ids(first)[-1]}
    assert ids(site.request("GET", first.body["_links"]["next"])) == expected[:2]


@pytest.mark.parametrize("cursor", ["", "x", "é", "bnVsbA==", "WzEsMiwzXQ==", "WyJpZCIsIngiLDFd", "W1tbW1s="])
def test_junk_cursors_are_refused(site, cursor):
    assert refused(site, "GET", "/pages", cursor=cursor) == (400, "Invalid cursor.")


def test_cursor_of_another_sort_is_refused(site):
    query = dict(parse_qsl(urlsplit(site.get("/pages", limit=2).body["_links"]["next"]).query))
    assert refused(site, "GET", "/pages", cursor=query["cursor"], sort="title") == (400, "Invalid cursor.")


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


def test_space_names_stand_before_ids_and_nothing_is_null(site):
    item = site.get("/spaces", ids=DOCS, description_format="plain", include_icon=True).body["results"][0]
    assert list(item) == ["name", "key", "id", "type", "status", "homepageId"]
    assert item["homepageId"] == HOME
    assert None not in item.values()


def test_single_space_includes_what_is_asked(site):
    assert "labels" not in site.get(f"/spaces/{DOCS}").body
    body = site.get(f"/spaces/{DOCS}", include_labels=True, include_operations="TRUE", include_permissions="false").body
    assert body["labels"]["results"] == [{"name": "product", "prefix": "team", "id": LABEL_TEAM}]
    assert body["operations"]["results"][0] == {"operation": "read", "targetType": "space"}
    assert "permissions" not in body
    assert refused(site, "GET", f"/spaces/{DOCS}", include_labels="yes")[0] == 400


def test_pages_in_space(site):
    assert ids(site.get(f"/spaces/{DOCS}/pages")) == [HOME, GUIDE, SETUP, LINUX, NOTES]
    assert ids(site.get(f"/spaces/{DOCS}/pages", depth="root")) == [HOME]
    assert ids(site.get(f"/spaces/{TEAM}/pages", title="Guide")) == [TEAM_GUIDE]
    assert ids(site.get(f"/spaces/{TEAM}/pages", title="guide")) == []
    assert refused(site, "GET", f"/spaces/{DOCS}/pages", depth="half")[0] == 400


def test_space_labels_and_content_labels(site):
    assert ids(site.get(f"/spaces/{DOCS}/labels")) == [LABEL_TEAM]
    assert ids(site.get(f"/spaces/{DOCS}/labels", prefix="my")) == []
    assert ids(site.get(f"/spaces/{DOCS}/content/labels")) == [LABEL_ALPHA, LABEL_BETA, LABEL_MY]
    assert ids(site.get(f"/spaces/{DOCS}/content/labels", prefix="my")) == [LABEL_MY]
    assert refused(site, "GET", f"/spaces/{DOCS}/labels", prefix="global")[0] == 400


# Reading pages


def test_pages_are_filtered(site):
    assert ids(site.get("/pages", title="Guide")) == [GUIDE, TEAM_GUIDE]
    assert ids(site.get("/pages", title="Guide", space_id=TEAM)) == [TEAM_GUIDE]
    assert ids(site.get("/pages", id=f"{GUIDE},{NOTES}", sort="-title")) == [NOTES, GUIDE]
    assert ids(site.get("/pages", id="999")) == []
    assert refused(site, "GET", "/pages", space_id="DOC")[1].startswith("Provided value {DOC} for 'space-id'")
    assert refused(site, "GET", "/pages", id=list(range(251)))[0] == 400
    assert refused(site, "GET", "/pages", status="draft")[0] == 400


def test_page_title_stands_before_its_id(site):
    item = site.get("/pages", id=GUIDE).body["results"][0]
    assert list(item) == ["title", "id", "spaceId", "parentId", "parentType", "status", "version"]
    assert (item["parentId"], item["parentType"]) == (HOME, "page")
    root = site.get("/pages", id=HOME).body["results"][0]
    assert (root["parentId"], root["parentType"]) == (None, None)


def test_body_comes_only_when_asked_and_as_text(site):
    assert "body" not in site.get(f"/pages/{NOTES}").body
    body = site.get(f"/pages/{NOTES}", body_format="storage").body["body"]
    assert body == {"storage": {"representation": "storage", "value": "<p>second</p>"}}
    value = site.get(f"/pages/{NOTES}", body_format="atlas_doc_format").body["body"]["atlas_doc_format"]["value"]
    assert isinstance(value, str)
    assert adf.text(json.loads(value)) == "second"
    assert site.get(f"/pages/{NOTES}", body_format="view").body["body"]["view"]["value"] == "<p>second</p>"
    assert refused(site, "GET", f"/pages/{NOTES}", body_format="wiki")[0] == 400
    assert refused(site, "GET", "/pages", body_format="view")[0] == 400


def test_old_versions_of_a_page(site):
    old = site.get(f"/pages/{NOTES}", version=1, body_format="storage").body
    assert (old["title"], old["status"], old["version"]["number"]) == ("Notes", "historical", 1)
    assert old["body"]["storage"]["value"] == "<p>first</p>"
    assert site.get(f"/pages/{NOTES}", version=2).body == site.get(f"/pages/{NOTES}").body
    assert refused(site, "GET", f"/pages/{NOTES}", version=3)[0] == 404
    assert refused(site, "GET", f"/pages/{NOTES}", version="new")[0] == 400
    assert refused(site, "GET", f"/pages/{NOTES}", status="draft")[0] == 404


def test_version_list_is_newest_first(site):
    response = site.get(f"/pages/{NOTES}/versions", body_format="storage")
    assert [v["number"] for v in response.body["results"]] == [2, 1]
    assert response.body["results"][0]["message"] == "reworded"
    assert response.body["results"][1]["page"]["body"]["storage"]["value"] == "<p>first</p>"
    assert [v["number"] for v in site.get(f"/pages/{NOTES}/versions", sort="modified-date").body["results"]] == [1, 2]


def test_page_includes_what_is_asked(site):
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
    assert refused(site, "GET", "/attachments", status="draft")[0] == 400


# Creating pages


def create(site: ConfluenceSite, **members: Any) -> Response:
    return site.post("/pages", {"spaceId": DOCS, "title": "New", "body": FLAT, **members})


def test_create_answers_200_with_the_page_under_the_homepage(site):
    clock = site.state.clock
    response = create(site)
    assert response.status == 200
    assert response.body["parentId"] == HOME
    assert response.body["version"]["number"] == 1
    assert response.body["authorId"] == ANNA
    assert response.body["createdAt"] == "2026-01-05T09:31:00.000Z"
    assert site.state.clock == clock + 60
    assert site.get(f"/pages/{response.body['id']}").body == response.body
    assert ids(site.get(f"/pages/{HOME}/children"))[-1] == response.body["id"]


@pytest.mark.parametrize("space", [DOCS, int(DOCS)])
def test_space_and_parent_ids_are_strings_or_integers(site, space):
    assert create(site, spaceId=space, parentId=int(SETUP)).body["parentId"] == SETUP


@pytest.mark.parametrize("space", ["DOC", True, 1.0, [DOCS], {"id": DOCS}, 2**63, ""])
def test_space_id_of_another_kind_is_refused(site, space):
    status, title = refused(site, "POST", "/pages", {"spaceId": space, "title": "New"})
    assert status == 400
    assert title.endswith("for 'spaceId' is not the correct type. Expected type is Long")


def test_space_key_is_refused_in_confluences_words(site):
    expected = "Provided value {BSP} for 'spaceId' is not the correct type. Expected type is Long"
    assert error(create(site, spaceId="BSP")) == (400, "INVALID_REQUEST_PARAMETER", expected)


def test_missing_members_are_named(site):
    assert refused(site, "POST", "/pages", {"title": "New"}) == (400, "'spaceId' must be provided.")
    assert refused(site, "POST", "/pages", {"spaceId": DOCS}) == (400, "'title' must be provided.")
    assert refused(site, "POST", "/pages", {"spaceId": DOCS, "title": " "}) == (400, "'title' must be provided.")
    assert refused(site, "POST", "/pages", {"spaceId": "9", "title": "New"})[0] == 404


def test_title_is_unique_within_a_space(site):
    assert refused(site, "POST", "/pages", {"spaceId": DOCS, "title": "guide"}) == (400, TITLE_TAKEN)
    assert create(site, title="Team Home").status == 200
    site.delete(f"/pages/{GUIDE}")
    assert create(site, title="Guide").status == 200  # the trash does not count


def test_parent_must_exist_in_the_same_space(site):
    body = {"spaceId": DOCS, "title": "New"}
    assert refused(site, "POST", "/pages", {**body, "parentId": TEAM_HOME})[0] == 400
    assert refused(site, "POST", "/pages", {**body, "parentId": "999"})[0] == 404
    assert refused(site, "POST", "/pages", {**body, "parentId": "Guide"})[1].startswith("Provided value {Guide}")
    site.delete(f"/pages/{GUIDE}")
    assert refused(site, "POST", "/pages", {**body, "parentId": GUIDE})[0] == 404


def test_root_level_page_has_no_parent(site):
    response = site.post("/pages", {"spaceId": DOCS, "title": "New"}, root_level=True)
    assert (response.body["parentId"], response.body["parentType"]) == (None, None)
    assert ids(site.get(f"/spaces/{DOCS}/pages", depth="root")) == [HOME, response.body["id"]]
    body = {"spaceId": DOCS, "title": "Other", "parentId": HOME}
    assert refused(site, "POST", "/pages", body, root_level="true")[0] == 400
    assert refused(site, "POST", "/pages", body, root_level="maybe")[0] == 400


@pytest.mark.parametrize(
    ("body", "storage"),
    [
        (FLAT, "<p>Hi</p>"),
        ({"storage": {"value": "<p>Hi</p>"}}, "<p>Hi</p>"),
        ({"storage": {"value": "<p>Hi</p>", "representation": "storage"}}, "<p>Hi</p>"),
        ({"representation": "atlas_doc_format", "value": json.dumps(DOCUMENT)}, "<p>Hi</p>"),
        ({"atlas_doc_format": {"value": json.dumps(DOCUMENT)}}, "<p>Hi</p>"),
        ({"representation": "wiki", "value": "h2. A & B\n\nHi"}, "<h2>A &amp; B</h2><p>Hi</p>"),
        (None, ""),
    ],
)
def test_body_forms(site, body, storage):
    id = create(site, body=body).body["id"]
    assert site.get(f"/pages/{id}", body_format="storage").body["body"]["storage"]["value"] == storage


@pytest.mark.parametrize(
    "body",
    [
        {},
        "text",
        [],
        5,
        {"value": "x"},
        {"representation": "storage"},
        {"representation": "storage", "value": 5},
        {"representation": "storage", "value": DOCUMENT},
        {"representation": "html", "value": "x"},
        {"representation": ["storage"], "value": "x"},
        {"storage": "x"},
        {"storage": {}},
        {"storage": {"value": "x"}, "wiki": {"value": "x"}},
        {"storage": {"value": "x"}, "representation": "storage"},
        {"storage": {"value": "x", "representation": "wiki"}},
        {"atlas_doc_format": {"value": DOCUMENT}},
        {"atlas_doc_format": {"value": "plain"}},
        {"atlas_doc_format": {"value": "[" * 100_000}},
        {"atlas_doc_format": {"value": '{"type": "doc"}'}},
        {"atlas_doc_format": {"value": json.dumps({**DOCUMENT, "version": 2})}},
    ],
)
def test_malformed_bodies_are_refused(site, body):
    assert refused(site, "POST", "/pages", {"spaceId": DOCS, "title": "New", "body": body})[0] == 400


def test_request_over_5_megabytes_is_refused(site):
    body = {"representation": "storage", "value": "é" * (5 * 512 * 1024 + 1)}
    assert refused(site, "POST", "/pages", {"spaceId": DOCS, "title": "New", "body": body})[0] == 413


def test_draft_is_seen_only_as_a_draft(site):
    response = site.post("/pages", {"spaceId": DOCS, "status": "draft"})
    id = response.body["id"]
    assert (response.body["title"], response.body["status"]) == ("", "draft")
    assert id not in ids(site.get("/pages")) and id not in ids(site.get(f"/pages/{HOME}/children"))
    assert site.get(f"/pages/{id}").status == 404
    assert site.get(f"/pages/{id}", get_draft=True).body == response.body
    assert refused(site, "POST", "/pages", {"spaceId": DOCS, "title": "New", "parentId": id})[0] == 404
    assert site.put(f"/pages/{id}", update(id, 1, status="draft")).body["version"]["number"] == 1
    assert site.put(f"/pages/{id}", update(id, 2)).body["version"]["number"] == 2
    assert site.get(f"/pages/{id}").body["status"] == "current"


@pytest.mark.parametrize("status", ["archived", "", 1, ["current"]])
def test_status_of_a_new_page_is_current_or_draft(site, status):
    assert refused(site, "POST", "/pages", {"spaceId": DOCS, "title": "New", "status": status})[0] == 400


# Updating pages


def test_update_makes_the_next_version(site):
    response = site.put(f"/pages/{NOTES}", update(NOTES, 3, version={"number": 3, "message": "why"}))
    assert (response.status, response.body["title"]) == (200, "Renamed")
    assert (response.body["version"]["number"], response.body["version"]["message"]) == (3, "why")
    assert [v["number"] for v in site.get(f"/pages/{NOTES}/versions").body["results"]] == [3, 2, 1]
    assert site.get(f"/pages/{NOTES}", body_format="storage").body["body"]["storage"]["value"] == "<p>Hi</p>"


@pytest.mark.parametrize("number", [1, 2, 4, -3, "2"])
def test_version_must_follow_the_current_one(site, number):
    response = site.put(f"/pages/{NOTES}", update(NOTES, number))
    expected = f"Version must be incremented when updating a page. Current Version: [2]. Provided version: [{number}]"
    assert error(response) == (409, "CONFLICT", expected)


@pytest.mark.parametrize("version", [3, "3", None, {}, {"number": None}, {"number": 3.0}, {"number": "x"}, {"number": 2**31}])
def test_version_must_be_an_object_with_a_number(site, version):
    assert refused(site, "PUT", f"/pages/{NOTES}", update(NOTES, 3, version=version))[0] == 400


@pytest.mark.parametrize("name", ["id", "status", "title", "body", "version"])
def test_update_needs_its_five_members(site, name):
    body = {key: value for key, value in update(NOTES, 3).items() if key != name}
    assert refused(site, "PUT", f"/pages/{NOTES}", body) == (400, f"'{name}' must be provided.")


@pytest.mark.parametrize(
    "members",
    [
        {"id": GUIDE},
        {"id": "Notes"},
        {"status": "archived"},
        {"title": "Guide"},
        {"title": ""},
        {"title": "x" * 256},
        {"title": 5},
        {"spaceId": TEAM},
        {"parentId": TEAM_HOME},
        {"ownerId": "nobody"},
        {"body": "text"},
    ],
)
def test_update_refuses(site, members):
    assert refused(site, "PUT", f"/pages/{NOTES}", update(NOTES, 3, **members))[0] == 400


def test_update_of_a_trashed_or_unknown_page_is_not_found(site):
    site.delete(f"/pages/{NOTES}")
    assert refused(site, "PUT", f"/pages/{NOTES}", update(NOTES, 3))[0] == 404
    assert refused(site, "PUT", "/pages/999", update("999", 3))[0] == 404


def test_page_keeps_its_own_title(site):
    assert site.put(f"/pages/{NOTES}", update(NOTES, 3, title="Meeting Notes")).status == 200


def test_update_moves_a_page_and_refuses_cycles(site):
    assert refused(site, "PUT", f"/pages/{GUIDE}", update(GUIDE, 2, parentId=LINUX))[0] == 400
    assert refused(site, "PUT", f"/pages/{GUIDE}", update(GUIDE, 2, parentId=GUIDE))[0] == 400
    assert refused(site, "PUT", f"/pages/{HOME}", update(HOME, 2, parentId=GUIDE))[0] == 400
    assert site.put(f"/pages/{GUIDE}", update(GUIDE, 2, parentId=int(NOTES))).body["parentId"] == NOTES
    assert ids(site.get(f"/pages/{HOME}/children")) == [NOTES]
    assert site.put(f"/pages/{NOTES}", update(NOTES, 3, title="Notes", parentId=None)).body["parentId"] == HOME


def test_update_hands_a_page_over(site):
    assert site.put(f"/pages/{NOTES}", update(NOTES, 3, ownerId=BEN)).body["ownerId"] == BEN
    assert "ownerId" not in site.put(f"/pages/{NOTES}", update(NOTES, 4, ownerId=ANNA)).body


def test_draft_of_a_published_page_stands_beside_it(site):
    assert refused(site, "PUT", f"/pages/{NOTES}", update(NOTES, 3, status="draft"))[0] == 409
    draft = site.put(f"/pages/{NOTES}", update(NOTES, 1, status="draft")).body
    assert (draft["title"], draft["status"], draft["version"]["number"]) == ("Renamed", "draft", 1)
    assert site.get(f"/pages/{NOTES}").body["title"] == "Meeting notes"
    assert site.get(f"/pages/{NOTES}", get_draft=True).body == draft
    assert site.delete(f"/pages/{NOTES}", draft=True).status == 204
    assert site.get(f"/pages/{NOTES}", get_draft=True).body["title"] == "Meeting notes"
    assert refused(site, "DELETE", f"/pages/{NOTES}", draft="true")[0] == 404


# Deleting pages


def test_deleted_page_is_in_the_trash(site):
    response = site.delete(f"/pages/{GUIDE}")
    assert (response.status, response.body) == (204, None)
    assert GUIDE not in ids(site.get("/pages")) and GUIDE not in ids(site.get(f"/pages/{HOME}/children"))
    assert site.get(f"/pages/{GUIDE}").status == 404
    assert site.get(f"/pages/{GUIDE}", status="trashed").body["status"] == "trashed"
    assert ids(site.get("/pages", status="trashed")) == [GUIDE]
    assert refused(site, "DELETE", f"/pages/{GUIDE}")[0] == 404


def test_children_of_a_deleted_page_move_up(site):
    site.delete(f"/pages/{GUIDE}")
    assert ids(site.get(f"/pages/{HOME}/children")) == [NOTES, SETUP]
    assert site.get(f"/pages/{LINUX}").body["parentId"] == SETUP


def test_only_trashed_pages_are_purged(site):
    assert refused(site, "DELETE", f"/pages/{SETUP}", purge="true")[0] == 400
    site.delete(f"/pages/{LINUX}")
    site.delete(f"/pages/{SETUP}")
    assert site.delete(f"/pages/{SETUP}", purge=True).status == 204
    assert site.get(f"/pages/{SETUP}", status="trashed").status == 404
    assert site.get(f"/pages/{LINUX}", status="trashed").body["parentId"] == GUIDE


def test_purge_takes_the_comments_along(site):
    site.delete(f"/pages/{GUIDE}")
    assert COMMENT in site.state.footer_comments
    site.delete(f"/pages/{GUIDE}", purge=True)
    assert COMMENT not in site.state.footer_comments


def test_homepage_is_not_deleted(site):
    assert refused(site, "DELETE", f"/pages/{HOME}")[0] == 400
    assert refused(site, "DELETE", f"/pages/{HOME}", purge="true")[0] == 400


# Comments


def test_footer_comment_and_answer(site):
    response = site.post("/footer-comments", {"pageId": GUIDE, "body": FLAT})
    assert (response.status, response.body["pageId"], response.body["title"]) == (201, GUIDE, "Re: Guide")
    id = response.body["id"]
    assert response.headers["location"] == f"/wiki/api/v2/footer-comments/{id}"
    assert ids(site.get(f"/pages/{GUIDE}/footer-comments")) == [COMMENT, id]
    shown = site.get(f"/pages/{GUIDE}/footer-comments", body_format="storage", sort="-created-date").body["results"][0]
    assert shown["body"]["storage"]["value"] == "<p>Hi</p>"
    answer = site.post("/footer-comments", {"parentCommentId": int(id), "body": {"storage": {"value": "<p>Yes</p>"}}})
    assert (answer.status, answer.body["parentCommentId"]) == (201, id)
    assert ids(site.get(f"/pages/{GUIDE}/footer-comments")) == [COMMENT, id]
    assert ids(site.get(f"/pages/{GUIDE}/footer-comments", status="trashed")) == []


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"pageId": "999"}, 404),
        ({"parentCommentId": "999"}, 404),
        ({"blogPostId": "5"}, 404),
        ({}, 400),
        ({"pageId": GUIDE, "parentCommentId": COMMENT}, 400),
        ({"pageId": "Guide"}, 400),
        ({"pageId": GUIDE, "body": None}, 400),
        ({"pageId": GUIDE, "body": {"representation": "storage", "value": " "}}, 400),
    ],
)
def test_footer_comment_refuses(site, members, status):
    assert refused(site, "POST", "/footer-comments", {"body": FLAT, **members})[0] == status


# Labels


def test_page_labels(site):
    assert ids(site.get(f"/pages/{SETUP}/labels")) == [LABEL_BETA, LABEL_MY]
    assert ids(site.get(f"/pages/{SETUP}/labels", sort="name")) == [LABEL_MY, LABEL_BETA]
    assert ids(site.get(f"/pages/{SETUP}/labels", prefix="global")) == [LABEL_BETA]
    assert site.get(f"/pages/{SETUP}/labels").body["results"][0] == {"name": "beta", "prefix": "global", "id": LABEL_BETA}


def test_labels_and_their_pages(site):
    assert ids(site.get("/labels")) == [LABEL_ALPHA, LABEL_BETA, LABEL_MY, LABEL_TEAM]
    assert ids(site.get("/labels", prefix="my,team")) == [LABEL_MY, LABEL_TEAM]
    assert ids(site.get("/labels", label_id=[LABEL_BETA])) == [LABEL_BETA]
    assert ids(site.get(f"/labels/{LABEL_BETA}/pages")) == [GUIDE, SETUP]
    assert ids(site.get(f"/labels/{LABEL_MY}/pages")) == [SETUP]
    assert ids(site.get(f"/labels/{LABEL_BETA}/pages", space_id=TEAM)) == []


def test_labels_for_content(site):
    body = site.labels("GET", SETUP).body
    assert [label["name"] for label in body["results"]] == ["beta", "alpha"]
    assert body["size"] == 2
    assert body["results"][1] == {"prefix": "my", "name": "alpha", "id": LABEL_MY, "label": "alpha"}
    assert site.labels("GET", SETUP, start=1, limit=5).body["size"] == 1
    assert site.labels("GET", SETUP, prefix="my").body["size"] == 1
    for query in ({"limit": "x"}, {"start": "-1"}, {"prefix": "system"}):
        assert site.labels("GET", SETUP, **query).status == 404
    assert site.labels("GET", "Setup").body == {"statusCode": 404, "message": "No content found with id: Setup"}


def test_labels_are_added_to_those_that_are_there(site):
    clock = site.state.clock
    response = site.labels("POST", GUIDE, [{"prefix": "global", "name": "Gamma"}, {"prefix": "global", "name": "beta"}])
    assert response.status == 200
    assert [label["name"] for label in response.body["results"]] == ["alpha", "beta", "gamma"]
    assert site.state.clock == clock + 60
    gamma = response.body["results"][2]["id"]
    assert ids(site.get(f"/labels/{gamma}/pages")) == [GUIDE]
    assert site.labels("POST", NOTES, {"prefix": "my", "name": "gamma"}).body["results"][0]["id"] != gamma


def test_label_that_is_there_changes_nothing(site):
    before = asdict(site.state)
    assert site.labels("POST", GUIDE, [{"prefix": "global", "name": "beta"}]).body["size"] == 2
    assert asdict(site.state) == before


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "beta",
        ["beta"],
        [{}],
        [{"name": "x"}],
        [{"prefix": "global"}],
        [{"prefix": "global", "name": ""}],
        [{"prefix": "global", "name": "x y"}],
        [{"prefix": "global", "name": "x?"}],
        [{"prefix": "global", "name": "x" * 256}],
        [{"prefix": "global", "name": 5}],
        [{"prefix": "system", "name": "x"}],
        [{"prefix": ["global"], "name": "x"}],
        [{"prefix": "global", "name": "fine"}, {"prefix": "global", "name": "x y"}],
        [{"prefix": "global", "name": f"x{n}"} for n in range(201)],
        [{"prefix": "global", "name": f"x{n}"} for n in range(199)],
    ],
)
def test_malformed_labels_are_refused(site, body):
    before = asdict(site.state)
    assert site.labels("POST", GUIDE, body).status == 400
    assert asdict(site.state) == before


def test_labels_are_removed(site):
    assert site.labels("DELETE", GUIDE, label="alpha").status == 204
    assert site.labels("DELETE", GUIDE, name="beta").status == 204
    assert ids(site.get(f"/pages/{GUIDE}/labels")) == []
    assert site.labels("DELETE", GUIDE, name="beta").status == 404
    assert site.labels("DELETE", GUIDE).status == 404
    assert site.labels("DELETE", GUIDE, label="a%2Fb").status == 400


# Properties over anything that a client could send

WORDS = st.sampled_from([DOCS, TEAM, HOME, GUIDE, NOTES, COMMENT, "DOC", "Guide", "current", "draft", "storage", "true", "1", "2", "3"])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 500) | st.just(2**70) | st.floats() | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = ("spaceId", "title", "status", "parentId", "body", "id", "version", "pageId", "parentCommentId", "name", "prefix", "ownerId")
BODY = st.one_of(
    JUNK,
    st.dictionaries(st.sampled_from(MEMBERS), JUNK | st.just(FLAT) | st.just({"number": 2}) | st.just({"storage": FLAT}), max_size=8),
    st.lists(st.fixed_dictionaries({"prefix": WORDS | st.just("global"), "name": st.text(max_size=5)}), max_size=3),
)
NAMES = (
    "id", "space-id", "sort", "status", "title", "body-format", "cursor", "limit", "purge", "draft", "root-level", "version",
    "get-draft", "prefix", "name", "start", "keys", "ids", "depth", "include-labels", "include-versions", "label-id",
)  # fmt: skip
QUERY = st.dictionaries(st.sampled_from(NAMES), WORDS | st.text(max_size=6) | st.lists(WORDS, max_size=3), max_size=4)
CONFLUENCE = sorted(op.id for op in OPERATIONS.values() if op.path.startswith("/wiki"))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CONFLUENCE), WORDS | st.text(max_size=6), QUERY, BODY), min_size=3, max_size=12))
def test_anything_gets_a_response_and_a_refusal_changes_nothing(calls):
    site = ConfluenceSite()
    for operation_id, value, query, body in calls:
        operation = OPERATIONS[operation_id]
        path = operation.path
        for name in ("id", "label"):
            path = path.replace("{" + name + "}", value.replace("/", "%2F").replace("?", "%3F") or "0")
        before, clock = asdict(site.state), site.state.clock
        response = site.request(operation.method, path, query, body)
        assert 200 <= response.status < 300 or 400 <= response.status < 500
        json.dumps(response.body)
        if response.status >= 400 or operation.method == "GET":
            assert asdict(site.state) == before
        else:
            assert site.state.clock - clock in (0, 60)


MARKUP = st.lists(
    st.sampled_from(
        ["<p>", "</p>", "<ul>", "</ul>", "<ol>", "<li>", "</li>", "<h2>", "</h2>", "<b>", "</b>", "<em>", "<br/>", "<![x",
         "<!--", "-->", "&amp;", "&", "<", "a", "b c", "\n", "<x:y z='1'>", "</", "<?x", "<p/>"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(MARKUP | st.text(max_size=30) | st.integers(1, 400).map(lambda n: "<ul><li>" * n + "x"))
def test_any_storage_text_becomes_a_valid_document(text):
    document = storage_to_adf(text)
    assert adf.is_document(document)
    again = storage_to_adf(adf_to_storage(document))
    assert adf.text(again).split() == adf.text(document).split()


def test_document_check_can_fail():
    assert not adf.is_document({**storage_to_adf("<p>a</p>"), "content": [{"type": "listItem", "content": []}]})
