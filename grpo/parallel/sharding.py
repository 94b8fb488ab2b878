"""How weights lie on the ranks and in which type they compute: whole or split (FSDP2), fp32 or bf16."""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from grpo.config import Options
from grpo.errors import UserError
from grpo.models.causal_lm import CausalLM
from grpo.models.recompute import decoder_layers
from grpo.parallel.ranks import Ranks


def is_sharded(options: Options, ranks: int, torchrun: bool) -> bool:
    """Whether weights are split: among the processes of `torchrun`, unless `shard` says otherwise."""
    if options.shard == "auto":
        return ranks > 1 and torchrun and not options.lora_rank
    return ranks > 1 and options.shard != "none"


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of the matrix products: bf16 on GPUs and fp32 on CPUs, unless `precision` names one."""
    if precision == "auto":
        precision = "fp32" if device.type == "cpu" else "bf16"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def shard(module: nn.Module, layout: str, dtype: torch.dtype, ranks: Ranks) -> None:
    """Splits the weights of `module` over the ranks, layer by layer, in place."""
    mesh = device_mesh(layout, ranks)
    half = dtype != torch.float32
    precision = MixedPrecisionPolicy(dtype, torch.float32) if half else MixedPrecisionPolicy()
    for layer in decoder_layers(module):
        fully_shard(layer, mesh=mesh, mp_policy=precision)
    fully_shard(module, mesh=mesh, mp_policy=precision)


def device_mesh(layout: str, ranks: Ranks) -> DeviceMesh:
    """All ranks in one dimension, or for `hybrid` (nodes, ranks of a node).

    Raises UserError if the ranks are not a whole number of nodes.
    """
    device = ranks.device.type
    if layout != "hybrid":
        return init_device_mesh(device, (ranks.size,), mesh_dim_names=("shard",))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.size))
    if ranks.size % local:
        raise UserError(f"{ranks.size} ranks are no whole number of nodes of {local}: give shard full")
    return init_device_mesh(device, (ranks.size // local, local), mesh_dim_names=("replicate", "shard"))


def gathered(value: Tensor) -> Tensor:
    """The whole tensor, also of a sharded one; then all ranks have to take part."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def frozen_copy(model: CausalLM, dtype: torch.dtype) -> CausalLM:
    """A frozen copy with weights of this type. Buffers keep theirs: bf16 frequencies would misplace far tokens."""
    twin: Any = copy.deepcopy(model).requires_grad_(False)
    for weight in twin.parameters():
        weight.data = weight.data.to(dtype)
    return twin
