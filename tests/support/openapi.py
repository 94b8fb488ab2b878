"""Checks responses and requests against Atlassian's OpenAPI documents in the folder GRPO_REFERENCE_DIR.

The documents are wrong or incomplete in three places, for which this module has special rules: a body that is `oneOf` a
flat and a nested form without required members; `parentId` and `parentType`, which may be null; and errors, most of
which have no schema.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from envs.site import adf
from envs.site.http import Response

FILES = {
    "jira-v3-subset.json": "",
    "confluence-v2-subset.json": "/wiki/api/v2",
    "confluence-v1-labels-subset.json": "",
}
"""Document -> the prefix of its paths."""
NULL_ALLOWED = {"parentId", "parentType"}
SUCCESSORS = {"getPageDirectChildren": "getChildPages"}
"""Operation that is missing in the documents -> the operation with the same schema."""
KNOWN_STATUSES = {"getPageDirectChildren": {"404"}, "updatePage": {"409"}}
"""Operation -> statuses that real sites return although the document does not list them."""

JIRA_ERROR = {
    "type": "object",
    "properties": {
        "errorMessages": {"type": "array", "items": {"type": "string"}},
        "errors": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["errorMessages", "errors"],
    "additionalProperties": False,
}
CONFLUENCE_ERROR = {
    "type": "object",
    "properties": {
        "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "status": {"type": "integer"},
                    "code": {"type": "string"},
                    "title": {"type": "string"},
                    "detail": {"type": ["string", "null"]},
                },
                "required": ["status", "code", "title", "detail"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["errors"],
    "additionalProperties": False,
}
CONFLUENCE_V1_ERROR = {
    "type": "object",
    "properties": {"statusCode": {"type": "integer"}, "message": {"type": "string"}},
    "required": ["statusCode", "message"],
    "additionalProperties": False,
}

ERRORS: Mapping[str, Mapping[str, Any]] = {
    "jira": JIRA_ERROR,
    "confluence": CONFLUENCE_ERROR,
    "confluence_v1": CONFLUENCE_V1_ERROR,
}

FIELD_COMPONENTS = {
    "assignee": "UserDetails",
    "reporter": "UserDetails",
    "priority": "Priority",
    "status": "StatusDetails",
    "issuetype": "IssueTypeDetails",
    "project": "ProjectDetails",
    "parent": "LinkedIssue",
    "subtasks": "LinkedIssue",
    "comment": "PageOfComments",
}
"""Field of an issue -> the component schema of its value, or of the items if it is a list."""
NULLABLE_FIELDS = {"assignee", "reporter"}
_DATE_TIME = {"type": "string", "format": "date-time"}
FIELD_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "summary": {"type": "string"},
    "labels": {"type": "array", "items": {"type": "string", "pattern": r"^\S+$"}, "uniqueItems": True},
    "created": _DATE_TIME,
    "updated": _DATE_TIME,
    "description": {"type": ["object", "null"]},
    "resolution": {"type": ["object", "null"], "required": ["name", "id"]},
    "issuelinks": {"type": "array", "items": {"type": "object", "required": ["id", "type"]}},
    "worklog": {"type": "object", "required": ["worklogs", "startAt", "maxResults", "total"]},
}
"""The schemas of the other fields, for which the document has no component."""

FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time")
def _is_date_time(value: object) -> bool:
    """The forms of both products: `2026-01-05T09:30:00.000+0000` and `...000Z`."""
    return not isinstance(value, str) or bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(\+0000|Z)", value))


@FORMATS.checks("int32")
def _is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


@FORMATS.checks("int64")
def _is_int64(value: object) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63


@FORMATS.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or value.startswith("https://")


def reference_folder() -> Path | None:
    """The folder with the three documents; None if there is no such folder."""
    variable = os.environ.get("GRPO_REFERENCE_DIR")
    folders = [Path(variable), Path(variable) / "openapi"] if variable else []
    return next((folder for folder in folders if all((folder / name).is_file() for name in FILES)), None)


needs_reference = pytest.mark.skipif(
    reference_folder() is None, reason="GRPO_REFERENCE_DIR names no folder with Atlassian's OpenAPI documents"
)


@dataclass(frozen=True)
class Definition:
    """The definition of an operation in a document."""

    id: str
    method: str
    path: str
    members: Mapping[str, Any]
    """The document's JSON of the operation."""
    document: Mapping[str, Any]
    family: str
    """`jira`, `confluence` or `confluence_v1`."""


@cache
def definitions() -> dict[str, Definition]:
    """Operation id -> its definition, for all three documents."""
    folder = reference_folder()
    assert folder is not None
    result = {}
    for name, prefix in FILES.items():
        document = json.loads((folder / name).read_text(encoding="utf-8"))
        family = "jira" if name.startswith("jira") else "confluence" if prefix else "confluence_v1"
        for path, methods in document["paths"].items():
            for method, members in methods.items():
                id = members["operationId"]
                result[id] = Definition(id, method.upper(), prefix + path, members, document, family)
    return result


