"""Attention computed in parts: each part attends queries to some of their keys.

The result of a part is an output and the log-sum-exp of its scores. Merging parts is exact (`merge_part`). The backward
pass of a part needs only the merged output and the merged log-sum-exp; `grpo.models.attention` has the equations.

On a CPU, and on CUDA in half precision without a mask, a part uses PyTorch's flash attention (arXiv 2205.14135), which
never materialises the scores. All other cases materialise them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Triple = tuple[Tensor, Tensor, Tensor]
Part = tuple[slice, slice, bool]
"""Queries, the keys that they attend to, and whether attention is causal (the keys are then the same tokens)."""
Mask = Callable[[slice, slice], Tensor | None]
"""Queries and keys of a part -> the mask to add to its scores, or None."""
_FLASH_TYPES = (torch.float16, torch.bfloat16)


class PartsAttention(torch.autograd.Function):
    """Attention of a row of tokens to parts of itself: query, key, value [1, heads, T, D] -> [1, T, heads, D].

    `key` and `value` may have fewer heads than `query`. Each query's first part must be the causal one, because it
    initialises the output; later parts are merged into it. `mask(queries, keys)` is added to the scores of a part.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, scaling: float, parts: Sequence[Part], mask: Mask
    ) -> Tensor:
        query, key, value = by_group(query, key, value)
        groups, kv_heads, length, size = query.shape
        merged = query.new_empty(length, kv_heads, groups, size)
        output = merged.permute(2, 1, 0, 3)
        lse = query.new_empty(groups, kv_heads, length, dtype=torch.promote_types(query.dtype, torch.float32))
        for queries, keys, causal in parts:
            inputs = query[:, :, queries], key[:, :, keys], value[:, :, keys]
            part = attend_part(*inputs, scaling, causal, mask(queries, keys))
            if causal:
                output[:, :, queries], lse[:, :, queries] = part
            else:
                merge_part(output[:, :, queries], lse[:, :, queries], *part)
        ctx.save_for_backward(query, key, value, output, lse)
        ctx.scaling, ctx.parts, ctx.mask = scaling, parts, mask
        return merged.view(1, length, kv_heads * groups, size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, lse = ctx.saved_tensors
        groups, kv_heads, length, size = query.shape
        gradient = gradient.reshape(length, kv_heads, groups, size).permute(2, 1, 0, 3)
        totals = [torch.zeros_like(query) for _ in range(3)]
        for queries, keys, causal in ctx.parts:
            inputs = query[:, :, queries], key[:, :, keys], value[:, :, keys]
            results = output[:, :, queries], lse[:, :, queries]
            mask = ctx.mask(queries, keys)
            parts = attend_part_backward(gradient[:, :, queries], inputs, results, ctx.scaling, causal, mask)
            for total, tokens, part in zip(totals, (queries, keys, keys), parts, strict=True):
                total[:, :, tokens] += part
        by_head = totals[0].transpose(0, 1).reshape(1, kv_heads * groups, length, size)
        return by_head, totals[1].sum(0, keepdim=True), totals[2].sum(0, keepdim=True), None, None, None


def by_group(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turns grouped-query heads into a batch dimension: three views [heads / kv_heads, kv_heads, T, D], no copies."""
    kv_heads = key.shape[1]
    groups = query.shape[1] // kv_heads
    by_kv_head = query.view(kv_heads, groups, *query.shape[2:])
    return by_kv_head.transpose(0, 1), key.expand(groups, -1, -1, -1), value.expand(groups, -1, -1, -1)


def merge_part(output: Tensor, lse: Tensor, part: Tensor, part_lse: Tensor) -> None:
    """Merges the result of one more part into output [B, heads, T, D] and lse [B, heads, T], in place."""
    output.lerp_(part, torch.sigmoid(part_lse - lse).unsqueeze(-1).to(part.dtype))
    lse.copy_(torch.logaddexp(lse, part_lse))


def attend_part(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, causal: bool = False, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """query [B, heads, T, D], key and value [B, heads, S, D] -> output like query, log-sum-exp [B, heads, T] in fp32.

    `mask`, broadcastable to [B, heads, T, S], is added to the scaled scores. `causal` is then ignored: the mask must
    hide the future itself.
    """
    if query.device.type == "cpu":
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal and mask is None, attn_mask=mask, scale=scaling
        )
    if _has_flash(query, mask):
        output, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, causal, scale=scaling
        )
        return output, lse
    return plain_part(query, key, value, scaling, causal, mask)


def plain_part(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, causal: bool = False, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`attend_part` on any device; materialises the scores."""
    scores = _scores(query, key, scaling, causal, mask)
    lse = scores.logsumexp(-1)
    return (scores - lse.unsqueeze(-1)).exp().to(value.dtype) @ value, lse


def attend_part_backward(
    gradient: Tensor, inputs: Triple, merged: tuple[Tensor, Tensor], scaling: float, causal: bool, mask: Tensor | None
) -> Triple:
    """Gradients of one part by inputs = (query, key, value), where merged = (output, log-sum-exp) over all parts."""
    if gradient.device.type == "cpu":
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            gradient, *inputs, *merged, 0.0, causal and mask is None, attn_mask=mask, scale=scaling
        )
    if _has_flash(inputs[0], mask):
        output, lse = merged
        # Without packing there are no sequence lengths, and without dropout no random state.
        lengths = None, None, inputs[0].shape[2], inputs[1].shape[2]
        random = torch.empty(2, dtype=torch.uint64, device=lse.device), torch.empty(0, device=lse.device)
        return torch.ops.aten._scaled_dot_product_flash_attention_backward(
            gradient, *inputs, output, lse.contiguous(), *lengths, 0.0, causal, *random, scale=scaling
        )
    return plain_part_backward(gradient, inputs, merged, scaling, causal, mask)


def plain_part_backward(
    gradient: Tensor, inputs: Triple, merged: tuple[Tensor, Tensor], scaling: float, causal: bool, mask: Tensor | None
) -> Triple:
    """`attend_part_backward` on any device; materialises the scores."""
    query, key, value = inputs
    output, lse = merged
    probability = (_scores(query, key, scaling, causal, mask) - lse.unsqueeze(-1)).exp()
    row_sum = (gradient.to(lse.dtype) * output).sum(-1, keepdim=True)
    by_score = (probability * (gradient @ value.transpose(-1, -2) - row_sum) * scaling).to(query.dtype)
    by_value = probability.to(query.dtype).transpose(-1, -2) @ gradient
    return by_score @ key, by_score.transpose(-1, -2) @ query, by_value


def _has_flash(query: Tensor, mask: Tensor | None) -> bool:
    """Whether PyTorch's flash attention for CUDA accepts these queries and this mask."""
    size = query.shape[-1]
    return (
        query.device.type == "cuda"
        and query.dtype in _FLASH_TYPES
        and mask is None
        and size % 8 == 0
        and size <= 256
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def _scores(query: Tensor, key: Tensor, scaling: float, causal: bool, mask: Tensor | None) -> Tensor:
    """Scaled scores [B, heads, T, S] in at least fp32, plus the mask; if causal, the future is minus infinity."""
    scores = (query @ key.transpose(-1, -2)).to(torch.promote_types(query.dtype, torch.float32)) * scaling
    if mask is not None:
        return scores + mask
    if causal:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        return scores.masked_fill(future, float("-inf"))
    return scores
