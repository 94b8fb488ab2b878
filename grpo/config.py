"""Every option of a training run: one dataclass, refused where it contradicts itself. `grpo.flags` reads it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from grpo.advantages import ADVANTAGES
from grpo.cli import UserError
from grpo.losses import AGGREGATIONS, KLS, OBJECTIVES, RATIOS
from grpo.recipes import RECIPES
from grpo.types import Limits, Sampling

SCHEDULES = ("constant", "linear", "cosine")


class OptionError(UserError, ValueError):
    """Options that cannot be used: the reason, and what to change."""


def option(default: Any, help: str, **arguments: Any) -> Any:
    """A dataclass field with its documentation; `arguments` go to argparse (`choices`, say)."""
    return field(default=default, metadata={"help": help, **arguments})


@dataclass(frozen=True)
class Options:
    """One training run. Raises OptionError where options contradict each other."""

    # What is trained, on what, and where the result goes.
    model: str = option("tiny", "tiny (the embedded policy) or a Hugging Face checkpoint folder")
    out: str = option("runs/latest", "folder for metrics, configuration, episodes, curves and the final checkpoint")
    scenarios: list[str] = field(
        default_factory=lambda: ["all"], metadata={"help": "scenario names, or all for the five"}
    )
    env: str | None = option(None, "your own environment instead, as package.module:factory")
    recipe: str = option("laptop", "named preset of the options below; flags override it", choices=RECIPES)
    seed: int = option(0, "of the tasks, the sampling and the order of updates")
    steps: int = option(60, "training steps; each samples groups and updates the policy on them")
    processes: int = option(1, "processes on this machine's CPU that share the work; for GPUs there is torchrun")

    # Rollouts.
    prompts_per_step: int = option(10, "tasks per step, dealt to the scenarios in turn")
    group_size: int = option(12, "episodes per task, among which advantages are relative (the papers' G)")
    rows: int = option(64, "episodes generated at the same time; memory grows with it, results do not depend on it")
    temperature: float = option(1.0, "of sampling; training scores under the same temperature")
    top_p: float = option(1.0, "sample from the smallest set of tokens with this probability; 1 keeps all")
    top_k: int = option(0, "sample from this many most likely tokens; 0 keeps all")
    min_p: float = option(0.0, "sample from tokens at least this likely relative to the most likely; 0 keeps all")
    max_turns: int = option(8, "assistant turns per episode")
    max_turn_tokens: int = option(256, "sampled tokens per turn")
    max_episode_tokens: int = option(2048, "tokens per episode after the prompt, tool responses included")
    thinking: bool | None = option(None, "whether the chat template asks for thinking; by default the template's own")
    dynamic_sampling: int = option(
        0, "extra sampling rounds per step that replace groups whose rewards are all equal (DAPO); 0 is off"
    )

    # The loss. grpo/losses.py has the equations, docs/algorithm.md the papers.
    advantage: str = option("grpo", "how rewards of a group become advantages", choices=ADVANTAGES)
    ratio: str = option("token", "probability ratio per token, or per sequence (GSPO)", choices=RATIOS)
    objective: str = option("clip", "PPO's clipped loss, or CISPO's clipped weight", choices=OBJECTIVES)
    clip_low: float = option(0.2, "the ratio is clipped below 1 - clip_low")
    clip_high: float = option(0.28, "the ratio is clipped above 1 + clip_high")
    kl: str = option(
        "none",
        "KL to the starting policy: as a loss (k2, k3) or in the reward (k1_reward)",
        choices=("none", "k1_reward", "k1", *KLS),
    )
    kl_coef: float = option(0.0, "weight of the KL; the reference policy is only kept when it is not 0")
    aggregation: str = option(
        "token_mean", "over the whole batch's tokens (DAPO), per episode (GRPO), or by a constant", choices=AGGREGATIONS
    )
    loss_constant: int = option(0, "the constant of aggregation constant (Dr. GRPO): the longest response expected")
    entropy_coef: float = option(0.0, "weight of an entropy bonus")
    importance_cap: float = option(
        2.0, "cap C of the weight min(trainer / sampler, C) for numerical differences between the two; 0 is off"
    )
    mask_truncated: bool = option(False, "leave episodes that hit a limit out of the loss; they stay in the baseline")

    # The update.
    passes: int = option(1, "update passes over a step's episodes")
    minibatches: int = option(1, "optimizer steps per pass, each on its share of the groups")
    token_budget: int = option(4096, "tokens per forward and backward; memory grows with it, the gradient does not")
    learning_rate: float = option(2e-4, "of AdamW, after warm-up")
    warmup_steps: int = option(0, "steps of linear warm-up")
    schedule: str = option("constant", "of the learning rate after warm-up, down to 0", choices=SCHEDULES)
    weight_decay: float = option(0.0, "of AdamW, on matrices only")
    beta1: float = option(0.9, "of AdamW")
    beta2: float = option(0.999, "of AdamW")
    grad_clip: float = option(1.0, "largest gradient norm; 0 is off")

    # Evaluation and what is written down.
    eval_tasks: int = option(200, "held-out tasks per scenario, before and after training; 0 is off")
    eval_every: int = option(0, "steps between further evaluations; 0 is off")
    eval_seed: int = option(0, "first seed of the held-out tasks")
    save_episodes: int = option(2, "sampled episodes per scenario written at each evaluation")

    def __post_init__(self) -> None:
        for problem in (*_outside(self), *_contradictions(self)):
            raise OptionError(problem)

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.top_k, self.min_p)

    @property
    def limits(self) -> Limits:
        return Limits(self.max_turns, self.max_turn_tokens, self.max_episode_tokens)

    @property
    def optimizer_steps(self) -> int:
        """Optimizer steps per training step; above 1 the ratio leaves 1."""
        return self.passes * self.minibatches


AT_LEAST: dict[str, float] = {
    "seed": 0, "steps": 1, "processes": 1, "prompts_per_step": 1, "group_size": 1, "rows": 1, "top_k": 0, "min_p": 0,
    "max_turns": 1, "max_turn_tokens": 1, "max_episode_tokens": 1, "dynamic_sampling": 0, "clip_low": 0, "clip_high": 0,
    "kl_coef": 0, "loss_constant": 0, "entropy_coef": 0, "importance_cap": 0, "passes": 1, "minibatches": 1,
    "token_budget": 1, "warmup_steps": 0, "weight_decay": 0, "beta1": 0, "beta2": 0, "grad_clip": 0, "eval_tasks": 0,
    "eval_every": 0, "eval_seed": 0, "save_episodes": 0,
}  # fmt: skip
ABOVE_ZERO = ("temperature", "top_p", "learning_rate")
AT_MOST: dict[str, float] = {"top_p": 1, "clip_low": 1}
BELOW_ONE = ("min_p", "beta1", "beta2")


def _outside(options: Options) -> Iterator[str]:
    """Values outside their range."""
    for one in dataclasses.fields(options):
        value, choices = getattr(options, one.name), one.metadata.get("choices")
        if choices is not None and value not in choices:
            yield f"{one.name} {value!r} is not known; choose one of {', '.join(choices)}"
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


def _contradictions(options: Options) -> Iterator[str]:
    """Options that cannot stand together, each with the remedy."""
    o = options
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
    if o.kl != "none" and (o.top_p < 1 or o.top_k > 0 or o.min_p > 0):
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
    if o.warmup_steps > o.steps:
        yield f"warmup_steps {o.warmup_steps} outlast the run's {o.steps} steps; lower them or raise steps"
