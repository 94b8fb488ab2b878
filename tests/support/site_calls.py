"""Random calls of every operation for a state: valid ones, and the same calls with one value broken.

The functions take a state and Hypothesis's shrinkable `random.Random`. Strategies would need to be built again for each
state, which would take most of a test's time.
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
from tests.support.site import required_fields

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
    """Random choices from the records of a state."""

    def __init__(self, random: Random, state: State) -> None:
        self.random = random
        self.state = state

    def one_of(self, values: Iterable[Any]) -> Any:
        """One of the values; an unknown id if there are none."""
        pool = list(values)
        return self.random.choice(pool) if pool else "999999999"

    def list_of(self, values: Iterable[Any], minimum: int = 0) -> list[Any]:
        """Up to two of the values."""
        pool = list(values)
        return [self.one_of(pool) for _ in range(self.random.randint(minimum, 2))]

    def coin(self) -> bool:
        return self.random.random() < 0.5

    def any_of(self, **values: Any) -> dict[str, Any]:
        """A random selection of the members. Double underscores in names stand for hyphens."""
        return {name.replace("__", "-"): value for name, value in values.items() if self.coin()}

    def issue(self) -> dict[str, Any]:
        """A path to an issue."""
        return {"issueIdOrKey": self.one_of((*self.state.issues, *self.state.issue_keys))}

    def issue_reference(self) -> dict[str, Any]:
        return {"id": self.one_of(self.state.issues)} if self.coin() else {"key": self.one_of(self.state.issue_keys)}

    def project(self) -> str:
        projects = self.state.projects.values()
        return str(self.one_of([name for project in projects for name in (project.id, project.key)]))

    def page(self) -> dict[str, Any]:
        return {"id": self.one_of(self.state.pages)}

    def space(self) -> dict[str, Any]:
        return {"id": self.one_of(self.state.spaces)}

    def document(self) -> dict[str, Any]:
        return document(self.one_of(WORDS))

    def body(self) -> dict[str, Any]:
        """A page's body in one of its three forms."""
        value, text = self.one_of(STORAGE), json.dumps(self.document())
        forms = ({"representation": "storage", "value": value}, {"storage": {"value": value}})
        return dict(self.one_of((*forms, {"representation": "atlas_doc_format", "value": text})))

    def paging(self) -> dict[str, Any]:
        return self.any_of(limit=self.one_of((1, 2, 50)))

    def page_list(self) -> dict[str, Any]:
        return {**self.paging(), **self.any_of(body__format=self.one_of(("storage", "atlas_doc_format")))}


Builder = Callable[[Draw], Call]


def _search(draw: Draw) -> dict[str, Any]:
    jql = draw.one_of(
        [f"project = {p.key}" for p in draw.state.projects.values()] + ["labels IS EMPTY", "summary = x", ""]
    )
    return {"jql": jql, **draw.any_of(fields=draw.list_of(FIELDS), maxResults=draw.one_of((1, 50)))}


def _meta_fields(draw: Draw) -> Call:
    path = {"projectIdOrKey": draw.project(), "issueTypeId": draw.one_of(draw.state.issue_types)}
    return Call("getCreateIssueMetaIssueTypeId", path)


def _user_name(draw: Draw) -> str:
    return str(draw.one_of([user.display_name for user in draw.state.users.values()]))


def _edits(draw: Draw) -> dict[str, Any]:
    return draw.any_of(
        summary=draw.one_of(TEXTS),
        description=draw.document(),
        labels=draw.list_of((*WORDS, *TEXTS)),
        priority={"id": draw.one_of(draw.state.priorities)},
        assignee={"accountId": draw.one_of(draw.state.users)},
        issuetype={"id": draw.one_of(draw.state.issue_types)},
        parent=draw.issue_reference(),
    )


def _create_issue(draw: Draw) -> Call:
    state = draw.state
    kind = draw.one_of(state.issue_types.values())
    parents = [issue for issue in state.issues.values() if state.issue_types[issue.type_id].level == kind.level + 1]
    fields = {"issuetype": {"id": kind.id}, "summary": draw.one_of(TEXTS)}
    if parents and (kind.subtask or draw.coin()):
        parent = draw.one_of(parents)
        fields |= {"project": {"id": parent.project_id}, "parent": {"key": parent.key}}
    else:
        fields["project"] = {"id": draw.one_of(state.projects)}
    return Call("createIssue", body={"fields": fields | draw.any_of(labels=draw.list_of(WORDS))})


def _edit_issue(draw: Draw) -> Call:
    update = {"labels": [{draw.one_of(("add", "remove")): draw.one_of(WORDS)}]}
    body = {"fields": _edits(draw)} if draw.coin() else {"update": update}
    return Call("editIssue", draw.issue(), draw.any_of(returnIssue=True), body)


def _delete_issue(draw: Draw) -> Call:
    return Call("deleteIssue", draw.issue(), draw.any_of(deleteSubtasks=draw.one_of((True, False, "True"))))


def _assign(draw: Draw) -> Call:
    return Call("assignIssue", draw.issue(), body={"accountId": draw.one_of((*draw.state.users, None, "-1"))})


def _worklog(draw: Draw) -> Call:
    return Call("addWorklog", draw.issue(), body={"timeSpent": "1h 30m", **draw.any_of(comment=draw.document())})


