"""The policy loss against float64 references: values, gradients, and invariance to splitting and order."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grpo.losses import (
    AGGREGATIONS,
    KLS,
    OBJECTIVES,
    RATIOS,
    LossConfig,
    Tokens,
    importance_weights,
    k1,
    k2,
    k3,
    kl_in_reward,
    merge,
    policy_loss,
)
from tests.support import references
from tests.support.references import Sequence64
from tests.support.tiers import examples

PLAIN = LossConfig("token", "clip", 0.2, 0.28, "none", 0.0, "token_mean", 0, 0.0, 0.0)
EVERY = [
    LossConfig(ratio, objective, 0.2, 0.28, kl, 0.1 if kl in KLS else 0.0, aggregation, 7, entropy, cap)
    for ratio, objective, kl, aggregation, (entropy, cap) in itertools.product(
        RATIOS, OBJECTIVES, ("none", *KLS), AGGREGATIONS, ((0.0, 0.0), (0.05, 1.1))
    )
]
seeds = st.integers(0, 2**32)


def episodes(seed: int, spread: float = 0.3) -> list[Sequence64]:
    """One to five ragged episodes whose log-probs differ by about `spread`, so that clips act on some tokens."""
    generator = torch.Generator().manual_seed(seed)

    def normal(size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    result = []
    for length in torch.randint(
        1, 7, (int(torch.randint(1, 6, (), generator=generator)),), generator=generator
    ).tolist():
        old = -normal(length).abs() - 0.1
        now = (old + spread * normal(length)).requires_grad_()
        entropy = normal(length).abs().requires_grad_()
        result.append(Sequence64(now, old, old + 0.2 * normal(length), old + normal(length), entropy, float(normal(1))))
    return result


def tokens(batch: list[Sequence64], with_reference: bool = True) -> Tokens:
    lengths = torch.tensor([len(episode.now) for episode in batch])
    return Tokens(
        logprobs=torch.cat([episode.now for episode in batch]),
        entropy=torch.cat([episode.entropy for episode in batch]),
        old=torch.cat([episode.old for episode in batch]),
        sampled=torch.cat([episode.sampled for episode in batch]),
        reference=torch.cat([episode.reference for episode in batch]) if with_reference else None,
        episode=torch.arange(len(batch)).repeat_interleave(lengths),
        advantages=torch.tensor([episode.advantage for episode in batch], dtype=torch.float64),
    )


def normaliser(batch: list[Sequence64], config: LossConfig) -> float:
    lengths = torch.tensor([len(episode.now) for episode in batch])
    return AGGREGATIONS[config.aggregation](lengths, config.loss_constant)[1]


def our_loss(batch: list[Sequence64], config: LossConfig) -> Tensor:
    return policy_loss(tokens(batch), config, normaliser(batch, config))[0]


def gradients(loss: Tensor, batch: list[Sequence64]) -> list[Tensor]:
    leaves = [leaf for episode in batch for leaf in (episode.now, episode.entropy)]
    return [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, torch.autograd.grad(loss, leaves, allow_unused=True), strict=True)
    ]


def assert_same(ours: Tensor, expected: Tensor, batch: list[Sequence64]) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10)
    for mine, theirs in zip(gradients(ours, batch), gradients(expected, batch), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)


# --- against the references ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", EVERY, ids=lambda config: "-".join(map(str, dataclasses.astuple(config))))
def test_every_combination_equals_its_reference(config: LossConfig) -> None:
    for seed in range(5):
        batch = episodes(seed)
        assert_same(our_loss(batch, config), references.combined_loss(batch, **dataclasses.asdict(config)), batch)


@settings(max_examples=examples(40), deadline=None)
@given(seed=seeds)
def test_grpo_equals_the_paper(seed: int) -> None:
    batch = episodes(seed)
    config = dataclasses.replace(PLAIN, clip_high=0.2, kl="k3", kl_coef=0.04, aggregation="sequence_mean")
    assert_same(our_loss(batch, config), -references.grpo_objective(batch, 0.2, 0.04), batch)


@settings(max_examples=examples(40), deadline=None)
@given(seed=seeds)
def test_dapo_equals_the_paper(seed: int) -> None:
    batch = episodes(seed)
    assert_same(our_loss(batch, PLAIN), -references.dapo_objective(batch, 0.2, 0.28), batch)


@settings(max_examples=examples(40), deadline=None)
@given(seed=seeds)
def test_dr_grpo_equals_the_paper(seed: int) -> None:
    batch = episodes(seed)
    config = dataclasses.replace(PLAIN, clip_high=0.2, aggregation="constant", loss_constant=9)
    assert_same(our_loss(batch, config), -references.dr_grpo_objective(batch, 0.2, 9), batch)


@settings(max_examples=examples(40), deadline=None)
@given(seed=seeds)
def test_gspo_equals_the_paper(seed: int) -> None:
    batch = episodes(seed, spread=5e-4)
    config = dataclasses.replace(PLAIN, ratio="sequence", clip_low=3e-4, clip_high=4e-4, aggregation="sequence_mean")
    assert_same(our_loss(batch, config), -references.gspo_objective(batch, 3e-4, 4e-4), batch)


@settings(max_examples=examples(40), deadline=None)
@given(seed=seeds)
def test_cispo_equals_the_paper(seed: int) -> None:
    batch = episodes(seed, spread=1.0)
    config = dataclasses.replace(PLAIN, objective="cispo", clip_low=0.5, clip_high=1.0)
    ours = torch.autograd.grad(our_loss(batch, config), [episode.now for episode in batch])
    for mine, expected in zip(ours, references.cispo_gradient(batch, 0.5, 1.0), strict=True):
        torch.testing.assert_close(mine, -expected, rtol=1e-9, atol=1e-10)


def test_the_references_tell_the_variants_apart() -> None:
    """The control: with one detail wrong, a comparison above fails."""
    batch = [episode for seed in range(4) for episode in episodes(seed, spread=1.0)]
    wrong = [
        dataclasses.replace(PLAIN, clip_high=0.2),
        dataclasses.replace(PLAIN, ratio="sequence"),
        dataclasses.replace(PLAIN, objective="cispo"),
        dataclasses.replace(PLAIN, aggregation="sequence_mean"),
        dataclasses.replace(PLAIN, importance_cap=1.1),
        dataclasses.replace(PLAIN, entropy_coef=0.1),
        dataclasses.replace(PLAIN, kl="k2", kl_coef=0.1),
    ]
    for config in wrong:
        with pytest.raises(AssertionError):
            assert_same(our_loss(batch, config), -references.dapo_objective(batch, 0.2, 0.28), batch)


# --- first step, splitting, masking --------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregation", ["token_mean", "constant"])
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_the_first_step_is_reinforce(objective: str, aggregation: str) -> None:
    batch = [dataclasses.replace(episode, old=episode.now.detach()) for episode in episodes(3)]
    config = dataclasses.replace(PLAIN, objective=objective, aggregation=aggregation, loss_constant=5)
    scale = normaliser(batch, config) * (5 if aggregation == "constant" else 1)
    reinforce = references.reinforce_objective(batch, scale)
    for mine, theirs in zip(gradients(our_loss(batch, config), batch), gradients(-reinforce, batch), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("config", EVERY[:: len(EVERY) // 12], ids=str)
@settings(max_examples=examples(15), deadline=None)
@given(seed=seeds, order=st.randoms(use_true_random=False), data=st.data())
def test_the_gradient_does_not_depend_on_splitting_or_order(
    config: LossConfig, seed: int, order: random.Random, data: st.DataObject
) -> None:
    batch = episodes(seed)
    whole = gradients(our_loss(batch, config), batch)
    shuffled = list(batch)
    order.shuffle(shuffled)
    cut = data.draw(st.integers(0, len(batch)))
    parts = [part for part in (shuffled[:cut], shuffled[cut:]) if part]
    total = torch.stack([policy_loss(tokens(part), config, normaliser(batch, config))[0] for part in parts]).sum()
    for mine, theirs in zip(gradients(total, batch), whole, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_a_normaliser_of_the_part_would_depend_on_splitting() -> None:
    batch = episodes(2)
    parts = [batch[:1], batch[1:]]
    whole = our_loss(batch, PLAIN)
    wrong = sum(policy_loss(tokens(part), PLAIN, normaliser(part, PLAIN))[0] for part in parts)
    assert abs(float((whole - wrong).detach())) > 1e-6


def test_a_clipped_token_has_no_gradient_and_a_cispo_token_has() -> None:
    old = torch.zeros(4, dtype=torch.float64)
    now = torch.tensor([0.5, 0.5, -0.5, -0.5], dtype=torch.float64, requires_grad=True)
    batch = Tokens(now, torch.zeros(4), old, old, None, torch.arange(4), torch.tensor([1.0, -1.0, 1.0, -1.0]))
    (clipped,) = torch.autograd.grad(policy_loss(batch, PLAIN, 4)[0], now)
    assert (clipped == 0).tolist() == [True, False, False, True]
    cispo = dataclasses.replace(PLAIN, objective="cispo")
    (weighted,) = torch.autograd.grad(policy_loss(batch, cispo, 4)[0], now)
    assert (weighted != 0).all()


# --- KL estimators: the gradient of each as a loss, as exact expectations over a small vocabulary -------------------


@pytest.fixture
def two_policies() -> tuple[Tensor, Tensor]:
    """Logits of a policy (with gradient) and log-probs of its reference."""
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)
    return logits, torch.randn(6, generator=generator, dtype=torch.float64).log_softmax(0)


def expected_gradient(kl: Any, logits: Tensor, reference: Tensor) -> Tensor:
    """E over tokens that the policy samples of the gradient of the estimator as a loss."""
    now = logits.log_softmax(0)
    return torch.autograd.grad((now.detach().exp() * kl(now, reference)).sum(), logits)[0]


def reverse_and_forward(logits: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of KL(policy || reference) and of KL(reference || policy)."""
    now = logits.log_softmax(0)
    reverse, forward = (now.exp() * (now - reference)).sum(), (reference.exp() * (reference - now)).sum()
    return torch.autograd.grad(reverse, logits, retain_graph=True)[0], torch.autograd.grad(forward, logits)[0]


