"""The policy that is trained: its precision, its reference, and how its weights lie on the ranks.

`policy(packed, sampling)` is `grpo.logprobs.token_logprobs` of the model, in each layout:

- one process: the model as it is;
- replicated: every rank has all weights, and gradients are summed (`Ranks.sum_gradients`);
- sharded (`fully_shard`, FSDP2): every rank has its part of weights, gradients and optimizer states. Layers are
  gathered when they compute. In hybrid sharding the parts lie within a node and are replicated across nodes.

Rollouts need all weights in the type of the computation. If the trained ones differ (sharded, or fp32 masters of a bf16
computation), the policy has a second model for them, the rollout model, which `sync_rollout_model` brings up to date.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from grpo.config import Options
from grpo.logprobs import token_logprobs
from grpo.models.causal_lm import CausalLM
from grpo.models.lora import add_adapters, has_adapters, merged_state_dict, without_adapters
from grpo.models.recompute import recompute_layers
from grpo.models.recurrence import shares_prefixes
from grpo.packing import Packed
from grpo.parallel.protocol import Scorer
from grpo.parallel.ranks import Ranks
from grpo.parallel.sharding import compute_dtype, frozen_copy, gathered, is_sharded, shard
from grpo.types import Sampling

T = TypeVar("T")
R = TypeVar("R")


class TrainingPolicy(nn.Module):
    """A prepared model with all that training needs beside the loss and the optimizer."""

    def __init__(self, model: CausalLM, options: Options, ranks: Ranks | None = None) -> None:
        super().__init__()
        # In training mode dropout would make the trained policy differ from the one that sampled.
        self.model = model.eval()
        self.ranks = ranks or Ranks()
        self.dtype = compute_dtype(options.precision, model.device)
        self.keep = options.kept_logits_mb * 10**6
        self.sharded = is_sharded(options, self.ranks.size, dist.is_torchelastic_launched())
        self.shares_prefixes = shares_prefixes(model)
        # Other policies are in tuples, which hide them from nn.Module: they are not trained with this one.
        self._reference = (self._reference_policy(options) if options.kl_coef else None,)
        if options.lora_rank:
            add_adapters(model, options.lora_rank, options.lora_alpha, options.seed)
        trained = any(weight.requires_grad for weight in model.parameters())
        separate = trained and (self.sharded or (self.dtype != torch.float32 and model.dtype == torch.float32))
        self._rollout_model = (frozen_copy(model, self.dtype) if separate else model,)
        if options.gradient_checkpointing:
            recompute_layers(model)
        if self.sharded:
            shard(self, options.shard, self.dtype, self.ranks)

    @property
    def rollout_model(self) -> CausalLM:
        """The model for rollouts, whole on every rank."""
        return self._rollout_model[0]

    @property
    def reference(self) -> Scorer | None:
        """The policy as it was at the start, which is kept only for a KL."""
        return self._reference[0]

    def forward(self, packed: Packed, sampling: Sampling) -> tuple[Tensor, Tensor]:
        """Log-prob and entropy [M] of the scored tokens; see `grpo.logprobs.token_logprobs`."""
        with torch.autocast(packed.ids.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return token_logprobs(self.model, packed, sampling, self.keep)

    def share(self, items: Sequence[T]) -> list[tuple[T, bool]]:
        """This rank's items and whether they count: a rank with fewer repeats one that does not count.

        All ranks gather sharded layers together, so all have to make the same number of passes.
        """
        share = [(item, True) for item in self.ranks.share(items)]
        rounds = -(-len(items) // self.ranks.size) if self.sharded else len(share)
        return share + [(item, False) for item in items[:1]] * (rounds - len(share))

    def map(self, items: Sequence[T], work: Callable[[T], R]) -> list[R]:
        """`work` on every item, each on one rank: the results in the order of `items`, on every rank."""
        share = [(work(item), counts) for item, counts in self.share(items)]
        results = self.ranks.gather([result for result, counts in share if counts])
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
    def sync_rollout_model(self) -> None:
        """Copies the trained weights into the rollout model, if that is another model."""
        if self.rollout_model is self.model:
            return
        for trained, copied in zip(self.model.parameters(), self.rollout_model.parameters(), strict=True):
            if trained.requires_grad:
                copied.copy_(gathered(trained))

    @torch.no_grad()
    def weights(self) -> dict[str, Tensor]:
        """The whole state dict, with adapters merged; tied weights stay one tensor. All ranks have to take part, and
        the first one gets it: the others would hold a copy each in main memory."""
        if has_adapters(self.model):
            return merged_state_dict(self.model)
        whole: dict[int, Tensor] = {}
        state = self.model.state_dict(keep_vars=True)
        for value in state.values():
            if id(value) not in whole:
                tensor = gathered(value).detach()
                whole[id(value)] = tensor.cpu() if self.ranks.first else torch.empty(0)
        return {name: whole[id(value)] for name, value in state.items()} if self.ranks.first else {}

    def training_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Weights and optimizer states by name, each rank's part in place, not copied. All ranks take part."""
        unused = not optimizer.state
        model, states = get_state_dict(self.model, optimizer)
        if unused:
            # PyTorch made the states by a step with gradients of zero, which AdamW must not count.
            for state in optimizer.state.values():
                state["step"].zero_()
        return {"model": model, "optimizer": states}

    def load_training_state(self, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Restores what `training_state` returned on this layout."""
        set_state_dict(self.model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
        self.sync_rollout_model()

    def _reference_policy(self, options: Options) -> Scorer:
        """The policy as it is now: without adapters if they are what is trained, otherwise a frozen copy."""
        if options.lora_rank:
            return self._without_adapters
        frozen = copy.deepcopy(self.model).requires_grad_(False)
        return TrainingPolicy(frozen, replace(options, kl="none", kl_coef=0.0), self.ranks)

    def _without_adapters(self, packed: Packed, sampling: Sampling) -> tuple[Tensor, Tensor]:
        with without_adapters(self.model):
            result: tuple[Tensor, Tensor] = self(packed, sampling)
        return result
