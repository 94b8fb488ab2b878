"""Confluence's rules for writes, one test each, on a small site written by hand."""

import json
from typing import Any

import pytest

from envs.site.adf import document
from envs.site.confluence.page_writes import TITLE_TAKEN
from envs.site.http import Response
from tests.support.confluence_site import (
    ANNA,
    BEN,
    COMMENT,
    DOCS,
    FLAT,
    GUIDE,
    HOME,
    LINUX,
    NOTES,
    SETUP,
    TEAM,
    TEAM_HOME,
    ConfluenceSite,
    error,
    ids,
    refusal,
    update,
)

DOCUMENT = document("Hi")


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
def test_space_id_of_another_type_is_refused(site, space):
    status, title = refusal(site, "POST", "/pages", {"spaceId": space, "title": "New"})
    assert status == 400
    assert title.endswith("for 'spaceId' is not the correct type. Expected type is Long")


def test_space_key_is_refused_with_confluences_message(site):
    message = "Provided value {BSP} for 'spaceId' is not the correct type. Expected type is Long"
    assert error(create(site, spaceId="BSP")) == (400, "INVALID_REQUEST_PARAMETER", message)


def test_missing_members_are_named(site):
    assert refusal(site, "POST", "/pages", {"title": "New"}) == (400, "'spaceId' must be provided.")
    assert refusal(site, "POST", "/pages", {"spaceId": DOCS}) == (400, "'title' must be provided.")
    assert refusal(site, "POST", "/pages", {"spaceId": DOCS, "title": " "}) == (400, "'title' must be provided.")
    assert refusal(site, "POST", "/pages", {"spaceId": "9", "title": "New"})[0] == 404


def test_title_is_unique_within_a_space(site):
    assert refusal(site, "POST", "/pages", {"spaceId": DOCS, "title": "guide"}) == (400, TITLE_TAKEN)
    assert create(site, title="Team Home").status == 200
    site.delete(f"/pages/{GUIDE}")
    assert create(site, title="Guide").status == 200  # pages in the trash do not count


def test_parent_must_exist_in_the_same_space(site):
    body = {"spaceId": DOCS, "title": "New"}
    assert refusal(site, "POST", "/pages", {**body, "parentId": TEAM_HOME})[0] == 400
    assert refusal(site, "POST", "/pages", {**body, "parentId": "999"})[0] == 404
    assert refusal(site, "POST", "/pages", {**body, "parentId": "Guide"})[1].startswith("Provided value {Guide}")
    site.delete(f"/pages/{GUIDE}")
    assert refusal(site, "POST", "/pages", {**body, "parentId": GUIDE})[0] == 404


def test_root_level_page_has_no_parent(site):
    response = site.post("/pages", {"spaceId": DOCS, "title": "New"}, root_level=True)
    assert (response.body["parentId"], response.body["parentType"]) == (None, None)
    assert ids(site.get(f"/spaces/{DOCS}/pages", depth="root")) == [HOME, response.body["id"]]
    body = {"spaceId": DOCS, "title": "Other", "parentId": HOME}
    assert refusal(site, "POST", "/pages", body, root_level="true")[0] == 400
    assert refusal(site, "POST", "/pages", body, root_level="maybe")[0] == 400


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
    assert refusal(site, "POST", "/pages", {"spaceId": DOCS, "title": "New", "body": body})[0] == 400


def test_request_over_5_megabytes_is_refused(site):
    body = {"representation": "storage", "value": "é" * (5 * 512 * 1024 + 1)}
    assert refusal(site, "POST", "/pages", {"spaceId": DOCS, "title": "New", "body": body})[0] == 413


def test_draft_is_visible_only_as_a_draft(site):
    response = site.post("/pages", {"spaceId": DOCS, "status": "draft"})
    id = response.body["id"]
    assert (response.body["title"], response.body["status"]) == ("", "draft")
    assert id not in ids(site.get("/pages")) and id not in ids(site.get(f"/pages/{HOME}/children"))
    assert site.get(f"/pages/{id}").status == 404
    assert site.get(f"/pages/{id}", get_draft=True).body == response.body
    assert refusal(site, "POST", "/pages", {"spaceId": DOCS, "title": "New", "parentId": id})[0] == 404
    assert site.put(f"/pages/{id}", update(id, 1, status="draft")).body["version"]["number"] == 1
    assert site.put(f"/pages/{id}", update(id, 2)).body["version"]["number"] == 2
    assert site.get(f"/pages/{id}").body["status"] == "current"


@pytest.mark.parametrize("status", ["archived", "", 1, ["current"]])
def test_status_of_a_new_page_is_current_or_draft(site, status):
    assert refusal(site, "POST", "/pages", {"spaceId": DOCS, "title": "New", "status": status})[0] == 400


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
    message = f"Version must be incremented when updating a page. Current Version: [2]. Provided version: [{number}]"
    assert error(response) == (409, "CONFLICT", message)


@pytest.mark.parametrize(
    "version", [3, "3", None, {}, {"number": None}, {"number": 3.0}, {"number": "x"}, {"number": 2**31}]
)
def test_version_must_be_an_object_with_a_number(site, version):
    assert refusal(site, "PUT", f"/pages/{NOTES}", update(NOTES, 3, version=version))[0] == 400


