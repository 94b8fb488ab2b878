"""Checkpoint folders like those of real models: real configurations, vocabularies and templates.

The weights are random, and there are few and narrow layers. Heads, rotary embeddings, vocabularies and tied outputs are
those of the real models. Configurations and templates come from the folder GRPO_REFERENCE_DIR.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3_5Config,
    Qwen3_5ForCausalLM,
    Qwen3_5ForConditionalGeneration,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from envs.protocol import Env, Message, Observation, Scenario, Split, Tool, Turn
from envs.scenarios import SCENARIOS
from envs.scripts import Oracle
from grpo.models.checkpoint import Checkpoint, save
from grpo.tiny.tokenizer import train_tokenizer
from rewards.score import Score
from rewards.trace import Call
from tests.support.causal_models import MODELS, SHAPE
from tests.support.tiny import ADDED_TOKENS, CHAT_TEMPLATE

SCENARIO = SCENARIOS["ticket-transition"]
TEMPLATES = {"qwen3": "qwen3", "qwen3.5": "qwen3_5_think", "llama": "llama3_1"}
"""Gemma is missing: its template has no tools and is refused. Users must supply a template; here it is the tests'."""
SPECIAL_TOKENS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>")
FEW_LAYERS = {"hidden_size": 64, "intermediate_size": 96, "initializer_range": 0.2}
VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "num_position_embeddings": 16}
OFFERED = 4
"""Number of tools offered, including those that the oracle needs. It is small because tools fill most of a prompt."""
STOPPING = 3
"""One in STOPPING tokens ends a turn. Otherwise a random policy would never reach its second turn."""


def reference(path: str) -> str:
    """The text of a file in the reference folder's `models`. Skips the test if the file is missing."""
    folder = os.environ.get("GRPO_REFERENCE_DIR")
    if not folder or not (file := Path(folder) / "models" / path).is_file():
        pytest.skip("GRPO_REFERENCE_DIR names no folder with the model families' configurations and templates")
    return file.read_text(encoding="utf-8")


def template(family: str) -> str:
    """The family's chat template."""
    return reference(f"templates/{TEMPLATES[family]}.jinja") if family in TEMPLATES else CHAT_TEMPLATE


def tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer, trained on a task's prompt, with all control tokens and the family's chat template."""
    messages, tools = opening()
    texts = [str(message["content"]) for message in messages]
    encoder = train_tokenizer([*texts, *(json.dumps(tool.render()) for tool in tools)] * 2, 1024)
    encoder.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS), "bos_token": SPECIAL_TOKENS[0]})
    encoder.add_tokens(list(ADDED_TOKENS))
    encoder.chat_template = template(family)
    return encoder


def qwen3() -> PreTrainedModel:
    """Qwen3 1.7B with two layers."""
    real = json.loads(reference("qwen3-1.7b.json"))
    return Qwen3ForCausalLM(Qwen3Config(**real | FEW_LAYERS | {"num_hidden_layers": 2, "dtype": "float32"}))


def qwen3_5(multimodal: bool = True) -> PreTrainedModel:
    """Qwen3.5 4B with a gated linear layer and an attention layer.

    With `multimodal`, as published, it has a (small) vision tower; otherwise it is the text model only.
    """
    real = json.loads(reference("qwen3.5-4b-text.json"))
    few = {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"], "dtype": "float32"}
    text = real | FEW_LAYERS | few
    if not multimodal:
        return Qwen3_5ForCausalLM(Qwen3_5TextConfig(**text))
    vision = {**VISION, "out_hidden_size": FEW_LAYERS["hidden_size"]}
    return Qwen3_5ForConditionalGeneration(
        Qwen3_5Config(text_config=text, vision_config=vision, tie_word_embeddings=real["tie_word_embeddings"])
    )


def toy(kind: str, vocabulary: int) -> PreTrainedModel:
    """One of `causal_models.MODELS`, with enough positions for complete episodes."""
    model_class, config_class, settings = MODELS[kind]
    return model_class(config_class(**SHAPE | settings | {"vocab_size": vocabulary, "max_position_embeddings": 8192}))


def checkpoint(family: str, folder: Path) -> Path:
    """Writes a random checkpoint of the family."""
    encoder = tokenizer(family)
    makers = {
        "qwen3": qwen3,
        "qwen3.5": qwen3_5,
        "llama": lambda: toy("llama, one kv head, biased", len(encoder)),
        "gemma": lambda: toy("gemma 3, a window in the first layer", len(encoder)),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = makers[family]()
    vocabulary = model.get_output_embeddings().out_features
    model.generation_config.eos_token_id = list(range(0, vocabulary, STOPPING))
    save(Checkpoint(model, encoder), folder)
    return folder


class GuidedEnv:
    """A real episode in which the oracle acts: each turn of the policy is replaced by the oracle's next turn.

    A random policy therefore sees real tool responses, and its reward grows with the turns that it ends before a limit.
    """

    def __init__(self, seed: int, split: Split) -> None:
        self.env: Env = SCENARIO.env(seed, split)
        self.oracle = Oracle(SCENARIO, seed, split)
        self.observation = Observation(())

    @property
    def tools(self) -> Sequence[Tool]:
        return self.env.tools[:OFFERED]

    @property
    def trace(self) -> tuple[Call, ...]:
        return self.env.trace

    def reset(self) -> Observation:
        self.observation = self.env.reset()
        return self.observation

    def step(self, turn: Turn) -> Observation:
        self.observation = self.env.step(self.oracle.turn(self.observation))
        return self.observation

    def score(self) -> Score:
        return self.env.score()


class Guided:
    name = "guided"

    def env(self, seed: int, split: Split) -> Env:
        return GuidedEnv(seed, split)


def guided() -> Scenario:
    """A factory for `--env tests.support.real_models:guided`."""
    return Guided()


def opening() -> tuple[list[Message], Sequence[Tool]]:
    """The first messages and the tools of a task."""
    env = GuidedEnv(0, "train")
    return list(env.reset().messages), env.tools


RUN: dict[str, Any] = {
    "env": "tests.support.real_models:guided", "steps": 1, "prompts_per_step": 1, "group_size": 4, "rows": 4,
    "eval_tasks": 0, "max_turns": 3, "max_turn_tokens": 2, "max_episode_tokens": 400, "learning_rate": 0.01,
    "token_budget": 2048,
}  # fmt: skip
"""Options of `grpo train` for one step."""
