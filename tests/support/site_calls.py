"""Calls of every operation for a given state: valid ones, and the same ones broken in one place.

They are built by plain functions of a state and Hypothesis's shrinkable `random.Random`: strategies made anew for each
state would cost more than all the rest of a test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from envs.site.adf import document
from envs.site.http import OPERATIONS, Response, fill
from envs.site.records import State
from envs.site.site import Site

JUNK: tuple[Any, ...] = (
    None,
    True,
    "",
    "x",
    "0",
    "999999999",
    5,
    -1,
    1.5,
    2**70,
    [],
    {},
    ["x"],
    {"id": "x"},
    {"value": 5},
)
TEXTS = ("alpha", "Beta", "two words", "é", "&<>", "a/b", "x" * 300)
WORDS = ("alpha", "beta", "gamma-1", "Delta")
TITLES = ("North", "South", "north", "East & West", "Harbour plan")
STORAGE = ("<p>x</p>", "<h1>a</h1><ul><li>b</li></ul>", "plain", "")
FIELDS = ("summary", "*all", "parent", "subtasks", "issuelinks", "comment", "labels")
STATUSES = ("current", "archived", "trashed", "draft")


@dataclass(frozen=True)
class Call:
    operation: str
    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None

    @property
    def reads(self) -> bool:
        return OPERATIONS[self.operation].method == "GET" or self.operation.endswith("JqlPost")

    def send(self, site: Site) -> Response:
        operation = OPERATIONS[self.operation]
        return site.request(operation.method, fill(operation.path, self.path), self.query, self.body)


class Draw:
    """Choices among what a state holds."""

    def __init__(self, random: Random, state: State) -> None:
        self.random = random
        self.state = state

    def some(self, values: Iterable[Any]) -> Any:
        """One of the values; an unknown id when there are none."""
        found = list(values)
        return self.random.choice(found) if found else "999999999"

    def several(self, values: Iterable[Any], least: int = 0) -> list[Any]:
        found = list(values)
        return [self.some(found) for _ in range(self.random.randint(least, 2))]

    def coin(self) -> bool:
        return self.random.random() < 0.5

    def any_of(self, **values: Any) -> dict[str, Any]:
        """Some of the members; hyphens stand for double underscores."""
        return {name.replace("__", "-"): value for name, value in values.items() if self.coin()}

    def issue(self) -> dict[str, Any]:
        """A path to an issue."""
        return {"issueIdOrKey": self.some((*self.state.issues, *self.state.issue_keys))}

    def issue_reference(self) -> dict[str, Any]:
        return {"id": self.some(self.state.issues)} if self.coin() else {"key": self.some(self.state.issue_keys)}

    def project(self) -> str:
        return str(self.some([name for project in self.state.projects.values() for name in (project.id, project.key)]))

    def page(self) -> dict[str, Any]:
        return {"id": self.some(self.state.pages)}

    def space(self) -> dict[str, Any]:
        return {"id": self.some(self.state.spaces)}

    def document(self) -> dict[str, Any]:
        return document(self.some(WORDS))

    def body(self) -> dict[str, Any]:
        """A page's body in one of its three forms."""
        value, text = self.some(STORAGE), json.dumps(self.document())
        forms = ({"representation": "storage", "value": value}, {"storage": {"value": value}})
        return dict(self.some((*forms, {"representation": "atlas_doc_format", "value": text})))

    def paging(self) -> dict[str, Any]:
        return self.any_of(limit=self.some((1, 2, 50)))

    def page_list(self) -> dict[str, Any]:
        return {**self.paging(), **self.any_of(body__format=self.some(("storage", "atlas_doc_format")))}


Builder = Callable[[Draw], Call]


def _search(draw: Draw) -> dict[str, Any]:
    jql = draw.some(
        [f"project = {p.key}" for p in draw.state.projects.values()] + ["labels IS EMPTY", "summary = x", ""]
    )
    return {"jql": jql, **draw.any_of(fields=draw.several(FIELDS), maxResults=draw.some((1, 50)))}


def _meta_fields(draw: Draw) -> Call:
    path = {"projectIdOrKey": draw.project(), "issueTypeId": draw.some(draw.state.issue_types)}
    return Call("getCreateIssueMetaIssueTypeId", path)


def _user_name(draw: Draw) -> str:
    return str(draw.some([user.display_name for user in draw.state.users.values()]))


def _edits(draw: Draw) -> dict[str, Any]:
    return draw.any_of(
        summary=draw.some(TEXTS),
        description=draw.document(),
        labels=draw.several((*WORDS, *TEXTS)),
        priority={"id": draw.some(draw.state.priorities)},
        assignee={"accountId": draw.some(draw.state.users)},
        issuetype={"id": draw.some(draw.state.issue_types)},
        parent=draw.issue_reference(),
    )


