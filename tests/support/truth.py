"""Judges an episode: whether the goal holds, nothing else has changed, and no id was guessed.

The judgement uses snapshots of the site and the responses. A score of 1.0 must imply it. To remain independent, this
module uses nothing from `rewards`, not even its text extraction.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Snapshot = Mapping[str, Any]
Goal = Mapping[str, Any]
COUNTERS = {"clock", "next_id"}
"""Members of a snapshot that any write changes."""


def holds(goal: Goal, before: Snapshot, after: Snapshot, bodies: Sequence[Any]) -> bool:
    """Whether `after` is `before` plus exactly what the goal asks for. `bodies` are the successful responses."""
    if goal["scenario"] == "issue-read":
        return before == after and all(_was_read(read, before, bodies) for read in goal["reads"])
    return JUDGES[goal["scenario"]](goal, before, after)


def differences(before: Any, after: Any) -> set[str]:
    """The members that differ between two mappings, including those that only one of them has."""
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def _was_read(read: Goal, before: Snapshot, bodies: Sequence[Any]) -> bool:
    """Whether the responses contain the fields, or all comments, of an issue."""
    issue = read["issue"]
    if read.get("comments"):
        ids = {comment["id"] for comment in before["issues"][issue["id"]]["comments"]}
        pages = [body for body in _objects(bodies) if "comments" in body]
        return bool(pages) and ids <= {comment["id"] for page in pages for comment in page["comments"]}
    # A list of all issues is not a search. A search counts only if it returns all of its results, and at most three.
    answers = [body for body in bodies if "issues" not in body or (len(body["issues"]) <= 3 and body["isLast"])]
    contents = [body["fields"] for body in _objects(answers) if body.get("key") == issue["key"] and "fields" in body]
    return set(read["fields"]) <= {name for fields in contents for name in fields}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in nested data."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _objects(member)


def site_ids(goal: Goal, before: Snapshot, after: Snapshot) -> set[str]:
    """All ids and keys on the site, and the goal issue's labels, which a policy cannot know without reading them."""
    ids = {*before["users"], *before["priorities"], *before["resolutions"], *before["issue_types"]}
    for state in (before, after):
        for table in ("issues", "projects", "spaces", "pages"):
            ids |= {text for id, record in state[table].items() for text in (id, record.get("key", id))}
    for project in before["projects"].values():
        ids |= {move["id"] for moves in project["workflow"].values() for move in moves}
    return ids | set(goal.get("before", ()))


def guesses(prompt: str, calls: Sequence[tuple[Any, Any]], site_ids: set[str]) -> set[str]:
    """The ids in arguments that neither the request nor an earlier body contains. `calls` are (arguments, body).

    A short number is an id only as the value of a member `id`.
    """
    unseen, bodies = set(), ""
    for arguments, body in calls:
        text = json.dumps({name: value for name, value in arguments.items() if not _is_words(name, value)})
        for value in set(re.findall(r"[\w:-]+", text)) & site_ids:
            short = re.fullmatch(r"\d{1,3}", value)
            as_id = rf'"id": "?{value}"?[,}}]'
            if short and not re.search(as_id, text):
                continue
            token = rf"(?<![\w-]){re.escape(value)}(?!\w)"
            if not re.search(as_id if short else token, bodies) and not re.search(token, prompt):
                unseen.add(value)
        bodies += json.dumps(body)
    return unseen


def _is_words(name: str, value: Any) -> bool:
    """Whether an argument holds search words or names of fields."""
    return name in ("query", "title", "expand") or (name == "fields" and isinstance(value, list))


