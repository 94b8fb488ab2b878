"""Log-probability and entropy of chosen tokens, computed from hidden states without a [T, V] tensor.

With logits z = cap(h W^T + b) / temperature, where cap(x) = c tanh(x / c) with a soft cap c (Gemma 2, arXiv
2408.00118) and cap(x) = x without one, and with p = softmax(z):

    logprob_t = z_t[id_t] - logsumexp(z_t),        d logprob_t / d z_t = onehot(id_t) - p_t
    entropy_t = -sum_v p_tv log p_tv,              d entropy_t / d z_t = -p_t (log p_t + entropy_t)

The backward pass recomputes the logits, as Liger (arXiv 2410.10989) and cut-cross-entropy (arXiv 2411.09009) do, except
for the rows whose e^z fit in `keep` bytes.

`linear_logprob` has two implementations: chunks of rows for any device (here), and Triton kernels for CUDA
(`kernels.triton_logprob`). The tests compare both with the equations as they stand, in float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernels.dispatch import triton_linear_logprob
from kernels.linear import product

CHUNK_ELEMENTS = 1 << 22
"""Logits per chunk, 16 MB in fp32. Smaller chunks pass over the weight's gradient more often."""


def linear_logprob(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    temperature: float = 1.0,
    bias: Tensor | None = None,
    softcap: float | None = None,
    keep: int = 0,
) -> tuple[Tensor, Tensor]:
    """hidden [T, H], weight [V, H], ids [T], bias [V] -> logprob [T], entropy [T], fp32 (fp64 for fp64 inputs).

    Differentiable in hidden, weight and bias. Under autocast, the product has the autocast type; the softmax is fp32.

    The forward pass keeps up to `keep` bytes of e^logits, and the backward pass recomputes only the other rows. It
    recomputes all rows if the entropy has a gradient or if there is a soft cap. The Triton kernels keep nothing.

    Raises ValueError for a temperature that is not positive.
    """
    if temperature <= 0.0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    with torch.autocast(device, enabled=False):
        function = implementation(hidden)
        options = (keep if torch.is_grad_enabled() else 0,) if function is _LinearLogprob else ()
        return function.apply(hidden, weight, ids, temperature, bias, softcap, *options)


def implementation(hidden: Tensor) -> type[torch.autograd.Function]:
    """The Triton kernels where they can run, otherwise chunks of rows."""
    return triton_linear_logprob(hidden) or _LinearLogprob


