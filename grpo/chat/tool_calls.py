"""Parses a policy's text into `ToolCall`s, and renders a `ToolCall` as the text that a policy should write.

There are three formats. The chat template of a checkpoint shows which one it uses, by how it renders a call:

- `CallFormat.JSON` (Qwen3): `<tool_call>\\n{"name": ..., "arguments": {...}}\\n</tool_call>`, any number in a turn.
- `CallFormat.XML` (Qwen3.5): `<function=NAME>\\n<parameter=KEY>\\nVALUE\\n</parameter>\\n</function>` between the tags.
  Values are plain text; the tool's JSON schema decides which are parsed as JSON.
- `CallFormat.BARE` (Llama 3.1): the turn is a single object `{"name": ..., "parameters": {...}}`.

Parsing never raises, whatever a policy writes. Malformed text in the place of a call becomes a `ToolCall` with the
reason in `error` and the text in `arguments`. It does not affect how the other calls are parsed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from envs.protocol import Tool, ToolCall, Turn

MAX_DEPTH = 64
"""Limit on nesting, since deep arguments would exhaust the interpreter's stack. Rich text has fewer than 20 levels."""
MAX_INTEGER = 2**63 - 1
"""The APIs' identifiers are 64-bit. Very large integers would overflow when they are compared with a float."""

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_TAG = re.compile(r"<tool_call>\s*|</tool_call>")
_CLOSING = re.compile(r"\s*</tool_call>")
_FUNCTION = re.compile(r"<function=([^<>\n]+)>")
_PARAMETER = re.compile(r"\s*<parameter=([^<>\n]+)>")
_FUNCTION_END = re.compile(r"\s*</function>")
_XML_TAG = re.compile(r"</?tool_call>|<function=|</function>|<parameter=|</parameter>")
_SURROGATE = re.compile("[\\ud800-\\udfff]")
_CAPITALISED = {"True": True, "False": False, "None": None}
"""Qwen3.5's template writes scalars as Python does."""


class CallFormat(StrEnum):
    JSON = "json"
    XML = "xml"
    BARE = "bare"


def detect_format(rendered: str) -> CallFormat | None:
    """The format of a call that a chat template rendered; None for an unknown format."""
    if "<function=" in rendered:
        return CallFormat.XML
    if _OPEN in rendered:
        return CallFormat.JSON
    return CallFormat.BARE if '"parameters":' in rendered else None


def parse_turn(text: str, call_format: CallFormat, tools: Sequence[Tool]) -> Turn:
    """Parses an assistant turn, without thinking and stop token, into its calls in order and the text outside them."""
    if call_format is CallFormat.BARE:
        return _parse_bare(text)
    if call_format is CallFormat.JSON:
        return _parse_tagged(text, _read_json_call)
    schemas = {tool.name: tool.parameters.get("properties", {}) for tool in tools}
    return _parse_tagged(text, lambda source, start: _read_xml_call(source, start, schemas))


def render_turn(turn: Turn, call_format: CallFormat) -> str:
    """The text of `turn` as the chat templates write it; `parse_turn` recovers the turn from it.

    A malformed call is written as its raw text between the tags. Raises ValueError for a call that the format cannot
    express, such as an XML-like value that contains one of the format's tags.
    """
    write = {CallFormat.JSON: _write_json_call, CallFormat.XML: _write_xml_call, CallFormat.BARE: _write_bare_call}
    calls = [write[call_format](call) for call in turn.calls]
    if call_format is CallFormat.BARE:
        if calls and (turn.content or len(calls) > 1):
            raise ValueError("in this format a turn is either text or a single call")
        return "".join(calls) or turn.content
    gap = "\n\n" if call_format is CallFormat.XML else "\n"
    return turn.content + (gap if turn.content and calls else "") + "\n".join(calls)


class _Malformed(ValueError):
    """The text is not a call. The policy sees the message."""


def _parse_tagged(text: str, read: Callable[[str, int], tuple[ToolCall, int]]) -> Turn:
    content, calls, position = [], [], 0
    while tag := _TAG.search(text, position):
        before = text[position : tag.start()]
        if tag.group() == _CLOSE:
            calls.append(ToolCall("", before.strip(), f"{_CLOSE} without {_OPEN}"))
            position = tag.end()
            continue
        content.append(before)
        call, position = _read_tagged(text, tag.end(), read)
        calls.append(call)
    content.append(text[position:])
    return Turn("\n".join(filter(None, (part.strip() for part in content))), tuple(calls))


def _read_tagged(text: str, start: int, read: Callable[[str, int], tuple[ToolCall, int]]) -> tuple[ToolCall, int]:
    """The call whose opening tag ends at `start`, and the position after it. A malformed call ends at the next tag."""
    try:
        call, end = read(text, start)
        if (closing := _CLOSING.match(text, end)) is None:
            raise _Malformed(f"expected {_CLOSE} after the call")
        return call, closing.end()
    except _Malformed as problem:
        tag = _TAG.search(text, start)
        if tag is None:
            return ToolCall("", text[start:].strip(), f"{_OPEN} is never closed: {problem}"), len(text)
        raw = text[start : tag.start()].strip()
        if tag.group() == _CLOSE:
            return ToolCall("", raw, str(problem)), tag.end()
        return ToolCall("", raw, f"{_OPEN} inside a call that is not closed"), tag.start()


def _read_json_call(text: str, start: int) -> tuple[ToolCall, int]:
    value, end = _decode(text, start)
    return _as_call(value, "arguments"), end


