"""Log-probs of sampled tokens for training: hidden states of a packed micro-batch, then the output head.

Only the hidden states that a scored token needs reach the head, and `kernels.linear_logprob` never holds a [T, V]
tensor. Nothing here alters the model: it was prepared when it was loaded (`grpo.models.compatibility.prepare`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from grpo.errors import UnsupportedModel
from grpo.models.causal_lm import CausalLM, output_logits, scale_and_softcap
from grpo.models.compatibility import check_prepared
from grpo.models.fast_layers import states_at
from grpo.models.recurrence import shares_prefixes
from grpo.packing import Packed
from grpo.sampling import cut_logits
from grpo.types import Sampling
from kernels import linear_logprob

CUT_CHUNK_ROWS = 512
"""Rows of [rows, V] logits held at a time when top-k, top-p or min-p cut the distribution."""


def token_logprobs(model: CausalLM, packed: Packed, sampling: Sampling, keep: int = 0) -> tuple[Tensor, Tensor]:
    """Log-prob and entropy, [M] each in fp32, of the scored tokens under the distribution that `sampling` draws from.

    Differentiable in the model's weights. If top-k, top-p or min-p cut the distribution, tokens are scored under the
    same cut, and the sampled token is always kept: a rounding other than the sampler's must not make it impossible.
    `keep` bytes of logits are kept for the backward pass. Raises ValueError for temperature 0, which has no gradient,
    and UnsupportedModel for a model that is not prepared or cannot share the row.
    """
    if sampling.temperature <= 0.0:
        raise ValueError("log-probs need a positive temperature: greedy choices have no gradient")
    check_prepared(model)
    if packed.tree is not None and not shares_prefixes(model):
        raise UnsupportedModel("recurrent layers would leak states between the sequences of one row: pad them instead")
    hidden = states_at(model, packed.ids, packed.positions, packed.tree, packed.predecessors)
    if not sampling.cuts:
        head = model.get_output_embeddings()
        bias, (scale, softcap) = getattr(head, "bias", None), scale_and_softcap(model)
        temperature = sampling.temperature / scale  # no model has a soft cap as well
        return linear_logprob(hidden, head.weight, packed.targets, temperature, bias, softcap, keep)
    parts = [
        checkpoint(_cut_logprobs, model, rows, targets, sampling, use_reentrant=False)
        for rows, targets in zip(hidden.split(CUT_CHUNK_ROWS), packed.targets.split(CUT_CHUNK_ROWS), strict=True)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _cut_logprobs(model: CausalLM, hidden: Tensor, targets: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    log_probability = cut_logits(output_logits(model, hidden), sampling, keep=targets).log_softmax(-1)
    finite = log_probability.masked_fill(log_probability == float("-inf"), 0.0)
    entropy = -(log_probability.exp() * finite).sum(-1)
    return log_probability.gather(-1, targets.unsqueeze(-1)).squeeze(-1), entropy
