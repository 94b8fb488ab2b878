"""Every option of a training run, the published recipes over them, and which options contradict each other.

`Options` holds each default once. `RECIPES` are presets of the published variants: a preset says what its paper says
about the loss and the groups; learning rate and batch belong to a model, so recipes leave them alone.
`docs/algorithm.md` has the equations.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from grpo.advantages import ADVANTAGES
from grpo.errors import OptionError
from grpo.losses import AGGREGATIONS, KLS, OBJECTIVES, RATIOS, LossConfig
from grpo.types import LOWEST_TEMPERATURE, Limits, Sampling

RECIPES: dict[str, dict[str, Any]] = {
    # The defaults of `Options`, tuned on the embedded policy: GRPO's advantages, DAPO's clip and token mean, no KL.
    "laptop": {},
    # DeepSeekMath (arXiv 2402.03300), section 4.
    "grpo": dict(
        advantage="grpo", clip_low=0.2, clip_high=0.2, kl="k3", kl_coef=0.04, aggregation="sequence_mean"
    ),
    # Dr. GRPO (arXiv 2503.20783): no deviation, no length bias, no KL. The constant is the longest response allowed.
    "dr_grpo": dict(advantage="dr_grpo", clip_low=0.2, clip_high=0.2, aggregation="constant", loss_constant=256),
    # DAPO (arXiv 2503.14476) with overlong filtering and without the soft length penalty.
    "dapo": dict(
        advantage="grpo", clip_low=0.2, clip_high=0.28, aggregation="token_mean", mask_truncated=True,
        dynamic_sampling=4,
    ),
    # GSPO (arXiv 2507.18071), section 5.1: a batch in four mini-batches, clips of 3e-4 and 4e-4.
    "gspo": dict(
        advantage="grpo", ratio="sequence", clip_low=3e-4, clip_high=4e-4, aggregation="sequence_mean", minibatches=4
    ),
    # CISPO, MiniMax-M1 (arXiv 2506.13585): no lower bound. The paper tunes the upper one without stating it; here a
    # weight is at most 5.
    "cispo": dict(
        advantage="grpo", objective="cispo", clip_low=1.0, clip_high=4.0, aggregation="token_mean", minibatches=4
    ),
    # RLOO (arXiv 2402.14740): REINFORCE on whole episodes, KL in the reward. The constant only scales the gradient.
    "rloo": dict(advantage="rloo", kl="k1_reward", kl_coef=0.05, aggregation="constant", loss_constant=256),
}  # fmt: skip

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}
"""From the share of the steps after warm-up that are done, in [0, 1), to a factor of the learning rate."""


def option(default: Any, help: str, **details: Any) -> Any:
    """A dataclass field with its help text.

    `details`: `choices`; the range as `minimum`, `maximum`, `above` or `below`; `metavar` for the help page.
    """
    metadata = {"default": default, "help": help, **details}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Options:
    """One training run. Raises OptionError for values outside their range and for contradictions."""

    # What is trained, on what, and where the result goes.
    model: str = option("tiny", "tiny (the embedded policy) or a Hugging Face checkpoint folder")
    out: str = option("runs/latest", "folder for metrics, configuration, episodes, curves and the final checkpoint")
    scenarios: list[str] = option(["all"], "scenario names; all stands for the scenarios of the package")  # noqa: RUF009 (a field)
    env: str | None = option(None, "an environment of your own instead of the five, as package.module:factory")
    recipe: str = option("laptop", "preset of the options below; flags override it", choices=RECIPES)
    seed: int = option(0, "seed of the tasks, the sampling and the order of updates", minimum=0)
    steps: int = option(100, "training steps; each samples groups and updates the policy on them", minimum=1)
    processes: int = option(1, "processes on this machine's CPU that share the work; for GPUs use torchrun", minimum=1)

    # Rollouts.
    prompts_per_step: int = option(10, "tasks per step, dealt to the scenarios in turn", minimum=1)
    group_size: int = option(12, "episodes per task; advantages compare them (the papers' G)", minimum=1)
    rows: int = option(64, "episodes generated at the same time; costs memory, does not change results", minimum=1)
    temperature: float = option(1.0, "sampling temperature, also that of training", minimum=LOWEST_TEMPERATURE)
    top_p: float = option(1.0, "sample from the smallest set of tokens with this probability", above=0, maximum=1)
    top_k: int = option(0, "sample from the k most likely tokens; 0 keeps all", minimum=0)
    min_p: float = option(
        0.0, "sample from tokens at least this likely relative to the most likely; 0 keeps all", minimum=0, below=1
    )
    max_turns: int = option(8, "assistant turns per episode", minimum=1)
    max_turn_tokens: int = option(256, "sampled tokens per turn", minimum=1)
    max_episode_tokens: int = option(2048, "tokens per episode after the prompt, tool responses included", minimum=1)
    thinking: bool | None = option(None, "whether the chat template asks for thinking (default: the template's own)")
    dynamic_sampling: int = option(
        0, "extra rounds per step to replace groups of equal rewards (DAPO); 0 is off", minimum=0
    )

    # The loss. grpo/losses.py has the equations, docs/algorithm.md the papers.
    advantage: str = option("grpo", "how rewards of a group become advantages", choices=ADVANTAGES)
    ratio: str = option("token", "probability ratio per token, or per sequence (GSPO)", choices=RATIOS)
    objective: str = option("clip", "PPO's clipped loss, or CISPO's clipped weight", choices=OBJECTIVES)
    clip_low: float = option(0.2, "the ratio is clipped below 1 - clip_low", minimum=0, maximum=1)
    clip_high: float = option(0.28, "the ratio is clipped above 1 + clip_high", minimum=0)
    # k1 is a choice so that its refusal can say why.
    kl: str = option(
        "none", "KL to the starting policy: as a loss (k2, k3) or in the reward (k1_reward)",
        choices=("none", "k1_reward", *KLS, "k1"), metavar=f"{{none,k1_reward,{','.join(KLS)}}}",
    )  # fmt: skip
    kl_coef: float = option(0.0, "weight of the KL; the reference policy is kept only if this is not 0", minimum=0)
    aggregation: str = option(
        "token_mean", "mean of the loss over tokens (DAPO), per episode (GRPO), or by a constant", choices=AGGREGATIONS
    )
    loss_constant: int = option(0, "divisor of aggregation constant: the longest response expected", minimum=0)
    entropy_coef: float = option(0.0, "weight of an entropy bonus", minimum=0)
    importance_cap: float = option(
        2.0, "cap C of the weight min(trainer / sampler, C), which corrects the sampler's rounding; 0 is off", minimum=0
    )
    mask_truncated: bool = option(False, "leave episodes that hit a limit out of the loss; they stay in the baseline")

    # The update.
    passes: int = option(1, "update passes over a step's episodes", minimum=1)
    minibatches: int = option(1, "optimizer steps per pass, each on its share of the groups", minimum=1)
    token_budget: int = option(
        4096, "tokens per forward and backward pass; costs memory, does not change the gradient", minimum=1
    )
    kept_logits_mb: int = option(
        0, "on a CPU, MB of logits kept from forward to backward; the rest is computed twice", minimum=0
    )
    learning_rate: float = option(4e-4, "learning rate of AdamW after warm-up", above=0)
    warmup_steps: int = option(0, "steps of linear warm-up", minimum=0)
    schedule: str = option("linear", "learning rate after warm-up: falling to 0, or constant", choices=SCHEDULES)
    weight_decay: float = option(0.0, "weight decay of AdamW, on matrices only", minimum=0)
    beta1: float = option(0.9, "AdamW's decay of the first moment", minimum=0, below=1)
    beta2: float = option(0.999, "AdamW's decay of the second moment", minimum=0, below=1)
    adam_epsilon: float = option(
        1e-6, "added to AdamW's denominator; weights with smaller gradients hardly move", above=0
    )
    grad_clip: float = option(1.0, "largest gradient norm; 0 is off", minimum=0)

    # Memory and arithmetic. docs/scaling.md has what each costs.
    precision: str = option(
        "auto", "type of matrix products: bf16 (weights stay fp32) or fp32; auto is bf16 on GPUs",
        choices=("auto", "bf16", "fp32"),
    )  # fmt: skip
    optimizer_states: str = option("fp32", "type of AdamW's moments", choices=("fp32", "bf16"))
    gradient_checkpointing: bool = option(False, "recompute each layer in the backward pass instead of keeping it")
    lora_rank: int = option(0, "train LoRA adapters of this rank on frozen weights; 0 trains all weights", minimum=0)
    lora_alpha: float = option(32.0, "scale of the adapters, as lora_alpha / lora_rank", above=0)
    shard: str = option(
        "auto", "split weights (FSDP2) over all ranks or each node's (hybrid); auto: full under torchrun",
        choices=("auto", "none", "full", "hybrid"),
    )  # fmt: skip

    # Evaluation and what is written down.
    eval_tasks: int = option(200, "held-out tasks per scenario, before and after training; 0 is off", minimum=0)
    eval_every: int = option(0, "steps between further evaluations; 0 is off", minimum=0)
    eval_seed: int = option(0, "first seed of the held-out tasks", minimum=0)
    save_every: int = option(
        0, "steps between snapshots, from which grpo train --resume continues exactly; 0 is off", minimum=0
    )
    keep_snapshots: int = option(2, "newest snapshots that are kept", minimum=1)
    save_episodes: int = option(2, "sampled episodes per scenario written at each evaluation", minimum=0)

    def __post_init__(self) -> None:
        for problem in (*range_problems(self), *contradictions(self)):
            raise OptionError(problem)

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.top_k, self.min_p)

    @property
    def limits(self) -> Limits:
        return Limits(self.max_turns, self.max_turn_tokens, self.max_episode_tokens)

    @property
    def loss(self) -> LossConfig:
        return LossConfig(**{one.name: getattr(self, one.name) for one in dataclasses.fields(LossConfig)})

    @property
    def optimizer_steps(self) -> int:
        """Optimizer steps per training step; above 1 the ratio leaves 1."""
        return self.passes * self.minibatches

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of `step`, counted from 0: 1/w, 2/w, ... of it in w steps of warm-up, then the schedule."""
        if step < self.warmup_steps:
            return self.learning_rate * ((step + 1) / self.warmup_steps)
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * SCHEDULES[self.schedule](progress)


TYPES: dict[str, Any] = typing.get_type_hints(Options)
"""The type of each option."""


def range_problems(options: Any) -> Iterator[str]:
    """A line for each field of a dataclass made with `option` whose value is outside its range."""
    for one in dataclasses.fields(options):
        value, limits = getattr(options, one.name), one.metadata
        if limits.get("choices") is not None and value not in limits["choices"]:
            known = ", ".join(choice for choice in limits["choices"] if choice != "k1")
            yield f"{one.name} {value!r} is not known; choose one of {known}"
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{one.name} is {value}; give a finite number"
        if "minimum" in limits and value < limits["minimum"]:
            yield f"{one.name} is {value}; it has to be at least {limits['minimum']}"
        if "above" in limits and value <= limits["above"]:
            yield f"{one.name} is {value}; it has to be above {limits['above']}"
        if "maximum" in limits and value > limits["maximum"]:
            yield f"{one.name} is {value}; it has to be at most {limits['maximum']}"
        if "below" in limits and value >= limits["below"]:
            yield f"{one.name} is {value}; it has to be below {limits['below']}"


def contradictions(o: Options) -> Iterator[str]:
    """A line for each pair of options that cannot be used together, with the remedy."""
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
