"""Decode steps as CUDA graphs.

On a GPU, starting a step's operations one by one takes longer than running them. A step of fixed shapes
(`grpo.engine.decode_step`) is recorded once and replayed as a whole with new indices, until the number of sequences or
a length leaves its bucket, or a cache is reallocated. In half precision the kernels take all they read from the
indices, so neither a new sequence nor a new prompt changes the shape.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import torch
from torch import Tensor

from grpo.engine.decode_step import DecodeBatch, Lanes
from grpo.engine.kv_cache import Prefix

LANES_STEP = 8
"""Lanes are counted in multiples of this."""
NO_SLOT = -1


class Recorder:
    """Runs steps of fixed shapes. A step whose shape comes a second time is recorded, and replayed from then on."""

    def __init__(self) -> None:
        self.refused = False
        self.forget()

    def forget(self) -> None:
        """Drops the lanes and the recorded step, which reads weights and caches at the addresses they had then."""
        self.lanes: Lanes = []
        self.shape: tuple[object, ...] | None = None
        self.replay: Callable[[], Tensor] | None = None

    def lanes_for(self, slots: Sequence[int], open_slots: Mapping[int, Prefix]) -> Lanes:
        """The lanes of the previous step if they serve these slots and at least half of them are used.

        Otherwise new lanes for all open slots, those of one prefix side by side, and some without a slot.
        """
        previous = dict(self.lanes)
        if 2 * len(slots) < len(self.lanes) or any(previous.get(slot) is not open_slots[slot] for slot in slots):
            self.lanes = sorted(open_slots.items(), key=lambda lane: lane[1].order)
            self.lanes += [(NO_SLOT, self.lanes[-1][1])] * (-len(self.lanes) % LANES_STEP)
        return self.lanes

    def run(self, batch: DecodeBatch, device: torch.device, step: Callable[[Tensor], Tensor]) -> Tensor:
        """`step` of the batch's index. Between batches of equal shape the step may depend on nothing else."""
        if self.refused:
            return step(batch.index.to(device))
        if batch.shape != self.shape:
            # The first time, operations may still be tuned and caches allocated, which cannot be recorded.
            self.shape, self.replay, self.index = batch.shape, None, batch.index.to(device)
            return step(self.index)
        self.index.copy_(batch.index)
        if self.replay is None:
            try:
                self.replay = record(partial(step, self.index))
            except RuntimeError as error:
                self.refused = True
                warnings.warn(f"decoding without a CUDA graph: {str(error).splitlines()[0]}", stacklevel=2)
                return step(self.index)
        return self.replay().clone()


def record(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """`step` as a CUDA graph: a function that runs it again and returns its output, at the same address every time."""
    # torch.cuda.graph would return all cached memory to the device each time, and would stay on its stream when a
    # recording fails. Other threads, such as NCCL's, may continue meanwhile.
    graph, aside = torch.cuda.CUDAGraph(), _recording_stream(torch.cuda.current_device())
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            output = step()
        finally:
            graph.capture_end()
    torch.cuda.current_stream().wait_stream(aside)

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


@cache
def _recording_stream(device: int) -> torch.cuda.Stream:
    """One stream for all recordings, since libraries keep memory for each stream."""
    return torch.cuda.Stream(device)
