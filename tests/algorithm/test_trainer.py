"""The training loop on a tiny random model: gradients against naive forward passes, and determinism."""

from __future__ import annotations

import copy
import dataclasses
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import grpo.trainer
from grpo.config import Options
from grpo.errors import NonFiniteError
from grpo.keys import task_seed
from grpo.run.snapshots import COUNTS
from grpo.trainer import Trainer
from grpo.types import Sampling, StopReason
from rewards.score import Score
from tests.support import bandit
from tests.support.naive import NaiveEngine
from tests.support.training import (
    Recorder,
    assert_close,
    episode,
    gradient,
    gradients_of,
    made_rows,
    naive_logprobs,
    run,
    same,
    trainer,
    weights,
)

# --- the gradient --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregation", ["token_mean", "constant"])
def test_first_step_is_reinforce(aggregation: str) -> None:
    """Without KL, at the first optimizer step: -sum of A log pi over the same normaliser, by naive forward passes."""
    rows = made_rows()
    constant = 5 if aggregation == "constant" else 0
    ours = gradient(rows, aggregation=aggregation, loss_constant=constant)
    model, _ = bandit.policy()
    total = sum(sum(row.episode.mask) for row in rows) if aggregation == "token_mean" else constant * len(rows)
    loss = sum(-row.advantage * naive_logprobs(model, row.episode, 1.3).sum() for row in rows) / total
    loss.backward()  # type: ignore[union-attr]
    assert_close(ours, gradients_of(list(model.parameters())))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aggregation": "sequence_mean", "ratio": "sequence"},
        {"aggregation": "constant", "loss_constant": 9, "entropy_coef": 0.1},
        {"objective": "cispo"},
    ],
    ids=str,
)
def test_gradient_does_not_depend_on_micro_batches_or_order(changes: dict[str, Any]) -> None:
    rows = made_rows()
    whole = gradient(rows, **changes, token_budget=10_000)
    for seed, budget in enumerate((1, 15, 30)):
        shuffled = random.Random(seed).sample(rows, len(rows))
        assert_close(gradient(shuffled, **changes, token_budget=budget), whole)


def test_gradient_depends_on_an_advantage() -> None:
    """The control of the two tests above: the tolerance sees a change of one percent in one episode."""
    rows = made_rows()
    other = [dataclasses.replace(row, advantage=row.advantage * (1.01 if i == 0 else 1)) for i, row in enumerate(rows)]
    with pytest.raises(AssertionError):
        assert_close(gradient(other), gradient(rows))


