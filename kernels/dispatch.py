"""Chooses the Triton implementation of an operation where it can run.

No other module of this package imports the Triton kernels. The imports happen inside functions, because Triton is not
installed on every machine. The Triton modules must not import the modules that call this one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor


def on_gpu(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `attend_blocks` uses the Triton kernels for tensors of this type on this device."""
    half = dtype in (torch.float16, torch.bfloat16)
    return device.type == "cuda" and half and _has_triton()


def triton_attend_blocks(query: Tensor) -> Callable[..., Tensor] | None:
    """The Triton implementation of `attend_blocks` for these queries, or None if it cannot run."""
    if not on_gpu(query.device, query.dtype):
        return None
    from kernels.triton_blocks import attend_blocks_triton

    return attend_blocks_triton


def triton_linear_logprob(hidden: Tensor) -> type[torch.autograd.Function] | None:
    """The Triton implementation of `linear_logprob` for these hidden states, or None if it cannot run.

    The Triton kernels do not support float64.
    """
    if not (hidden.is_cuda and hidden.dtype != torch.float64 and _has_triton()):
        return None
    from kernels.triton_logprob import TritonLinearLogprob

    return TritonLinearLogprob


def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None
