"""Every option of a training run: one dataclass. `grpo.refusals` says which options contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from grpo.advantages import ADVANTAGES
from grpo.cli.main import UserError
from grpo.losses import AGGREGATIONS, KLS, OBJECTIVES, RATIOS
from grpo.recipes import RECIPES
from grpo.refusals import problems
from grpo.types import Limits, Sampling

SCHEDULES = ("constant", "linear", "cosine")
PRECISIONS = ("auto", "bf16", "fp32")
SHARDS = ("auto", "none", "full", "hybrid")


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
    scenarios: list[str] = field(default_factory=lambda: ["all"], metadata={"help": "scenario names; all is the five"})
    env: str | None = option(None, "your own environment instead of the five, as package.module:factory")
    recipe: str = option("laptop", "named preset of the options below; flags override it", choices=RECIPES)
    seed: int = option(0, "seed of the tasks, the sampling and the order of updates")
    steps: int = option(100, "training steps; each samples groups and updates the policy on them")
    processes: int = option(1, "processes on this machine's CPU that share the work; for GPUs there is torchrun")

    # Rollouts.
    prompts_per_step: int = option(10, "tasks per step, dealt to the scenarios in turn")
    group_size: int = option(12, "episodes per task, among which advantages are relative (the papers' G)")
    rows: int = option(64, "episodes generated at the same time; memory grows with it, results do not depend on it")
    temperature: float = option(1.0, "temperature of sampling; training scores under the same one")
    top_p: float = option(1.0, "sample from the smallest set of tokens with this probability; 1 keeps all")
    top_k: int = option(0, "sample from this many most likely tokens; 0 keeps all")
    min_p: float = option(0.0, "sample from tokens at least this likely relative to the most likely; 0 keeps all")
    max_turns: int = option(8, "assistant turns per episode")
    max_turn_tokens: int = option(256, "sampled tokens per turn")
    max_episode_tokens: int = option(2048, "tokens per episode after the prompt, tool responses included")
    thinking: bool | None = option(None, "whether the chat template asks for thinking; by default the template's own")
    dynamic_sampling: int = option(0, "extra rounds per step to replace groups of equal rewards (DAPO); 0 is off")

    # The loss. grpo/losses.py has the equations, docs/algorithm.md the papers.
    advantage: str = option("grpo", "how rewards of a group become advantages", choices=ADVANTAGES)
    ratio: str = option("token", "probability ratio per token, or per sequence (GSPO)", choices=RATIOS)
    objective: str = option("clip", "PPO's clipped loss, or CISPO's clipped weight", choices=OBJECTIVES)
    clip_low: float = option(0.2, "the ratio is clipped below 1 - clip_low")
    clip_high: float = option(0.28, "the ratio is clipped above 1 + clip_high")
    # k1 is a choice so that its refusal can say why.
    kl: str = option(
        "none", "KL to the starting policy: as a loss (k2, k3) or in the reward (k1_reward)",
        choices=("none", "k1_reward", *KLS, "k1"), metavar=f"{{none,k1_reward,{','.join(KLS)}}}",
    )  # fmt: skip
    kl_coef: float = option(0.0, "weight of the KL; the reference policy is only kept when it is not 0")
    aggregation: str = option(
        "token_mean", "mean of the loss over tokens (DAPO), per episode (GRPO), or by a constant", choices=AGGREGATIONS
    )
    loss_constant: int = option(0, "what aggregation constant divides by: the longest response expected")
    entropy_coef: float = option(0.0, "weight of an entropy bonus")
    importance_cap: float = option(
        2.0, "cap C of the weight min(trainer / sampler, C) for numerical differences between the two; 0 is off"
    )
    mask_truncated: bool = option(False, "leave episodes that hit a limit out of the loss; they stay in the baseline")

    # The update.
    passes: int = option(1, "update passes over a step's episodes")
    minibatches: int = option(1, "optimizer steps per pass, each on its share of the groups")
    token_budget: int = option(4096, "tokens per forward and backward; memory grows with it, the gradient does not")
    kept_logits_mb: int = option(0, "on a CPU, MB of logits kept from forward to backward; the rest is computed twice")
    learning_rate: float = option(4e-4, "learning rate of AdamW after warm-up")
    warmup_steps: int = option(0, "steps of linear warm-up")
    schedule: str = option("linear", "how the learning rate goes after warm-up: to 0, or constant", choices=SCHEDULES)
    weight_decay: float = option(0.0, "weight decay of AdamW, on matrices only")
    beta1: float = option(0.9, "AdamW's decay of the first moment")
    beta2: float = option(0.999, "AdamW's decay of the second moment")
    adam_epsilon: float = option(1e-6, "added to AdamW's denominator; weights with smaller gradients hardly move")
    grad_clip: float = option(1.0, "largest gradient norm; 0 is off")

    # Memory and arithmetic. docs/scaling.md has what each costs.
    precision: str = option(
        "auto", "type of matrix products: bf16 (weights stay fp32) or fp32; auto is bf16 on GPUs", choices=PRECISIONS
    )
    optimizer_states: str = option("fp32", "type of AdamW's moments", choices=("fp32", "bf16"))
    gradient_checkpointing: bool = option(False, "compute each layer again in the backward pass instead of keeping it")
    lora_rank: int = option(0, "train adapters of this rank beside frozen weights; 0 trains all weights")
    lora_alpha: float = option(32.0, "scale of the adapters, as lora_alpha / lora_rank")
    shard: str = option(
        "auto",
        "split weights (FSDP2) over all ranks or each node's (hybrid); auto: full under torchrun",
        choices=SHARDS,
    )

    # Evaluation and what is written down.
    eval_tasks: int = option(200, "held-out tasks per scenario, before and after training; 0 is off")
    eval_every: int = option(0, "steps between further evaluations; 0 is off")
    eval_seed: int = option(0, "first seed of the held-out tasks")
    save_every: int = option(0, "steps between snapshots, from which grpo train --resume goes on exactly; 0 is off")
    keep_snapshots: int = option(2, "the newest snapshots that are kept")
    save_episodes: int = option(2, "sampled episodes per scenario written at each evaluation")

    def __post_init__(self) -> None:
        for problem in problems(self):
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
