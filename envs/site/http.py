"""Requests, responses and the route table: which operation answers a method and a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from envs.site.records import State

BASE_URL = "https://synthetic.atlassian.net"
CONFLUENCE_V2 = "/wiki/api/v2"


@dataclass(frozen=True)
class Response:
    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request as an operation's handler sees it."""

    path: Mapping[str, str]
    """The parameters in the path."""
    query: Mapping[str, tuple[str, ...]]
    """Parameter name -> its values, in order."""
    body: Any
    """Parsed JSON."""

    def first(self, name: str, default: str | None = None) -> str | None:
        """The first value of query parameter `name`."""
        values = self.query.get(name)
        return values[0] if values else default

    def values(self, name: str) -> tuple[str, ...]:
        """All values of query parameter `name`, repeated (`a=1&a=2`) or comma-separated (`a=1,2`)."""
        return tuple(part.strip() for value in self.query.get(name, ()) for part in value.split(",") if part.strip())


class ApiError(Exception):
    """Ends an operation with an error response, which `dispatch` makes from it."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


def jira_error(status: int, /, *messages: str, **errors: str) -> ApiError:
    """Jira's `ErrorCollection`: general messages, and messages by field."""
    return ApiError(status, {"errorMessages": list(messages), "errors": errors})


def confluence_error(status: int, code: str, title: str, detail: str | None = None) -> ApiError:
    """Confluence v2's error list."""
    return ApiError(status, {"errors": [{"status": status, "code": code, "title": title, "detail": detail}]})


def confluence_v1_error(status: int, message: str) -> ApiError:
    return ApiError(status, {"statusCode": status, "message": message})


Handler = Callable[[State, Request], Response]


@dataclass(frozen=True)
class Operation:
    """One operation of the API."""

    id: str
    """The `operationId` in Atlassian's OpenAPI documents."""
    method: str
    path: str
    """Template such as `/rest/api/3/issue/{issueIdOrKey}`."""
    handler: Handler
    segments: tuple[str, ...]
    """The template's parts between slashes."""


OPERATIONS: dict[str, Operation] = {}
"""All operations by id."""


def operation(id: str, method: str, path: str) -> Callable[[Handler], Handler]:
    """Registers the decorated function as the handler of an operation."""

    def register(handler: Handler) -> Handler:
        OPERATIONS[id] = Operation(id, method, path, handler, tuple(path.strip("/").split("/")))
        return handler

    return register


def fill(template: str, values: Mapping[str, Any]) -> str:
    """The path of `template` with percent-encoded values in place of its parameters."""
    for name, value in values.items():
        template = template.replace("{" + name + "}", quote(str(value), safe="", errors="surrogatepass"))
    return template


def normalise_query(query: Mapping[str, Any] | None) -> dict[str, tuple[str, ...]]:
    """Query values as text: a list gives several values, booleans are lower case, None is dropped."""
    result = {}
    for name, value in (query or {}).items():
        values = value if isinstance(value, list | tuple) else [value]
        result[str(name)] = tuple(_text(item) for item in values if item is not None)
    return {name: values for name, values in result.items() if values}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def dispatch(state: State, method: str, path: str, query: Mapping[str, Any] | None, body: Any) -> Response:
    """Answers one request. An unknown path is a 404, a known path with another method a 405.

    The path may have a query string, as the relative links in responses do.
    """
    path, _, text = path.partition("?")
    parameters = normalise_query(query)
    for name, value in parse_qsl(text, keep_blank_values=True):
        parameters[name] = (*parameters.get(name, ()), value)
    # Drop only the leading slash: an empty last segment is an empty id and does not name the list.
    segments = path.removeprefix("/").split("/")
    if segments[:3] == ["rest", "api", "latest"]:
        segments[2] = "3"
    if segments == ["rest", "api", "3", "search"]:
        message = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
        return Response(410, {"errorMessages": [message], "errors": {}})
    matches = [(op, params) for op in OPERATIONS.values() if (params := _match(op.segments, segments)) is not None]
    if not matches:
        return _failure(path, 404, "Not Found")
    matches = [match for match in matches if match[0].method == method.upper()]
    if not matches:
        return _failure(path, 405, "Method Not Allowed")
    # Literal segments win over parameters (`/issue/createmeta/...` before `/issue/{issueIdOrKey}/...`).
    match, params = min(matches, key=lambda match: len(match[1]))
    request = Request(params, parameters, body)
    try:
        return match.handler(state, request)
    except ApiError as error:
        return Response(error.status, error.body)


def _match(template: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    """The path parameters if the segments match the template, otherwise None."""
    if len(template) != len(segments):
        return None
    params = {}
    for pattern, segment in zip(template, segments, strict=True):
        if pattern.startswith("{"):
            params[pattern[1:-1]] = unquote(segment)
        elif pattern != segment:
            return None
    return params


def _failure(path: str, status: int, title: str) -> Response:
    if path.startswith(CONFLUENCE_V2):
        error = confluence_error(status, title.upper().replace(" ", "_"), title)
        return Response(status, error.body)
    if path.startswith("/wiki/"):
        return Response(status, {"statusCode": status, "message": title})
    return Response(status, {"errorMessages": [title], "errors": {}})
