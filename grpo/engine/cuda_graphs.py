"""Decode steps as CUDA graphs.

On a GPU starting a step's operations one by one takes longer than the operations. A step of fixed shapes
(`grpo.engine.decode_step.plan_step`) is recorded once and started as a whole, with new indices, as long as its shape stays: while
the rows are about as many and as long as they were and the caches stay where they lie. In half precision, where the
kernels go by the indices alone, a new row or prompt is no new shape.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import torch
from torch import Tensor

from grpo.engine.decode_step import Seats, Step
from grpo.engine.kv_cache import Prefix

ROUND_SEATS = 8
"""Seats are counted in multiples of this."""
NOBODY = -1


class Recorder:
    """Runs steps of fixed shapes; one whose shape comes a second time is recorded, and replayed from then on."""

    def __init__(self) -> None:
        self.refused = False
        self.forget()

    def forget(self) -> None:
        """Drops the seats and the recorded step, which reads the weights and caches of its time where they lay."""
        self.seats: Seats = []
        self.shape: tuple[object, ...] | None = None
        self.replay: Callable[[], Tensor] | None = None

    def seated(self, rows: Sequence[int], open_rows: Mapping[int, Prefix]) -> Seats:
        """The seats of the step before if they serve these rows, without too many empty ones; else seats for all open
        rows, those of one prefix side by side, and some for nobody."""
        seated = dict(self.seats)
        if 2 * len(rows) < len(self.seats) or any(seated.get(row) is not open_rows[row] for row in rows):
            self.seats = sorted(open_rows.items(), key=lambda seat: seat[1].order)
            self.seats += [(NOBODY, self.seats[-1][1])] * (-len(self.seats) % ROUND_SEATS)
        return self.seats

    def run(self, step: Step, device: torch.device, work: Callable[[Tensor], Tensor]) -> Tensor:
        """`work` on the step's index, which depends on nothing else that changes between steps of equal shape."""
        if self.refused:
            return work(step.index.to(device))
        if step.shape != self.shape:
            # The first time, operations may still be tuned and stores be made, which cannot be recorded.
            self.shape, self.replay, self.index = step.shape, None, step.index.to(device)
            return work(self.index)
        self.index.copy_(step.index)
        if self.replay is None:
            try:
                self.replay = record(partial(work, self.index))
            except RuntimeError as error:
                self.refused = True
                warnings.warn(f"decoding without a CUDA graph: {str(error).splitlines()[0]}", stacklevel=2)
                return work(self.index)
        return self.replay().clone()


def record(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """`work` as a CUDA graph: a function that runs it again and returns its output, at the same place every time."""
    # Not by torch.cuda.graph, which returns all cached memory to the device each time, and stays on its stream when a
    # recording fails. Other threads, such as NCCL's, may go on meanwhile.
    graph, aside = torch.cuda.CUDAGraph(), _stream_aside(torch.cuda.current_device())
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            output = work()
        finally:
            graph.capture_end()
    torch.cuda.current_stream().wait_stream(aside)

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


@cache
def _stream_aside(device: int) -> torch.cuda.Stream:
    """One for all recordings, since libraries keep memory for each stream."""
    return torch.cuda.Stream(device)
