"""Several processes as one: started by `torchrun`, each with the whole model, they deal out the work and sum gradients.

Every rank knows every episode of a step, since episodes are small, and so takes the same decisions; only what costs
time is dealt out: rollouts by group of siblings, forward and backward passes by micro-batch. No rank waits for another
but where results come together, and a rank without work contributes zeros.

One process needs no process group. Tensors meet through gloo on CPUs and NCCL on GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.nn import Parameter

from grpo.types import Episode, Request

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Ranks:
    """This process among `size`; alone by default."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> Ranks:
        """Meets the other processes that `torchrun` started; without it there is this one."""
        if not dist.is_torchelastic_launched():
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes: a GPU of its own where there are GPUs."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))

    def own(self, items: Sequence[T]) -> list[T]:
        """This rank's share, dealt in turn."""
        return list(items[self.rank :: self.size])

    def together(self, value: T) -> list[T]:
        """Every rank's value, by rank, on every rank; the values are pickled."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        dist.all_gather_object(values, value)
        return values

    def dealt(self, items: Sequence[T], work: Callable[[T], R]) -> list[R]:
        """`work` on every item, each on one rank: the results in the order of `items`, on every rank."""
        results = self.together([work(item) for item in self.own(items)])
        return [results[place % self.size][place // self.size] for place in range(len(items))]

    def episodes(self, requests: Sequence[Request], play: Callable[[list[Request]], list[Episode]]) -> list[Episode]:
        """The episodes of `requests`, in their order, on every rank; siblings are played by one."""
        places = {request.group: place for place, request in enumerate(requests)}
        owner = {group: place % self.size for place, group in enumerate(places)}
        played = [iter(own) for own in self.together(play([r for r in requests if owner[r.group] == self.rank]))]
        return [next(played[owner[request.group]]) for request in requests]

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
