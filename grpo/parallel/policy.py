"""The policy as it is trained: its precision, which activations are kept, and how its weights lie on the ranks.

`learner(packed, sampling)` is `grpo.logprobs.logprobs` of the model, on whatever layout:

- one process: the model as it is;
- replicated: every rank has all weights and gradients are summed (`Ranks.sum_gradients`);
- sharded (`fully_shard`, FSDP2): every rank keeps its part of weights, gradients and optimizer states. Layers are
  gathered when they compute. In hybrid sharding the parts lie within a node and are replicated across nodes.

Rollouts need all weights in the precision of the computation. Where the trained ones are others (sharded, or fp32
masters of a bf16 computation) the learner keeps a second model for them, `acting`, and `publish` brings it up to date.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from grpo.cli.main import UserError
from grpo.config import Options
from grpo.logprobs import Packed, logprobs
from grpo.models.lora import add_adapters, has_adapters, merged_state_dict, without_adapters
from grpo.parallel.ranks import Ranks
from grpo.types import Sampling

T = TypeVar("T")
R = TypeVar("R")
Policy = Callable[[Packed, Sampling], tuple[Tensor, Tensor]]
"""Log-prob and entropy [M] of the wanted tokens."""


def is_sharded(options: Options, ranks: int, torchrun: bool) -> bool:
    """Whether weights are split: among the processes of `torchrun`, unless `shard` says otherwise."""
    if options.shard == "auto":
        return ranks > 1 and torchrun and not options.lora_rank
    return ranks > 1 and options.shard != "none"


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of the matrix products: bf16 on GPUs and fp32 on CPUs, unless `precision` says which."""
    if precision == "auto":
        precision = "fp32" if device.type == "cpu" else "bf16"
    return torch.bfloat16 if precision == "bf16" else torch.float32


