"""The policy loss on ragged tokens: all sampled tokens of a micro-batch in one tensor [M], without padding.

Shapes: M sampled tokens, R episodes; `episode` [M] holds each token's episode. Let l = log pi(token), and l_old,
l_sampled and l_ref the same under the policy before the update, the sampler and the reference. One optimizer step
minimises

    loss = 1 / normaliser * sum over tokens t of weight_t * (
               importance_t * surrogate(ratio_t, advantage_t) + kl_coef * kl(l_t, l_ref_t) - entropy_coef * entropy_t )

The caller counts the normaliser over *all* micro-batches and ranks of the optimizer step, so the gradient does not
depend on how the step is split. To add a variant, write one function and enter its name in one of the tables
`RATIOS`, `OBJECTIVES`, `KLS`, `AGGREGATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

LossSums = dict[str, float]
"""Sums over tokens; names that end in `_min` or `_max` hold extremes."""
Surrogate = tuple[Tensor, Tensor, Tensor]
"""[M] each: the loss, whether the lower bound was active, whether the upper bound was active."""


@dataclass(frozen=True)
class LossConfig:
    """The terms of the loss; `grpo.config.Options` documents each field."""

    ratio: str
    objective: str
    clip_low: float
    clip_high: float
    kl: str
    kl_coef: float
    aggregation: str
    loss_constant: int
    entropy_coef: float
    importance_cap: float


@dataclass(frozen=True)
class Tokens:
    """One micro-batch. Only `logprobs` and `entropy` carry gradients."""

    logprobs: Tensor
    """[M] under the policy in training."""
    entropy: Tensor
    """[M] entropy of the policy's distribution at each token."""
    old: Tensor
    """[M] under the policy before this step's first update, computed by the trainer."""
    sampled: Tensor
    """[M] as recorded by the sampler."""
    reference: Tensor | None
    """[M] under the reference policy; None without a KL term."""
    episode: Tensor
    """[M] integer: the episode of each token, in [0, R)."""
    advantages: Tensor
    """[R]"""


# --- ratios: how far the policy has moved since it sampled ---------------------------------------------------------


def token_ratio(logprobs: Tensor, old: Tensor, episode: Tensor, episodes: int) -> Tensor:
    """[M] r_t = pi(token_t) / pi_old(token_t): PPO; DeepSeekMath (arXiv 2402.03300) eq. 3."""
    return (logprobs - old).exp()


def sequence_ratio(logprobs: Tensor, old: Tensor, episode: Tensor, episodes: int) -> Tensor:
    """[M] s_i = exp(mean over the tokens t of episode i of (l_t - l_old_t)): the same value for all its tokens.

    GSPO (arXiv 2507.18071) eq. 7: the likelihood ratio of the sequence to the power 1 / length.
    """
    sums = logprobs.new_zeros(episodes).index_add(0, episode, logprobs - old)
    lengths = torch.bincount(episode, minlength=episodes).clamp(min=1)
    return (sums / lengths).exp()[episode]


# --- objectives: `advantages` is [M], one per token ----------------------------------------------------------------


def clip(ratio: Tensor, advantages: Tensor, logprobs: Tensor, low: float, high: float) -> Surrogate:
    """-min(r A, clip(r, 1 - low, 1 + high) A): PPO's pessimistic bound with DAPO's two ranges.

    DeepSeekMath eq. 3 with low = high; DAPO (arXiv 2503.14476), "Clip-Higher".
    """
    bounded = ratio.clamp(1 - low, 1 + high)
    loss = -torch.minimum(ratio * advantages, bounded * advantages)
    return loss, (ratio < 1 - low) & (advantages < 0), (ratio > 1 + high) & (advantages > 0)


def cispo(ratio: Tensor, advantages: Tensor, logprobs: Tensor, low: float, high: float) -> Surrogate:
    """-stop_gradient(clip(r, 1 - low, 1 + high)) A l: clips the weight, so that every token keeps a gradient.

    CISPO, MiniMax-M1 (arXiv 2506.13585) eq. 4 and 5.
    """
    weight = ratio.detach().clamp(1 - low, 1 + high)
    return -weight * advantages * logprobs, ratio < 1 - low, ratio > 1 + high


# --- KL(pi || pi_ref), estimated from tokens that pi sampled -------------------------------------------------------


def k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """[M] l - l_ref: unbiased as a number (Schulman, "Approximating KL Divergence", 2020).

    As a loss it would regularise nothing: its gradient is grad l, whose on-policy expectation is zero. It is therefore
    only subtracted from the reward (`kl_in_reward`), where it becomes a weight of grad l in the policy gradient.
    """
    return logprobs - reference


def k2(logprobs: Tensor, reference: Tensor) -> Tensor:
    """[M] (l - l_ref)^2 / 2: biased as a number. On-policy its gradient (l - l_ref) grad l is that of KL(pi || ref)."""
    return 0.5 * (logprobs - reference).square()


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """[M] exp(l_ref - l) - 1 - (l_ref - l): unbiased and never negative; DeepSeekMath eq. 4.

    As a loss its gradient is (1 - pi_ref / pi) grad l. On-policy this is the gradient of the *forward* KL(ref || pi),
    not of the KL that it estimates. The two agree to first order if pi is close to the reference.
    """
    difference = reference - logprobs
    return difference.exp() - 1 - difference


