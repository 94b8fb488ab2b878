"""Group-relative advantages: rewards [N, G] of N tasks with G siblings each -> advantages [N, G].

With r a group's rewards and mean(r) their mean, sibling i gets

    grpo          (r_i - mean(r)) / (std(r) + EPSILON)       DeepSeekMath (arXiv 2402.03300), section 4.1.2
    dr_grpo        r_i - mean(r)                             Dr. GRPO (arXiv 2503.20783), section 3.2
    rloo          (r_i - mean(r)) G / (G - 1)                RLOO (arXiv 2402.14740), section 3.3: the reward less the
                                                             mean of the *other* siblings' rewards
    pass_through   r_i                                       REINFORCE without a baseline

Every baseline gives exactly 0.0, not a rounding error, to a group whose rewards are equal. A new estimator is one
function here and its name in `ADVANTAGES`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

EPSILON = 1e-4
"""Added to GRPO's deviation: rewards lie in [0, 1], so differences far below 1e-4 count as noise, not as signal."""


def centred(rewards: Tensor) -> Tensor:
    """Rewards [N, G] less their group's mean.

    The first sibling's reward is subtracted beforehand, since the mean of G equal floats need not equal them.
    """
    shifted = rewards - rewards[:, :1]
    return shifted - shifted.mean(dim=1, keepdim=True)


def grpo(rewards: Tensor) -> Tensor:
    """Centred rewards over the *sample* deviation (divisor G - 1; the paper leaves it open) plus `EPSILON`."""
    difference = centred(rewards)
    siblings = rewards.shape[1]
    deviation = (difference.square().sum(dim=1, keepdim=True) / (siblings - 1)).sqrt()
    return difference / (deviation + EPSILON)


def dr_grpo(rewards: Tensor) -> Tensor:
    """Centred rewards: no deviation, so that very easy and very hard tasks are not weighted up."""
    return centred(rewards)


def rloo(rewards: Tensor) -> Tensor:
    """Each reward less the mean of its siblings' rewards: an unbiased baseline."""
    siblings = rewards.shape[1]
    return centred(rewards) * (siblings / (siblings - 1))


def pass_through(rewards: Tensor) -> Tensor:
    """The rewards themselves."""
    return rewards.clone()


ADVANTAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "rloo": rloo,
    "pass_through": pass_through,
}
