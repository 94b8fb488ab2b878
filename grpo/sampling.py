"""Drawing tokens: a counter-based random stream, and the distribution after temperature, top-k, top-p and min-p."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from grpo.keys import GOLDEN, MULTIPLIERS
from grpo.types import Sampling

RUN = 64
"""Tokens whose probabilities are summed together before one is drawn."""


def uniform(keys: Tensor, positions: Tensor) -> Tensor:
    """keys [R], positions [R] (int64, on the CPU) -> one float64 in [0, 1) per row, a pure function of (key, position).

    SplitMix64 (`grpo.keys`): the word at place i of the stream with seed k is finalise(k + (i + 1) * golden); its upper
    53 bits make the number.
    """
    # NumPy has unsigned words, whose shift is the logical one.
    word = keys.numpy().astype(np.uint64) + (positions.numpy().astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        word = (word ^ (word >> np.uint64(shift))) * np.uint64(multiplier)
    word = word ^ (word >> np.uint64(31))
    return torch.from_numpy((word >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def cut_logits(logits: Tensor, sampling: Sampling, keep: Tensor | None = None) -> Tensor:
    """logits [R, V] -> logits divided by the temperature, tokens outside the cut at minus infinity.

    The order is that of `transformers`: temperature, top-k, top-p (nucleus sampling, arXiv 1904.09751: the smallest set
    of most likely tokens whose mass reaches top_p), then min-p (arXiv 2407.01082: tokens at least min_p times as likely
    as the most likely one). Ties at the boundary of top-k are all kept. `keep` [R]: ids that no cut removes.
    Differentiable in the logits that remain. Raises ValueError for temperature 0.
    """
    if sampling.temperature <= 0.0:
        raise ValueError("temperature 0 has no distribution to cut")
    logits = logits if sampling.temperature == 1.0 else logits / sampling.temperature
    if not sampling.cuts:
        return logits
    scores = logits.detach()
    removed = torch.zeros_like(scores, dtype=torch.bool)
    if 0 < sampling.top_k < scores.shape[-1]:
        removed |= scores < scores.topk(sampling.top_k, dim=-1).values[:, -1:]
    if sampling.top_p < 1.0:
        remaining = scores.masked_fill(removed, float("-inf"))
        ordered, order = remaining.sort(dim=-1, descending=True, stable=True)
        probability = ordered.softmax(-1)
        beyond = probability.cumsum(-1) - probability >= sampling.top_p
        beyond[:, 0] = False
        removed |= torch.zeros_like(removed).scatter_(-1, order, beyond)
    if sampling.min_p > 0.0:
        floor = scores.amax(-1, keepdim=True) + torch.log(scores.new_tensor(sampling.min_p))
        removed |= scores < floor
    if keep is not None:
        removed.scatter_(-1, keep.unsqueeze(-1), False)
    return logits.masked_fill(removed, float("-inf"))


def sample(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """logits [R, V], uniforms [R] in [0, 1) -> ids [R], logprobs [R] fp32 of the distribution drawn from.

    Temperature 0 takes the most likely token (the first of several), with log-prob 0: it had probability one. If the
    logits are no distribution (NaN among them, say), the log-prob is NaN, whatever token is drawn.
    """
    if sampling.temperature <= 0.0:
        best = logits.float().max(-1)
        return best.indices, best.values - best.values
    log_probability = cut_logits(logits.float(), sampling).log_softmax(-1)
    ids = _draw(log_probability.exp(), uniforms.unsqueeze(-1).to(logits.device))
    return ids.squeeze(-1), log_probability.gather(-1, ids).squeeze(-1)


def _draw(probability: Tensor, uniforms: Tensor) -> Tensor:
    """probability [R, V], uniforms [R, 1] -> ids [R, 1] by inverse transform.

    Draws the first token whose cumulative probability exceeds the uniform. It finds the run of tokens first, so only
    the totals of runs and the tokens of one run are summed up. A removed token is never drawn; NaN draws the first.
    """
    short = -probability.shape[-1] % RUN
    runs = (pad(probability, (0, short)) if short else probability).unflatten(-1, (-1, RUN))
    totals = runs.sum(-1).double()
    cumulative = totals.cumsum(-1).nan_to_num_()
    target = uniforms * cumulative[:, -1:]
    run = _first_above(cumulative, target)
    tokens = runs.take_along_dim(run.unsqueeze(-1), 1).squeeze(1).cumsum(-1, dtype=torch.float64).nan_to_num_()
    rest = target - cumulative.gather(-1, run) + totals.gather(-1, run)
    return run * RUN + _first_above(tokens, rest.clamp_min_(0.0))


def _first_above(cumulative: Tensor, target: Tensor) -> Tensor:
    """[R, N] and [R, 1] -> [R, 1]: the first entry above the target, or the last one that raises the sum if none is."""
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    return torch.minimum(torch.searchsorted(cumulative, target, right=True), last)
