"""Every option has an effect: a field that nothing here shows to change something fails."""

from __future__ import annotations

import dataclasses
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import grpo.cli.train
import grpo.parallel.actor
import grpo.trainer
from envs.protocol import Observation, Turn
from grpo.cli.arguments import parse
from grpo.cli.main import main
from grpo.config import Options
from grpo.engine.engine import Engine
from grpo.errors import UserError
from grpo.losses import policy_loss
from grpo.models.checkpoint import Checkpoint, save
from grpo.packing import pack
from grpo.parallel.sharding import is_sharded
from grpo.run.training import train
from grpo.trainer import StepResult
from tests.support import bandit
from tests.support.training import metrics_of, trainer_of

FIELDS = [field.name for field in dataclasses.fields(Options)]
SMALL: dict[str, Any] = {
    "prompts_per_step": 3,
    "group_size": 12,
    "rows": 36,
    "max_turns": 1,
    "max_turn_tokens": 4,
    "max_episode_tokens": 4,
    "steps": 2,
    "learning_rate": 0.02,
}


class Run:
    """A short training run: its weights, its metrics, and the requests, turns and losses seen on the way."""

    def __init__(self, **changes: Any) -> None:
        options = Options(**{**SMALL, **changes})
        trainer = trainer_of(options, Talk())
        self.metrics: list[dict[str, Any]] = []
        self.turns: list[int] = []
        self.micro_batches = 0
        original = policy_loss

        def counted(*arguments: Any) -> Any:
            self.micro_batches += 1
            return original(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grpo.trainer, "policy_loss", counted)
            trainer.run(self.record)
        self.weights = torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])

    def record(self, result: StepResult) -> None:
        self.metrics.append(metrics_of(result))
        self.turns += [one.turns for one in result.episodes]


class TalkEnv(bandit.EchoEnv):
    """Never ends: it asks again after each turn."""

    def step(self, turn: Turn) -> Observation:
        super().step(turn)
        return Observation(({"role": "user", "content": self.word},))


class Talk(bandit.Echo):
    def env(self, seed: int, split: Any) -> TalkEnv:
        return TalkEnv(bandit.WORDS[seed % len(bandit.WORDS)])


@functools.cache
def run(changes: tuple[tuple[str, Any], ...]) -> Run:
    return Run(**dict(changes))


def runs(base: dict[str, Any], changed: dict[str, Any]) -> tuple[Run, Run]:
    return run(tuple(base.items())), run(tuple({**base, **changed}.items()))


def trains_otherwise(base: dict[str, Any] | None = None, **changed: Any) -> Callable[[], None]:
    """The change leads to other weights, by more than rounding."""

    def check() -> None:
        before, after = runs(base or {}, changed)
        assert (before.weights - after.weights).abs().max() > 1e-4

    return check


def measures_otherwise(
    name: str, factor: float, base: dict[str, Any] | None = None, **changed: Any
) -> Callable[[], None]:
    """The change multiplies a metric of the first step by `factor`."""

    def check() -> None:
        before, after = (one.metrics[0][name] for one in runs(base or {}, changed))
        assert after == pytest.approx(factor * before, rel=1e-3) and before != 0

    return check