def _link(draw: Draw) -> Call:
    kind = {"name": draw.one_of([names[0] for names in draw.state.link_types.values()])}
    ends = {"inwardIssue": draw.issue_reference(), "outwardIssue": draw.issue_reference()}
    return Call("linkIssues", body={"type": kind, **ends})


def _transition(draw: Draw) -> Call:
    issue = draw.one_of(draw.state.issues.values())
    if isinstance(issue, str):
        return Call("doTransition", {"issueIdOrKey": issue}, body={"transition": {"id": "1"}})
    transitions = draw.state.projects[issue.project_id].workflow[issue.status_id]
    transition = draw.one_of(transitions)
    comment = draw.any_of(update={"comment": [{"add": {"body": draw.document()}}]})
    body = {"transition": {"id": transition.id}, **comment, **required_fields(draw.state, transition)}
    return Call("doTransition", {"issueIdOrKey": issue.key}, body=body)


def _pages(draw: Draw) -> dict[str, Any]:
    title = draw.one_of([page.title for page in draw.state.pages.values()])
    return {**draw.page_list(), **draw.any_of(title=title, status=draw.list_of(STATUSES, 1))}


def _one_page(draw: Draw) -> Call:
    flags = draw.any_of(include__labels=draw.coin(), include__versions=draw.coin(), get__draft=draw.coin())
    selection = draw.any_of(status=draw.list_of(STATUSES, 1), version=draw.random.randint(0, 4))
    return Call("getPageById", draw.page(), {**flags, **selection})


def _create_page(draw: Draw) -> Call:
    options = draw.any_of(
        parentId=draw.one_of(draw.state.pages), body=draw.body(), status=draw.one_of(("current", "draft"))
    )
    body = {"spaceId": draw.one_of(draw.state.spaces), "title": draw.one_of(TITLES), **options}
    return Call("createPage", {}, {"root-level": draw.random.random() < 0.2}, body)


def _update_page(draw: Draw) -> Call:
    page = draw.one_of(draw.state.pages.values())
    number = draw.one_of([page.versions[-1].number + 1] * 3 + [1])
    fixed = {"id": page.id, "status": draw.one_of(("current", "current", "draft")), "title": draw.one_of(TITLES)}
    body = {**fixed, "body": draw.body(), "version": {"number": number}}
    return Call("updatePage", {"id": page.id}, {}, {**body, **draw.any_of(parentId=draw.one_of(draw.state.pages))})


def _delete_page(draw: Draw) -> Call:
    return Call("deletePage", draw.page(), draw.any_of(purge=draw.coin(), draft=draw.coin()))


def _comment_page(draw: Draw) -> Call:
    where = {"pageId": draw.one_of(draw.state.pages)}
    if draw.coin():
        where = {"parentCommentId": draw.one_of(draw.state.footer_comments)}
    return Call("createFooterComment", body={**where, "body": draw.body()})


def _add_labels(draw: Draw) -> Call:
    labels = [{"prefix": draw.one_of(("global", "my")), "name": draw.one_of((*WORDS, *TEXTS[:2]))} for _ in range(2)]
    return Call("addLabelsToContent", draw.page(), body=labels if draw.coin() else labels[0])


def _used_label(draw: Draw) -> str:
    return str(draw.one_of([name for page in draw.state.pages.values() for _, name in page.labels]))


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
    "getIssue": lambda draw: Call("getIssue", draw.issue(), draw.any_of(fields=draw.list_of(FIELDS))),
    "getComments": lambda draw: Call(
        "getComments", draw.issue(), draw.any_of(orderBy=draw.one_of(("created", "-created")))
    ),
    "getTransitions": lambda draw: Call("getTransitions", draw.issue(), draw.any_of(expand="transitions.fields")),
    "search": lambda draw: Call("searchAndReconsileIssuesUsingJql", {}, _search(draw)),
    "search by POST": lambda draw: Call("searchAndReconsileIssuesUsingJqlPost", {}, {}, _search(draw)),
    "getProject": lambda draw: Call("getProject", {"projectIdOrKey": draw.project()}),
    "searchProjects": lambda draw: Call("searchProjects", {}, draw.any_of(maxResults=1, query=draw.one_of(WORDS))),
    "types of a project": lambda draw: Call(
        "getIssueTypesForProject", {}, {"projectId": draw.one_of(draw.state.projects)}
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
        "getLabelPages", {"id": draw.one_of(draw.state.label_ids.values())}, draw.page_list()
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


def spoil(draw: Draw, call: Call) -> Call:
    """The call with one value of its path, query or body dropped or replaced by junk."""
    place = draw.one_of(("path", "query", "body"))
    value = getattr(call, place)
    if place == "body" and (not isinstance(value, dict) or draw.coin()):
        return replace(call, body=draw.one_of(JUNK))
    if not value:
        return replace(call, query={"limit": draw.one_of(JUNK), "sort": draw.one_of(TEXTS)})
    name = draw.one_of(sorted(value))
    if place != "path" and draw.coin():
        return replace(call, **{place: {key: item for key, item in value.items() if key != name}})
    return replace(call, **{place: {**value, name: draw.one_of(JUNK)}})
