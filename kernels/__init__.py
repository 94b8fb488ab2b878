"""Fused operations on plain tensors. This package depends on torch alone."""

from kernels.logprob import linear_logprob, reference_linear_logprob

__all__ = ["linear_logprob", "reference_linear_logprob"]