def issue_created(goal: Goal, before: Snapshot, after: Snapshot) -> bool:
    """Whether the goal's issue is new in its project and nothing else has changed."""
    project = goal["project"]["id"]
    new = differences(before["issues"], after["issues"])
    with_next_number = {**before["projects"][project], "next_number": before["projects"][project]["next_number"] + 1}
    if (
        differences(before, after) != COUNTERS | {"issues", "issue_keys", "projects"}
        or differences(before["projects"], after["projects"]) != {project}
        or after["projects"][project] != with_next_number
        or len(new) != 1
        or new & set(before["issues"])
    ):
        return False
    (issue,) = (after["issues"][id] for id in new)
    default = list(before["priorities"])[len(before["priorities"]) // 2]
    expected = {
        "project_id": project,
        "type_id": goal["issuetype"]["id"],
        "summary": goal["summary"],
        "status_id": before["projects"][project]["initial_status"],
        "priority_id": goal["priority"]["id"] if goal["priority"] else default,
        "reporter": before["current_user"],
        "assignee": goal["assignee"],
        "parent_id": goal["parent"]["id"] if goal["parent"] else None,
        **{"resolution": None, "comments": (), "worklogs": (), "links": ()},
    }
    description_is_right = (
        issue["description"] is None
        if goal["description"] is None
        else (issue["description"] is not None and adf_words(issue["description"]) == goal["description"])
    )
    labels_are_right = sorted(issue["labels"]) == sorted(set(goal["labels"] or []))
    fields_are_right = all(issue[name] == value for name, value in expected.items())
    return description_is_right and labels_are_right and fields_are_right


def page_created(goal: Goal, before: Snapshot, after: Snapshot) -> bool:
    """Whether the goal's page is new under its parent and nothing else has changed."""
    new = differences(before["pages"], after["pages"])
    if differences(before, after) != COUNTERS | {"pages"} or len(new) != 1 or new & set(before["pages"]):
        return False
    (page,) = (after["pages"][id] for id in new)
    expected = {
        "space_id": goal["space"]["id"],
        "parent_id": goal["parent"]["id"],
        "title": goal["title"],
        "author": before["current_user"],
        **{"labels": (), "status": "current", "draft": None, "owner": None},
    }
    return body_words(page) == goal["body"] and all(page[name] == value for name, value in expected.items())


def ticket_moved(goal: Goal, before: Snapshot, after: Snapshot) -> bool:
    """Whether the goal's issue has the status, the resolution and the new comment, and nothing else has changed."""
    old, new = _only_issue(goal, before, after)
    if new is None:
        return False
    comments = new["comments"][len(old["comments"]) :]
    texts = [adf_words(comment["body"]) for comment in comments]
    return (
        differences(old, new) <= {"status_id", "resolution", "comments", "updated"}
        and after["statuses"][new["status_id"]]["name"] == goal["status"]
        and goal["resolution"] in (None, new["resolution"])
        and new["comments"][: len(old["comments"])] == old["comments"]
        and texts == ([] if goal["comment"] is None else [goal["comment"]])
    )


def labels_changed(goal: Goal, before: Snapshot, after: Snapshot) -> bool:
    """Whether the goal's issue has the target labels and nothing else has changed."""
    old, new = _only_issue(goal, before, after)
    if new is None:
        return False
    target = (set(old["labels"]) - set(goal["remove"])) | set(goal["add"])
    return differences(old, new) <= {"labels", "updated"} and sorted(new["labels"]) == sorted(target)


def _only_issue(goal: Goal, before: Snapshot, after: Snapshot) -> tuple[Any, Any]:
    """The goal's issue before and after. The latter is None if any other record differs."""
    id = goal["issue"]["id"]
    alone = differences(before["issues"], after["issues"]) == {id} and id in after["issues"]
    elsewhere = differences(before, after) - COUNTERS - {"issues"}
    return before["issues"][id], after["issues"][id] if alone and not elsewhere else None


def adf_words(node: Mapping[str, Any]) -> str:
    """The text of a document, one line per block. A leaf that is not text appears as its type."""
    if node["type"] == "text":
        return str(node["text"])
    children = [adf_words(child) for child in node.get("content", ())]
    if not children:
        return "" if node["type"] in ("doc", "paragraph") else f"<{node['type']}>"
    return ("" if node["type"] in ("paragraph", "heading") else "\n").join(children)


def body_words(page: Mapping[str, Any]) -> str:
    """The text of a page's body."""
    if page["representation"] == "storage":
        return html.unescape(re.sub(r"<[^>]*>", "", page["body"]))
    return adf_words(json.loads(page["body"]))


JUDGES: Mapping[str, Callable[[Goal, Snapshot, Snapshot], bool]] = {
    "issue-create": issue_created,
    "page-create": page_created,
    "ticket-transition": ticket_moved,
    "ticket-transition-saturated": ticket_moved,
    "issue-labels": labels_changed,
}