def _create_issue(draw: Draw) -> Call:
    state = draw.state
    kind = draw.some(state.issue_types.values())
    parents = [issue for issue in state.issues.values() if state.issue_types[issue.type_id].level == kind.level + 1]
    fields = {"issuetype": {"id": kind.id}, "summary": draw.some(TEXTS)}
    if parents and (kind.subtask or draw.coin()):
        parent = draw.some(parents)
        fields |= {"project": {"id": parent.project_id}, "parent": {"key": parent.key}}
    else:
        fields["project"] = {"id": draw.some(state.projects)}
    return Call("createIssue", body={"fields": fields | draw.any_of(labels=draw.several(WORDS))})


def _edit_issue(draw: Draw) -> Call:
    update = {"labels": [{draw.some(("add", "remove")): draw.some(WORDS)}]}
    body = {"fields": _edits(draw)} if draw.coin() else {"update": update}
    return Call("editIssue", draw.issue(), draw.any_of(returnIssue=True), body)


def _delete_issue(draw: Draw) -> Call:
    return Call("deleteIssue", draw.issue(), draw.any_of(deleteSubtasks=draw.some((True, False, "True"))))


def _assign(draw: Draw) -> Call:
    return Call("assignIssue", draw.issue(), body={"accountId": draw.some((*draw.state.users, None, "-1"))})


def _worklog(draw: Draw) -> Call:
    return Call("addWorklog", draw.issue(), body={"timeSpent": "1h 30m", **draw.any_of(comment=draw.document())})


def _link(draw: Draw) -> Call:
    kind = {"name": draw.some([names[0] for names in draw.state.link_types.values()])}
    ends = {"inwardIssue": draw.issue_reference(), "outwardIssue": draw.issue_reference()}
    return Call("linkIssues", body={"type": kind, **ends})


def _transition(draw: Draw) -> Call:
    issue = draw.some(draw.state.issues.values())
    if isinstance(issue, str):
        return Call("doTransition", {"issueIdOrKey": issue}, body={"transition": {"id": "1"}})
    offered = draw.state.projects[issue.project_id].workflow[issue.status_id]
    body = {"transition": {"id": draw.some(offered).id}}
    comment = {"comment": [{"add": {"body": draw.document()}}]}
    return Call("doTransition", {"issueIdOrKey": issue.key}, body={**body, **draw.any_of(update=comment)})


def _pages(draw: Draw) -> dict[str, Any]:
    title = draw.some([page.title for page in draw.state.pages.values()])
    return {**draw.page_list(), **draw.any_of(title=title, status=draw.several(STATUSES, 1))}


def _one_page(draw: Draw) -> Call:
    flags = draw.any_of(include__labels=draw.coin(), include__versions=draw.coin(), get__draft=draw.coin())
    more = draw.any_of(status=draw.several(STATUSES, 1), version=draw.random.randint(0, 4))
    return Call("getPageById", draw.page(), {**flags, **more})


def _create_page(draw: Draw) -> Call:
    more = draw.any_of(parentId=draw.some(draw.state.pages), body=draw.body(), status=draw.some(("current", "draft")))
    body = {"spaceId": draw.some(draw.state.spaces), "title": draw.some(TITLES), **more}
    return Call("createPage", {}, {"root-level": draw.random.random() < 0.2}, body)


def _update_page(draw: Draw) -> Call:
    page = draw.some(draw.state.pages.values())
    number = draw.some([page.versions[-1].number + 1] * 3 + [1])
    fixed = {"id": page.id, "status": draw.some(("current", "current", "draft")), "title": draw.some(TITLES)}
    body = {**fixed, "body": draw.body(), "version": {"number": number}}
    return Call("updatePage", {"id": page.id}, {}, {**body, **draw.any_of(parentId=draw.some(draw.state.pages))})


def _delete_page(draw: Draw) -> Call:
    return Call("deletePage", draw.page(), draw.any_of(purge=draw.coin(), draft=draw.coin()))


def _comment_page(draw: Draw) -> Call:
    where = {"pageId": draw.some(draw.state.pages)}
    if draw.coin():
        where = {"parentCommentId": draw.some(draw.state.footer_comments)}
    return Call("createFooterComment", body={**where, "body": draw.body()})


def _add_labels(draw: Draw) -> Call:
    labels = [{"prefix": draw.some(("global", "my")), "name": draw.some((*WORDS, *TEXTS[:2]))} for _ in range(2)]
    return Call("addLabelsToContent", draw.page(), body=labels if draw.coin() else labels[0])


def _used_label(draw: Draw) -> str:
    return str(draw.some([name for page in draw.state.pages.values() for _, name in page.labels]))


