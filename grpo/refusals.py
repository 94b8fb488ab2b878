"""Which options of a training run cannot be used, and what to change."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpo.config import Options

AT_LEAST: dict[str, float] = {
    "seed": 0, "steps": 1, "processes": 1, "prompts_per_step": 1, "group_size": 1, "rows": 1, "top_k": 0, "min_p": 0,
    "max_turns": 1, "max_turn_tokens": 1, "max_episode_tokens": 1, "dynamic_sampling": 0, "clip_low": 0, "clip_high": 0,
    "kl_coef": 0, "loss_constant": 0, "entropy_coef": 0, "importance_cap": 0, "passes": 1, "minibatches": 1,
    "token_budget": 1, "warmup_steps": 0, "weight_decay": 0, "beta1": 0, "beta2": 0, "grad_clip": 0, "eval_tasks": 0,
    "kept_logits_mb": 0, "eval_every": 0, "eval_seed": 0, "save_episodes": 0, "save_every": 0,
    "keep_snapshots": 1, "lora_rank": 0, "temperature": 1e-3,
}  # fmt: skip
ABOVE_ZERO = ("top_p", "learning_rate", "lora_alpha", "adam_epsilon")
AT_MOST: dict[str, float] = {"top_p": 1, "clip_low": 1}
BELOW_ONE = ("min_p", "beta1", "beta2")


def problems(options: Options) -> Iterator[str]:
    """Everything that is wrong with `options`, a line each."""
    yield from outside(options)
    yield from contradictions(options)


def outside(options: Options) -> Iterator[str]:
    """Values outside their range."""
    for one in dataclasses.fields(options):
        value, choices = getattr(options, one.name), one.metadata.get("choices")
        if choices is not None and value not in choices:
            known = ", ".join(choice for choice in choices if choice != "k1")
            yield f"{one.name} {value!r} is not known; choose one of {known}"
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{one.name} is {value}; give a finite number"
    for name, bound in AT_LEAST.items():
        if getattr(options, name) < bound:
            yield f"{name} is {getattr(options, name)}; it has to be at least {bound}"
    for name in ABOVE_ZERO:
        if getattr(options, name) <= 0:
            yield f"{name} is {getattr(options, name)}; it has to be above 0"
    for name, bound in AT_MOST.items():
        if getattr(options, name) > bound:
            yield f"{name} is {getattr(options, name)}; it has to be at most {bound}"
    for name in BELOW_ONE:
        if getattr(options, name) >= 1:
            yield f"{name} is {getattr(options, name)}; it has to be below 1"


def contradictions(options: Options) -> Iterator[str]:
    """Options that cannot stand together, each with the remedy."""
    o = options
    for name in ("model", "out"):
        if not getattr(o, name).strip():
            yield f"{name} is empty; give a folder"
    if not o.scenarios:
        yield "scenarios is empty: there is nothing to train on; name some, or give all"
    if o.group_size == 1 and o.advantage != "pass_through":
        yield f"advantage {o.advantage} compares siblings and group_size is 1; take 2 or more, or pass_through"
    if o.group_size == 1 and o.dynamic_sampling:
        yield "dynamic_sampling drops groups of equal rewards and group_size 1 makes every group one; take 2 or more"
    if o.kl == "k1":
        yield (
            "kl k1 as a loss has an expected gradient of zero on-policy, so it regularises nothing; "
            "take k1_reward (in the reward), k2 or k3"
        )
    if o.kl != "none" and o.kl_coef == 0:
        yield f"kl {o.kl} has no effect with kl_coef 0; give kl_coef 0.04, say, or kl none"
    if o.kl == "none" and o.kl_coef > 0:
        yield f"kl_coef {o.kl_coef} has no effect with kl none; choose k2, k3 or k1_reward, or give kl_coef 0"
    if o.kl != "none" and o.sampling.cuts:
        yield (
            "under top_p, top_k or min_p policy and reference are cut to different tokens, and the KL between them is "
            "infinite; give kl none and kl_coef 0, or sample with the temperature only"
        )
    if o.aggregation == "constant" and o.loss_constant == 0:
        yield "aggregation constant divides by loss_constant, which is 0; give the longest response expected, 256 say"
    if o.aggregation != "constant" and o.loss_constant > 0:
        yield f"loss_constant has no effect with aggregation {o.aggregation}; give 0, or aggregation constant"
    if o.minibatches > o.prompts_per_step:
        yield (
            f"minibatches {o.minibatches} share {o.prompts_per_step} groups, so some would be empty; "
            "raise prompts_per_step or lower minibatches"
        )
    if o.max_turn_tokens > o.max_episode_tokens:
        yield "max_turn_tokens exceeds max_episode_tokens, which no turn could use; lower it or raise the latter"
    if o.eval_every and not o.eval_tasks:
        yield f"eval_every {o.eval_every} has no effect with eval_tasks 0; give tasks to evaluate on, or eval_every 0"
    if o.lora_rank and o.shard in ("full", "hybrid"):
        yield f"adapters are too small to shard: give shard none instead of {o.shard}, or lora_rank 0"
    if o.warmup_steps > o.steps:
        yield f"warmup_steps {o.warmup_steps} outlast the run's {o.steps} steps; lower them or raise steps"


def alone(options: Options, torchrun: bool) -> Iterator[str]:
    """Options that one process has no use for, where it is the only one. `grpo plan` looks ahead, and a run that goes
    on alone from a snapshot of several processes keeps its options: neither asks."""
    if options.shard in ("full", "hybrid") and options.processes == 1 and not torchrun:
        yield (
            f"shard {options.shard} has no effect in a single process; start it under torchrun (docs/scaling.md), or "
            "leave shard out"
        )
