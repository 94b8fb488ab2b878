"""Advantages against float64 references, and properties that every estimator has on a group."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grpo.advantages import ADVANTAGES, EPSILON
from tests.support import references
from tests.support.tiers import examples

REFERENCES: dict[str, Callable[[list[float]], list[float]]] = {
    "grpo": lambda rewards: references.grpo_advantages(rewards, EPSILON),
    "dr_grpo": references.dr_grpo_advantages,
    "rloo": references.rloo_advantages,
    "pass_through": list,
}
BASELINED = sorted(set(ADVANTAGES) - {"pass_through"})
reward = st.floats(0, 1)
groups = st.integers(2, 9).flatmap(
    lambda size: st.lists(st.lists(reward, min_size=size, max_size=size), min_size=1, max_size=4)
)


def test_every_estimator_has_a_reference() -> None:
    assert set(REFERENCES) == set(ADVANTAGES)


@pytest.mark.parametrize("name", sorted(ADVANTAGES))
@settings(max_examples=examples(60), deadline=None)
@given(groups=groups)
def test_equals_the_reference(name: str, groups: list[list[float]]) -> None:
    ours = ADVANTAGES[name](torch.tensor(groups, dtype=torch.float64))
    expected = torch.tensor([REFERENCES[name](group) for group in groups], dtype=torch.float64)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BASELINED)
@settings(max_examples=examples(60), deadline=None)
@given(value=reward, size=st.integers(2, 17))
def test_equal_rewards_give_exactly_zero(name: str, dtype: torch.dtype, value: float, size: int) -> None:
    advantages = ADVANTAGES[name](torch.full((1, size), value, dtype=dtype))
    assert torch.equal(advantages, torch.zeros(1, size, dtype=dtype))


def test_subtracting_the_mean_alone_would_not_give_exactly_zero() -> None:
    """The control of the test above: rounding makes a mean of equal floats another float."""
    rewards = torch.full((1, 7), 0.1, dtype=torch.float32)
    naive = [(torch.full((1, size), 0.1) - torch.full((1, size), 0.1).mean()).abs().max() for size in range(2, 100)]
    assert max(naive) > 0
    assert ADVANTAGES["grpo"](rewards).abs().max() == 0


@settings(max_examples=examples(60), deadline=None)
@given(groups=groups)
def test_rloo_is_the_centred_reward_stretched(groups: list[list[float]]) -> None:
    rewards = torch.tensor(groups, dtype=torch.float64)
    siblings = rewards.shape[1]
    stretched = (rewards - rewards.mean(dim=1, keepdim=True)) * siblings / (siblings - 1)
    torch.testing.assert_close(ADVANTAGES["rloo"](rewards), stretched, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", BASELINED)
def test_a_group_does_not_see_its_neighbours(name: str) -> None:
    first, second = torch.tensor([[0.0, 0.5, 1.0]]), torch.tensor([[0.9, 0.1, 0.2]])
    together = ADVANTAGES[name](torch.cat([first, second]))
    assert torch.equal(together, torch.cat([ADVANTAGES[name](first), ADVANTAGES[name](second)]))
    assert torch.allclose(together.sum(dim=1), torch.zeros(2), atol=1e-6)


@pytest.mark.parametrize("name", sorted(ADVANTAGES))
def test_the_rewards_are_left_alone(name: str) -> None:
    rewards = torch.tensor([[0.0, 0.5, 1.0]])
    ADVANTAGES[name](rewards).add_(1)
    assert rewards.tolist() == [[0.0, 0.5, 1.0]]
