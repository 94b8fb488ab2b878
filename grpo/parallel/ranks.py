"""Several processes as one: each has the whole model, they share the work and sum their gradients.

Every rank knows every episode of a step, since episodes are small, and so takes the same decisions. Only what costs
time is shared: rollouts by group of siblings, forward and backward passes by micro-batch. Ranks wait for each other
only where results are exchanged, and a rank without work contributes zeros.

One process needs no process group. `grpo.parallel.launch` starts several.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.nn import Parameter

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among `size`; alone by default."""

    rank: int = 0
    size: int = 1
    on_cpu: bool = False
    """Whether the processes share a CPU, as those of `launch` do even if there are GPUs."""

    @property
    def first(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The device that this process computes on: a GPU of its own if there are GPUs."""
        if self.on_cpu or not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))

    def share(self, items: Sequence[T]) -> list[T]:
        """This rank's share of the items, dealt in turn."""
        return list(items[self.rank :: self.size])

    def gather(self, value: T) -> list[T]:
        """Every rank's value, by rank, on every rank; the values are pickled."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        dist.all_gather_object(values, value)
        return values

    def sum_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Replaces every gradient by its sum over the ranks; a missing one counts as zero."""
        if self.size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.view(-1) for parameter in trained if parameter.grad is not None])
        dist.all_reduce(flat)
        for parameter, total in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
            parameter.grad = total.view_as(parameter)

    def wait(self) -> None:
        """Returns when every rank has come here."""
        if self.size > 1:
            dist.barrier()