class Learner(nn.Module):
    """A model with everything that training it takes beside the loss and the optimizer."""

    def __init__(self, model: PreTrainedModel, options: Options, ranks: Ranks) -> None:
        super().__init__()
        # Dropout would make the policy that is trained another one than the policy that acted.
        self.model = model.eval()
        self.ranks = ranks
        self.dtype = compute_dtype(options.precision, model.device)
        self.keep = options.kept_logits_mb * 10**6
        self.sharded = is_sharded(options, ranks.size, dist.is_torchelastic_launched())
        # Policies beside this one stand in tuples, which hide them from nn.Module: they are not trained with it.
        self._reference = (self._reference_policy(options) if options.kl_coef else None,)
        if options.lora_rank:
            add_adapters(model, options.lora_rank, options.lora_alpha, options.seed)
        trained = any(weight.requires_grad for weight in model.parameters())
        separate = trained and (self.sharded or (self.dtype != torch.float32 and model.dtype == torch.float32))
        self._acting = (_in_type(model, self.dtype) if separate else model,)
        if options.gradient_checkpointing:
            for layer in decoder_layers(model):
                checkpoint_layer(layer)
        if self.sharded:
            self._shard(mesh(options.shard, ranks))

    @property
    def acting(self) -> PreTrainedModel:
        """The model for rollouts, whole on every rank."""
        return self._acting[0]

    @property
    def reference(self) -> Policy | None:
        """The policy as it was at the start, which is only kept for a KL."""
        return self._reference[0]

    def forward(self, packed: Packed, sampling: Sampling) -> tuple[Tensor, Tensor]:
        """Log-prob and entropy [M] of the wanted tokens; see `grpo.logprobs.logprobs`."""
        with torch.autocast(packed.ids.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return logprobs(self.model, packed, sampling, self.keep)

    def share(self, items: Sequence[T]) -> list[tuple[T, bool]]:
        """This rank's items and whether they count: a rank with fewer goes through one again for nothing.

        Sharded layers are gathered by all ranks together, so that all have to make the same number of passes.
        """
        own = [(item, True) for item in self.ranks.own(items)]
        rounds = -(-len(items) // self.ranks.size) if self.sharded else len(own)
        return own + [(item, False) for item in items[:1]] * (rounds - len(own))

    def dealt(self, items: Sequence[T], work: Callable[[T], R]) -> list[R]:
        """`work` on every item, each on one rank: the results in the order of `items`, on every rank."""
        own = [(work(item), counts) for item, counts in self.share(items)]
        results = self.ranks.together([result for result, counts in own if counts])
        return [results[place % self.ranks.size][place // self.ranks.size] for place in range(len(items))]

    def backward(self, loss: Tensor) -> None:
        """Adds to this rank's part of the gradient, which is the sum over ranks: FSDP's mean is undone here."""
        (loss * self.ranks.size if self.sharded else loss).backward()

    def clip(self, limit: float) -> Tensor:
        """The norm of the gradient over all ranks, which is then scaled down to `limit`; 0 is no limit."""
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        if not self.sharded:
            self.ranks.sum_gradients(weights)
        norm = torch.nn.utils.clip_grad_norm_(weights, limit or float("inf"))
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    @torch.no_grad()
    def publish(self) -> None:
        """Copies the trained weights into the acting model, where that is another one."""
        if self.acting is self.model:
            return
        for mine, acting in zip(self.model.parameters(), self.acting.parameters(), strict=True):
            if mine.requires_grad:
                acting.copy_(_whole(mine))

    @torch.no_grad()
    def weights(self) -> dict[str, Tensor]:
        """The state dict, whole and with adapters merged; tied weights stay one. All ranks have to take part, and the
        first one gets it: the others would hold a copy each in main memory."""
        if has_adapters(self.model):
            return merged_state_dict(self.model)
        whole: dict[int, Tensor] = {}
        state = self.model.state_dict(keep_vars=True)
        for value in state.values():
            if id(value) not in whole:
                gathered = _whole(value).detach()
                whole[id(value)] = gathered.cpu() if self.ranks.first else torch.empty(0)
        return {name: whole[id(value)] for name, value in state.items()} if self.ranks.first else {}

    def training_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Weights and optimizer states by name, each rank's part as it lies there, not copied. All ranks take part."""
        unused = not optimizer.state
        model, states = get_state_dict(self.model, optimizer)
        if unused:
            # PyTorch made the states by a step with gradients of zero, which AdamW must not count.
            for state in optimizer.state.values():
                state["step"].zero_()
        return {"model": model, "optimizer": states}

    def load_training_state(self, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Puts what `training_state` gave on this layout in place."""
        set_state_dict(self.model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
        self.publish()

    def _reference_policy(self, options: Options) -> Policy:
        """The policy as it is now: below adapters where they are what is trained, otherwise a frozen copy."""
        if options.lora_rank:
            return self._below_adapters
        frozen = copy.deepcopy(self.model).requires_grad_(False)
        return Learner(frozen, replace(options, kl="none", kl_coef=0.0), self.ranks)

    def _below_adapters(self, packed: Packed, sampling: Sampling) -> tuple[Tensor, Tensor]:
        with without_adapters(self.model):
            return self(packed, sampling)

    def _shard(self, over: DeviceMesh) -> None:
        half = self.dtype != torch.float32
        precision = MixedPrecisionPolicy(self.dtype, torch.float32) if half else MixedPrecisionPolicy()
        for layer in decoder_layers(self.model):
            fully_shard(layer, mesh=over, mp_policy=precision)
        fully_shard(self, mesh=over, mp_policy=precision)


def _in_type(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """A frozen copy with weights of this type. Buffers stay: frequencies in bf16 would turn far tokens wrongly."""
    made = copy.deepcopy(model).requires_grad_(False)
    for weight in made.parameters():
        weight.data = weight.data.to(dtype)
    return made


def decoder_layers(model: PreTrainedModel) -> list[GradientCheckpointingLayer]:
    """The layers of a model, which are gathered and computed again one by one."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def checkpoint_layer(layer: nn.Module) -> None:
    """Keeps only the layer's inputs; what is inside is computed again in the backward pass (arXiv 1604.06174).

    The library's own switch works in training mode only, where dropout would be on.
    """
    forward = layer.forward

    def recomputed(*given: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*given, **named)
        return checkpoint(forward, *given, use_reentrant=False, preserve_rng_state=False, **named)

    layer.forward = recomputed


def mesh(kind: str, ranks: Ranks) -> DeviceMesh:
    """All ranks in one dimension, or for `hybrid` (nodes, ranks of a node).

    Raises UserError where the ranks of the nodes differ in number.
    """
    device = ranks.device.type
    if kind != "hybrid":
        return init_device_mesh(device, (ranks.size,), mesh_dim_names=("shard",))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.size))
    if ranks.size % local:
        raise UserError(f"{ranks.size} ranks are no whole number of nodes of {local}: give shard full")
    return init_device_mesh(device, (ranks.size // local, local), mesh_dim_names=("replicate", "shard"))


def _whole(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value
