"""The embedded policy's tokenizer: byte-level BPE trained on the scenarios' own text, with a Qwen3-style chat template.

The splits make copying easy. A small model learns to copy by matching the token before a string, so that token should
tell which string it is:

- A JSON key includes the punctuation up to its value (`title": "`). A word in a sentence includes the quote or the
  space before a name (` title "`, ` project `).
- A name therefore has the same tokens in a sentence, with or without quotation marks, and in JSON: its first word never
  takes a space. A name begins with a capital, or it is a label with a hyphen.
- Each capital of an issue key is a token.
- A hyphen belongs to the word after it: `quick-win` is `quick`, `-win`.
- Digits are grouped in threes, which is enough to distinguish the ids of a list.
- Runs of other punctuation stay together.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 4_096
NO_KEY = r"(?!\p{Lu}{2})"
NAME = r"(?:\p{Lu}|\p{L}+-\p{L})"
"""The beginning of a name: a capital, or the first word of a label such as `quick-win`."""
OPENER = rf"""(?:": [\[{{]*"?(?:<p>)?| [=~] \\?"?| "| (?={NAME}))(?=[\p{{L}}\p{{N}}])"""
"""Text that opens a value: after a JSON member or a JQL operator, a quote, or the space before a name."""
LEAD = rf"(?: (?!{NAME})|-)?"
"""What a word takes from before it: a space unless it begins a name, or a hyphen."""
SPLIT = "|".join(
    (
        rf"{LEAD}{NO_KEY}\p{{L}}{{2,}}{OPENER}",
        r"\p{Lu}(?=\p{Lu})",
        r"\p{N}{1,3}",
        rf"{LEAD}{NO_KEY}\p{{L}}+",
        rf"[^\p{{L}}\p{{N}}]+(?= (?!{NAME})\p{{L}})",
        r"[^\p{L}\p{N}]+",
    )
)
"""In order: words with an opener, capitals of a key, up to three digits, words, runs of everything else."""
END_OF_TEXT = "<|endoftext|>"
SPECIAL = (END_OF_TEXT, "<|im_start|>", "<|im_end|>")
TAGS = ("<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")

CHAT_TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- '<tools>' }}
    {%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
    {{- '\\n</tools><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' + message.content }}
        {%- for call in message.tool_calls or [] %}
            {%- set call = call.function or call %}
            {%- if message.content or not loop.first %}{{- '\\n' }}{%- endif %}
            {{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
            {{- call.arguments if call.arguments is string else call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """Trains a tokenizer of at most `vocabulary` tokens, including control tokens and tags. Deterministic."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(TAGS),
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token=END_OF_TEXT, clean_up_tokenization_spaces=False
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