def _definition(operation_id: str) -> Definition:
    return definitions()[SUCCESSORS.get(operation_id, operation_id)]


def check_response(operation_id: str, response: Response) -> None:
    """Raises AssertionError unless the document allows this status and body for the operation."""
    operation = _definition(operation_id)
    statuses = set(operation.members["responses"]) | KNOWN_STATUSES.get(operation_id, set())
    assert str(response.status) in statuses, f"{operation_id}: status {response.status} is not among {sorted(statuses)}"
    assert json.loads(json.dumps(response.body)) == response.body, f"{operation_id}: the body is not plain JSON"
    if response.status >= 400:
        _check(ERRORS[operation.family], response.body, operation, f"{operation_id} error")
        if operation.family == "confluence":
            assert all(error["status"] == response.status for error in response.body["errors"])
        if operation.family == "confluence_v1":
            assert response.body["statusCode"] == response.status
        return
    schema = _response_schema(operation, response.status)
    if schema is None:
        assert response.body is None, f"{operation_id}: status {response.status} comes without a body"
        return
    _check(schema, _as_predecessor(operation_id, response.body), operation, operation_id)
    for issue in _issues(operation_id, response.body):
        check_fields(issue.get("fields", {}))


def check_new_shape(operation_id: str, response: Response) -> None:
    """Calls `check_response` once for all bodies that no schema can distinguish."""
    shape = (operation_id, response.status, _shape(response.body, ""))
    if shape not in _VALID_SHAPES:
        check_response(operation_id, response)
        _VALID_SHAPES.add(shape)


_VALID_SHAPES: set[Any] = set()


def _shape(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _shape(item, key)) for key, item in value.items())
    if isinstance(value, list):
        return frozenset(_shape(item, name) for item in value)
    if isinstance(value, str):
        return value if name in _enumerated() else (len(value.split()) == 1, _is_date_time(value), _is_uri(value))
    if type(value) is int:
        return _is_int32(value), _is_int64(value), value >= 0
    return value if value is None else type(value)


@cache
def _enumerated() -> frozenset[str]:
    """Names of members whose values have an `enum`, and `type`, which distinguishes ADF nodes."""

    def names(schema: Any, name: str) -> Iterator[str]:
        if isinstance(schema, list):
            for item in schema:
                yield from names(item, name)
        if not isinstance(schema, dict):
            return
        target = schema.get("$ref", "").rpartition("/")[2] if isinstance(schema.get("$ref"), str) else ""
        if "enum" in schema or target.endswith(("Status", "Type")):
            yield name
        for key, item in schema.items():
            yield from names(item, name if key in ("items", "allOf", "oneOf") else key)

    documents = {operation.family: operation.document for operation in definitions().values()}
    return frozenset({"type", *(name for document in documents.values() for name in names(document, ""))})


def _as_predecessor(operation_id: str, body: Any) -> Any:
    """The body without the `type` that a successor adds to children."""
    if operation_id not in SUCCESSORS:
        return body
    assert all(child["type"] == "page" for child in body["results"])
    return {**body, "results": [{k: v for k, v in child.items() if k != "type"} for child in body["results"]]}


def _issues(operation_id: str, body: Any) -> list[Any]:
    if operation_id in ("getIssue", "editIssue"):
        return [body]
    return list(body["issues"]) if operation_id.startswith("searchAndReconsile") else []


def check_fields(fields: Mapping[str, Any]) -> None:
    """Checks an issue's system fields, which the document leaves open, against the component schemas of real sites."""
    for name, value in fields.items():
        if name in FIELD_COMPONENTS:
            _check_field(FIELD_COMPONENTS[name], value, name)
        else:
            Draft202012Validator(FIELD_SCHEMAS[name], format_checker=FORMATS).validate(value)
    for link in fields.get("issuelinks", ()):
        check_component("IssueLinkType", link["type"])
        ends = [link[end] for end in ("inwardIssue", "outwardIssue") if end in link]
        assert len(ends) == 1, "a link must show exactly one other end"
        check_component("LinkedIssue", ends[0])
    for worklog in fields.get("worklog", {}).get("worklogs", ()):
        check_component("Worklog", worklog)
    documents = [fields.get("description")] + [
        comment["body"] for comment in fields.get("comment", {}).get("comments", ())
    ]
    assert all(document is None or adf.is_document(document) for document in documents)


def _check_field(component: str, value: Any, name: str) -> None:
    if isinstance(value, list):
        for item in value:
            check_component(component, item)
    elif value is not None or name not in NULLABLE_FIELDS:
        check_component(component, value)