def test_k1_as_a_loss_has_no_expected_gradient(two_policies: tuple[Tensor, Tensor]) -> None:
    assert expected_gradient(k1, *two_policies).abs().max() < 1e-12


def test_k2_as_a_loss_has_the_gradient_of_the_reverse_kl(two_policies: tuple[Tensor, Tensor]) -> None:
    reverse, forward = reverse_and_forward(*two_policies)
    torch.testing.assert_close(expected_gradient(k2, *two_policies), reverse)
    assert (reverse - forward).abs().max() > 0.01


def test_k3_as_a_loss_has_the_gradient_of_the_forward_kl_instead(two_policies: tuple[Tensor, Tensor]) -> None:
    reverse, forward = reverse_and_forward(*two_policies)
    gradient = expected_gradient(k3, *two_policies)
    torch.testing.assert_close(gradient, forward)
    assert (gradient - reverse).abs().max() > 0.01


def test_k1_and_k3_estimate_the_kl_and_k2_is_biased(two_policies: tuple[Tensor, Tensor]) -> None:
    logits, reference = two_policies
    now = logits.detach().log_softmax(0)
    exact = (now.exp() * (now - reference)).sum()
    estimates = {kl.__name__: (now.exp() * kl(now, reference)).sum() for kl in (k1, k2, k3)}
    torch.testing.assert_close(estimates["k1"], exact)
    torch.testing.assert_close(estimates["k3"], exact)
    assert abs(estimates["k2"] - exact) > 0.01
    assert (k3(now, reference) >= 0).all() and (k1(now, reference) < 0).any()


