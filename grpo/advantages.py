"""Group-relative advantages: rewards [N, G] of N tasks with G siblings each -> advantages [N, G].

For the rewards r of a group with mean mean(r), the advantage of sibling i is

    grpo          (r_i - mean(r)) / (std(r) + EPSILON)       DeepSeekMath (arXiv 2402.03300), section 4.1.2
    dr_grpo        r_i - mean(r)                             Dr. GRPO (arXiv 2503.20783), section 3.2
    rloo          (r_i - mean(r)) G / (G - 1)                RLOO (arXiv 2402.14740), section 3.3: the reward minus the
                                                             mean of the *other* siblings' rewards
    pass_through   r_i                                       REINFORCE without a baseline

If the rewards of a group are equal, every estimator with a baseline returns exactly 0.0, not a rounding error. To add
an estimator, write one function here and enter its name in `ADVANTAGES`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

EPSILON = 1e-4
"""Added to GRPO's deviation. Rewards are in [0, 1], so differences far below 1e-4 are treated as noise."""


def centred(rewards: Tensor) -> Tensor:
    """Rewards [N, G] minus the mean of their group.

    The first sibling's reward is subtracted first, because the rounded mean of G equal floats may differ from them.
    """
    shifted = rewards - rewards[:, :1]
    return shifted - shifted.mean(dim=1, keepdim=True)


def grpo(rewards: Tensor) -> Tensor:
    """Centred rewards / (*sample* deviation + `EPSILON`). The divisor G - 1 is our choice; the paper gives none."""
    difference = centred(rewards)
    siblings = rewards.shape[1]
    deviation = (difference.square().sum(dim=1, keepdim=True) / (siblings - 1)).sqrt()
    return difference / (deviation + EPSILON)


def dr_grpo(rewards: Tensor) -> Tensor:
    """Centred rewards. Without the deviation, very easy and very hard tasks get no extra weight."""
    return centred(rewards)


def rloo(rewards: Tensor) -> Tensor:
    """Each reward minus the mean of its siblings' rewards: an unbiased baseline."""
    siblings = rewards.shape[1]
    return centred(rewards) * (siblings / (siblings - 1))


def pass_through(rewards: Tensor) -> Tensor:
    """The rewards, unchanged."""
    return rewards.clone()


ADVANTAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "rloo": rloo,
    "pass_through": pass_through,
}
