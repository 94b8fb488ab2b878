"""Bodies of pages and comments: the forms of a write, and the representations of a read.

A write is either flat, `{"representation": "storage", "value": "..."}`, or nested, `{"storage": {"value": "..."}}`.
Storage format is XHTML; an Atlassian Document Format (ADF) body is a JSON document inside a string. The site stores a
body as it was written, except that wiki markup becomes storage format at once, as in Confluence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envs.site import adf
from envs.site.confluence.errors import invalid, wrong_type
from envs.site.confluence.parameters import body_text
from envs.site.confluence.storage_format import adf_to_storage, storage_to_adf, wiki_to_storage
from envs.site.http import confluence_error

STORAGE = "storage"
ADF = "atlas_doc_format"
WRITABLE = (STORAGE, ADF, "wiki")
READABLE = (STORAGE, ADF)
"""The representations that lists offer (`PrimaryBodyRepresentation`)."""
READABLE_SINGLE = (*READABLE, "view", "export_view", "anonymous_export_view", "styled_view", "editor")
"""The representations of a single page. `view` is its HTML, here the storage text; the others are not available."""
SIZE_MAX = 5 * 1024 * 1024
"""Bytes of UTF-8."""


@dataclass(frozen=True)
class Body:
    representation: str
    """`storage` or `atlas_doc_format`."""
    value: str


EMPTY = Body(STORAGE, "")


def read_body(body: Any) -> Body:
    """Reads a request's `body` member in either form; raises 400, or 413 for a body over 5 MB."""
    if not isinstance(body, dict):
        raise wrong_type(body, "body", "object")
    nested = [name for name in WRITABLE if name in body]
    flat = "representation" in body or "value" in body
    if len(nested) + flat != 1:
        raise invalid("Exactly one body format must be specified in 'body'.")
    representation, inner = (nested[0], body[nested[0]]) if nested else (body.get("representation"), body)
    if not isinstance(representation, str) or representation not in WRITABLE:
        raise invalid(f"'body.representation' must be one of {', '.join(WRITABLE)}.")
    if not isinstance(inner, dict):
        raise wrong_type(inner, f"body.{representation}", "object")
    if inner.get("representation", representation) != representation:
        raise invalid(f"'body.{representation}.representation' must be {representation}.")
    value = body_text(inner, "value")
    if value is None:
        raise invalid("'body.value' must be provided.")
    return _validate(representation, value)


def _validate(representation: str, value: str) -> Body:
    if len(value.encode("utf-8", "surrogatepass")) > SIZE_MAX:
        raise confluence_error(413, "PAYLOAD_TOO_LARGE", "The request is too large in size (over 5 MB).")
    if representation == "wiki":
        return Body(STORAGE, wiki_to_storage(value))
    if representation == ADF:
        _parse_adf(value)
    return Body(representation, value)


def _parse_adf(value: str) -> Mapping[str, Any]:
    """The ADF document in the JSON text `value`; raises 400 if it is invalid."""
    try:
        document: Any = json.loads(value)
    except (ValueError, RecursionError):
        raise invalid(f"Invalid {ADF} body: 'value' is not valid JSON.") from None
    if not adf.is_document(document):
        raise invalid(f"Invalid {ADF} body: 'value' is not an Atlassian Document.")
    return dict(document)


def render_body(representation: str, value: str, body_format: str) -> dict[str, dict[str, str]]:
    """A response's `body` member, `{body_format: {"representation": body_format, "value": text}}`.

    `representation` says how `value` is stored. The member is {} if the format is not available.
    """
    if body_format not in (*READABLE, "view"):
        return {}
    if body_format == ADF:
        text = value if representation == ADF else json.dumps(storage_to_adf(value), ensure_ascii=False)
    else:
        text = adf_to_storage(_parse_adf(value)) if representation == ADF else value
    return {body_format: {"representation": body_format, "value": text}}
