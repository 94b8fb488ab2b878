"""Whether a goal holds, nothing else was changed, no id guessed: judged on snapshots of the site and on responses.

This is what a score of 1.0 has to imply. It knows nothing of `rewards`, not even its text extraction.
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


def holds(goal: Goal, before: Snapshot, after: Snapshot, bodies: Sequence[Any]) -> bool:
    """Whether `after` is `before` with exactly what the goal asks for; `bodies` are the successful responses."""
    if goal["scenario"] == "issue-read":
        return before == after and all(_was_read(read, before, bodies) for read in goal["reads"])
    return JUDGES[goal["scenario"]](goal, before, after)


def differences(before: Any, after: Any) -> set[str]:
    """The members of two mappings that differ, be it that one of them lacks it."""
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def _was_read(read: Goal, before: Snapshot, bodies: Sequence[Any]) -> bool:
    """Whether the responses show the fields or all the comments of an issue."""
    issue = read["issue"]
    if read.get("comments"):
        ids = {comment["id"] for comment in before["issues"][issue["id"]]["comments"]}
        pages = [body for body in _objects(bodies) if "comments" in body]
        return bool(pages) and ids <= {comment["id"] for page in pages for comment in page["comments"]}
    # A list of everything finds nothing: of searches only those count that show few issues, and all they found.
    told = [body for body in bodies if "issues" not in body or (len(body["issues"]) <= 3 and body["isLast"])]
    shown = [body["fields"] for body in _objects(told) if body.get("key") == issue["key"] and "fields" in body]
    return set(read["fields"]) <= {name for fields in shown for name in fields}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _objects(member)


def known_ids(goal: Goal, before: Snapshot, after: Snapshot) -> set[str]:
    """Everything that names one thing on the site, and the labels that were there, which no one can know unread."""
    known = {*before["users"], *before["priorities"], *before["resolutions"], *before["issue_types"]}
    for state in (before, after):
        for table in ("issues", "projects", "spaces", "pages"):
            known |= {text for id, record in state[table].items() for text in (id, record.get("key", id))}
    for project in before["projects"].values():
        known |= {move["id"] for moves in project["workflow"].values() for move in moves}
    return known | set(goal.get("before", ()))


def guesses(prompt: str, calls: Sequence[tuple[Any, Any]], known: set[str]) -> set[str]:
    """The known ids among the arguments that nobody gave before; `calls` are (arguments, body).

    The request gives an id, or an earlier body. Short numbers are ids only as values of `id`.
    """
    found, bodies = set(), ""
    for arguments, body in calls:
        text = json.dumps({name: value for name, value in arguments.items() if not _is_words(name, value)})
        for value in set(re.findall(r"[\w:-]+", text)) & known:
            short = re.fullmatch(r"\d{1,3}", value)
            as_id = rf'"id": "?{value}"?[,}}]'
            if short and not re.search(as_id, text):
                continue
            whole = rf"(?<![\w-]){re.escape(value)}(?!\w)"
            if not re.search(as_id if short else whole, bodies) and not re.search(whole, prompt):
                found.add(value)
        bodies += json.dumps(body)
    return found


def _is_words(name: str, value: Any) -> bool:
    """Whether an argument holds words to search for, or names of fields."""
    return name in ("query", "title", "expand") or (name == "fields" and isinstance(value, list))


def issue_created(goal: Goal, before: Snapshot, after: Snapshot) -> bool:
    project = goal["project"]["id"]
    new = differences(before["issues"], after["issues"])
    counted = {**before["projects"][project], "next_number": before["projects"][project]["next_number"] + 1}
    if (
        differences(before, after) != COUNTERS | {"issues", "issue_keys", "projects"}
        or differences(before["projects"], after["projects"]) != {project}
        or after["projects"][project] != counted
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
    described = (
        issue["description"] is None
        if goal["description"] is None
        else (issue["description"] is not None and adf_words(issue["description"]) == goal["description"])
    )
    labelled = sorted(issue["labels"]) == sorted(set(goal["labels"] or []))
    return described and labelled and all(issue[name] == value for name, value in expected.items())


def page_created(goal: Goal, before: Snapshot, after: Snapshot) -> bool:
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
    old, new = _only_issue(goal, before, after)
    if new is None:
        return False
    comments = new["comments"][len(old["comments"]) :]
    said = [adf_words(comment["body"]) for comment in comments]
    return (
        differences(old, new) <= {"status_id", "resolution", "comments", "updated"}
        and after["statuses"][new["status_id"]]["name"] == goal["status"]
        and goal["resolution"] in (None, new["resolution"])
        and new["comments"][: len(old["comments"])] == old["comments"]
        and said == ([] if goal["comment"] is None else [goal["comment"]])
    )


def labels_changed(goal: Goal, before: Snapshot, after: Snapshot) -> bool:
    old, new = _only_issue(goal, before, after)
    if new is None:
        return False
    wanted = (set(old["labels"]) - set(goal["remove"])) | set(goal["add"])
    return differences(old, new) <= {"labels", "updated"} and sorted(new["labels"]) == sorted(wanted)


def _only_issue(goal: Goal, before: Snapshot, after: Snapshot) -> tuple[Any, Any]:
    """The goal's issue before and after, when no other record differs; else nothing for the latter."""
    id = goal["issue"]["id"]
    alone = differences(before["issues"], after["issues"]) == {id} and id in after["issues"]
    elsewhere = differences(before, after) - COUNTERS - {"issues"}
    return before["issues"][id], after["issues"][id] if alone and not elsewhere else None


def adf_words(node: Mapping[str, Any]) -> str:
    """The text nodes of a document, blocks apart; other leaves stand for themselves by their type."""
    if node["type"] == "text":
        return str(node["text"])
    children = [adf_words(child) for child in node.get("content", ())]
    if not children:
        return "" if node["type"] in ("doc", "paragraph") else f"<{node['type']}>"
    return ("" if node["type"] in ("paragraph", "heading") else "\n").join(children)


def body_words(page: Mapping[str, Any]) -> str:
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
