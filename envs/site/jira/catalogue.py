"""Jira's site-wide lists (priorities, labels) and the server's version."""

from __future__ import annotations

from envs.site.http import BASE_URL, Request, Response, operation
from envs.site.jira.parameters import page
from envs.site.jira.render import timestamp
from envs.site.records import State

VERSION = (1001, 0, 0)
_BUILD = 100300


@operation("getPriorities", "GET", "/rest/api/3/priority")
def get_priorities(state: State, request: Request) -> Response:
    return Response(200, [{"name": name, "id": number} for number, name in state.priorities.items()])


@operation("getAllLabels", "GET", "/rest/api/3/label")
def get_all_labels(state: State, request: Request) -> Response:
    labels = sorted({label for issue in state.issues.values() for label in issue.labels})
    labels_page, position = page(request, labels, default=1000, limit=1000)
    last = position["startAt"] + len(labels_page) >= position["total"]
    return Response(200, {"values": labels_page, "isLast": last, **position})


@operation("getServerInfo", "GET", "/rest/api/3/serverInfo")
def get_server_info(state: State, request: Request) -> Response:
    body = {
        "baseUrl": BASE_URL,
        "version": ".".join(map(str, VERSION)),
        "versionNumbers": list(VERSION),
        "deploymentType": "Cloud",
        "buildNumber": _BUILD,
        "serverTime": timestamp(state.clock),
        "serverTitle": "Jira",
    }
    return Response(200, body)
