"""The training loop on a tiny random model: gradients against naive forward passes, and determinism."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Callable
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
from grpo.types import StopReason
from rewards.score import Score
from tests.support import bandit
from tests.support.causal_models import library_copy
from tests.support.naive import NaiveEngine
from tests.support.training import (
    SMALL,
    BanditTrainer,
    assert_close,
    episode,
    gradient,
    gradients_of,
    metrics_of,
    naive_logprobs,
    random_examples,
    record_gradients,
    run,
    same,
    trainer,
    trainer_of,
    weights,
)

# --- the gradient --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregation", ["token_mean", "constant"])
def test_first_step_is_reinforce(aggregation: str) -> None:
    """Without KL, at the first optimizer step: -sum of A log pi over the same normaliser, by naive forward passes."""
    examples = random_examples()
    constant = 5 if aggregation == "constant" else 0
    ours = gradient(examples, aggregation=aggregation, loss_constant=constant)
    model = library_copy(bandit.policy()[0])
    tokens = sum(sum(example.episode.mask) for example in examples)
    total = tokens if aggregation == "token_mean" else constant * len(examples)
    loss = sum(-one.advantage * naive_logprobs(model, one.episode, 1.3).sum() for one in examples) / total
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
    examples = random_examples()
    whole = gradient(examples, **changes, token_budget=10_000)
    for seed, budget in enumerate((1, 15, 30)):
        shuffled = random.Random(seed).sample(examples, len(examples))
        assert_close(gradient(shuffled, **changes, token_budget=budget), whole)


def test_gradient_depends_on_an_advantage() -> None:
    """The control of the two tests above: the tolerance sees a change of one percent in one episode."""
    examples = random_examples()
    other = [dataclasses.replace(examples[0], advantage=examples[0].advantage * 1.01), *examples[1:]]
    with pytest.raises(AssertionError):
        assert_close(gradient(other), gradient(examples))


def test_masked_tokens_carry_exactly_zero_gradient() -> None:
    """Of the hidden states that reach the head, only those just before a sampled token have any gradient."""
    examples = random_examples(count=1)
    one = trainer()
    record_gradients(one)
    states: list[Tensor] = []

    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        output.last_hidden_state.retain_grad()
        states.append(output.last_hidden_state)

    one.model.base_model.register_forward_hook(record)
    one.optimizer_step(examples)
    mask = examples[0].episode.mask
    assert len(states) == 1 and states[0].grad is not None
    nonzero = states[0].grad[0].abs().sum(-1) != 0
    assert nonzero.tolist() == [bit == 1 for bit in mask[1 : len(nonzero) + 1]]
    assert 0 in mask[mask.index(1) :], "the episode has injected tokens between its turns"


def test_rows_without_advantage_count_in_the_normaliser(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = random_examples()
    for example in examples[:3]:
        example.advantage = 0.0
    skipped = gradient(examples)
    monkeypatch.setattr(Trainer, "has_gradient", lambda self, example: True)
    assert_close(skipped, gradient(examples))
    with pytest.raises(AssertionError):
        assert_close(skipped, gradient(examples[3:]))


def test_masked_truncated_episodes_are_left_out_but_stay_in_the_baseline() -> None:
    group = [episode([0, 1, 2 + i], [0, 0, 1], reward, sibling=i) for i, reward in enumerate((1.0, 0.5, 0.0))]
    group[2].stop_reason = StopReason.MAX_TOKENS
    every = trainer(advantage="dr_grpo").examples([group])
    masked = trainer(advantage="dr_grpo", mask_truncated=True).examples([group])
    assert [example.advantage for example in every] == [0.5, 0.0, -0.5]
    assert [example.advantage for example in masked] == [0.5, 0.0]


def test_episodes_without_a_sampled_token_are_left_out() -> None:
    group = [episode([0, 1, 2], [0, 0, 1], 1.0), episode([0, 1, 2], [0, 0, 0], 0.0)]
    assert len(trainer(kl="k1_reward", kl_coef=0.1, entropy_coef=0.1, minibatches=2).examples([group])) == 1


def test_gradient_is_clipped_to_its_norm() -> None:
    examples = random_examples()
    free, clipped = gradient(examples), gradient(examples, grad_clip=0.01)
    norm = torch.cat([one.flatten() for one in clipped]).norm()
    assert float(norm) == pytest.approx(0.01, rel=1e-3)
    assert torch.cat([one.flatten() for one in free]).norm() > 0.02


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone() -> None:
    one = trainer()
    before = weights(one)
    examples = random_examples()
    examples[0].advantage = float("nan")
    assert one.optimizer_step(examples) == {"skipped_steps": 1.0}
    assert same(before, weights(one)) and all(weight.grad is None for weight in one.model.parameters())
    examples[0].advantage = 1.0
    assert one.optimizer_step(examples)["optimizer_steps"] == 1 and not same(before, weights(one))


def test_a_run_of_skipped_steps_stops_with_the_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One good step in between starts the count again."""
    one, steps = trainer(steps=20), list[dict[str, Any]]()
    original = Trainer.optimizer_step

    def spoiled(self: Trainer, examples: Any) -> Any:
        for example in examples:
            example.advantage = example.advantage if self.steps_done == 2 else float("nan")
        return original(self, examples)

    monkeypatch.setattr(Trainer, "optimizer_step", spoiled)
    with pytest.raises(NonFiniteError, match="3 steps in a row") as raised:
        one.run(lambda result: steps.append(metrics_of(result)))
    assert [step["skipped_steps"] for step in steps] == [1, 1, 0, 1, 1]
    assert raised.value.result.step == 6 and len(raised.value.result.episodes) == 36


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