@pytest.mark.parametrize("name", ["id", "status", "title", "body", "version"])
def test_update_needs_its_five_members(site, name):
    body = {key: value for key, value in update(NOTES, 3).items() if key != name}
    assert refusal(site, "PUT", f"/pages/{NOTES}", body) == (400, f"'{name}' must be provided.")


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
    assert refusal(site, "PUT", f"/pages/{NOTES}", update(NOTES, 3, **members))[0] == 400


def test_update_of_a_trashed_or_unknown_page_is_not_found(site):
    site.delete(f"/pages/{NOTES}")
    assert refusal(site, "PUT", f"/pages/{NOTES}", update(NOTES, 3))[0] == 404
    assert refusal(site, "PUT", "/pages/999", update("999", 3))[0] == 404


def test_an_update_may_keep_the_title(site):
    assert site.put(f"/pages/{NOTES}", update(NOTES, 3, title="Meeting Notes")).status == 200


def test_update_moves_a_page_and_refuses_cycles(site):
    assert refusal(site, "PUT", f"/pages/{GUIDE}", update(GUIDE, 2, parentId=LINUX))[0] == 400
    assert refusal(site, "PUT", f"/pages/{GUIDE}", update(GUIDE, 2, parentId=GUIDE))[0] == 400
    assert refusal(site, "PUT", f"/pages/{HOME}", update(HOME, 2, parentId=GUIDE))[0] == 400
    assert site.put(f"/pages/{GUIDE}", update(GUIDE, 2, parentId=int(NOTES))).body["parentId"] == NOTES
    assert ids(site.get(f"/pages/{HOME}/children")) == [NOTES]
    assert site.put(f"/pages/{NOTES}", update(NOTES, 3, title="Notes", parentId=None)).body["parentId"] == HOME


def test_update_changes_the_owner(site):
    assert site.put(f"/pages/{NOTES}", update(NOTES, 3, ownerId=BEN)).body["ownerId"] == BEN
    assert "ownerId" not in site.put(f"/pages/{NOTES}", update(NOTES, 4, ownerId=ANNA)).body


def test_draft_of_a_published_page_leaves_the_page_unchanged(site):
    assert refusal(site, "PUT", f"/pages/{NOTES}", update(NOTES, 3, status="draft"))[0] == 409
    draft = site.put(f"/pages/{NOTES}", update(NOTES, 1, status="draft")).body
    assert (draft["title"], draft["status"], draft["version"]["number"]) == ("Renamed", "draft", 1)
    assert site.get(f"/pages/{NOTES}").body["title"] == "Meeting notes"
    assert site.get(f"/pages/{NOTES}", get_draft=True).body == draft
    assert site.delete(f"/pages/{NOTES}", draft=True).status == 204
    assert site.get(f"/pages/{NOTES}", get_draft=True).body["title"] == "Meeting notes"
    assert refusal(site, "DELETE", f"/pages/{NOTES}", draft="true")[0] == 404


def test_publishing_and_trashing_end_a_draft(site):
    site.put(f"/pages/{NOTES}", update(NOTES, 1, status="draft", title="Draft"))
    site.put(f"/pages/{NOTES}", update(NOTES, 3))
    assert site.get(f"/pages/{NOTES}", get_draft=True).body["title"] == "Renamed"
    site.put(f"/pages/{NOTES}", update(NOTES, 1, status="draft", title="Draft"))
    site.delete(f"/pages/{NOTES}")
    assert site.get(f"/pages/{NOTES}", status=["trashed", "draft"]).body["title"] == "Renamed"


# Deleting pages


def test_deleted_page_is_in_the_trash(site):
    response = site.delete(f"/pages/{GUIDE}")
    assert (response.status, response.body) == (204, None)
    assert GUIDE not in ids(site.get("/pages")) and GUIDE not in ids(site.get(f"/pages/{HOME}/children"))
    assert site.get(f"/pages/{GUIDE}").status == 404
    assert site.get(f"/pages/{GUIDE}", status="trashed").body["status"] == "trashed"
    assert ids(site.get("/pages", status="trashed")) == [GUIDE]
    assert refusal(site, "DELETE", f"/pages/{GUIDE}")[0] == 404


def test_children_of_a_deleted_page_move_up(site):
    site.delete(f"/pages/{GUIDE}")
    assert ids(site.get(f"/pages/{HOME}/children")) == [NOTES, SETUP]
    assert site.get(f"/pages/{LINUX}").body["parentId"] == SETUP


def test_only_trashed_pages_are_purged(site):
    assert refusal(site, "DELETE", f"/pages/{SETUP}", purge="true")[0] == 400
    site.delete(f"/pages/{LINUX}")
    site.delete(f"/pages/{SETUP}")
    assert site.delete(f"/pages/{SETUP}", purge=True).status == 204
    assert site.get(f"/pages/{SETUP}", status="trashed").status == 404
    assert site.get(f"/pages/{LINUX}", status="trashed").body["parentId"] == GUIDE


def test_purge_deletes_the_comments(site):
    site.delete(f"/pages/{GUIDE}")
    assert COMMENT in site.state.footer_comments
    site.delete(f"/pages/{GUIDE}", purge=True)
    assert COMMENT not in site.state.footer_comments


def test_homepage_is_not_deleted(site):
    assert refusal(site, "DELETE", f"/pages/{HOME}")[0] == 400
    assert refusal(site, "DELETE", f"/pages/{HOME}", purge="true")[0] == 400
