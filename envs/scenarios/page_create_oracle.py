"""Demonstrates how a page is created: from the request and the responses."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import Any

from envs.episode import Task
from envs.protocol import Turn
from envs.scenarios.drafting import Demonstration, act, quotation
from envs.scenarios.goals import page_facts
from envs.scenarios.issue_create_oracle import chosen

SPACES_LISTED = 100
"""The limit of a list of spaces that looks for a name."""


def storage_body(lines: Sequence[str]) -> dict[str, str]:
    return {"representation": "storage", "value": "".join(f"<p>{line}</p>" for line in lines)}


def demonstrate(task: Task) -> Demonstration:
    goal, way, state = task.goal, task.goal["way"], task.site().state
    space_id, note = yield from _find_space(way["space"], chosen(way))
    if not space_id:
        return f"Cannot: there is no space {way['name']}."
    if way.get("missing") == "title" or "look_first" in way:
        title = way["name"] if "name" in way else goal["create"]["page"]["title"]
        found, note = yield from _find_page(title, space_id, note)
        if found:
            return f"Cannot: the title {title} is taken."
    if way.get("missing") == "parent":
        yield from _find_page(way["name"], space_id, note)
        return f"Cannot: there is no page {way['name']}."
    if "create" in goal:
        wanted = goal["create"]["page"]
    else:
        wanted = page_facts(state.pages[goal["pages"][0]["id"]]) | goal["pages"][0]["target"]
    parent_id = ""
    title = "" if wanted["parent"] == state.spaces[wanted["space"]].homepage_id else state.pages[wanted["parent"]].title
    if "if" in way:
        parent_id, note = yield from _check(way, space_id, note)
        title = "" if parent_id else way.get("otherwise", "")
    if "top" in way:
        top, note = yield from _find_page(way["top"], space_id, note)
        (response,) = yield act("getChildPages", {"id": top}, note)
        parent_id, note = quotation(response, title, "id")
    elif title:
        parent_id, note = yield from _find_page(title, space_id, note)
    content = {"title": wanted["title"], "body": storage_body(wanted["body"].split("\n"))}
    if "ensure" in way:
        found, note = yield from _find_page(wanted["title"], space_id, note)
        if found:
            (page,) = yield act("getPageById", {"id": found, "body-format": "storage"}, note)
            version = page["version"]["number"]
            note = f'"number": {version}, "body": {json.dumps(page["body"]["storage"]["value"])}'
            update = {"id": found, "status": "current", **content, "version": {"number": version + 1}}
            if "parent" in goal["pages"][0]["target"]:
                update["parentId"] = parent_id
            yield act("updatePage", update, note)
            return None
    page = {"spaceId": space_id, **({"parentId": parent_id} if parent_id else {}), **content}
    yield act("createPage", page, note)
    return None


Found = Generator[Turn, list[Any], tuple[str, str]]
"""Turns that return (id, note for the turn after them); the id is empty if nothing was found."""


def _find_space(space: Any, note: str) -> Found:
    if "page" in space:
        (response,) = yield act("getPages", {"title": space["page"]}, note)
        return quotation(response, space["page"], "spaceId")
    query = {"keys": [space["key"]]} if "key" in space else {"limit": SPACES_LISTED}
    (response,) = yield act("getSpaces", query, note)
    found = next((s for s in response["results"] if space.get("name", s["name"]) == s["name"]), None)
    return quotation(response, found["name"], "id") if found else ("", "results: none")


def _find_page(title: str, space_id: str, note: str) -> Found:
    (response,) = yield act("getPages", {"title": title, "space-id": [space_id]}, note)
    return quotation(response, title, "id") if response["results"] else ("", "results: none")


def _check(way: Any, space_id: str, note: str) -> Found:
    """The id of the page that a condition is about if the condition holds."""
    id, note = yield from _find_page(way["page"], space_id, note)
    if way["if"] == "children":
        (response,) = yield act("getChildPages", {"id": id}, note)
        if not response["results"]:
            return "", "results: none"
        note += f', "results": [{{"title": {json.dumps(response["results"][0]["title"])}'
    return id, note