def hand_over(old: BanditTrainer, new: BanditTrainer) -> None:
    """Gives `new` the state of `old`, as a snapshot does."""
    state = copy.deepcopy(old.policy.training_state(old.optimizer))
    new.policy.load_training_state(new.optimizer, state)
    for name in COUNTS:
        setattr(new, name, getattr(old, name))


@pytest.mark.parametrize("changes", VARIANTS[:2], ids=str)
def test_a_resumed_run_continues_exactly(changes: dict[str, Any]) -> None:
    whole, first, resumed = trainer(**changes), trainer(**changes), trainer(**changes)
    log = run(whole)
    first.step()
    hand_over(first, resumed)
    assert run(resumed) == log[1:]
    assert same(weights(whole), weights(resumed))


def test_a_snapshot_before_the_first_update_changes_nothing() -> None:
    whole, saved, resumed = trainer(), trainer(), trainer()
    hand_over(saved, resumed)
    logs = [run(one) for one in (whole, saved, resumed)]
    assert logs[0] == logs[1] == logs[2]
    assert same(weights(whole), weights(saved)) and same(weights(whole), weights(resumed))


@pytest.mark.parametrize("changes", [{"passes": 2}, {"minibatches": 2}], ids=str)
def test_a_step_of_equal_rewards_learns_nothing(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The step scores no episode at all, and the run continues."""
    monkeypatch.setattr(bandit.EchoEnv, "score", lambda self: Score(0.5, {"word": 0.5}))
    one = trainer(**changes)
    before = weights(one)
    assert [step["optimizer_steps"] for step in run(one)] == [0, 0]
    assert same(before, weights(one))


def test_the_ratio_leaves_one_from_the_second_optimizer_step() -> None:
    once, twice = trainer(), trainer(passes=2)
    for single, double in zip(run(once), run(twice), strict=True):
        assert (single["ratio_min"], single["ratio_max"], single["kl_old"]) == (1.0, 1.0, 0.0)
        assert double["ratio_max"] > 1.001 and double["kl_old"] > 0
        assert (single["optimizer_steps"], double["optimizer_steps"]) == (1, 2)


@pytest.mark.parametrize("cut", [{}, {"top_k": 7}, {"top_p": 0.95}, {"min_p": 0.2}], ids=str)
def test_recomputed_log_probs_are_those_of_the_sampler(cut: dict[str, Any]) -> None:
    assert metrics_of(trainer(**cut).step())["logprob_gap_max"] < 1e-4


def test_another_temperature_in_scoring_would_show_in_the_gap(inject: Callable[[str], None]) -> None:
    inject("policy: episodes are scored at a higher temperature than they were sampled at")
    assert metrics_of(trainer().step())["logprob_gap_max"] > 0.01


def test_caches_and_gradients_are_dropped_whatever_a_step_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    one, untouched = trainer(), trainer()

    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(grpo.trainer, "policy_loss", interrupted)
        clears: list[int] = []
        patch.setattr(one.actor.engine, "clear", lambda: clears.append(len(clears)))
        with pytest.raises(KeyboardInterrupt):
            one.step()
        assert len(clears) == 2, "before and after the rollout"
    assert one.steps_done == 0
    assert all(weight.grad is None for weight in one.model.parameters())
    assert run(one) == run(untouched)


@pytest.mark.parametrize("faulty", [False, True])
def test_the_caches_of_the_rollout_are_gone_before_the_update(
    faulty: bool, monkeypatch: pytest.MonkeyPatch, inject: Callable[[str], None]
) -> None:
    """With a control: caches that are not cleared are seen."""
    one, filled = trainer(), list[bool]()
    engine, update = one.actor.engine, one.update

    def watched(examples: Any) -> Any:
        filled.append(bool(engine.pool.keys) or "decoder" in vars(engine.states))
        return update(examples)

    monkeypatch.setattr(one, "update", watched)
    if faulty:
        inject("rollout: clearing leaves the caches as they are")
    one.step()
    assert filled == [faulty]


def test_tasks_come_from_the_train_split_in_turn_and_differ_between_steps() -> None:
    options = Options(**SMALL | {"prompts_per_step": 4})
    one = trainer_of(options, *(bandit.Echo(name) for name in ("one", "two", "three")))
    steps = [one.step().episodes for _ in range(2)]
    tasks = [[episode.request for episode in step if episode.request.sibling == 0] for step in steps]
    assert [[request.scenario for request in step] for step in tasks] == [
        ["one", "two", "three", "one"],
        ["two", "three", "one", "two"],
    ]
    assert {episode.request.split for step in steps for episode in step} == {"train"}
    assert len({request.seed for step in tasks for request in step}) == 8
    assert len({episode.request.key for step in steps for episode in step}) == 96


def test_task_seeds_depend_on_seed_step_and_task() -> None:
    seeds = {task_seed(*numbers) for numbers in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 11, 1)]}
    assert len(seeds) == 6 and all(0 <= seed < 2**48 for seed in seeds)
    assert task_seed(0, 0, 0) == task_seed(0, 0, 0)


def test_an_engine_without_a_cache_trains_the_same() -> None:
    fast, slow = trainer(), trainer()
    slow.actor.engine = NaiveEngine(slow.model, 12, 64)  # type: ignore[assignment]
    ours, naive = fast.step().episodes, slow.step().episodes
    assert [one.ids for one in ours] == [one.ids for one in naive]
    assert [one.reward for one in ours] == [one.reward for one in naive]
    assert_close(weights(fast), weights(slow))
