"""`kernels.linear_logprob` as its equations stand, [T, V] tensors included."""

from __future__ import annotations

import torch
from torch import Tensor


def reference_linear_logprob(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    temperature: float = 1.0,
    bias: Tensor | None = None,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The equations above, with [T, V] tensors. Arguments and results are those of `linear_logprob`."""
    logits = torch.nn.functional.linear(hidden, weight, bias)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    log_probability = torch.log_softmax(logits / temperature, dim=-1)
    entropy = -(log_probability.exp() * log_probability).sum(-1)
    return log_probability.gather(-1, ids.unsqueeze(-1)).squeeze(-1), entropy