@functools.cache
def command_line(**changes: Any) -> dict[str, Any]:
    """A run on the bandit environment: the files and records that it wrote, or the reason of its refusal."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder, outcome = Path(name), dict[str, Any]()
        model, chat = bandit.policy()
        save(Checkpoint(model, chat.tokenizer), folder / "policy")

        def engine(model: Any, slots: int, length: int) -> Engine:
            outcome["slots"] = slots
            return Engine(model, slots, length)

        patch.setattr(grpo.parallel.actor, "Engine", engine)
        values = {**SMALL, "group_size": 4, "env": "tests.support.bandit:scenario", "eval_tasks": 0, **changes}
        values = {"model": str(folder / "policy"), **values, "out": str(folder / changes.get("out", "run"))}
        values["scenarios"] = list(changes.get("scenarios", ["all"]))
        try:
            train(Options(**values))
        except UserError as refusal:
            return {"refusal": str(refusal)}
        outcome["files"] = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        for path in folder.glob("*/evaluations.jsonl"):
            outcome["evaluations"] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in folder.glob("*/episodes/step-000000-sampled.json"):
            outcome["episodes"] = len(json.loads(path.read_text(encoding="utf-8")))
        return outcome


PLAIN: dict[str, Any] = {"steps": 5, "eval_tasks": 3, "save_every": 2}
"""The run that `CHANGED` is compared with."""
CHANGED: dict[str, Any] = PLAIN | {
    "out": "elsewhere", "rows": 2, "eval_tasks": 2, "eval_every": 2, "eval_seed": 5, "keep_snapshots": 1,
    "save_episodes": 1,
}  # fmt: skip
"""Options that each show in a record of their own, so one run shows them all."""


def check_model() -> None:
    assert "no model in" in command_line(model="/nowhere")["refusal"]


def check_out() -> None:
    assert "run/metrics.jsonl" in command_line(**PLAIN)["files"]
    assert "elsewhere/metrics.jsonl" in command_line(**CHANGED)["files"]


def check_scenarios() -> None:
    assert "'other'" in command_line(scenarios=("other",))["refusal"]


def check_env() -> None:
    assert "nowhere" in command_line(env="nowhere:factory")["refusal"]


def check_recipe() -> None:
    before, after = parse([]), parse(["--recipe", "gspo"])
    assert (before.ratio, after.ratio) == ("token", "sequence")


def check_thinking() -> None:
    assert "enable_thinking" in command_line(thinking=True)["refusal"]


def check_rows() -> None:
    assert [command_line(**changes)["slots"] for changes in (PLAIN, CHANGED)] == [36, 2]


def evaluations(name: str) -> list[set[Any]]:
    """The values of a field in the evaluations of both runs."""
    return [{one[name] for one in command_line(**changes)["evaluations"]} for changes in (PLAIN, CHANGED)]


def check_eval_tasks() -> None:
    counts = [command_line(**changes)["evaluations"] for changes in (PLAIN, CHANGED)]
    assert [{one["scenarios"]["echo"]["tasks"] for one in records} for records in counts] == [{3}, {2}]


def check_eval_every() -> None:
    assert evaluations("step") == [{0, 5}, {0, 2, 4, 5}]


def check_eval_seed() -> None:
    assert evaluations("seed") == [{0}, {5}]


def check_save_episodes() -> None:
    assert [command_line(**changes)["episodes"] for changes in (PLAIN, CHANGED)] == [2, 1]


def snapshots(changes: dict[str, Any]) -> list[str]:
    paths = [name.split("/") for name in command_line(**changes)["files"] if "/snapshots/" in name]
    return sorted({path[2] for path in paths})


def check_save_every() -> None:
    assert snapshots(PLAIN) == ["step-000002.snapshot", "step-000004.snapshot"]


def check_keep_snapshots() -> None:
    assert snapshots(CHANGED) == ["step-000004.snapshot"]


def check_steps() -> None:
    assert [len(one.metrics) for one in runs({}, {"steps": 3})] == [2, 3]


def check_processes() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo.cli.train, "launch", lambda size, work, *arguments: 100 + size)
        patch.setattr(grpo.cli.train.os, "cpu_count", lambda: 3)
        assert main(["train", "--processes", "3"]) == 103


def check_max_turns() -> None:
    room = {"max_episode_tokens": 40}
    assert [max(one.turns) for one in runs(room, {"max_turns": 2})] == [1, 2]


def check_max_episode_tokens() -> None:
    room = {"max_episode_tokens": 40, "max_turns": 3}
    assert [max(one.turns) for one in runs(room, {"max_episode_tokens": 5})] == [3, 1]


def check_token_budget() -> None:
    before, after = runs({}, {"token_budget": 20})
    assert after.micro_batches > before.micro_batches
    assert (before.weights - after.weights).abs().max() < 1e-4, "and no effect on what is learned"


def check_dynamic_sampling() -> None:
    base = {"group_size": 2, "advantage": "dr_grpo"}
    before, after = (one.metrics[0]["episodes"] for one in runs(base, {"dynamic_sampling": 2}))
    assert before == 6 < after


def check_precision() -> None:
    trainers = [trainer_of(Options(**SMALL, precision=precision), Talk()) for precision in ("fp32", "bf16")]
    assert [one.policy.rollout_model.dtype for one in trainers] == [torch.float32, torch.bfloat16]


def check_optimizer_states() -> None:
    for name, expected in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        trainer = trainer_of(Options(**SMALL, optimizer_states=name), Talk())
        trainer.step()
        assert {state["exp_avg_sq"].dtype for state in trainer.optimizer.state.values()} == {expected}


def check_kept_logits_mb() -> None:
    """Logits are kept as far as there is room."""
    sizes = []
    for room in (0, 1):
        trainer = trainer_of(Options(**SMALL, kept_logits_mb=room), Talk())
        logprob, _ = trainer.policy(pack([list(range(8))], [[0, *[1] * 7]]), trainer.options.sampling)
        sizes.append(len(logprob.grad_fn.exponentials))
    assert sizes == [0, 7]


def check_gradient_checkpointing() -> None:
    """Less is kept for the backward pass."""
    sizes = []
    for checkpointing in (False, True):
        trainer, saved = trainer_of(Options(**SMALL, gradient_checkpointing=checkpointing), Talk()), list[Any]()
        with torch.autograd.graph.saved_tensors_hooks(lambda value, to=saved: to.append(value) or value, lambda v: v):
            trainer.policy(pack([list(range(8))], [[0, *[1] * 7]]), trainer.options.sampling)
        sizes.append(len(saved))
    assert sizes[1] < 0.5 * sizes[0]


def check_lora_rank() -> None:
    trainers = [trainer_of(Options(**SMALL, lora_rank=rank), Talk()) for rank in (0, 2, 4)]
    counts = [sum(w.numel() for w in one.model.parameters() if w.requires_grad) for one in trainers]
    assert counts[2] == 2 * counts[1] < counts[0]


def check_shard() -> None:
    kinds = [Options(shard=kind) for kind in ("auto", "none", "full", "hybrid")]
    assert [is_sharded(options, 2, torchrun=False) for options in kinds] == [False, False, True, True]
    assert [is_sharded(options, 2, torchrun=True) for options in kinds] == [True, False, True, True]


MOVING: dict[str, Any] = {"passes": 3, "learning_rate": 3e-3}
EFFECTS: dict[str, Callable[[], None]] = {
    "model": check_model,
    "out": check_out,
    "scenarios": check_scenarios,
    "env": check_env,
    "recipe": check_recipe,
    "seed": trains_otherwise(seed=1),
    "steps": check_steps,
    "save_every": check_save_every,
    "keep_snapshots": check_keep_snapshots,
    "processes": check_processes,
    "prompts_per_step": measures_otherwise("episodes", 2, prompts_per_step=6),
    "group_size": measures_otherwise("episodes", 0.5, group_size=6),
    "rows": check_rows,
    "temperature": trains_otherwise(temperature=1.5),
    "top_p": trains_otherwise(top_p=0.9),
    "top_k": trains_otherwise(top_k=7),
    "min_p": trains_otherwise(min_p=0.5),
    "max_turns": check_max_turns,
    "max_turn_tokens": trains_otherwise(max_turn_tokens=3),
    "max_episode_tokens": check_max_episode_tokens,
    "thinking": check_thinking,
    "dynamic_sampling": check_dynamic_sampling,
    "advantage": trains_otherwise(advantage="dr_grpo"),
    "ratio": trains_otherwise(MOVING, ratio="sequence"),
    "objective": trains_otherwise(MOVING, objective="cispo"),
    "clip_low": trains_otherwise(MOVING, clip_low=0.01),
    "clip_high": trains_otherwise(MOVING, clip_high=0.01),
    "kl": trains_otherwise({"kl": "k2", "kl_coef": 2.0}, kl="k1_reward"),
    "kl_coef": trains_otherwise({"kl": "k2", "kl_coef": 2.0}, kl_coef=0.2),
    "aggregation": trains_otherwise(aggregation="sequence_mean"),
    "loss_constant": measures_otherwise(
        "grad_norm", 0.5, {"aggregation": "constant", "loss_constant": 8}, loss_constant=16
    ),
    "entropy_coef": trains_otherwise(entropy_coef=0.5),
    "importance_cap": measures_otherwise("grad_norm", 0.5, importance_cap=0.5),
    "mask_truncated": trains_otherwise(mask_truncated=True),
    "passes": measures_otherwise("optimizer_steps", 3, passes=3),
    "minibatches": measures_otherwise("optimizer_steps", 3, minibatches=3),
    "token_budget": check_token_budget,
    "learning_rate": trains_otherwise(learning_rate=0.01),
    "warmup_steps": measures_otherwise("learning_rate", 0.5, warmup_steps=2),
    "schedule": trains_otherwise(schedule="constant"),
    "weight_decay": trains_otherwise(weight_decay=0.5),
    "beta1": trains_otherwise(beta1=0.5),
    "beta2": trains_otherwise(beta2=0.5),
    "adam_epsilon": trains_otherwise(adam_epsilon=1e-3),
    "grad_clip": trains_otherwise(grad_clip=1e-7),
    "precision": check_precision,
    "optimizer_states": check_optimizer_states,
    "kept_logits_mb": check_kept_logits_mb,
    "gradient_checkpointing": check_gradient_checkpointing,
    "lora_rank": check_lora_rank,
    "lora_alpha": trains_otherwise({"lora_rank": 2}, lora_alpha=128.0),
    "shard": check_shard,
    "eval_tasks": check_eval_tasks,
    "eval_every": check_eval_every,
    "eval_seed": check_eval_seed,
    "save_episodes": check_save_episodes,
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_an_effect(name: str) -> None:
    assert name in EFFECTS, f"show in EFFECTS what {name} changes, or remove the option"
    EFFECTS[name]()


def test_an_option_without_effect_would_be_found() -> None:
    """The control: the trainer does not read `save_episodes`."""
    with pytest.raises(AssertionError):
        trains_otherwise(save_episodes=7)()
    assert set(EFFECTS) == set(FIELDS)
