"""Requests of every operation for the records of a state, each with the status of its response."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from envs.site.adf import document
from envs.site.http import OPERATIONS, Response, fill
from envs.site.records import Issue, Page, State
from envs.site.site import Site
from tests.support.site import required_fields


@dataclass(frozen=True)
class Case:
    """A request and the status of its response."""

    operation: str
    status: int
    path: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    lenient: bool = False
    """Whether the site, like real sites, accepts a body that the document forbids."""

    def send(self, site: Site) -> Response:
        operation = OPERATIONS[self.operation]
        return site.request(operation.method, fill(operation.path, self.path), self.query, self.body)


def parts(state: State) -> tuple[Issue, Issue, Page, Page]:
    """(a standard issue, a sub-task, a homepage, a page below it)."""
    levels = {number: kind.level for number, kind in state.issue_types.items()}
    standard = next(i for i in state.issues.values() if levels[i.type_id] == 0)
    subtask = next(i for i in state.issues.values() if levels[i.type_id] < 0)
    home = next(p for p in state.pages.values() if p.parent_id is None)
    return standard, subtask, home, next(p for p in state.pages.values() if p.parent_id == home.id)


def is_complete(state: State) -> bool:
    """Whether the state still has the records that the cases need."""
    subtasks = [issue for issue in state.issues.values() if state.issue_types[issue.type_id].subtask]
    labelled = [page for page in state.pages.values() if page.labels]
    return bool(subtasks and labelled)


def jira_reads(state: State) -> Iterator[Case]:
    issue, subtask, _, _ = parts(state)
    project = state.projects[issue.project_id]
    path = {"issueIdOrKey": issue.key}
    for name in ("getFields", "getCurrentUser", "getPriorities", "getAllLabels", "getIssueLinkTypes", "getStatuses"):
        yield Case(name, 200)
    yield from (Case("getServerInfo", 200), Case("getIssueAllTypes", 200))
    yield from (Case("getIssue", 200, {"issueIdOrKey": number}) for number in (*state.issues, subtask.key))
    yield Case("getIssue", 200, path, {"fields": ["*all"], "expand": "names"})
    yield from (Case("getIssue", 200, path, {"expand": f"transitions{more}"}) for more in ("", ".fields"))
    yield Case("getIssue", 200, path, {"fields": "summary,status,-status"})
    yield Case("getIssue", 404, {"issueIdOrKey": "XX-1"})
    yield from (Case("getComments", 200, path, {"orderBy": order}) for order in ("created", "-created"))
    yield from (Case("getComments", 404, {"issueIdOrKey": "0"}), Case("getComments", 400, path, {"orderBy": "id"}))
    yield from (Case("getTransitions", 200, {"issueIdOrKey": number}) for number in state.issues)
    yield Case("getTransitions", 200, path, {"expand": "transitions.fields"})
    yield from (
        Case("getTransitions", 200, path, {"transitionId": "0"}),
        Case("getTransitions", 404, {"issueIdOrKey": "x"}),
    )
    for name in (project.id, project.key):
        yield Case("getProject", 200, {"projectIdOrKey": name}, {"expand": "lead,issueTypes"})
        yield Case("getCreateIssueMetaIssueTypes", 200, {"projectIdOrKey": name})
        for kind in project.issue_types:
            yield Case("getCreateIssueMetaIssueTypeId", 200, {"projectIdOrKey": name, "issueTypeId": kind})
    yield Case("getProject", 404, {"projectIdOrKey": "NOPE"})
    yield Case("getCreateIssueMetaIssueTypes", 400, {"projectIdOrKey": "NOPE"})
    yield Case("getCreateIssueMetaIssueTypeId", 400, {"projectIdOrKey": project.key, "issueTypeId": "1"})
    yield Case("searchProjects", 200)
    yield Case("searchProjects", 200, {}, {"maxResults": 1, "expand": "lead,issueTypes", "orderBy": "-name"})
    yield Case("searchProjects", 400, {}, {"orderBy": "colour"})
    yield Case("getIssueTypesForProject", 200, {}, {"projectId": project.id})
    yield from (Case("getIssueTypesForProject", 404, {}, {"projectId": 1}), Case("getIssueTypesForProject", 400))
    yield Case("findUsers", 200, {}, {"query": state.users[state.current_user].display_name})
    yield Case("findUsers", 400)
    yield Case("findAssignableUsers", 200, {}, {"project": project.key, "query": ""})
    yield Case("findAssignableUsers", 200, {}, {"issueKey": issue.key, "maxResults": 1})
    yield from (Case("findAssignableUsers", 400), Case("findAssignableUsers", 404, {}, {"project": "NOPE"}))
    yield from searches(project.key)


def searches(key: str) -> Iterator[Case]:
    for name in ("searchAndReconsileIssuesUsingJql", "searchAndReconsileIssuesUsingJqlPost"):
        for jql, status in (
            (f"project = {key} ORDER BY key", 200),
            ("", 400),
            ("project = ", 400),
            ("summary = x", 400),
        ):
            for fields in ([], ["summary", "status"], ["*all"]):
                parameters = {"jql": jql, "maxResults": 3, **({"fields": fields} if fields else {})}
                place = "body" if name.endswith("Post") else "query"
                yield Case(name, status, **{place: parameters})


def jira_writes(state: State) -> Iterator[Case]:
    issue, subtask, _, _ = parts(state)
    project, path = state.projects[issue.project_id], {"issueIdOrKey": issue.id}
    kinds = {kind.name: kind.id for kind in state.issue_types.values()}
    fields = {"project": {"key": project.key}, "issuetype": {"id": kinds["Task"]}, "summary": "New"}
    yield Case("createIssue", 201, body={"fields": fields})
    options = {"description": document("Why"), "labels": ["a"], "priority": {"name": "High"}}
    yield Case("createIssue", 201, body={"fields": {**fields, **options, "assignee": {"id": issue.reporter}}})
    yield Case(
        "createIssue", 201, body={"fields": {**fields, "issuetype": {"name": "Sub-task"}, "parent": {"key": issue.key}}}
    )
    yield from (Case("createIssue", 400, body={"fields": {}}), Case("createIssue", 400, body=None, lenient=True))
    yield Case("createIssue", 400, body={"fields": {**fields, "description": "plain"}})
    yield Case("editIssue", 204, path, body={"fields": {"summary": "Other"}})
    yield Case("editIssue", 200, path, {"returnIssue": True}, {"update": {"labels": [{"add": "fresh"}]}})
    yield Case("editIssue", 400, path, body={"fields": {"labels": ["x y"]}})
    yield Case("editIssue", 404, {"issueIdOrKey": "XX-1"}, body={"fields": {"summary": "Other"}})
    yield Case("assignIssue", 204, path, body={"accountId": issue.reporter})
    yield Case("assignIssue", 204, path, body={"accountId": None}, lenient=True)
    yield from (
        Case("assignIssue", 400, path, body={"accountId": "nobody"}),
        Case("assignIssue", 404, {"issueIdOrKey": "0"}, body={}),
    )
    yield from (
        Case("addComment", 201, path, body={"body": document("Hi")}),
        Case("addComment", 400, path, body={"body": "Hi"}),
    )
    yield Case("addComment", 404, {"issueIdOrKey": "0"}, body={"body": document("Hi")})
    for transition in project.workflow[issue.status_id]:
        body = {"transition": {"id": transition.id}}
        yield Case("doTransition", 204, path, body={**body, **required_fields(state, transition)})
        if transition.required:
            yield Case("doTransition", 400, path, body=body)
    yield from (
        Case("doTransition", 400, path, body={"transition": {"id": "9999"}}),
        Case("doTransition", 400, path, body={}),
    )
    yield Case("doTransition", 404, {"issueIdOrKey": "0"}, body={"transition": {"id": "11"}})
    yield Case("addWorklog", 201, path, body={"timeSpent": "1h 30m", "comment": document("Done")})
    yield Case("addWorklog", 201, path, body={"timeSpentSeconds": 60, "started": "2026-01-05T09:30:00.000+0000"})
    yield from (
        Case("addWorklog", 400, path, body={}),
        Case("addWorklog", 404, {"issueIdOrKey": "0"}, body={"timeSpent": "1h"}),
    )
    ends = {"inwardIssue": {"key": issue.key}, "outwardIssue": {"key": subtask.key}}
    yield Case("linkIssues", 201, body={"type": {"name": "Relates"}, **ends})
    yield Case("linkIssues", 404, body={"type": {"name": "Nothing"}, **ends})
    yield Case("linkIssues", 400, body={"type": {"name": "Relates"}}, lenient=True)
    yield from (
        Case("deleteIssue", 204, {"issueIdOrKey": subtask.key}),
        Case("deleteIssue", 404, {"issueIdOrKey": "XX-1"}),
    )
    parent = {"issueIdOrKey": subtask.parent_id}
    yield from (Case("deleteIssue", 400, parent), Case("deleteIssue", 204, parent, {"deleteSubtasks": "True"}))


def confluence_reads(state: State) -> Iterator[Case]:
    _, _, home, below = parts(state)
    space, path = {"id": home.space_id}, {"id": below.id}
    bodies = ("storage", "atlas_doc_format")
    yield Case("getSpaces", 200)
    yield Case("getSpaces", 200, {}, {"limit": 1, "sort": "-name", "keys": [s.key for s in state.spaces.values()]})
    yield from (
        Case("getSpaces", 400, {}, {"limit": 0}),
        Case("getSpaceById", 400, {"id": "DOC"}),
        Case("getSpaceById", 404, {"id": 1}),
    )
    includes = ("labels", "operations", "properties", "permissions")
    yield Case("getSpaceById", 200, space, {f"include-{name}": True for name in includes})
    for name in ("getSpaceLabels", "getSpaceContentLabels"):
        yield from (Case(name, 200, space), Case(name, 400, space, {"prefix": "other"}), Case(name, 404, {"id": 1}))
    for body_format in bodies:
        yield Case("getPagesInSpace", 200, space, {"body-format": body_format, "limit": 2, "sort": "-modified-date"})
        yield Case("getPages", 200, {}, {"body-format": body_format, "title": below.title, "space-id": [home.space_id]})
        yield Case("getPageVersions", 200, path, {"body-format": body_format, "limit": 1})
        yield Case("getPageFooterComments", 200, path, {"body-format": body_format})
    yield from (Case("getPagesInSpace", 404, {"id": 1}), Case("getPagesInSpace", 400, space, {"depth": "x"}))
    yield from (
        Case("getPages", 400, {}, {"sort": "colour"}),
        Case("getPages", 200, {}, {"status": ["trashed", "current"]}),
    )
    for body_format in (*bodies, "view", "export_view"):
        yield Case("getPageById", 200, path, {"body-format": body_format})
    names = (
        "labels",
        "properties",
        "operations",
        "likes",
        "versions",
        "favorited-by-current-user-status",
        "webresources",
    )
    yield Case("getPageById", 200, path, {f"include-{name}": True for name in names})
    yield Case("getPageById", 200, path, {"version": 1, "include-version": False})
    yield from (Case("getPageById", 400, {"id": "Docs"}), Case("getPageById", 404, {"id": 1}))
    for name, unknown_status in (("getChildPages", 400), ("getPageDirectChildren", 404)):
        yield Case(name, 200, {"id": home.id}, {"limit": 1})
        yield from (Case(name, 400, {"id": "x"}), Case(name, unknown_status, {"id": 1}))
    for name in ("getPageVersions", "getPageFooterComments", "getPageLabels"):
        yield from (Case(name, 400, path, {"sort": "colour"}), Case(name, 404, {"id": 1}))
    yield from (
        Case("getAttachments", 200, {}, {"mediaType": "image/png"}),
        Case("getAttachments", 400, {}, {"limit": 251}),
    )
    yield from (Case("getLabels", 200, {}, {"limit": 1}), Case("getLabels", 400, {}, {"label-id": "x"}))
    yield from label_reads(state)


def label_reads(state: State) -> Iterator[Case]:
    for page in state.pages.values():
        yield from (Case("getPageLabels", 200, {"id": page.id}), Case("getLabelsForContent", 200, {"id": page.id}))
    yield from (Case("getLabelPages", 200, {"id": number}, {"limit": 1}) for number in state.label_ids.values())
    yield from (Case("getLabelPages", 404, {"id": 1}), Case("getLabelPages", 400, {"id": "x"}))
    yield Case("getLabelsForContent", 404, {"id": "1"})


def confluence_writes(state: State) -> Iterator[Case]:
    _, _, home, below = parts(state)
    path, flat = {"id": below.id}, {"representation": "storage", "value": "<p>Hi</p>"}
    new = {"spaceId": home.space_id, "title": "Entirely new"}
    for body in (
        flat,
        {"storage": {"value": "x"}},
        {"representation": "atlas_doc_format", "value": json.dumps(document("Hi"))},
    ):
        yield Case("createPage", 200, body={**new, "parentId": below.id, "body": body})
        yield Case("createFooterComment", 201, body={"pageId": below.id, "body": body})
    yield from (
        Case("createPage", 200, {}, {"root-level": True}, new),
        Case("createPage", 200, body={**new, "status": "draft"}),
    )
    yield Case("createPage", 200, body={**new, "spaceId": int(home.space_id)}, lenient=True)
    yield from (
        Case("createPage", 400, body={**new, "title": below.title}),
        Case("createPage", 400, body=[], lenient=True),
    )
    yield from (
        Case("createPage", 404, body={**new, "spaceId": "1"}),
        Case("createPage", 400, body={**new, "spaceId": "DOC"}),
    )
    yield Case("createFooterComment", 404, body={"pageId": "1", "body": flat})
    yield Case("createFooterComment", 400, body={"body": flat})
    number = below.versions[-1].number
    change = {
        "id": below.id,
        "status": "current",
        "title": "Entirely new",
        "body": flat,
        "version": {"number": number + 1},
    }
    yield Case("updatePage", 200, path, body={**change, "parentId": home.id})
    yield Case("updatePage", 409, path, body={**change, "version": {"number": number}})
    yield Case("updatePage", 200, path, body={**change, "status": "draft", "version": {"number": 1, "message": "m"}})
    yield from (
        Case("updatePage", 400, path, body={**change, "id": home.id}),
        Case("updatePage", 404, {"id": 1}, body=change),
    )
    yield from (
        Case("deletePage", 204, path),
        Case("deletePage", 404, {"id": 1}),
        Case("deletePage", 400, {"id": home.id}),
    )
    labels = [{"prefix": "global", "name": "first"}, {"prefix": "my", "name": "first"}]
    yield from (
        Case("addLabelsToContent", 200, path, body=labels),
        Case("addLabelsToContent", 200, path, body=labels[0]),
    )
    yield Case("addLabelsToContent", 400, path, body=[{"prefix": "global", "name": "x y"}])
    yield Case("addLabelsToContent", 404, {"id": "1"}, body=labels)
    labelled = next(page for page in state.pages.values() if page.labels)
    name = labelled.labels[0][1]
    yield Case("removeLabelFromContent", 204, {"id": labelled.id, "label": name})
    yield from (
        Case("removeLabelFromContent", 404, {**path, "label": "none"}),
        Case("removeLabelFromContent", 400, {**path, "label": "a/b"}),
    )
    yield Case("removeLabelFromContentUsingQueryParameter", 204, {"id": labelled.id}, {"name": name})
    yield Case("removeLabelFromContentUsingQueryParameter", 404, {"id": "1"}, {"name": name})


def cases(state: State) -> list[Case]:
    return [*jira_reads(state), *jira_writes(state), *confluence_reads(state), *confluence_writes(state)]
