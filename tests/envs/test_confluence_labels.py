"""The rules of Confluence's comments and labels, one test each, on a small site written by hand."""

import pytest

from tests.support.confluence_site import (
    COMMENT,
    FLAT,
    GUIDE,
    LABEL_ALPHA,
    LABEL_BETA,
    LABEL_MY,
    LABEL_TEAM,
    NOTES,
    SETUP,
    TEAM,
    ids,
    refusal,
)

# Comments


def test_footer_comment_and_answer(site):
    response = site.post("/footer-comments", {"pageId": GUIDE, "body": FLAT})
    assert (response.status, response.body["pageId"], response.body["title"]) == (201, GUIDE, "Re: Guide")
    id = response.body["id"]
    assert response.headers["location"] == f"/wiki/api/v2/footer-comments/{id}"
    assert ids(site.get(f"/pages/{GUIDE}/footer-comments")) == [COMMENT, id]
    latest = site.get(f"/pages/{GUIDE}/footer-comments", body_format="storage", sort="-created-date").body["results"][0]
    assert latest["body"]["storage"]["value"] == "<p>Hi</p>"
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
    assert refusal(site, "POST", "/footer-comments", {"body": FLAT, **members})[0] == status


# Labels


def test_page_labels(site):
    assert ids(site.get(f"/pages/{SETUP}/labels")) == [LABEL_BETA, LABEL_MY]
    assert ids(site.get(f"/pages/{SETUP}/labels", sort="name")) == [LABEL_MY, LABEL_BETA]
    assert ids(site.get(f"/pages/{SETUP}/labels", prefix="global")) == [LABEL_BETA]
    assert site.get(f"/pages/{SETUP}/labels").body["results"][0] == {
        "name": "beta",
        "prefix": "global",
        "id": LABEL_BETA,
    }


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


def test_labels_are_added_to_the_existing_ones(site):
    clock = site.state.clock
    response = site.labels("POST", GUIDE, [{"prefix": "global", "name": "Gamma"}, {"prefix": "global", "name": "beta"}])
    assert response.status == 200
    assert [label["name"] for label in response.body["results"]] == ["alpha", "beta", "gamma"]
    assert site.state.clock == clock + 60
    gamma = response.body["results"][2]["id"]
    assert ids(site.get(f"/labels/{gamma}/pages")) == [GUIDE]
    assert site.labels("POST", NOTES, {"prefix": "my", "name": "gamma"}).body["results"][0]["id"] != gamma


def test_an_existing_label_changes_nothing(site):
    before = repr(site.state)
    assert site.labels("POST", GUIDE, [{"prefix": "global", "name": "beta"}]).body["size"] == 2
    assert repr(site.state) == before


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
    before = repr(site.state)
    assert site.labels("POST", GUIDE, body).status == 400
    assert repr(site.state) == before


def test_labels_are_removed(site):
    assert site.labels("DELETE", GUIDE, label="alpha").status == 204
    assert site.labels("DELETE", GUIDE, name="beta").status == 204
    assert ids(site.get(f"/pages/{GUIDE}/labels")) == []
    assert site.labels("DELETE", GUIDE, name="beta").status == 404
    assert site.labels("DELETE", GUIDE).status == 404
    assert site.labels("DELETE", GUIDE, label="a%2Fb").status == 400
