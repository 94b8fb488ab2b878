"""Tool calls as text: parsing, rendering, and the mistakes that a policy can make."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.protocol import Tool, ToolCall, Turn
from grpo.chat.tool_calls import MAX_DEPTH, CallFormat, detect_format, parse_turn, render_turn

PROPERTIES = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "ratio": {"type": "number"},
    "flag": {"type": "boolean"},
    "body": {"type": "object"},
    "names": {"type": "array", "items": {"type": "string"}},
    "maybe": {"type": ["string", "null"]},
    "either": {"anyOf": [{"type": "string"}, {"type": "object"}]},
    "level": {"enum": ["low", "high"]},
    "free": {},
}
TOOLS = (Tool("search", "Searches.", {"type": "object", "properties": PROPERTIES}, "read"),)
GOOD = {
    CallFormat.JSON: '<tool_call>\n{"name": "search", "arguments": {"text": "a"}}\n</tool_call>',
    CallFormat.XML: "<tool_call>\n<function=search>\n<parameter=text>\na\n</parameter>\n</function>\n</tool_call>",
}
GOOD_CALL = ToolCall("search", {"text": "a"})
TAGGED = list(GOOD)

# Real policies emit any character except surrogates, which a byte-level decoder replaces by U+FFFD.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
integers = st.integers(-(2**63) + 1, 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | integers | floats | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
# Content that survives a round trip: no outer white space, which the parser strips, and no tags, which would be calls.
contents = text.map(str.strip).filter(lambda content: "tool_call" not in content)
json_calls = st.builds(ToolCall, text.filter(bool), st.dictionaries(text, values, max_size=4))
plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"), max_size=12)
xml_calls = st.builds(
    ToolCall,
    st.just("search"),
    st.fixed_dictionaries(
        {},
        optional={
            "text": plain,
            "count": integers,
            "ratio": floats,
            "flag": st.booleans(),
            "body": st.dictionaries(plain, st.recursive(st.none() | plain, st.lists, max_leaves=4), max_size=3),
            "names": st.lists(plain, max_size=3),
            "maybe": st.none() | plain.filter(lambda value: value != "null"),
            "either": st.dictionaries(plain, plain, max_size=2),
            "level": st.sampled_from(["low", "high"]),
            "free": st.none() | st.booleans() | st.dictionaries(plain, plain, max_size=2),
        },
    ),
)


def parse(source: str, call_format: CallFormat = CallFormat.JSON) -> Turn:
    return parse_turn(source, call_format, TOOLS)


@settings(max_examples=100, deadline=None)
@given(contents, st.lists(json_calls, max_size=3))
def test_json_turns_survive_writing_and_reading(content, calls):
    turn = Turn(content, tuple(calls))
    assert parse(render_turn(turn, CallFormat.JSON)) == turn


@settings(max_examples=100, deadline=None)
@given(contents, st.lists(xml_calls, max_size=3))
def test_xml_turns_survive_writing_and_reading(content, calls):
    turn = Turn(content, tuple(calls))
    assert parse(render_turn(turn, CallFormat.XML), CallFormat.XML) == turn


@settings(max_examples=50, deadline=None)
@given(json_calls)
def test_bare_calls_survive_writing_and_reading(call):
    assert parse(render_turn(Turn("", (call,)), CallFormat.BARE), CallFormat.BARE) == Turn("", (call,))


def test_the_round_trip_sees_a_changed_value():
    written = render_turn(Turn("", (GOOD_CALL,)), CallFormat.JSON)
    assert parse(written.replace('"a"', '"b"')) != Turn("", (GOOD_CALL,))


HARD_VALUES = ('{"a": 1', '{"a": 1, "a": 2}', '{"a": NaN}', "[" * 5000, "plain", '{"a": "\\ud800"}')
FRAGMENTS = [
    *("<tool_call>", "</tool_call>", "\n", " ", "{", "}", "[", "]", '"', ":", ",", "\\", "\\ud800", "\\u0041", "\x00"),
    *('"name"', '"arguments"', '"parameters"', '"search"', "NaN", "-Infinity", "1e999", "-", "9" * 30, "null", "true"),
    *("<function=search>", "<function=", "</function>", "<parameter=text>", "<parameter=count>", "</parameter>"),
    *("<", ">", "[" * 2000, '{"a":' * 2000, *GOOD.values()),
]
sources = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=25).map("".join)


@settings(max_examples=100, deadline=None)
@given(sources, st.sampled_from(CallFormat))
def test_nothing_a_policy_writes_raises(source, call_format):
    for call in parse(source, call_format).calls:
        if call.error is None:
            assert call.name and isinstance(call.arguments, dict)
            json.dumps(call.arguments, allow_nan=False, ensure_ascii=False).encode()
        else:
            assert call.name == "" and isinstance(call.arguments, str) and call.error


@settings(max_examples=50, deadline=None)
@given(sources.filter(lambda source: "tool_call>" not in source), st.sampled_from(TAGGED))
def test_a_broken_call_costs_its_neighbours_nothing(inside, call_format):
    broken = f"<tool_call>}}{inside}</tool_call>"
    turn = parse(GOOD[call_format] + broken + GOOD[call_format], call_format)
    assert [call.error is None for call in turn.calls] == [True, False, True]
    assert (turn.calls[0], turn.calls[2]) == (GOOD_CALL, GOOD_CALL)
    assert turn.calls[1].arguments == ("}" + inside).strip()


DEEP = '{"a": ' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1)
BROKEN_ARGUMENTS = {
    "nan": '{"a": NaN}',
    "infinity": '{"a": -Infinity}',
    "huge float": '{"a": 1e999}',
    "huge integer": '{"a": %s}' % 2**63,
    "unreadable integer": '{"a": %s}' % ("9" * 5000),
    "duplicate": '{"a": 1, "a": 2}',
    "nested duplicate": '{"a": [{"b": 1, "b": 1}]}',
    "surrogate": '{"a": "\\ud800"}',
    "surrogate name": '{"\\udfff": 1}',
    "deep": DEEP,
    "too deep for the parser": "[" * 100_000,
    "single quotes": "{'a': 1}",
    "no object": '"a"',
    "list": "[1]",
    "null": "null",
    "raw newline": '{"a": "x\ny"}',
    "open": '{"a": 1',
    "trailing": '{"a": 1}}',
}


@pytest.mark.parametrize("arguments", BROKEN_ARGUMENTS.values(), ids=BROKEN_ARGUMENTS)
def test_broken_arguments_are_a_malformed_call(arguments):
    body = f'{{"name": "search", "arguments": {arguments}}}'
    (call,) = parse(f"<tool_call>\n{body}\n</tool_call>").calls
    assert call.name == "" and call.error and call.arguments == body


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '"search"',
        '{"name": "search"}',
        '{"arguments": {}}',
        '{"name": "", "arguments": {}}',
        '{"name": 1, "arguments": {}}',
        '{"name": "search", "arguments": {}, "id": 1}',
        '{"name": "a", "arguments": {}} {}',
    ],
)
def test_other_json_is_a_malformed_call(body):
    (call,) = parse(f"<tool_call>{body}</tool_call>").calls
    assert call.error and call.arguments == body


def test_the_widest_arguments_are_still_a_call():
    """Negative control of the limits above: values just inside them are accepted."""
    arguments = {"a": 2**63 - 1, "b": 1.5e308, "c": "\U0001f600", "d": json.loads("[" * 60 + "]" * 60)}
    body = json.dumps({"name": "search", "arguments": arguments})
    assert parse(f"<tool_call>{body}</tool_call>").calls == (ToolCall("search", arguments),)


@pytest.mark.parametrize("call_format", TAGGED)
def test_several_calls_keep_their_order_and_the_text_around_them(call_format):
    second = GOOD[call_format].replace("search", "other")
    turn = parse(f"First.\n{GOOD[call_format]} then {second}\nLast.", call_format)
    assert [call.name for call in turn.calls] == ["search", "other"]
    assert turn.content == "First.\nthen\nLast."


@pytest.mark.parametrize("call_format", TAGGED)
def test_unclosed_and_nested_tags(call_format):
    good = GOOD[call_format]
    unclosed = good.removesuffix("</tool_call>")
    (cut,) = parse(unclosed, call_format).calls
    assert cut.error and "never closed" in cut.error and cut.arguments == unclosed.removeprefix("<tool_call>").strip()
    first, second = parse(unclosed + good, call_format).calls
    assert first.error and second == GOOD_CALL
    inner, stray = parse(f"<tool_call>{good}</tool_call>", call_format).calls[1:]
    assert inner == GOOD_CALL and stray.error == "</tool_call> without <tool_call>"


def test_a_forgotten_opening_tag_is_a_malformed_call():
    """Otherwise the turn would have no call, and a turn without calls ends the episode."""
    (call,) = parse(GOOD[CallFormat.JSON].removeprefix("<tool_call>")).calls
    assert call.error and call.arguments == '{"name": "search", "arguments": {"text": "a"}}'


def test_tags_inside_a_json_string_are_text():
    call = ToolCall("search", {"text": "a </tool_call><tool_call> b"})
    assert parse(render_turn(Turn("", (call, GOOD_CALL)), CallFormat.JSON)).calls == (call, GOOD_CALL)


def xml(key: str, value: str, name: str = "search") -> ToolCall:
    source = f"<tool_call>\n<function={name}>\n<parameter={key}>\n{value}\n</parameter>\n</function>\n</tool_call>"
    (call,) = parse(source, CallFormat.XML).calls
    return call


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [
        ("text", "12", "12"),
        ("text", '{"a": 1}', '{"a": 1}'),
        ("text", "  two\n\nlines ", "  two\n\nlines "),
        ("count", "12", 12),
        ("count", "twelve", "twelve"),
        ("count", "1e999", "1e999"),
        ("ratio", "0.5", 0.5),
        ("flag", "true", True),
        ("flag", "False", False),
        ("body", '{"a": {"b": [null]}}', {"a": {"b": [None]}}),
        ("names", '["a", "b"]', ["a", "b"]),
        ("maybe", "null", None),
        ("maybe", "12", "12"),
        ("either", '{"a": "b"}', {"a": "b"}),
        ("either", "{not json", "{not json"),
        ("either", "text", "text"),
        ("level", "low", "low"),
        ("free", "[1]", [1]),
        ("free", "word", "word"),
        ("unknown", "12", "12"),
    ],
)
def test_xml_values_follow_the_schema(key, written, value):
    assert xml(key, written) == ToolCall("search", {key: value})


def test_xml_values_of_an_unknown_tool_stay_text():
    assert xml("count", "12", name="hallucinated") == ToolCall("hallucinated", {"count": "12"})


@pytest.mark.parametrize("value", HARD_VALUES)
def test_broken_json_for_an_object_is_a_malformed_call(value):
    call = xml("body", value)
    assert call.name == "" and call.error and "'body'" in call.error


@pytest.mark.parametrize(
    "inside",
    [
        "search",
        "<function=>\n</function>",
        "<function= >\n</function>",
        "<function=search>",
        "<function=search>\n<parameter=text>\na\n</function>",
        "<function=search>\n<parameter=text>\n<parameter=count>\n1\n</parameter>\n</parameter>\n</function>",
        "<function=search>\n<parameter=text>\na\n</parameter>\n<parameter=text>\nb\n</parameter>\n</function>",
        "<function=search>\nstray\n</function>",
        "<function=search>\n</function>\nstray",
        "<function=search>\n<parameter=text>\n\ud800\n</parameter>\n</function>",
    ],
)
def test_broken_xml_is_a_malformed_call(inside):
    (call,) = parse(f"<tool_call>\n{inside}\n</tool_call>", CallFormat.XML).calls
    assert call.name == "" and call.error and call.arguments == inside


def test_bare_calls():
    assert parse("No call.", CallFormat.BARE) == Turn("No call.")
    good = parse('<|python_tag|>{"name": "search", "parameters": {"text": "a"}}', CallFormat.BARE)
    assert good == Turn("", (GOOD_CALL,))
    (broken,) = parse('{"name": "search", "parameters": {"text": "a"}} and more', CallFormat.BARE).calls
    assert broken.error and broken.name == ""


@pytest.mark.parametrize("call_format", TAGGED)
def test_a_malformed_call_can_be_demonstrated(call_format):
    broken = ToolCall("", "{broken", "why")
    (read,) = parse(render_turn(Turn("", (broken,)), call_format), call_format).calls
    assert (read.name, read.arguments) == ("", "{broken") and read.error


def test_what_a_format_cannot_express_is_refused():
    with pytest.raises(ValueError, match="between tags"):
        render_turn(Turn("", (ToolCall("search", {"text": "a</parameter>"}),)), CallFormat.XML)
    with pytest.raises(ValueError, match="either text or a single call"):
        render_turn(Turn("Text.", (GOOD_CALL,)), CallFormat.BARE)
    with pytest.raises(ValueError, match="surrogate"):
        render_turn(Turn("", (ToolCall("search", {"text": "\ud800"}),)), CallFormat.JSON)


def test_formats_are_told_apart():
    assert detect_format(GOOD[CallFormat.JSON]) is CallFormat.JSON
    assert detect_format(GOOD[CallFormat.XML]) is CallFormat.XML
    assert detect_format('{"name": "search", "parameters": {}}') is CallFormat.BARE
    assert detect_format("[search(text='a')]") is None