def test_kl_in_the_reward_has_the_gradient_of_the_reverse_kl(two_policies: tuple[Tensor, Tensor]) -> None:
    """Through the policy gradient, E[-(r - coef k1) grad l] is the gradient of coef KL when r is constant."""
    logits, reference = two_policies
    now = logits.log_softmax(0)
    rewards = kl_in_reward(torch.ones(6, dtype=torch.float64), now.detach(), reference, torch.arange(6), 0.3)
    loss = -(now.detach().exp() * rewards * now).sum()
    reverse, _ = reverse_and_forward(logits, reference)
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], 0.3 * reverse)


def test_kl_in_the_reward_sums_over_an_episode() -> None:
    now, reference = torch.tensor([-1.0, -2.0, -0.5]), torch.tensor([-1.5, -1.0, -0.75])
    rewards = kl_in_reward(torch.tensor([1.0, 0.5]), now, reference, torch.tensor([0, 0, 1]), 0.1)
    torch.testing.assert_close(rewards, torch.tensor([1.0 + 0.05, 0.5 - 0.025]))


# --- importance weights and metrics --------------------------------------------------------------------------------


def test_importance_weights_are_truncated_and_detached() -> None:
    old = torch.tensor([-1.0, -1.0, -1.0], requires_grad=True)
    weights = importance_weights(old, torch.tensor([-1.0, -3.0, -0.5]), 2.0)
    assert not weights.requires_grad
    torch.testing.assert_close(weights, torch.tensor([1.0, 2.0, float(torch.exp(torch.tensor(-0.5)))]))
    assert torch.equal(importance_weights(old, torch.tensor([-1.0, -3.0, -0.5]), 0.0), torch.ones(3))


