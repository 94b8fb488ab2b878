"""`linear_logprob` in Triton, for CUDA. Logits exist only as fp32 tiles; the backward pass recomputes them.

The forward pass iterates over the vocabulary in tiles of the product h W^T. For each row it keeps the running maximum
m, the mass s = sum e^{z - m} and the moment sum e^{z - m} (z - m). This is the online softmax of Milakov & Gimelshein
2018 (arXiv 1805.02867), with a moment for the entropy. The vocabulary is split among programs, whose results are
merged. Then

    logprob = z_id - m - log s,        entropy = log s - moment / s.

The backward pass iterates over the vocabulary in chunks. For each chunk, one kernel recomputes the logits and writes
the gradient by the product, [T, chunk] in the type of the inputs. Two library products turn this into the gradients of
hidden and weight.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNK_ELEMENTS = 1 << 25
"""Elements of a chunk's gradient by the logits, which the backward pass holds at a time: 64 MB in bf16."""
HALF = {"BLOCK_T": 128, "BLOCK_V": 256, "BLOCK_H": 64, "num_warps": 8, "num_stages": 3}
"""Tile sizes, warps and pipeline stages in half precision. Larger tiles read hidden and weight from the cache less
often, and these reads limit the speed of smaller tiles. This size just fits in the shared memory of every GPU since
Ampere."""
FP32 = {**HALF, "BLOCK_T": 64, "BLOCK_V": 128, "BLOCK_H": 32}
"""Without tensor cores, products need more registers per element of a tile."""
CAPPED = {**HALF, "BLOCK_V": 128}
"""A soft cap needs registers for a second tile, the slope."""
PROGRAMS = 512
"""The target for the forward pass: several per multiprocessor on a GPU with 132 of them."""