class _LinearLogprob(torch.autograd.Function):
    """`linear_logprob` in chunks of rows."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        ids: Tensor,
        temperature: float,
        bias: Tensor | None,
        softcap: float | None,
        keep: int,
    ) -> tuple[Tensor, Tensor]:
        accumulate = torch.promote_types(hidden.dtype, torch.float32)
        logprob, entropy, largest, log_total = (hidden.new_empty(len(ids), dtype=accumulate) for _ in range(4))
        chunks = _chunks(len(ids), len(weight))
        capacity = keep // (len(weight) * accumulate.itemsize) if softcap is None else 0
        ctx.exponentials = hidden.new_empty(
            max((rows.stop for rows in chunks if rows.stop <= capacity), default=0), len(weight), dtype=accumulate
        )
        for rows in chunks:
            logits, _ = _logits(hidden[rows], weight, bias, temperature, softcap)
            largest[rows] = logits.amax(-1)
            logits -= largest[rows].unsqueeze(-1)
            storage = ctx.exponentials[rows] if rows.stop <= len(ctx.exponentials) else None
            weights = torch.exp(logits, out=storage)
            total = weights.sum(-1)
            log_total[rows] = total.log()
            logprob[rows] = logits.gather(-1, ids[rows].unsqueeze(-1)).squeeze(-1) - log_total[rows]
            entropy[rows] = log_total[rows] - torch.linalg.vecdot(weights, logits) / total
        ctx.save_for_backward(hidden, weight, ids, bias, largest, log_total, entropy)
        ctx.temperature, ctx.softcap = temperature, softcap
        ctx.set_materialize_grads(False)
        return logprob, entropy

    @staticmethod
    def backward(ctx: Any, logprob_gradient: Tensor | None, entropy_gradient: Tensor | None) -> tuple[Any, ...]:
        hidden, weight, ids, bias, largest, log_total, entropy = ctx.saved_tensors
        accumulate = torch.promote_types(hidden.dtype, torch.float32)
        hidden_gradient = torch.zeros_like(hidden) if ctx.needs_input_grad[0] else None
        weight_gradient = torch.zeros_like(weight, dtype=accumulate) if ctx.needs_input_grad[1] else None
        bias_gradient = torch.zeros_like(bias, dtype=accumulate) if ctx.needs_input_grad[4] else None
        if logprob_gradient is None and entropy_gradient is None:
            return hidden_gradient, weight_gradient, None, None, bias_gradient, None, None
        # The loop overwrites the exponentials with gradients, so a second backward pass must recompute them.
        exponentials, ctx.exponentials = ctx.exponentials, ctx.exponentials[:0]
        for rows in _chunks(len(ids), len(weight)):
            if rows.stop <= len(exponentials) and entropy_gradient is None:
                assert logprob_gradient is not None
                slope, by_logprob = None, logprob_gradient[rows].unsqueeze(-1)
                gradient = exponentials[rows].mul_(-by_logprob / log_total[rows].exp().unsqueeze(-1))
                gradient.scatter_add_(-1, ids[rows].unsqueeze(-1), by_logprob.to(gradient.dtype))
            else:
                logits, slope = _logits(hidden[rows], weight, bias, ctx.temperature, ctx.softcap)
                gradient = _logits_gradient(
                    # Two subtractions, because the rounding error of the sum is as large as 1 - p of a sure token.
                    logits.sub_(largest[rows].unsqueeze(-1)).sub_(log_total[rows].unsqueeze(-1)),
                    entropy[rows],
                    ids[rows],
                    None if logprob_gradient is None else logprob_gradient[rows],
                    None if entropy_gradient is None else entropy_gradient[rows],
                )
            gradient = gradient.div_(ctx.temperature) if slope is None else gradient.mul_(slope)
            if bias_gradient is not None:
                bias_gradient += gradient.sum(0)
            gradient = gradient.to(weight.dtype)
            if hidden_gradient is not None:
                hidden_gradient[rows] = product(gradient, weight.T)
            if weight_gradient is not None:
                _add_product(weight_gradient, gradient, hidden[rows])
        if weight_gradient is not None:
            weight_gradient = weight_gradient.to(weight.dtype)
        if bias_gradient is not None:
            bias_gradient = bias_gradient.to(bias.dtype)
        return hidden_gradient, weight_gradient, None, None, bias_gradient, None, None


def _chunks(rows: int, vocabulary: int) -> list[slice]:
    size = max(16, CHUNK_ELEMENTS // vocabulary)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _logits(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float, softcap: float | None
) -> tuple[Tensor, Tensor | None]:
    """Logits [rows, V] in at least fp32 and, with a soft cap, their derivative by h W^T + b (None without one)."""
    logits = product(hidden, weight).to(torch.promote_types(hidden.dtype, torch.float32))
    if bias is not None:
        logits += bias
    if softcap is None:
        return logits.div_(temperature) if temperature != 1.0 else logits, None
    capped = logits.div_(softcap).tanh_()
    slope = (1.0 - capped * capped).div_(temperature)
    return capped * (softcap / temperature), slope


def _logits_gradient(
    log_probability: Tensor,
    entropy: Tensor,
    ids: Tensor,
    logprob_gradient: Tensor | None,
    entropy_gradient: Tensor | None,
) -> Tensor:
    """d/dz of (logprob * logprob_gradient + entropy * entropy_gradient): [rows, V].

    Overwrites log_probability [rows, V].
    """
    if entropy_gradient is None:
        assert logprob_gradient is not None
        gradient = log_probability.exp_().mul_(-logprob_gradient.unsqueeze(-1))
    else:
        probability = log_probability.exp()
        factor = log_probability.add_(entropy.unsqueeze(-1)).mul_(entropy_gradient.unsqueeze(-1))
        if logprob_gradient is not None:
            factor += logprob_gradient.unsqueeze(-1)
        gradient = probability.mul_(factor).neg_()
    if logprob_gradient is not None:
        gradient.scatter_add_(-1, ids.unsqueeze(-1), logprob_gradient.unsqueeze(-1).to(gradient.dtype))
    return gradient


def _add_product(total: Tensor, gradient: Tensor, hidden: Tensor) -> None:
    """total [V, H] += gradient^T [V, rows] @ hidden [rows, H], accumulated in the type of `total`."""
    if gradient.dtype == total.dtype:
        total.addmm_(gradient.T, hidden)
    else:
        total += gradient.T @ hidden
