"""Which groups a step trains on, the reference policy, and how examples are split into micro-batches."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grpo.packing import common_length
from grpo.trainer import Example, micro_batches
from tests.support.causal_models import library_copy
from tests.support.tiers import examples
from tests.support.training import (
    episode,
    metrics_of,
    naive_logprobs,
    reference_model,
    run,
    same,
    scripted,
    trainer,
    weights,
)

# --- dynamic sampling and KL ---------------------------------------------------------------------------------------


def test_dynamic_sampling_replaces_groups_without_variance() -> None:
    """Place 1 fails in rounds 0 and 1, place 2 in round 0; tasks are numbered round * 3 + place."""
    one = trainer(dynamic_sampling=3)
    one.play = scripted(lambda request: float(request.sibling == 0 and request.group not in (1, 2, 4)))
    one.scenarios = ["one", "two", "three"]
    sampled, trained = one.sample_groups()
    assert [group[0].group for group in sampled] == [0, 1, 2, 4, 5, 7]
    assert [group[0].group for group in trained] == [0, 7, 5]
    assert [group[0].request.scenario for group in trained] == ["one", "two", "three"]
    without = trainer()
    without.play = one.play
    sampled, trained = without.sample_groups()
    assert [group[0].group for group in sampled] == [group[0].group for group in trained] == [0, 1, 2]


def test_dynamic_sampling_is_bounded_and_a_step_without_signal_changes_nothing() -> None:
    one = trainer(dynamic_sampling=2, weight_decay=0.1)
    one.play = scripted(lambda request: 0.3)
    before = weights(one)
    result = one.step()
    assert len(result.episodes) == 3 * 12 * (1 + 2)
    metrics = metrics_of(result)
    assert metrics["groups_without_variance"] == 1 and metrics["optimizer_steps"] == 0
    assert same(before, weights(one))
    assert one.steps_done == 1


def test_the_reference_is_held_only_for_a_kl_and_never_changes() -> None:
    assert trainer().policy.reference is None
    one = trainer(kl="k3", kl_coef=0.1)
    reference = reference_model(one)
    before = [weight.clone() for weight in reference.parameters()]
    first, second = run(one)
    assert same(before, list(reference.parameters()))
    assert first["kl_reference"] == pytest.approx(0, abs=1e-9) and second["kl_reference"] > 1e-6


@pytest.mark.parametrize("kl", ["k2", "k3"])
def test_a_kl_loss_pulls_towards_the_reference(kl: str) -> None:
    """With equal rewards only the KL acts: a policy that was moved away comes back."""
    one = trainer(kl=kl, kl_coef=1.0, steps=15, learning_rate=1e-3)
    one.play = scripted(lambda request: 0.3)
    with torch.no_grad():
        for weight in one.model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    log = run(one)
    assert log[-1]["kl_reference"] < 0.5 * log[0]["kl_reference"]


def test_kl_in_the_reward_lowers_the_advantage_of_the_episode_that_moved() -> None:
    one = trainer(kl="k1_reward", kl_coef=0.1, advantage="pass_through")
    group = [episode([0, 1, 2 + i], [0, 0, 1], 1.0, sibling=i) for i in range(3)]
    for example in one.examples([group]):
        (reference,) = naive_logprobs(library_copy(reference_model(one)), example.episode, 1.3).tolist()
        assert example.advantage == pytest.approx(1.0 - 0.1 * (-1.0 - reference), abs=1e-5)


# --- micro-batches -------------------------------------------------------------------------------------------------


@settings(max_examples=examples(60), deadline=None)
@given(sequences=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=9), budget=st.integers(1, 30))
def test_micro_batches_hold_every_example_once_under_the_budget(sequences: list[list[int]], budget: int) -> None:
    step = [Example(episode(ids, [0] * len(ids)), 0.0) for ids in sequences]
    batches = list(micro_batches(step, budget))
    assert sorted(id(example) for batch in batches for example in batch) == sorted(map(id, step))
    for batch in batches:
        ids = [example.episode.ids for example in batch]
        shared = sum(common_length(first, second) for first, second in pairwise(ids))
        assert len(batch) == 1 or sum(map(len, ids)) - shared <= budget
    assert len(batches) <= len(step)


def test_micro_batches_count_a_shared_prompt_once() -> None:
    group = [Example(episode([0] * 10 + [1 + i], [0] * 11), 0.0) for i in range(5)]
    assert [len(batch) for batch in micro_batches(group, 15)] == [5]
    assert [len(batch) for batch in micro_batches(group, 14)] == [4, 1]