def kl_in_reward(rewards: Tensor, logprobs: Tensor, reference: Tensor, episode: Tensor, coefficient: float) -> Tensor:
    """[R] rewards minus coefficient * (sum of k1 over the episode), the regularisation of RLOO (arXiv 2402.14740).

    `rewards` [R]; `logprobs`, `reference`, `episode` [M].
    """
    penalty = rewards.new_zeros(len(rewards)).index_add(0, episode, k1(logprobs, reference).to(rewards.dtype))
    return rewards - coefficient * penalty


# --- aggregation: lengths [R] -> (weight of each token of an episode [R], contribution to the normaliser) ----------


def token_mean(lengths: Tensor, loss_constant: int) -> tuple[Tensor, float]:
    """Every token of the batch has equal weight: 1 / sum_i |o_i|. DAPO, "Token-Level Policy Gradient Loss"."""
    return torch.ones_like(lengths, dtype=torch.float64), float(lengths.sum())


def sequence_mean(lengths: Tensor, loss_constant: int) -> tuple[Tensor, float]:
    """Every episode has equal weight, so tokens of long ones have less: 1/R sum_i 1/|o_i|. DeepSeekMath eq. 3."""
    return 1 / lengths.clamp(min=1).double(), float(len(lengths))


def constant(lengths: Tensor, loss_constant: int) -> tuple[Tensor, float]:
    """Every token has equal weight at any length: 1/R sum_i 1/L, L fixed. Dr. GRPO (arXiv 2503.20783), section 3.2."""
    return torch.full_like(lengths, 1 / loss_constant, dtype=torch.float64), float(len(lengths))


RATIOS: dict[str, Callable[[Tensor, Tensor, Tensor, int], Tensor]] = {"token": token_ratio, "sequence": sequence_ratio}
OBJECTIVES: dict[str, Callable[[Tensor, Tensor, Tensor, float, float], Surrogate]] = {
    "clip": clip,
    "cispo": cispo,
}
KLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k2": k2, "k3": k3}
AGGREGATIONS: dict[str, Callable[[Tensor, int], tuple[Tensor, float]]] = {
    "token_mean": token_mean,
    "sequence_mean": sequence_mean,
    "constant": constant,
}


def importance_weights(old: Tensor, sampled: Tensor, cap: float) -> Tensor:
    """[M] min(pi_old / pi_sampler, cap), without gradient; 1 if `cap` is 0.

    Truncated importance sampling corrects for numerical differences between sampler and trainer: Yao et al., "Your
    Efficient RL Framework Secretly Brings You Off-Policy RL Training" (2025).
    """
    if cap == 0:
        return torch.ones_like(old)
    return (old - sampled).detach().exp().clamp(max=cap)


def policy_loss(tokens: Tokens, config: LossConfig, normaliser: float) -> tuple[Tensor, LossSums]:
    """The micro-batch's share of the loss, a scalar for `backward`, and its metrics for `merge`.

    `normaliser`: the sum of the contributions from `AGGREGATIONS[...]` over all episodes of the optimizer step. Masked
    (truncated) episodes are in neither the micro-batch nor the normaliser; nothing else is needed to mask them.
    """
    episodes = len(tokens.advantages)
    ratio = RATIOS[config.ratio](tokens.logprobs, tokens.old, tokens.episode, episodes)
    advantages = tokens.advantages[tokens.episode]
    surrogate, low, high = OBJECTIVES[config.objective](
        ratio, advantages, tokens.logprobs, config.clip_low, config.clip_high
    )
    per_token = importance_weights(tokens.old, tokens.sampled, config.importance_cap) * surrogate
    if tokens.reference is not None and config.kl in KLS:
        per_token = per_token + config.kl_coef * KLS[config.kl](tokens.logprobs, tokens.reference)
    if config.entropy_coef:
        per_token = per_token - config.entropy_coef * tokens.entropy
    lengths = torch.bincount(tokens.episode, minlength=episodes)
    weights, _ = AGGREGATIONS[config.aggregation](lengths, config.loss_constant)
    loss = (weights.to(per_token.dtype)[tokens.episode] * per_token).sum() / normaliser
    return loss, token_metrics(tokens, loss, ratio, low, high)


@torch.no_grad()
def token_metrics(tokens: Tokens, loss: Tensor, ratio: Tensor, low: Tensor, high: Tensor) -> LossSums:
    """Sums over tokens, and extremes named `*_min` and `*_max`. `merge` combines micro-batches."""
    gap = (tokens.old - tokens.sampled).abs()
    values = {
        "loss": loss,
        "clip_low": low.sum(),
        "clip_high": high.sum(),
        "entropy": tokens.entropy.sum(),
        "kl_old": k3(tokens.old, tokens.logprobs).sum(),
        "logprob_gap": gap.sum(),
        "logprob_gap_max": gap.max(),
        "ratio_min": ratio.min(),
        "ratio_max": ratio.max(),
    }
    if tokens.reference is not None:
        values["kl_reference"] = k3(tokens.logprobs, tokens.reference).sum()
    numbers = torch.stack([value.double() for value in values.values()]).tolist()
    return dict(zip(values, numbers, strict=True)) | {"tokens": float(len(ratio))}


def merge(total: Mapping[str, float], part: Mapping[str, float]) -> LossSums:
    """Combines two micro-batches: sums are added; `*_min` and `*_max` take the extreme."""
    merged = dict(total)
    for name, value in part.items():
        if name not in merged:
            merged[name] = value
        elif name.endswith("_min"):
            merged[name] = min(merged[name], value)
        elif name.endswith("_max"):
            merged[name] = max(merged[name], value)
        else:
            merged[name] += value
    return merged
