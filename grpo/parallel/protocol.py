"""The policy that is trained, as the trainer sees it: any object with these members can be trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from torch import Tensor

from grpo.packing import Packed
from grpo.types import Sampling

T = TypeVar("T")
R = TypeVar("R")
Scorer = Callable[[Packed, Sampling], tuple[Tensor, Tensor]]
"""Log-prob and entropy [M] of the scored tokens."""


class Policy(Protocol):
    """`grpo.parallel.policy.TrainingPolicy` is one; its docstrings say what each member does."""

    @property
    def shares_prefixes(self) -> bool: ...
    @property
    def reference(self) -> Scorer | None: ...
    def __call__(self, packed: Packed, sampling: Sampling) -> tuple[Tensor, Tensor]: ...
    def share(self, items: Sequence[T]) -> list[tuple[T, bool]]: ...
    def map(self, items: Sequence[T], work: Callable[[T], R]) -> list[R]: ...
    def backward(self, loss: Tensor) -> None: ...
    def clip(self, limit: float) -> Tensor: ...
    def sync_rollout_model(self) -> None: ...
