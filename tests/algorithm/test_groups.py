"""Which groups a step trains on, the reference policy, and how rows are split into micro-batches."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import grpo.parallel.actor
from grpo.logprobs import common_length
from grpo.trainer import micro_batches
from tests.support import bandit
from tests.support.training import episode, naive_logprobs, reference_model, run, same, scripted, trainer, weights

# --- dynamic sampling and KL ---------------------------------------------------------------------------------------


def test_dynamic_sampling_replaces_groups_without_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slot 1 fails in round 0 and 1, slot 2 in round 0; tasks are numbered round * 3 + slot."""
    monkeypatch.setattr(
        grpo.parallel.actor,
        "rollout",
        scripted(lambda request: float(request.sibling == 0 and request.group not in (1, 2, 4))),
    )
    made = trainer(dynamic_sampling=3)
    made.player.scenarios = {"one": bandit.scenario(), "two": bandit.scenario(), "three": bandit.scenario()}
    sampled, trained = made.sample_groups()
    assert [group[0].group for group in sampled] == [0, 1, 2, 4, 5, 7]
    assert [group[0].group for group in trained] == [0, 7, 5]
    assert [group[0].request.scenario for group in trained] == ["one", "two", "three"]
    everything, all_of_it = trainer().sample_groups()
    assert [group[0].group for group in everything] == [group[0].group for group in all_of_it] == [0, 1, 2]


def test_dynamic_sampling_is_bounded_and_a_step_without_signal_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo.parallel.actor, "rollout", scripted(lambda request: 0.3))
    made = trainer(dynamic_sampling=2, weight_decay=0.1)
    before = weights(made)
    metrics, episodes = made.step()
    assert len(episodes) == 3 * 12 * (1 + 2)
    assert metrics["groups_without_variance"] == 1 and metrics["optimizer_steps"] == 0
    assert same(before, weights(made))
    assert made.steps_done == 1


def test_the_reference_is_kept_only_for_a_kl_and_never_changes() -> None:
    assert trainer().learner.reference is None
    made = trainer(kl="k3", kl_coef=0.1)
    reference = reference_model(made)
    before = [weight.clone() for weight in reference.parameters()]
    first, second = made.step()[0], made.step()[0]
    assert same(before, list(reference.parameters()))
    assert first["kl_reference"] == pytest.approx(0, abs=1e-9) and second["kl_reference"] > 1e-6


def test_a_kl_loss_pulls_towards_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal rewards only the KL acts: a policy that was moved away comes back."""
    monkeypatch.setattr(grpo.parallel.actor, "rollout", scripted(lambda request: 0.3))
    for kl in ("k2", "k3"):
        made = trainer(kl=kl, kl_coef=1.0, steps=15, learning_rate=1e-3)
        with torch.no_grad():
            for weight in made.model.parameters():
                weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
        log = run(made)
        assert log[-1]["kl_reference"] < 0.5 * log[0]["kl_reference"]


def test_kl_in_the_reward_lowers_the_advantage_of_the_episode_that_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer(kl="k1_reward", kl_coef=0.1, advantage="pass_through")
    group = [episode([0, 1, 2 + i], [0, 0, 1], 1.0, sibling=i) for i in range(3)]
    rows = made.rows([group])
    for row in rows:
        (reference,) = naive_logprobs(reference_model(made), row.episode, 1.3).tolist()
        assert row.advantage == pytest.approx(1.0 - 0.1 * (-1.0 - reference), abs=1e-5)


# --- micro-batches -------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(sequences=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=9), budget=st.integers(1, 30))
def test_micro_batches_hold_every_row_once_under_the_budget(sequences: list[list[int]], budget: int) -> None:
    rows = [Row(episode(ids, [0] * len(ids)), 0.0) for ids in sequences]
    batches = list(micro_batches(rows, budget))
    assert sorted(id(row) for batch in batches for row in batch) == sorted(map(id, rows))
    for batch in batches:
        ids = [row.episode.ids for row in batch]
        shared = sum(common_length(first, second) for first, second in pairwise(ids))
        assert len(batch) == 1 or sum(map(len, ids)) - shared <= budget
    assert len(batches) <= len(rows)


def test_micro_batches_count_a_shared_prompt_once() -> None:
    rows = [Row(episode([0] * 10 + [1 + i], [0] * 11), 0.0) for i in range(5)]
    assert [len(batch) for batch in micro_batches(rows, 15)] == [5]
    assert [len(batch) for batch in micro_batches(rows, 14)] == [4, 1]