def test_masked_tokens_carry_exactly_zero_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the hidden states that reach the head, only those just before a sampled token have any gradient."""
    rows = made_rows(count=1)
    made = trainer()
    made.optimizer = Recorder(made.model)  # type: ignore[assignment]
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        output.last_hidden_state.retain_grad()
        kept.append(output.last_hidden_state)

    made.model.base_model.register_forward_hook(keep)
    made.optimizer_step(rows)
    mask = rows[0].episode.mask
    assert len(kept) == 1 and kept[0].grad is not None
    nonzero = kept[0].grad[0].abs().sum(-1) != 0
    assert nonzero.tolist() == [bit == 1 for bit in mask[1 : len(nonzero) + 1]]
    assert 0 in mask[mask.index(1) :], "the episode has injected tokens between its turns"


def test_rows_without_advantage_count_in_the_normaliser(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made_rows()
    for row in rows[:3]:
        row.advantage = 0.0
    skipped = gradient(rows)
    monkeypatch.setattr(Trainer, "acts", lambda self, row: True)
    assert_close(skipped, gradient(rows))
    with pytest.raises(AssertionError):
        assert_close(skipped, gradient(rows[3:]))


def test_masked_truncated_episodes_are_left_out_but_stay_in_the_baseline() -> None:
    group = [episode([0, 1, 2 + i], [0, 0, 1], reward, sibling=i) for i, reward in enumerate((1.0, 0.5, 0.0))]
    group[2].stop_reason = StopReason.MAX_TOKENS
    kept = trainer(advantage="dr_grpo").rows([group])
    masked = trainer(advantage="dr_grpo", mask_truncated=True).rows([group])
    assert [row.advantage for row in kept] == [0.5, 0.0, -0.5]
    assert [row.advantage for row in masked] == [0.5, 0.0]


def test_episodes_without_a_sampled_token_are_left_out() -> None:
    group = [episode([0, 1, 2], [0, 0, 1], 1.0), episode([0, 1, 2], [0, 0, 0], 0.0)]
    assert len(trainer(kl="k1_reward", kl_coef=0.1, entropy_coef=0.1, minibatches=2).rows([group])) == 1


def test_gradient_is_clipped_to_its_norm() -> None:
    rows = made_rows()
    free, clipped = gradient(rows), gradient(rows, grad_clip=0.01)
    norm = torch.cat([one.flatten() for one in clipped]).norm()
    assert float(norm) == pytest.approx(0.01, rel=1e-3)
    assert torch.cat([one.flatten() for one in free]).norm() > 0.02


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone() -> None:
    made = trainer()
    before = weights(made)
    rows = made_rows()
    rows[0].advantage = float("nan")
    assert made.optimizer_step(rows) == {"skipped_steps": 1.0}
    assert same(before, weights(made)) and all(weight.grad is None for weight in made.model.parameters())
    rows[0].advantage = 1.0
    assert made.optimizer_step(rows)["optimizer_steps"] == 1 and not same(before, weights(made))


def test_a_run_of_skipped_steps_stops_with_the_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One good step in between starts the count again."""
    made, steps = trainer(steps=20), list[dict[str, Any]]()
    original = Trainer.optimizer_step

    def spoiled(self: Trainer, rows: Any) -> Any:
        for row in rows:
            row.advantage = row.advantage if self.steps_done == 2 else float("nan")
        return original(self, rows)

    monkeypatch.setattr(Trainer, "optimizer_step", spoiled)
    with pytest.raises(NonFiniteError, match="3 steps in a row") as raised:
        made.run(lambda metrics, episodes: steps.append(metrics))
    assert [step["skipped_steps"] for step in steps] == [1, 1, 0, 1, 1]
    assert raised.value.metrics["step"] == 6 and len(raised.value.episodes) == 36


# --- the loop ------------------------------------------------------------------------------------------------------


VARIANTS: list[dict[str, Any]] = [
    {},
    {"minibatches": 3, "passes": 2, "kl": "k3", "kl_coef": 0.1, "entropy_coef": 0.01},
    {"dynamic_sampling": 2, "top_k": 7, "mask_truncated": True},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_same_seed_same_weights_and_metrics(changes: dict[str, Any]) -> None:
    first, second, other = trainer(**changes), trainer(**changes), trainer(**changes, seed=1)
    assert run(first) == run(second)
    assert same(weights(first), weights(second))
    run(other)
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize("changes", VARIANTS[:2], ids=str)
def test_a_resumed_run_goes_on_exactly(changes: dict[str, Any]) -> None:
    whole, first = trainer(**changes), trainer(**changes)
    log = run(whole)
    first.step()
    resumed = trainer(**changes)
    state = copy.deepcopy(first.learner.training_state(first.optimizer))
    resumed.learner.load_training_state(resumed.optimizer, state)
    for name in COUNTS:
        setattr(resumed, name, getattr(first, name))
    assert run(resumed) == log[1:]
    assert same(weights(whole), weights(resumed))


def test_a_snapshot_before_the_first_update_changes_nothing() -> None:
    whole, asked = trainer(), trainer()
    resumed = trainer()
    state = copy.deepcopy(asked.learner.training_state(asked.optimizer))
    resumed.learner.load_training_state(resumed.optimizer, state)
    logs = [run(one) for one in (whole, asked, resumed)]
    assert logs[0] == logs[1] == logs[2]
    assert same(weights(whole), weights(asked)) and same(weights(whole), weights(resumed))


@pytest.mark.parametrize("changes", [{"passes": 2}, {"minibatches": 2}], ids=str)
def test_a_step_of_equal_rewards_learns_nothing_and_goes_on(changes: dict[str, Any], monkeypatch) -> None:
    """Log-probs of no episode at all are asked for."""
    monkeypatch.setattr(bandit.EchoEnv, "score", lambda self: Score(0.5, {"word": 0.5}))
    made = trainer(**changes)
    before = weights(made)
    assert [step["optimizer_steps"] for step in run(made)] == [0, 0]
    assert same(before, weights(made))


def test_the_ratio_leaves_one_from_the_second_optimizer_step() -> None:
    once, twice = trainer(), trainer(passes=2)
    for _ in range(2):
        single, double = once.step()[0], twice.step()[0]
        assert (single["ratio_min"], single["ratio_max"], single["kl_old"]) == (1.0, 1.0, 0.0)
        assert double["ratio_max"] > 1.001 and double["kl_old"] > 0
        assert (single["optimizer_steps"], double["optimizer_steps"]) == (1, 2)


@pytest.mark.parametrize("cut", [{}, {"top_k": 7}, {"top_p": 0.95}, {"min_p": 0.2}], ids=str)
def test_recomputed_log_probs_are_those_of_the_sampler(cut: dict[str, Any]) -> None:
    assert trainer(**cut).step()[0]["logprob_gap_max"] < 1e-4


def test_another_temperature_in_scoring_would_show_in_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Options, "sampling", property(lambda self: Sampling(temperature=1.0)))
    made = trainer()
    _, groups = made.sample_groups()
    monkeypatch.setattr(Options, "sampling", property(lambda self: Sampling(temperature=1.5)))
    assert made.update(made.rows(groups))["logprob_gap_max"] > 0.01


