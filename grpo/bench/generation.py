"""Times sampling of G completions per prompt: our engine against `model.generate()`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel

from grpo.bench.measure import OURS, Sides, Work
from grpo.bench.models import cases, forward_flops, model_config, random_model
from grpo.engine.engine import Engine
from grpo.keys import stream_key
from grpo.models.compatibility import prepare
from grpo.sampling import sample, uniform
from grpo.types import Sampling

CASES = (
    {"prompt": 512, "new": 128, "prompts": 4, "group": 8},
    {"prompt": 2048, "new": 64, "prompts": 8, "group": 16},
)
LARGE = {"prompt": 896, "new": 256, "prompts": 8, "group": 8}
"""Contexts of 1,024 tokens on average."""


def works() -> list[Work]:
    """Many new tokens for few rows, and long prompts for many rows."""
    return [work(settings) for settings in cases(CASES, LARGE)]


def work(settings: dict[str, Any]) -> Work:
    """Every row samples exactly `new` tokens."""
    prompt, new, prompts, rows = (settings[name] for name in ("prompt", "new", "prompts", "group"))
    rows *= prompts
    config = model_config(settings)
    pairs = prompts * prompt**2 / 2 + rows * new * (prompt + new / 2)
    flops = forward_flops(config, prompts * prompt + rows * new, pairs, rows * new)
    # Every step reads the weights, the keys and values of each prompt once, and those of each row's completion.
    size = getattr(torch, settings["dtype"]).itemsize
    weights = forward_flops(config, 1, 0, 1) / 2
    cached = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    read = new * size * (weights + cached * (prompts * prompt + rows * new / 2))
    return Work("generation", build, settings, rows * new, flops, bytes=read)


def build(settings: dict[str, Any]) -> Sides:
    """Our engine, and `generate()` with a static or a dynamic cache."""
    shape, generator = (settings["prompts"], settings["prompt"]), torch.Generator().manual_seed(0)
    prompts = torch.randint(1, settings["vocabulary"], shape, generator=generator)

    def ours() -> Callable[[], object]:
        model, rows = random_model(settings), settings["prompts"] * settings["group"]
        prepare(model)
        engine = Engine(model, rows, settings["prompt"] + settings["new"])
        return partial(generate, engine, prompts.tolist(), settings["group"], settings["new"])

    def peer(cache: str) -> Callable[[], object]:
        return partial(library, random_model(settings), prompts, settings, cache)

    peers = {f"generate(), {cache} cache": partial(peer, cache) for cache in ("static", "dynamic")}
    return {OURS: ours, **peers}


def generate(engine: Engine, prompts: list[list[int]], group: int, new: int) -> list[list[int]]:
    """`group` completions of `new` tokens for each prompt, sampled at temperature 1."""
    engine.clear()
    rows = list(range(len(prompts) * group))
    for place, ids in enumerate(prompts):
        prefix = engine.prefix(ids[:-1])
        for row in rows[place * group : (place + 1) * group]:
            engine.open(row, prefix)
    keys = torch.tensor([stream_key(0, 0, 0, row) for row in rows])
    first = engine.extend({row: prompts[row // group][-1:] for row in rows})
    logits = torch.stack([first[row] for row in rows])
    sampled: list[list[int]] = []
    while True:
        next_ids, _ = sample(logits, uniform(keys, torch.full_like(keys, len(sampled))), Sampling())
        sampled.append(next_ids.tolist())
        if len(sampled) == new:
            return [list(row) for row in zip(*sampled, strict=True)]
        logits = engine.decode(rows, sampled[-1])


def library(model: PreTrainedModel, prompts: torch.Tensor, settings: dict[str, Any], cache: str) -> torch.Tensor:
    """Samples the same number of rows and tokens with `model.generate()`."""
    ids = prompts.repeat_interleave(settings["group"], 0).to(settings["device"])
    return model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        min_new_tokens=settings["new"],
        max_new_tokens=settings["new"],
        cache_implementation=cache,
    )