@triton.jit
def _logits(
    hidden, weight, bias, rows, columns, T, V, H, softcap, temperature,
    HAS_BIAS: tl.constexpr, HAS_CAP: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_H: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes a tile of logits [BLOCK_T, BLOCK_V] in fp32, and their derivative by the product h W^T + b."""
    product = tl.zeros((BLOCK_T, BLOCK_V), dtype=tl.float32)
    for start in range(0, H, BLOCK_H):
        depth = start + tl.arange(0, BLOCK_H)
        hidden_tile = tl.load(
            hidden + rows[:, None].to(tl.int64) * H + depth[None, :],
            mask=(rows < T)[:, None] & (depth < H)[None, :],
            other=0.0,
        )
        weight_tile = tl.load(
            weight + columns[None, :].to(tl.int64) * H + depth[:, None],
            mask=(columns < V)[None, :] & (depth < H)[:, None],
            other=0.0,
        )
        product = tl.dot(hidden_tile, weight_tile, product, input_precision=PRECISION)
    if HAS_BIAS:
        product += tl.load(bias + columns, mask=columns < V, other=0.0).to(tl.float32)[None, :]
    slope = tl.full((BLOCK_T, BLOCK_V), 1.0, dtype=tl.float32) / temperature
    if HAS_CAP:
        # tanh x = 1 - 2 / (e^{2x} + 1) has the right limits when e^{2x} overflows.
        tanh = 1.0 - 2.0 / (tl.exp(2.0 * product / softcap) + 1.0)
        product = softcap * tanh
        slope = (1.0 - tanh * tanh) / temperature
    return product / temperature, slope


@triton.jit
def _forward_kernel(
    hidden, weight, bias, ids, largest, mass, moment, id_logits, T, V, H, span, softcap, temperature,
    HAS_BIAS: tl.constexpr, HAS_CAP: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_H: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Processes one tile of rows and one split of the vocabulary, `span` columns wide."""
    split = tl.program_id(1)
    rows = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    id = tl.load(ids + rows, mask=rows < T, other=0)
    maximum = tl.full((BLOCK_T,), float("-inf"), dtype=tl.float32)
    sums = tl.zeros((BLOCK_T,), dtype=tl.float32)
    moments = tl.zeros((BLOCK_T,), dtype=tl.float32)
    id_logit = tl.zeros((BLOCK_T,), dtype=tl.float32)
    for start in range(split * span, tl.minimum((split + 1) * span, V), BLOCK_V):
        columns = start + tl.arange(0, BLOCK_V)
        logits, _ = _logits(
            hidden, weight, bias, rows, columns, T, V, H, softcap, temperature,
            HAS_BIAS, HAS_CAP, BLOCK_T, BLOCK_V, BLOCK_H, PRECISION,
        )  # fmt: skip
        inside = (columns < V)[None, :]
        id_logit += tl.sum(tl.where(columns[None, :] == id[:, None], logits, 0.0), 1)
        new_maximum = tl.maximum(maximum, tl.max(tl.where(inside, logits, float("-inf")), 1))
        # There is nothing to rescale at the first tile. Without the special case, 0 times an infinite shift gives NaN.
        shift = tl.where(maximum == float("-inf"), 0.0, maximum - new_maximum)
        scale = tl.where(maximum == float("-inf"), 0.0, tl.exp(shift))
        offset = tl.where(inside, logits - new_maximum[:, None], 0.0)
        weights = tl.where(inside, tl.exp(offset), 0.0)
        moments = scale * (moments + sums * shift) + tl.sum(weights * offset, 1)
        sums = scale * sums + tl.sum(weights, 1)
        maximum = new_maximum
    offsets = split * T + rows
    tl.store(largest + offsets, maximum, mask=rows < T)
    tl.store(mass + offsets, sums, mask=rows < T)
    tl.store(moment + offsets, moments, mask=rows < T)
    tl.store(id_logits + offsets, id_logit, mask=rows < T)


@triton.jit
def _gradient_kernel(
    hidden, weight, bias, ids, lse, entropy, by_logprob, by_entropy, gradient,
    T, V, H, first, width, softcap, temperature,
    HAS_BIAS: tl.constexpr, HAS_CAP: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_H: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Computes a tile of the gradient by the product, in the chunk of columns [first, first + width)."""
    rows = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    column_in_chunk = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    columns = first + column_in_chunk
    logits, slope = _logits(
        hidden, weight, bias, rows, columns, T, V, H, softcap, temperature,
        HAS_BIAS, HAS_CAP, BLOCK_T, BLOCK_V, BLOCK_H, PRECISION,
    )  # fmt: skip
    in_range = rows < T
    id = tl.load(ids + rows, mask=in_range, other=0)
    log_probability = logits - tl.load(lse + rows, mask=in_range, other=0.0)[:, None]
    probability = tl.exp(log_probability)
    logprob_gradient = tl.load(by_logprob + rows, mask=in_range, other=0.0)[:, None]
    entropy_part = log_probability + tl.load(entropy + rows, mask=in_range, other=0.0)[:, None]
    entropy_part *= tl.load(by_entropy + rows, mask=in_range, other=0.0)[:, None]
    at_id = tl.where(columns[None, :] == id[:, None], logprob_gradient, 0.0)
    value = at_id - probability * (logprob_gradient + entropy_part)
    tl.store(
        gradient + rows[:, None].to(tl.int64) * width + column_in_chunk[None, :],
        (value * slope).to(gradient.dtype.element_ty),
        mask=in_range[:, None] & (column_in_chunk < width)[None, :],
    )


class TritonLinearLogprob(torch.autograd.Function):
    """hidden [T, H], weight [V, H], ids [T], temperature, bias [V], softcap -> logprob [T], entropy [T] in fp32."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        ids: Tensor,
        temperature: float,
        bias: Tensor | None,
        softcap: float | None,
    ) -> tuple[Tensor, Tensor]:
        hidden, weight = hidden.contiguous(), weight.contiguous()
        (rows, depth), vocabulary = hidden.shape, len(weight)
        tiling = _tiling(hidden, softcap)
        tiles, columns = triton.cdiv(rows, tiling["BLOCK_T"]), tiling["BLOCK_V"]
        splits = max(1, min(triton.cdiv(vocabulary, columns), PROGRAMS // max(1, tiles)))
        span = triton.cdiv(triton.cdiv(vocabulary, splits), columns) * columns
        splits = triton.cdiv(vocabulary, span)
        parts = torch.empty(4, splits, rows, dtype=torch.float32, device=hidden.device)
        if rows:
            _forward_kernel[(tiles, splits)](
                hidden, weight, weight if bias is None else bias, ids, *parts, rows, vocabulary, depth, span,
                softcap or 1.0, temperature, bias is not None, softcap is not None,
                PRECISION=_precision(hidden), **tiling,
            )  # fmt: skip
        largest, mass, moment, id_logits = parts
        maximum = largest.amax(0)
        shift = largest - maximum
        scale = shift.exp()
        moment = (scale * (moment + mass * shift)).sum(0)
        mass = (scale * mass).sum(0)
        lse = maximum + mass.log()
        entropy = mass.log() - moment / mass
        ctx.save_for_backward(hidden, weight, ids, bias, lse, entropy)
        ctx.temperature, ctx.softcap = temperature, softcap
        return id_logits.sum(0) - lse, entropy

    @staticmethod
    def backward(ctx: Any, by_logprob: Tensor, by_entropy: Tensor) -> tuple[Any, ...]:
        hidden, weight, ids, bias, lse, entropy = ctx.saved_tensors
        (rows, depth), vocabulary = hidden.shape, len(weight)
        wants_hidden, wants_weight, _, _, wants_bias, _ = ctx.needs_input_grad
        hidden_gradient = torch.zeros(rows, depth, device=hidden.device) if wants_hidden else None
        weight_gradient = torch.empty_like(weight) if wants_weight else None
        bias_gradient = torch.empty_like(bias) if wants_bias else None
        tiling = _tiling(hidden, ctx.softcap)
        tiles, columns = triton.cdiv(rows, tiling["BLOCK_T"]), tiling["BLOCK_V"]
        width = max(columns, CHUNK_ELEMENTS // max(1, rows) // columns * columns)
        for first in range(0, vocabulary, width):
            last = min(first + width, vocabulary)
            gradient = torch.empty(rows, last - first, dtype=hidden.dtype, device=hidden.device)
            if rows:
                _gradient_kernel[(tiles, triton.cdiv(last - first, columns))](
                    hidden, weight, weight if bias is None else bias, ids, lse, entropy,
                    by_logprob.contiguous(), by_entropy.contiguous(), gradient,
                    rows, vocabulary, depth, first, last - first, ctx.softcap or 1.0, ctx.temperature,
                    bias is not None, ctx.softcap is not None, PRECISION=_precision(hidden), **tiling,
                )  # fmt: skip
            if hidden_gradient is not None:
                hidden_gradient += gradient @ weight[first:last]
            if weight_gradient is not None:
                torch.mm(gradient.T, hidden, out=weight_gradient[first:last])
            if bias_gradient is not None:
                bias_gradient[first:last] = gradient.sum(0, dtype=torch.float32)
        if hidden_gradient is not None:
            hidden_gradient = hidden_gradient.to(hidden.dtype)
        return hidden_gradient, weight_gradient, None, None, bias_gradient, None


def _tiling(hidden: Tensor, softcap: float | None) -> dict[str, int]:
    """Tile sizes and compiler options for inputs of this type."""
    if hidden.dtype == torch.float32:
        return FP32
    return HALF if softcap is None else CAPPED


def _precision(hidden: Tensor) -> str:
    """The precision of products: fp32 inputs are not rounded to TF32."""
    return "ieee" if hidden.dtype == torch.float32 else "tf32"