def test_the_engine_is_cleared_and_gradients_dropped_whatever_a_step_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    made, untouched = trainer(), trainer()

    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(grpo.trainer, "policy_loss", interrupted)
        cleared: list[int] = []
        patch.setattr(made.player.engine, "clear", lambda: cleared.append(len(cleared)))
        with pytest.raises(KeyboardInterrupt):
            made.step()
        assert len(cleared) == 2, "before and after the rollout"
    assert made.steps_done == 0
    assert all(weight.grad is None for weight in made.model.parameters())
    assert run(made) == run(untouched)


@pytest.mark.parametrize("cleared", [True, False])
def test_what_the_rollout_cached_is_gone_before_the_update(cleared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = trainer(), list[bool]()
    engine, update = made.player.engine, made.update

    def watched(rows: Any) -> Any:
        seen.append(bool(engine.pool.keys) or "fused" in vars(engine.hidden))
        return update(rows)

    monkeypatch.setattr(made, "update", watched)
    if not cleared:
        engine.clear()
        monkeypatch.setattr(engine, "clear", lambda: None)
    made.step()
    assert seen == [not cleared]


def test_tasks_come_from_the_train_split_in_turn_and_differ_between_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer(prompts_per_step=4)
    made.player.scenarios = {"one": bandit.scenario(), "two": bandit.scenario(), "three": bandit.scenario()}
    steps = [made.step()[1] for _ in range(2)]
    asked = [[one.request for one in step if one.request.sibling == 0] for step in steps]
    assert [[request.scenario for request in step] for step in asked] == [
        ["one", "two", "three", "one"],
        ["two", "three", "one", "two"],
    ]
    assert {one.request.split for step in steps for one in step} == {"train"}
    assert len({request.seed for step in asked for request in step}) == 8
    assert len({one.request.key for step in steps for one in step}) == 96


def test_task_seeds_depend_on_seed_step_and_task() -> None:
    seeds = {task_seed(*numbers) for numbers in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 11, 1)]}
    assert len(seeds) == 6 and all(0 <= seed < 2**48 for seed in seeds)
    assert task_seed(0, 0, 0) == task_seed(0, 0, 0)


def test_an_engine_without_a_cache_trains_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow = trainer(), trainer()
    slow.engine = NaiveEngine(slow.model, 12, 64)  # type: ignore[assignment]
    ours, theirs = fast.step()[1], slow.step()[1]
    assert [one.ids for one in ours] == [one.ids for one in theirs]
    assert [one.reward for one in ours] == [one.reward for one in theirs]
