"""Converts messages to token ids, and sampled ids to tool calls: token in, token out.

An episode's ids are append-only. The first prompt comes from the tokenizer's chat template. Every later piece, from
just after the stop token that closed an assistant turn to the next generation prompt, is a *suffix*. To compute it,
the template renders a short conversation with a neutral assistant turn, and the text after that turn's stop token is
appended. The policy's tokens are never rendered again. Templates may therefore rewrite earlier turns (Qwen3 drops past
thinking, and the empty think block when thinking is off), as long as the suffix does not depend on the earlier turns.
The constructor checks this, and refuses a template that cannot be continued with the reason.

Text that the template did not write (tool responses, requests, tool descriptions) cannot become a control token: if it
spells one, the spelling is encoded as ordinary text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from envs.protocol import Message, Tool, Turn
from grpo.chat.tool_calls import CallFormat, detect_format, parse_turn, render_turn
from grpo.errors import ChatFormatError

_CUT = "\ufdd0"
"""A Unicode noncharacter, reserved for internal use. It marks where the spelling of a control token is cut in two."""
_UNENCODABLE = re.compile("[\ufdd0\ud800-\udfff]")
_MARK = "Qmarkq"
"""Placeholder for the content of an assistant turn. The template renders it unchanged."""
_ANSWER = "Qanswerq"


class ChatFormat:
    """Encodes prompts and continuations by the chat template of `tokenizer`, and parses sampled turns.

    `thinking`, unless it is None, is passed to the template as `enable_thinking`. `eos_ids`, from the checkpoint's
    generation config, end a turn in addition to the template's stop token. Raises ChatFormatError for a template that
    cannot be continued after tool calls.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, thinking: bool | None = None, eos_ids: Iterable[int] = ()
    ) -> None:
        self.tokenizer = tokenizer
        self._options = {} if thinking is None else {"enable_thinking": thinking}
        template = tokenizer.chat_template
        if not isinstance(template, str):
            raise ChatFormatError("the tokenizer has no chat template, or several: store exactly one with it")
        self._control = _control_tokens(tokenizer, template)
        self._stop = self._find_stop()
        self.stop_ids: frozenset[int] = frozenset([self._control[self._stop], *eos_ids])
        self._spelling = re.compile("|".join(f"(?={re.escape(token)})" for token in self._control))
        self.call_format = self._find_format()
        self._check_continuation()
        self._check_thinking(thinking)
        self._thinks = self._generation_prompt().rstrip().endswith("<think>")

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        """The ids of an episode's first prompt, including the generation prompt."""
        return self._encode(self._render(self._defuse(messages), self._defuse([tool.render() for tool in tools])))

    def continuation(self, messages: Sequence[Message]) -> list[int]:
        """The ids from just after a sampled stop token, through `messages`, to the next generation prompt.

        Raises ValueError without messages: an environment must answer unless the episode is over.
        """
        if not messages:
            raise ValueError("the observation has no message, but does not end the episode")
        suffix = self._suffix([_USER, _assistant(_MARK)], self._defuse(messages))
        # Some stop tokens absorb the white space after them, so the suffix is encoded together with the stop token.
        return self._encode(self._stop + suffix)[1:]

    def turn(self, turn: Turn) -> list[int]:
        """The ids that a policy should sample for `turn`, including the stop token (for demonstrations).

        If the generation prompt opens a thought, the ids close it immediately.
        Raises ValueError for a turn that the format cannot express.
        """
        render_turn(turn, self.call_format)  # before the cuts below, which would hide invalid text from it
        calls = tuple(type(call)(call.name, self._defuse(call.arguments), call.error) for call in turn.calls)
        text = render_turn(Turn(self._defuse(turn.content), calls), self.call_format)
        thought = "\n</think>\n\n" if self._thinks else ""
        return [*self._encode(thought + text), self._control[self._stop]]

    def text(self, ids: Sequence[int]) -> str:
        """The text of sampled ids without the final stop token, for display and parsing only."""
        if ids and ids[-1] in self.stop_ids:
            ids = ids[:-1]
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def parse(self, ids: Sequence[int], tools: Sequence[Tool]) -> Turn:
        """The turn that the sampled ids encode, without thinking. `tools` are the tools offered. Never raises."""
        text = self.text(ids)
        opened = self._thinks or text.lstrip().startswith("<think>")
        answer = text.partition("</think>")[2] if opened else text
        return parse_turn(answer, self.call_format, tools)

    def _render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = (), **options: Any) -> str:
        options = {"add_generation_prompt": True, **self._options, **options}
        return str(
            self.tokenizer.apply_chat_template(list(messages), tools=list(tools) or None, tokenize=False, **options)
        )

    def _suffix(self, conversation: Sequence[Message], messages: Sequence[Message]) -> str:
        """The text after the stop token of `conversation`'s last turn when `messages` follow that turn."""
        rendered = self._probe([*conversation, *messages], "messages after an assistant turn")
        rest = rendered.partition(_MARK)[2]
        turn_end, stop, suffix = rest.partition(self._stop)
        if not stop:
            raise ChatFormatError(f"the template does not close an assistant turn with {self._stop!r}: {turn_end!r}")
        return suffix

    def _encode(self, text: str) -> list[int]:
        """Encodes template text with defused content. No token spans a cut, since the parts are encoded separately."""
        return [id for part in text.split(_CUT) for id in self.tokenizer.encode(part, add_special_tokens=False)]

    def _defuse(self, value: Any) -> Any:
        """A copy of `value` in which every spelling of a control token is cut after its first character."""
        if isinstance(value, str):
            text = _UNENCODABLE.sub("\ufffd", value)
            cuts = [match.start() + 1 for match in self._spelling.finditer(text)]
            bounds = zip([0, *cuts], [*cuts, len(text)], strict=True)
            return _CUT.join(text[start:end] for start, end in bounds) if cuts else text
        if isinstance(value, Mapping):
            return {self._defuse(key): self._defuse(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._defuse(item) for item in value]
        return value

    def _generation_prompt(self) -> str:
        return self._render([_USER]).removeprefix(self._render([_USER], add_generation_prompt=False))

    def _find_stop(self) -> str:
        """The control token that the template writes right after an assistant turn's text."""
        rest = self._probe([_USER, _assistant(_MARK), _USER], "an assistant turn").partition(_MARK)[2]
        stops = [token for token in self._control if rest.startswith(token)]
        if not stops:
            raise ChatFormatError(f"no control token ends an assistant turn: {rest[:20]!r} follows its text")
        return max(stops, key=len)

    def _find_format(self) -> CallFormat:
        rendered = self._probe([_USER, _assistant_call(_MARK), _tool(_ANSWER)], "tool calls and tool messages")
        if rendered.count(_ANSWER) != 1 or rendered.count(_MARK) != 1:
            raise ChatFormatError("the template omits tool calls or tool messages")
        call_format = detect_format(rendered)
        if call_format is None:
            raise ChatFormatError(
                "the template writes tool calls in an unknown format; the known formats are Qwen3's JSON and Qwen3.5's "
                "XML-like tags inside <tool_call>, and Llama 3.1's bare JSON"
            )
        return call_format

    def _check_continuation(self) -> None:
        """Checks that the suffix depends on the messages alone, not on the turns before them."""
        thought = _assistant(f"<think>\nOne thought.\n</think>\n\n{_MARK}")
        pasts = [
            [_USER, _assistant(_MARK)],
            [_USER, thought],
            [_USER, _assistant_call(_MARK)],
            [_USER, _assistant_call(_MARK, name="other", content="First, a look.")],
            [_USER, _assistant_call("again", name="other"), _tool("Another answer."), _assistant_call(_MARK)],
            [_USER, _assistant("Done."), _USER, _assistant(_MARK)],
        ]
        for messages in ([_tool(_ANSWER)], [_tool(_ANSWER), _tool("Two.")], [{"role": "user", "content": _ANSWER}]):
            suffixes = {self._suffix(past, messages) for past in pasts}
            if len(suffixes) > 1:
                raise ChatFormatError(
                    "ids cannot be appended: the text that the template writes after an assistant turn depends on "
                    f"the earlier turns: {sorted(suffixes)[:2]}"
                )
            if _ANSWER not in suffixes.pop():
                raise ChatFormatError(f"the template omits {messages[0]['role']} messages")

    def _check_thinking(self, thinking: bool | None) -> None:
        prompts = {self._render([_USER], enable_thinking=value) for value in (True, False)}
        if thinking is not None and len(prompts) == 1:
            raise ChatFormatError("the template ignores enable_thinking: leave `thinking` unset")

    def _probe(self, messages: Sequence[Message], what: str) -> str:
        try:
            return self._render(messages)
        except (TemplateError, ValueError, TypeError) as problem:
            raise ChatFormatError(f"the template cannot render {what}: {problem}") from problem


def _control_tokens(tokenizer: PreTrainedTokenizerBase, template: str) -> dict[str, int]:
    """Special tokens, and other added tokens that the template spells out, but white space (Gemma adds some)."""
    added = {token.content: (id, token.special) for id, token in tokenizer.added_tokens_decoder.items()}
    return {text: id for text, (id, special) in added.items() if special or (text.strip() and text in template)}


_USER: Message = {"role": "user", "content": "A request."}


def _tool(content: str) -> Message:
    return {"role": "tool", "content": content}


def _assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def _assistant_call(argument: str, name: str = "probe", content: str = "") -> Message:
    function = {"name": name, "arguments": {"argument": argument}}
    return {"role": "assistant", "content": content, "tool_calls": [{"type": "function", "function": function}]}
