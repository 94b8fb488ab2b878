"""Times log-probs of given tokens from hidden states, forward and backward, against methods that store the logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torch.utils.checkpoint import checkpoint

from grpo.bench.measure import OURS, Sides, Work
from grpo.bench.models import device_settings
from kernels import keep_freed_memory, linear_logprob

CASE = {"tokens": 8 * 512, "vocabulary": 32_768, "hidden": 256}
KEPT_MB = (0, 420)
"""Megabytes of logits that our function keeps for the backward pass; all logits are 537 MB."""
QWEN3_1_7B = {"tokens": 8192, "vocabulary": 151_936, "hidden": 2048}
CHUNK_ROWS = 256
"""Chunk size of the peer with checkpointed chunks."""


def works() -> list[Work]:
    """Eight sequences of 512 tokens with a vocabulary of 32,768. On a GPU also the head of Qwen3-1.7B."""
    device = device_settings()
    if device["device"] == "cuda":
        return [work(device | case | {"kept_mb": 0}) for case in (CASE, QWEN3_1_7B)]
    return [work(device | CASE | {"kept_mb": megabytes}) for megabytes in KEPT_MB]


def work(settings: dict[str, Any]) -> Work:
    """Forward and backward of the mean log-prob."""
    tokens, vocabulary, hidden = (settings[name] for name in ("tokens", "vocabulary", "hidden"))
    # Three products: the logits, and two in the backward pass. Logits that were not kept are computed again.
    again = max(0.0, 1 - settings["kept_mb"] * 1e6 / (4 * tokens * vocabulary))
    return Work("logprob", build, settings, tokens, (3 + again) * 2 * tokens * vocabulary * hidden)


def build(settings: dict[str, Any]) -> Sides:
    """Our function, log-softmax and gather, the same in checkpointed chunks, and any fused losses installed."""
    generator = torch.Generator().manual_seed(0)
    place = {"device": settings["device"], "dtype": getattr(torch, settings["dtype"])}
    shapes = (settings["tokens"], settings["hidden"]), (settings["vocabulary"], settings["hidden"])
    hidden, weight = ((torch.randn(shape, generator=generator) / 16).to(**place).requires_grad_() for shape in shapes)
    ids = torch.randint(settings["vocabulary"], (settings["tokens"],), generator=generator).to(settings["device"])

    def side(logprobs: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[], Callable[[], object]]:
        return lambda: lambda: torch.autograd.grad(logprobs(hidden, weight, ids).mean(), (hidden, weight))

    def ours() -> Callable[[], object]:
        keep_freed_memory()
        keep = settings["kept_mb"] * 10**6
        return side(lambda hidden, weight, ids: linear_logprob(hidden, weight, ids, keep=keep)[0])()

    sides: Sides = {
        OURS: ours,
        "log-softmax and gather": side(naive),
        "checkpointed chunks": side(chunked),
    }
    try:
        from cut_cross_entropy import linear_cross_entropy
    except ImportError:
        pass
    else:
        kind = "cce" if settings["device"] == "cuda" else "torch_compile"
        sides["cut-cross-entropy"] = side(
            lambda hidden, weight, ids: -linear_cross_entropy(hidden, weight, ids, impl=kind, reduction="none")
        )
    if settings["device"] == "cuda":  # Liger's kernels are Triton only
        try:
            from liger_kernel.transformers.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyLoss
        except ImportError:
            pass
        else:
            liger = LigerFusedLinearCrossEntropyLoss()
            sides["Liger"] = side(lambda hidden, weight, ids: -liger(weight, hidden, ids))
    return sides


def naive(hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
    """Log-probs [T], with the logits and their log-softmax in memory."""
    return -cross_entropy(linear(hidden, weight).float(), ids, reduction="none")


def chunked(hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
    """Log-probs [T] in chunks of rows; the backward pass computes each chunk's logits again."""
    parts = zip(hidden.split(CHUNK_ROWS), ids.split(CHUNK_ROWS), strict=True)
    return torch.cat([checkpoint(naive, rows, weight, targets, use_reentrant=False) for rows, targets in parts])
