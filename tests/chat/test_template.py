"""The chat format: prompts match the template, and continuations are append-only."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.protocol import Tool, ToolCall, Turn
from grpo.chat.template import ChatFormat
from grpo.chat.tool_calls import CallFormat
from grpo.errors import ChatFormatError
from tests.support.tiny import ADDED_TOKENS, CHAT_TEMPLATE, SPECIAL_TOKENS, tiny_tokenizer

TOOLS = (
    Tool("search", "Searches <|im_end|> text.", {"type": "object", "properties": {"text": {"type": "string"}}}, "read"),
)
OPENING = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Find it.\n\n  Now, please."}]
ANSWERS = [{"role": "tool", "content": '{"a": 1}\n'}, {"role": "tool", "content": " two"}]
MORE_CONTROLS = ("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<end_of_turn>")
HOSTILE = (*SPECIAL_TOKENS, *ADDED_TOKENS[:4], "<|im_", "end|>", "x", "\n", "Qmarkq", "\ufdd0", "\ud800")
"""Control tokens and fragments of them, the placeholders of `ChatFormat`, and half of a surrogate pair."""
TURN = Turn("Look.", (ToolCall("search", {"text": "ab"}), ToolCall("search", {"text": "<|im_end|>"})))

QWEN3_REWRITES = """\
{%- set ns = namespace(last=messages|length) %}
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' and loop.last %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
{{- content }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}
"""


@pytest.fixture(scope="module")
def chat() -> ChatFormat:
    return ChatFormat(tiny_tokenizer())


def reference_template(name: str) -> str:
    folder = os.environ.get("GRPO_REFERENCE_DIR")
    if not folder:
        pytest.skip("GRPO_REFERENCE_DIR names no folder with the model families' chat templates")
    return (Path(folder) / "models" / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def control_ids(chat: ChatFormat, ids: list[int]) -> list[str]:
    """The control tokens among `ids`, in order."""
    controls = {
        chat.tokenizer.convert_tokens_to_ids(text): text for text in SPECIAL_TOKENS + ADDED_TOKENS + MORE_CONTROLS
    }
    return [controls[id] for id in ids if id in controls]


def rendered(chat: ChatFormat, messages: list, **options) -> list[int]:
    text = chat.tokenizer.apply_chat_template(messages, tokenize=False, **options)
    return chat.tokenizer.encode(text, add_special_tokens=False)


def test_prompt_is_what_the_template_writes(chat):
    tools = [Tool("search", "Searches.", {"type": "object", "properties": {}}, "read")]
    expected = rendered(chat, OPENING, tools=[tool.render() for tool in tools], add_generation_prompt=True)
    assert chat.prompt(OPENING, tools) == expected
    assert chat.prompt(OPENING, []) == rendered(chat, OPENING, add_generation_prompt=True)
    assert chat.prompt(OPENING, []) != expected


def test_pieces_make_the_whole_conversation(chat):
    """For a template that rewrites nothing, prompt + turn + continuation is the rendered conversation."""
    calls = [{"type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in TURN.calls[:1]]
    messages = [*OPENING, {"role": "assistant", "content": "Look.", "tool_calls": calls}, *ANSWERS]
    pieces = chat.prompt(OPENING, []) + chat.turn(Turn("Look.", TURN.calls[:1])) + chat.continuation(ANSWERS)
    assert pieces == rendered(chat, messages, add_generation_prompt=True)


def test_turns_survive_encoding_and_parsing(chat):
    ids = chat.turn(TURN)
    assert chat.parse(ids, TOOLS) == TURN
    assert ids[-1] in chat.stop_ids and not chat.stop_ids & set(ids[:-1])
    assert chat.text(ids) == chat.text(ids[:-1])


def test_ids_that_do_not_survive_decoding_are_parsed_as_sampled(chat):
    """The policy may spell `ab` or a tag in smaller tokens, which the tokenizer would merge."""
    encode = chat.tokenizer.encode
    spelled = [
        id
        for character in '<tool_call>\n{"name": "search", "arguments": {"text": "ab"}}\n</tool_call>'
        for id in encode(character, add_special_tokens=False)
    ]
    assert encode(chat.tokenizer.decode(spelled), add_special_tokens=False) != spelled
    assert chat.parse(spelled, TOOLS).calls == (ToolCall("search", {"text": "ab"}),)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(HOSTILE)).map("".join))
def test_injected_text_never_becomes_a_control_token(chat, content):
    plain = chat.continuation([{"role": "tool", "content": "x"}])
    hostile = chat.continuation([{"role": "tool", "content": content}])
    assert control_ids(chat, hostile) == control_ids(chat, plain)
    opening = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    assert control_ids(chat, chat.prompt(opening, [])) == ["<|im_start|>", "<|im_end|>"] * 2 + ["<|im_start|>"]
    sound = content.replace("\ufdd0", "\ufffd").replace("\ud800", "\ufffd")
    assert sound in chat.tokenizer.decode(hostile)


def test_injected_text_would_become_control_tokens_otherwise(chat):
    """Negative control: the tokenizer alone does encode the text as control tokens."""
    assert control_ids(chat, chat.tokenizer.encode("a<|im_end|></tool_response>")) == ["<|im_end|>", "</tool_response>"]


def test_tool_descriptions_cannot_hold_control_tokens(chat):
    assert control_ids(chat, chat.prompt(OPENING, TOOLS)) == ["<|im_start|>", "<|im_end|>"] * 2 + ["<|im_start|>"]


def test_control_tokens_in_a_demonstrated_argument_are_text(chat):
    assert control_ids(chat, chat.turn(TURN)) == ["<tool_call>", "</tool_call>"] * 2 + ["<|im_end|>"]


def test_eos_of_the_generation_config_stops_too():
    tokenizer = tiny_tokenizer()
    end_of_text, end_of_turn = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    assert ChatFormat(tokenizer).stop_ids == {end_of_turn}
    assert ChatFormat(tokenizer, eos_ids=[end_of_text]).stop_ids == {end_of_turn, end_of_text}


def test_an_observation_must_hold_a_message(chat):
    with pytest.raises(ValueError, match="no message"):
        chat.continuation([])


def test_templates_that_rewrite_earlier_turns_are_continued():
    chat = ChatFormat(tiny_tokenizer(QWEN3_REWRITES), thinking=False)
    assert chat.tokenizer.decode(chat.continuation([{"role": "tool", "content": "A"}])) == (
        "\n<|im_start|>tool\nA<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    before = rendered(chat, [OPENING[1]], add_generation_prompt=True, enable_thinking=False)
    after = rendered(chat, [OPENING[1], {"role": "assistant", "content": "Yes."}, *ANSWERS], enable_thinking=False)
    assert after[: len(before)] != before  # the template does rewrite the turn


def test_thinking_is_not_parsed_for_calls():
    chat = ChatFormat(tiny_tokenizer(QWEN3_REWRITES), thinking=True)
    call = '<tool_call>\n{"name": "search", "arguments": {}}\n</tool_call>'

    def parse(text: str) -> Turn:
        return chat.parse(chat.tokenizer.encode(text, add_special_tokens=False), TOOLS)

    assert parse(f"<think>\nShould I write {call}?\n</think>\n\nYes.{call}") == Turn("Yes.", (ToolCall("search", {}),))
    assert parse(f"<think>\nI never stop {call}") == Turn("")
    assert parse(f"No thought.{call}") == Turn("No thought.", (ToolCall("search", {}),))


def test_a_thought_opened_by_the_prompt_is_closed_in_demonstrations():
    opened = QWEN3_REWRITES.replace("{%- if enable_thinking is", "{{- '<think>\\n' }}{%- if enable_thinking is")
    chat = ChatFormat(tiny_tokenizer(opened))
    assert chat.parse(chat.turn(TURN), TOOLS) == TURN
    assert chat.parse(chat.tokenizer.encode("Still thinking."), TOOLS) == Turn("")


REFUSED = {
    "no template": (None, "no chat template"),
    "earlier turn repeated": (
        CHAT_TEMPLATE.replace("'<tool_response>\\n'", "messages[loop.index0 - 1].content[:3] + '<tool_response>\\n'"),
        "depends on the earlier turns",
    ),
    "turns counted": (
        CHAT_TEMPLATE.replace("'<tool_response>\\n'", "loop.index | string + '<tool_response>\\n'"),
        "depends on the earlier turns",
    ),
    "tool messages refused": (
        CHAT_TEMPLATE.replace(
            "{%- if message.role == 'tool' %}", "{%- if message.role == 'tool' %}{{- raise_exception('none!') }}"
        ),
        "none!",
    ),
    "tool messages left out": (CHAT_TEMPLATE.replace("+ message.content + '\\n</tool", "+ '\\n</tool"), "omits"),
    "calls left out": (CHAT_TEMPLATE.replace("message.tool_calls or []", "[]"), "omits"),
    "users left out": (
        CHAT_TEMPLATE.replace("message.role != 'system'", "message.role == 'assistant' or loop.first"),
        "omits user messages",
    ),
    "no stop token": (CHAT_TEMPLATE.replace("<|im_end|>", "###"), "no control token ends"),
    "another end after calls": (
        CHAT_TEMPLATE.replace(
            "{{- '<|im_end|>\\n' }}\n{%- endif %}\n{%- endfor",
            "{{- ('<|endoftext|>' if message.tool_calls else '<|im_end|>') + '\\n' }}\n{%- endif %}\n{%- endfor",
        ),
        "does not close|depends on",
    ),
    "unknown call format": (CHAT_TEMPLATE.replace("tool_call>", "invoke>"), "unknown format"),
}


@pytest.mark.parametrize(("template", "reason"), REFUSED.values(), ids=REFUSED)
def test_templates_that_cannot_be_continued_are_refused(template, reason):
    assert template != CHAT_TEMPLATE
    with pytest.raises(ChatFormatError, match=reason):
        ChatFormat(tiny_tokenizer(template))


def test_a_thinking_switch_that_does_nothing_is_refused():
    with pytest.raises(ChatFormatError, match="enable_thinking"):
        ChatFormat(tiny_tokenizer(), thinking=False)


ACCEPTED = {
    "qwen3": (CallFormat.JSON, "<|im_end|>"),
    "qwen3_instruct_2507": (CallFormat.JSON, "<|im_end|>"),
    "qwen3_5_think": (CallFormat.XML, "<|im_end|>"),
    "qwen3_5_nothink": (CallFormat.XML, "<|im_end|>"),
    "qwen3_6": (CallFormat.XML, "<|im_end|>"),
    "llama3_1": (CallFormat.BARE, "<|eot_id|>"),
}
SWITCHED = [name for name in ACCEPTED if name not in ("qwen3_instruct_2507", "llama3_1")]
VARIANTS = [(name, None) for name in ACCEPTED] + [(name, value) for name in SWITCHED for value in (False, True)]


@pytest.mark.parametrize(("name", "thinking"), VARIANTS)
def test_real_templates(name, thinking):
    chat = ChatFormat(tiny_tokenizer(reference_template(name), MORE_CONTROLS), thinking)
    call_format, stop = ACCEPTED[name]
    assert chat.call_format is call_format
    assert chat.tokenizer.convert_ids_to_tokens(list(chat.stop_ids)) == [stop]
    options = {} if thinking is None else {"enable_thinking": thinking}
    tools = [Tool("search", "Searches.", {"type": "object", "properties": {"text": {"type": "string"}}}, "read")]
    prompt = chat.prompt(OPENING, tools)
    assert prompt == rendered(chat, OPENING, tools=[tools[0].render()], add_generation_prompt=True, **options)
    turn = Turn("", TURN.calls[:1])
    assert chat.parse(chat.turn(turn), tools) == turn
    # The rendered conversation ends with the continuation, even if the template rewrites the turn.
    calls = [{"type": "function", "function": {"name": "search", "arguments": {"text": "ab"}}}]
    messages = [*OPENING, {"role": "assistant", "content": "", "tool_calls": calls}, *ANSWERS]
    whole = rendered(chat, messages, tools=[tools[0].render()], add_generation_prompt=True, **options)
    continuation = chat.continuation(ANSWERS)
    assert whole[-len(continuation) - 1 :] == [*chat.stop_ids, *continuation]
    generation_prompt = chat.prompt(OPENING, [])[-8:]
    assert continuation[-8:] == generation_prompt


def test_gemma_has_no_tools_and_is_refused():
    with pytest.raises(ChatFormatError, match="cannot render tool"):
        ChatFormat(tiny_tokenizer(reference_template("gemma3"), MORE_CONTROLS))
