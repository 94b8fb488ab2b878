"""Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174): less memory for a second forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from grpo.models.causal_lm import CausalLM
from grpo.models.patching import Patched, patch


class RecomputedLayer(Patched):
    """Patch of a decoder layer: keeps only its inputs and computes the rest again in the backward pass.

    The library's own switch works in training mode only, in which dropout would be on.
    """

    def forward(self, *arguments: Any, **options: Any) -> Any:
        forward = super().forward
        if not torch.is_grad_enabled():
            return forward(*arguments, **options)
        return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, **options)


def recompute_layers(model: CausalLM) -> None:
    """Patches every decoder layer with `RecomputedLayer`."""
    for layer in decoder_layers(model):
        patch(layer, RecomputedLayer)


def decoder_layers(model: CausalLM | nn.Module) -> list[GradientCheckpointingLayer]:
    """The layers of a model: the units of sharding and of recomputation."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
