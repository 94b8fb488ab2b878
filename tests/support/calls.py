"""Calls and responses in the API's format, for traces written by hand."""

from __future__ import annotations

from typing import Any

from rewards.trace import Call, Kind

HOST = "https://synthetic.atlassian.net"


def read(name: str, arguments: Any, body: Any) -> Call:
    return Call(name, arguments, 200, body, Kind.READ)


def write(name: str, arguments: Any, status: int = 204, body: Any = None) -> Call:
    return Call(name, arguments, status, body, Kind.WRITE)


def document(text: str) -> dict[str, Any]:
    paragraph = {"type": "paragraph", "content": [{"type": "text", "text": text}]}
    return {"type": "doc", "version": 1, "content": [paragraph]}


def issue(key: str, id: str, **fields: Any) -> dict[str, Any]:
    return {"fields": fields, "key": key, "id": id, "self": f"{HOST}/rest/api/3/issue/{id}"}


def search_result(*issues: dict[str, Any]) -> dict[str, Any]:
    return {"issues": list(issues), "isLast": True}


def user(name: str, account: str) -> dict[str, Any]:
    return {"displayName": name, "accountId": account, "active": True}


def transitions(*moves: tuple[str, str, str]) -> dict[str, Any]:
    return {"transitions": [{"name": name, "to": {"id": f"100{id}", "name": to}, "id": id} for name, to, id in moves]}


def page(title: str, id: str, space: str, parent: str | None) -> dict[str, Any]:
    place = {"spaceId": space, "parentId": parent, "parentType": "page"}
    return {"title": title, "id": id, **place, "status": "current", "version": {"number": 1}}


def space(name: str, key: str, id: str, homepage: str) -> dict[str, Any]:
    return {"name": name, "key": key, "id": id, "type": "global", "status": "current", "homepageId": homepage}


def results(*items: dict[str, Any]) -> dict[str, Any]:
    return {"results": list(items), "_links": {}}
