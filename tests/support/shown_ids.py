"""The ids in a response, the kind of each, and the request that reads each kind back through the site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from envs.site.site import Site

BY_MEMBER = {
    "accountId": "user",
    "authorId": "user",
    "ownerId": "user",
    "issueId": "issue",
    "spaceId": "space",
    "homepageId": "page",
    "pageId": "page",
    "parentId": "page",
}
"""Member that holds an id -> the kind of thing that it identifies."""
BY_HOLDER = {
    "issues": "issue",
    "parent": "issue",
    "subtasks": "issue",
    "inwardIssue": "issue",
    "outwardIssue": "issue",
    "priority": "priority",
    "issuetype": "issue type",
    "issueTypes": "issue type",
    "status": "status",
    "to": "status",
    "project": "project",
    "issueLinkTypes": "link type",
    "labels": "label",
    "page": "page",
}
"""Member that holds an object with an `id`, or a list of them -> the kind of the object."""
BY_OPERATION = {
    "createIssue": "issue",
    "getIssue": "issue",
    "editIssue": "issue",
    "getProject": "project",
    "searchProjects": "project",
    "getPriorities": "priority",
    "getStatuses": "status",
    "getIssueAllTypes": "issue type",
    "getIssueTypesForProject": "issue type",
    "getSpaces": "space",
    "getSpaceById": "space",
    "getPages": "page",
    "getPagesInSpace": "page",
    "getPageById": "page",
    "createPage": "page",
    "updatePage": "page",
    "getLabelPages": "page",
    "getChildPages": "page",
    "getPageDirectChildren": "page",
    "getLabels": "label",
    "getPageLabels": "label",
    "getSpaceLabels": "label",
    "getSpaceContentLabels": "label",
    "getLabelsForContent": "label",
    "addLabelsToContent": "label",
}
"""Operation -> the kind of the object, or of the list's items, in its response."""
LISTS = ("results", "values")
"""Members that hold the items of a paged response."""
EVERY_STATUS = ["current", "archived", "trashed", "draft"]


def ids_in(operation: str, body: Any) -> Iterator[tuple[str, str]]:
    """The (kind, id) pairs in the body of a response."""
    yield from _walk(body, BY_OPERATION.get(operation))


def _walk(value: Any, kind: str | None) -> Iterator[tuple[str, str]]:
    """The (kind, id) pairs in a value, which is an object of this kind or a list of them."""
    if isinstance(value, list):
        for item in value:
            yield from _walk(item, kind)
    if not isinstance(value, Mapping):
        return
    if kind is not None and isinstance(value.get("id"), str):
        yield kind, value["id"]
    for name, item in value.items():
        if name in BY_MEMBER and item is not None:
            yield BY_MEMBER[name], item
        elif name not in ("description", "body", "comment") or (isinstance(item, Mapping) and "comments" in item):
            yield from _walk(item, kind if name in LISTS else BY_HOLDER.get(name))


def _reader(path: str, **query: Any) -> Callable[[Site, str], bool]:
    """A function that checks whether GET `path` with an id returns the object with that id.

    `{id}` in the path and `...` in the query are replaced by the id.
    """

    def read(site: Site, id: str) -> bool:
        names = {name.replace("_", "-"): id if value is ... else value for name, value in query.items()}
        response = site.request("GET", path.replace("{id}", id), names)
        if response.status != 200:
            return False
        body = response.body
        items = body if isinstance(body, list) else body.get("results", body.get("issueLinkTypes", [body]))
        return any(id in (item.get("id"), item.get("accountId")) for item in items)

    return read


READERS: Mapping[str, Callable[[Site, str], bool]] = {
    "user": _reader("/rest/api/3/user/search", accountId=...),
    "issue": _reader("/rest/api/3/issue/{id}"),
    "project": _reader("/rest/api/3/project/{id}"),
    "priority": _reader("/rest/api/3/priority"),
    "status": _reader("/rest/api/3/status"),
    "issue type": _reader("/rest/api/3/issuetype"),
    "link type": _reader("/rest/api/3/issueLinkType"),
    "space": _reader("/wiki/api/v2/spaces/{id}"),
    "page": _reader("/wiki/api/v2/pages/{id}", status=EVERY_STATUS),
    "label": _reader("/wiki/api/v2/labels", label_id=...),
}
"""Kind -> its reader. Comments are not read back, because the API has no read for replies."""


def unreadable(site: Site, operation: str, body: Any) -> list[tuple[str, str]]:
    """The (kind, id) pairs of a response that cannot be read back."""
    return [(kind, id) for kind, id in sorted(set(ids_in(operation, body))) if not READERS[kind](site, id)]
