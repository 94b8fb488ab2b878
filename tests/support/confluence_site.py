"""A small Confluence site written by hand, so that tests can name its records."""

from __future__ import annotations

from typing import Any

from envs.site.http import Response, dispatch
from envs.site.records import FooterComment, Page, PageVersion, Space, State, User

START = 1_767_605_400
"""2026-01-05T09:30:00Z"""
ANNA, BEN = "712020:1", "712020:2"
DOCS, TEAM = "100", "200"
"""Space ids."""
HOME, GUIDE, SETUP, LINUX, NOTES = "101", "102", "103", "104", "105"
"""Pages of the space DOCS: HOME > (GUIDE > SETUP > LINUX, NOTES)."""
TEAM_HOME, TEAM_GUIDE = "201", "202"
COMMENT = "301"
LABEL_ALPHA, LABEL_BETA, LABEL_MY, LABEL_TEAM = "401", "402", "403", "404"


def page(id: str, space: str, parent: str | None, title: str, position: int = 0, **attributes: Any) -> Page:
    """A page, by default with one version."""
    body = attributes.pop("body", f"<p>{title}</p>")
    first = PageVersion(1, START - 1000 + position, ANNA, "", title, body)
    values = {"versions": (first,), **attributes}
    return Page(id, space, parent, title, body, ANNA, START - 1000 + position, position, **values)


def confluence_state() -> State:
    """Two spaces with a page of the same title in both, labels, a comment, and a page with two versions."""
    state = State(current_user=ANNA, clock=START, next_id=1000)
    state.users = {ANNA: User(ANNA, "Anna Berg"), BEN: User(BEN, "Ben Ode")}
    state.spaces = {
        DOCS: Space(DOCS, "DOC", "Documentation", HOME, ANNA, START - 5000, labels=("product",)),
        TEAM: Space(TEAM, "TEAM", "Team", TEAM_HOME, BEN, START - 4000, type="collaboration"),
    }
    old = PageVersion(1, START - 900, ANNA, "", "Notes", "<p>first</p>")
    new = PageVersion(2, START - 800, BEN, "reworded", "Meeting notes", "<p>second</p>")
    pages = (
        page(HOME, DOCS, None, "Documentation Home"),
        page(GUIDE, DOCS, HOME, "Guide", 0, labels=(("global", "alpha"), ("global", "beta"))),
        page(SETUP, DOCS, GUIDE, "Setup", 0, labels=(("global", "beta"), ("my", "alpha"))),
        page(LINUX, DOCS, SETUP, "Linux"),
        page(NOTES, DOCS, HOME, "Meeting notes", 1, body="<p>second</p>", versions=(old, new)),
        page(TEAM_HOME, TEAM, None, "Team Home"),
        page(TEAM_GUIDE, TEAM, TEAM_HOME, "Guide"),
    )
    state.pages = {item.id: item for item in pages}
    state.footer_comments = {COMMENT: FooterComment(COMMENT, GUIDE, None, "<p>Nice</p>", BEN, START - 500)}
    state.label_ids = {
        "alpha": LABEL_ALPHA,
        "beta": LABEL_BETA,
        "my:alpha": LABEL_MY,
        "team:product": LABEL_TEAM,
    }
    return state


class ConfluenceSite:
    """The small site with the same interface as `Site`."""

    def __init__(self) -> None:
        self.state = confluence_state()

    def request(self, method: str, path: str, query: Any = None, body: Any = None) -> Response:
        return dispatch(self.state, method, path, query, body)

    def get(self, path: str, **query: Any) -> Response:
        """GET from `/wiki/api/v2`. Underscores in parameter names stand for hyphens."""
        return self.request("GET", f"/wiki/api/v2{path}", {name.replace("_", "-"): v for name, v in query.items()})

    def post(self, path: str, body: Any, **query: Any) -> Response:
        return self.request("POST", f"/wiki/api/v2{path}", {n.replace("_", "-"): v for n, v in query.items()}, body)

    def put(self, path: str, body: Any) -> Response:
        return self.request("PUT", f"/wiki/api/v2{path}", None, body)

    def delete(self, path: str, **query: Any) -> Response:
        return self.request("DELETE", f"/wiki/api/v2{path}", query)

    def labels(self, method: str, id: str, body: Any = None, label: str = "", **query: Any) -> Response:
        """A request to the v1 label paths."""
        tail = f"/{label}" if label else ""
        return self.request(method, f"/wiki/rest/api/content/{id}/label{tail}", query, body)


FLAT = {"representation": "storage", "value": "<p>Hi</p>"}
"""A body in the flat form."""


def ids(response: Response) -> list[str]:
    """The ids of a list's results."""
    assert response.status == 200, response.body
    return [item["id"] for item in response.body["results"]]


def error(response: Response) -> tuple[int, str, str]:
    """(status, code, title) of a Confluence v2 error."""
    (entry,) = response.body["errors"]
    assert entry["status"] == response.status
    return response.status, entry["code"], entry["title"]


def refusal(site: ConfluenceSite, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str]:
    """(status, title) of a v2 request that is refused. Asserts that it changes nothing."""
    before = repr(site.state)
    response = site.request(method, f"/wiki/api/v2{path}", {k.replace("_", "-"): v for k, v in query.items()}, body)
    assert repr(site.state) == before
    status, _, title = error(response)
    return status, title


def update(page_id: str, number: Any, **members: Any) -> dict[str, Any]:
    """A body of updatePage. It is valid unless `members` replace something."""
    body = {"id": page_id, "status": "current", "title": "Renamed", "body": FLAT, "version": {"number": number}}
    return {**body, **members}
