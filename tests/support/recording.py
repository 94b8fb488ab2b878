"""A substitute for CUDA graphs on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from grpo.engine.hybrid_engine import HybridEngine

WAITING = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal"}
"""Operations that make the CPU wait for the device. A CUDA graph cannot record them."""


class Recording:
    """A substitute for CUDA graphs. A replay runs the recorded step again; a step that reads a tensor's value fails.

    A graph reads its tensors at the recorded addresses, so a replay fails if a cache has moved.
    """

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.recorded += 1
        places, output = cache_places(work), list[Tensor]()

        def replay() -> Tensor:
            self.replayed += 1
            assert cache_places(work) == places, "the caches have moved"
            result = self.run(work)
            output[:] = output or [result]
            return output[0].copy_(result)

        return replay

    def run(self, work: Callable[[], Tensor]) -> Tensor:
        with NoWaiting():
            return work()


def cache_places(work: Callable[[], Tensor]) -> list[int]:
    """Addresses of the blocks, and of the lanes' recurrent states, of the engine behind a step."""
    assert isinstance(work, partial)
    engine = work.func.__self__
    states = engine.lane_states.by_layer() if isinstance(engine, HybridEngine) else ()
    blocks = [*engine.pool.keys.values(), *engine.pool.values.values()]
    return [store.data_ptr() for store in (*blocks, *(part for _, *parts in states for part in parts))]


class NoWaiting(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function.overloadpacket.__name__ not in WAITING, f"{function} waits for the device"
        return function(*args, **(kwargs or {}))
