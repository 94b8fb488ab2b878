"""An environment as small as a bandit, without Atlassian: the request is one word, and the answer is that word.

Its tokenizer has few tokens, so a random policy sometimes gives the answer by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from envs.protocol import Env, Observation, Scenario, Split, Tool, Turn
from grpo.chat.template import ChatFormat
from rewards.score import Score
from rewards.trace import Call
from tests.support.tiny import CHAT_TEMPLATE, tiny_model

WORDS = ("red", "blue", "green")
RUN: dict[str, Any] = {
    "env": "tests.support.bandit:scenario", "steps": 3, "prompts_per_step": 3, "group_size": 4, "eval_tasks": 6,
    "max_turns": 1, "max_turn_tokens": 4, "max_episode_tokens": 8, "learning_rate": 0.01,
}  # fmt: skip
"""Options of a short `grpo train`."""
CONTROL = ("<|im_start|>", "<|im_end|>")


class EchoEnv:
    """Rewards a turn for ending (0.2), for beginning with the word (0.4) and for containing nothing else (0.4)."""

    tools: Sequence[Tool] = ()
    trace: tuple[Call, ...] = ()

    def __init__(self, word: str) -> None:
        self.word = word
        self.answer: list[str] | None = None

    def reset(self) -> Observation:
        return Observation(({"role": "user", "content": self.word},))

    def step(self, turn: Turn) -> Observation:
        self.answer = turn.content.split()
        return Observation((), done=True)

    def score(self) -> Score:
        answer = self.answer or []
        word = answer[:1] == [self.word]
        parts = {"ended": 0.2 * (self.answer is not None), "word": 0.4 * word, "alone": 0.4 * (answer == [self.word])}
        return Score(round(sum(parts.values()), 9), parts)


class Echo:
    """Task `seed` asks for word number `seed`, modulo the number of words."""

    def __init__(self, name: str = "echo") -> None:
        self.name = name

    def env(self, seed: int, split: Split) -> Env:
        return EchoEnv(WORDS[seed % len(WORDS)])


def scenario() -> Scenario:
    """A factory for `--env tests.support.bandit:scenario`."""
    return Echo()


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word."""
    vocabulary = {word: id for id, word in enumerate(("<unk>", "user", "assistant", *WORDS))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<|im_end|>")
    fast.add_special_tokens({"additional_special_tokens": list(CONTROL)})
    fast.chat_template = CHAT_TEMPLATE
    return fast


def policy(seed: int = 0) -> tuple[Qwen3ForCausalLM, ChatFormat]:
    """A tiny prepared random model with the bandit's chat format. Its weights are scaled down to start near chance."""
    words = tokenizer()
    model = tiny_model(len(words), seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 0.3 if weight.ndim > 1 else 1.0
    return model, ChatFormat(words)