def _parse_bare(text: str) -> Turn:
    source = text.strip().removeprefix("<|python_tag|>").lstrip()
    if not source.startswith("{"):
        return Turn(text.strip())
    try:
        return Turn("", (_as_call(_decode_all(source), "parameters"),))
    except _Malformed as problem:
        return Turn("", (ToolCall("", source, str(problem)),))


def _as_call(value: Any, key: str) -> ToolCall:
    if not isinstance(value, dict) or set(value) != {"name", key}:
        raise _Malformed(f'a call is an object with exactly the members "name" and "{key}"')
    if not isinstance(value["name"], str) or not value["name"]:
        raise _Malformed('"name" must be a non-empty string')
    if not isinstance(value[key], dict):
        raise _Malformed(f'"{key}" must be an object')
    return ToolCall(value["name"], value[key])


def _read_xml_call(text: str, start: int, schemas: Mapping[str, Mapping[str, Any]]) -> tuple[ToolCall, int]:
    function = _FUNCTION.match(text, start)
    if function is None:
        raise _Malformed("expected <function=NAME>")
    name, position, arguments = function.group(1).strip(), function.end(), {}
    if not name:
        raise _Malformed("the function has no name")
    while parameter := _PARAMETER.match(text, position):
        key = parameter.group(1).strip()
        tag = _XML_TAG.search(text, parameter.end())
        if tag is None or tag.group() != "</parameter>":
            raise _Malformed(f"<parameter={key}> is not closed")
        if key in arguments:
            raise _Malformed(f"parameter {key!r} is given twice")
        value = text[parameter.end() : tag.start()].removeprefix("\n").removesuffix("\n")
        arguments[key] = _convert(key, value, schemas.get(name, {}).get(key, {"type": "string"}))
        position = tag.end()
    end = _FUNCTION_END.match(text, position)
    if end is None:
        raise _Malformed("expected <parameter=...> or </function>")
    return ToolCall(name, _validate(arguments)), end.end()


def _convert(key: str, value: str, schema: Any) -> Any:
    """Parses a parameter's text by its schema.

    The text remains a string if the schema allows strings, unless it is `null`, an object or an array and the schema
    allows that too. Otherwise it is parsed as JSON. A scalar that is not JSON remains a string, which the schema check
    will refuse.
    """
    types = _types(schema)
    containers = bool(types & {"object", "array"})
    looks_like_container = value.lstrip()[:1] in ("{", "[")
    if "string" in types and not (containers and looks_like_container) and not ("null" in types and value == "null"):
        return value
    if value.strip() in _CAPITALISED:
        return _CAPITALISED[value.strip()]
    try:
        return _decode_all(value)
    except _Malformed as problem:
        if containers and "string" not in types:
            raise _Malformed(f"parameter {key!r}: {problem}") from None
        return value


def _types(schema: Any) -> frozenset[str]:
    """The JSON types that a schema allows; empty if it specifies none."""
    if not isinstance(schema, Mapping):
        return frozenset()
    declared = schema.get("type")
    if declared is not None:
        return frozenset([declared] if isinstance(declared, str) else declared)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return frozenset().union(*map(_types, schema[choice]))
    if any(isinstance(value, str) for value in schema.get("enum", [schema.get("const")])):
        return frozenset({"string"})
    return frozenset({"object"} if "properties" in schema else {"array"} if "items" in schema else ())


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Malformed("an object names the same member twice")
    return members


def _constant(name: str) -> Any:
    raise _Malformed(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > MAX_INTEGER:
        raise _Malformed("an integer has more than 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise _Malformed("a number is too large")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer, parse_float=_float)


def _decode(text: str, start: int) -> tuple[Any, int]:
    """The JSON value at `start`, and the position of its end."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as problem:
        raise _Malformed(f"invalid JSON: {problem.msg}") from None
    except RecursionError:
        raise _Malformed(f"nested more than {MAX_DEPTH} deep") from None
    return _validate(value), end


def _decode_all(text: str) -> Any:
    value, end = _decode(text := text.strip(), 0)
    if end < len(text):
        raise _Malformed("text after the JSON value")
    return value


def _validate(value: Any) -> Any:
    """Returns `value`; raises if it is nested too deeply or contains a string that is not Unicode text."""
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise _Malformed(f"nested more than {MAX_DEPTH} deep")
        if any(isinstance(item, str) and _SURROGATE.search(item) for item in level):
            raise _Malformed("a string holds half of a surrogate pair")
        level, depth = [part for item in level for part in _parts(item)], depth + 1
    return value


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _dump(value: Any) -> str:
    return json.dumps(_validate(value), ensure_ascii=False, allow_nan=False)


def _write_json_call(call: ToolCall) -> str:
    body = call.arguments if call.error is not None else _dump({"name": call.name, "arguments": call.arguments})
    return f"{_OPEN}\n{body}\n{_CLOSE}"


def _write_bare_call(call: ToolCall) -> str:
    return str(call.arguments) if call.error is not None else _dump({"name": call.name, "parameters": call.arguments})


def _write_xml_call(call: ToolCall) -> str:
    if call.error is not None:
        return f"{_OPEN}\n{call.arguments}\n{_CLOSE}"
    lines = []
    for key, value in call.arguments.items():
        text = value if isinstance(value, str) else _dump(value)
        if _XML_TAG.search(text) or not re.fullmatch(r"[^<>\n]+", key):
            raise ValueError(f"parameter {key!r} cannot be written between tags")
        lines.append(f"<parameter={key}>\n{text}\n</parameter>\n")
    return f"{_OPEN}\n<function={call.name}>\n{''.join(lines)}</function>\n{_CLOSE}"