def _response_schema(operation: Definition, status: int) -> Mapping[str, Any] | None:
    if (operation.id, status) == ("editIssue", 200):
        return {"$ref": "#/components/schemas/IssueBean"}
    content = operation.members["responses"][str(status)].get("content", {})
    return content.get("application/json", {}).get("schema") or None


def check_component(name: str, value: Any, operation_id: str = "getIssue") -> None:
    """Checks `value` against the component schema `name` of the operation's document."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    _check(schema, value, _definition(operation_id), name)


def check_request(operation_id: str, body: Any) -> None:
    """Raises AssertionError unless the document accepts the request body. A page's `body` is checked separately."""
    operation = _definition(operation_id)
    request_body = operation.members["requestBody"]
    if "$ref" in request_body:
        request_body = _resolve(request_body, operation.document)
    schema = request_body["content"]["application/json"]["schema"]
    if isinstance(body, dict) and "body" in body and operation.family == "confluence":
        flat, nested = _body_forms(operation, schema)
        form = flat if "representation" in body["body"] or "value" in body["body"] else nested
        _check(form, body["body"], operation, f"{operation_id} body.body")
        body = {name: value for name, value in body.items() if name != "body"}
        schema = _without_body(operation, schema)
    _check(schema, body, operation, f"{operation_id} request")


def _body_forms(operation: Definition, schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    forms: list[Mapping[str, Any]] = _resolve(schema, operation.document)["properties"]["body"]["oneOf"]
    return forms


def _without_body(operation: Definition, schema: Mapping[str, Any]) -> dict[str, Any]:
    target = _resolve(schema, operation.document)
    properties = {name: value for name, value in target["properties"].items() if name != "body"}
    required = [name for name in target.get("required", ()) if name != "body"]
    return {"type": "object", "properties": properties, "required": required}


def _check(schema: Mapping[str, Any], value: Any, operation: Definition, subject: str) -> None:
    validator = _validator(operation.family, json.dumps(schema))
    problems = [f"{'/'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(value)]
    problems += [
        f"{path}: not a member that the schema declares" for path in _undeclared(schema, value, operation.document)
    ]
    assert not problems, f"{subject}: {'; '.join(problems)}"


@cache
def _validator(family: str, schema: str) -> Draft202012Validator:
    """A validator of the schema, with the components of the family's document."""
    full_schema = {**_without_nullable(json.loads(schema)), "components": _components(family)}
    return Draft202012Validator(full_schema, format_checker=FORMATS)


@cache
def _components(family: str) -> Any:
    document = next(operation.document for operation in definitions().values() if operation.family == family)
    return _without_nullable(document["components"])


def _without_nullable(schema: Any, name: str = "") -> Any:
    """Translates OpenAPI 3.0's `nullable` to JSON Schema's null. Also allows null where real sites return null."""
    if isinstance(schema, list):
        return [_without_nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _without_nullable(value, key) for key, value in schema.items() if key != "nullable"}
    is_schema = "type" in schema or "$ref" in schema
    if is_schema and (schema.get("nullable") is True or name in NULL_ALLOWED):
        return {"anyOf": [result, {"type": "null"}]}
    return result


def _resolve(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


def _undeclared(schema: Mapping[str, Any], value: Any, document: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Paths of members that no schema declares, in objects whose schema has no `additionalProperties`."""
    if isinstance(value, list):
        items = _item_schemas(schema, document)
        for index, item in enumerate(value):
            yield from _undeclared({"allOf": items}, item, document, f"{path}/{index}")
    if not isinstance(value, dict):
        return
    members, open_ended = _members(schema, document)
    for name, item in value.items():
        if name in members:
            yield from _undeclared({"allOf": members[name]}, item, document, f"{path}/{name}")
        elif not open_ended:
            yield f"{path}/{name}"


def _item_schemas(schema: Mapping[str, Any], document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    schema = _resolve(schema, document)
    direct = [schema["items"]] if "items" in schema else []
    return direct + [item for part in schema.get("allOf", ()) for item in _item_schemas(part, document)]


def _members(schema: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[dict[str, list[Mapping[str, Any]]], bool]:
    """(member name -> its schemas, whether others are allowed) for the schema and all schemas that it combines."""
    schema = _resolve(schema, document)
    members: dict[str, list[Mapping[str, Any]]] = {}
    for name, declared in schema.get("properties", {}).items():
        members.setdefault(name, []).append(declared)
    # The validator checks `additionalProperties: false`, and a schema without members allows everything.
    open_ended = "additionalProperties" in schema or not any(
        schema.get(key) for key in ("properties", "allOf", "oneOf")
    )
    for part in (*schema.get("allOf", ()), *schema.get("oneOf", ())):
        inner, inner_open = _members(part, document)
        open_ended = open_ended or inner_open
        for name, declared_list in inner.items():
            members.setdefault(name, []).extend(declared_list)
    return members, open_ended