@settings(max_examples=examples(30), deadline=None)
@given(seed=seeds, data=st.data())
def test_metrics_add_up_over_micro_batches(seed: int, data: st.DataObject) -> None:
    batch = episodes(seed)
    cut = data.draw(st.integers(0, len(batch)))
    scale = normaliser(batch, PLAIN)
    whole = policy_loss(tokens(batch), PLAIN, scale)[1]
    total: dict[str, float] = {}
    for part in (batch[:cut], batch[cut:]):
        if part:
            total = merge(total, policy_loss(tokens(part), PLAIN, scale)[1])
    assert total == pytest.approx(whole, rel=1e-9, abs=1e-12)


def test_metrics_count_clips_and_measure_ratios() -> None:
    old = torch.zeros(4, dtype=torch.float64)
    now = torch.tensor([0.5, 0.5, -0.5, -0.5], dtype=torch.float64)
    batch = Tokens(
        logprobs=now,
        entropy=torch.full((4,), 0.7),
        old=old,
        sampled=old - torch.tensor([0.0, 0.1, 0.0, -0.3]),
        reference=now - 1,
        episode=torch.arange(4),
        advantages=torch.tensor([1.0, -1.0, 1.0, -1.0]),
    )
    metrics = policy_loss(batch, PLAIN, 4)[1]
    assert metrics["tokens"] == 4
    assert (metrics["clip_low"], metrics["clip_high"]) == (1, 1)
    assert metrics["entropy"] == pytest.approx(2.8)
    assert metrics["ratio_max"] == pytest.approx(float(torch.exp(now[0])))
    assert metrics["ratio_min"] == pytest.approx(float(torch.exp(now[3])))
    assert metrics["logprob_gap"] == pytest.approx(0.4)
    assert metrics["logprob_gap_max"] == pytest.approx(0.3)
    assert metrics["kl_old"] == pytest.approx(float((now.exp() - 1 - now).sum()))
    assert metrics["kl_reference"] == pytest.approx(4 * float(torch.exp(torch.tensor(-1.0))))