READS: Mapping[str, Builder] = {
    **{
        name: lambda draw, name=name: Call(name)  # type: ignore[misc]
        for name in (
            *("getFields", "getCurrentUser", "getPriorities", "getAllLabels", "getIssueLinkTypes", "getStatuses"),
            *("getServerInfo", "getIssueAllTypes"),
        )
    },
    **{
        name: lambda draw, name=name: Call(name, draw.space(), draw.paging())  # type: ignore[misc]
        for name in ("getSpaceLabels", "getSpaceContentLabels")
    },
    **{
        name: lambda draw, name=name: Call(name, draw.page(), draw.paging())  # type: ignore[misc]
        for name in ("getPageLabels", "getChildPages", "getPageDirectChildren", "getLabelsForContent")
    },
    **{
        name: lambda draw, name=name: Call(name, {}, draw.paging())  # type: ignore[misc]
        for name in ("getLabels", "getAttachments", "getSpaces")
    },
    **{
        name: lambda draw, name=name: Call(name, draw.page(), draw.page_list())  # type: ignore[misc]
        for name in ("getPageVersions", "getPageFooterComments")
    },
    "getIssue": lambda draw: Call("getIssue", draw.issue(), draw.any_of(fields=draw.several(FIELDS))),
    "getComments": lambda draw: Call(
        "getComments", draw.issue(), draw.any_of(orderBy=draw.some(("created", "-created")))
    ),
    "getTransitions": lambda draw: Call("getTransitions", draw.issue(), draw.any_of(expand="transitions.fields")),
    "search": lambda draw: Call("searchAndReconsileIssuesUsingJql", {}, _search(draw)),
    "search by POST": lambda draw: Call("searchAndReconsileIssuesUsingJqlPost", {}, {}, _search(draw)),
    "getProject": lambda draw: Call("getProject", {"projectIdOrKey": draw.project()}),
    "searchProjects": lambda draw: Call("searchProjects", {}, draw.any_of(maxResults=1, query=draw.some(WORDS))),
    "types of a project": lambda draw: Call(
        "getIssueTypesForProject", {}, {"projectId": draw.some(draw.state.projects)}
    ),
    "types to create": lambda draw: Call("getCreateIssueMetaIssueTypes", {"projectIdOrKey": draw.project()}),
    "fields to create": _meta_fields,
    "findUsers": lambda draw: Call("findUsers", {}, {"query": _user_name(draw)}),
    "assignable": lambda draw: Call(
        "findAssignableUsers", {}, {"project": draw.project(), **draw.any_of(maxResults=1)}
    ),
    "getSpaceById": lambda draw: Call("getSpaceById", draw.space(), draw.any_of(include__labels=draw.coin())),
    "getPages": lambda draw: Call("getPages", {}, _pages(draw)),
    "pages in space": lambda draw: Call("getPagesInSpace", draw.space(), {**_pages(draw), **draw.any_of(depth="root")}),
    "getPageById": _one_page,
    "pages of a label": lambda draw: Call(
        "getLabelPages", {"id": draw.some(draw.state.label_ids.values())}, draw.page_list()
    ),
}
WRITES: Mapping[str, Builder] = {
    "createIssue": _create_issue,
    "editIssue": _edit_issue,
    "deleteIssue": _delete_issue,
    "assignIssue": _assign,
    "addComment": lambda draw: Call("addComment", draw.issue(), body={"body": draw.document()}),
    "addWorklog": _worklog,
    "linkIssues": _link,
    "doTransition": _transition,
    "createPage": _create_page,
    "updatePage": _update_page,
    "deletePage": _delete_page,
    "createFooterComment": _comment_page,
    "addLabelsToContent": _add_labels,
    "remove a label": lambda draw: Call("removeLabelFromContent", {**draw.page(), "label": _used_label(draw)}),
    "remove a label by query": lambda draw: Call(
        "removeLabelFromContentUsingQueryParameter", draw.page(), {"name": _used_label(draw)}
    ),
}


def broken(draw: Draw, call: Call) -> Call:
    """The call with one of its path, query or body values dropped or replaced by junk."""
    place = draw.some(("path", "query", "body"))
    value = getattr(call, place)
    if place == "body" and (not isinstance(value, dict) or draw.coin()):
        return replace(call, body=draw.some(JUNK))
    if not value:
        return replace(call, query={"limit": draw.some(JUNK), "sort": draw.some(TEXTS)})
    name = draw.some(sorted(value))
    if place != "path" and draw.coin():
        return replace(call, **{place: {key: item for key, item in value.items() if key != name}})
    return replace(call, **{place: {**value, name: draw.some(JUNK)}})
