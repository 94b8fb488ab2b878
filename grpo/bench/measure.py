"""Measures time and memory of several implementations ("sides") of the same work, each in a separate process.

Times are medians of interleaved rounds, without the first one. A busy machine slows all sides alike, so the ratios are
more reliable than the times. Memory is the peak that a side's first run adds to its process. The processes keep the
settings of one side from affecting another: ours changes how much memory malloc and oneDNN retain.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch

Sides = dict[str, Callable[[], Callable[[], object]]]
"""Name -> function that builds the side and returns its run. "ours" comes first, then the peers that are installed."""
MATRIX = 2048
OURS = "ours"


@dataclass(frozen=True)
class Work:
    """Work to be timed. `build(settings)` returns its sides; it is a module-level function, so that a process can
    import it."""

    name: str
    build: Callable[[dict[str, Any]], Sides]
    settings: dict[str, Any]
    tokens: int
    """Tokens that each side generates, scores or trains on."""
    flops: float
    """Floating-point operations of our side."""
    bytes: float = 0.0
    """Bytes that our side must read from memory; 0 if arithmetic is the bottleneck."""
    notes: Mapping[str, float] | None = None
    """Further figures to print with the result, such as the ratio of the arithmetic."""


def measure(work: Work, repeats: int) -> list[dict[str, Any]]:
    """One JSON-serialisable row per peer: seconds, their ratio, peak extra memory, and our rates."""
    sides = {name: Side(work, name) for name in work.build(work.settings)}
    times = interleaved({name: side.run for name, side in sides.items()}, repeats)
    memory = {name: side.extra_mb for name, side in sides.items()}
    for side in sides.values():
        side.end()
    rate = matrix_rate(work.settings["device"], getattr(torch, work.settings["dtype"]))
    copy_share = work.bytes / times[OURS] / copy_rate(work.settings["device"]) if work.bytes else None
    ours = times.pop(OURS)
    return [
        {
            "work": work.name,
            "peer": peer,
            "ours_s": ours,
            "peer_s": theirs,
            "ratio": theirs / ours,
            "ours_mb": memory[OURS],
            "peer_mb": memory[peer],
            "settings": work.settings,
            "ours_tokens_per_s": work.tokens / ours,
            "peer_tokens_per_s": work.tokens / theirs,
            "ours_of_matrix_rate": work.flops / ours / rate,
            **({} if copy_share is None else {"ours_of_copy_rate": copy_share}),
            **(work.notes or {}),
        }
        for peer, theirs in times.items()
    ]


def interleaved(sides: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """The median of the seconds that each side returns, over `repeats` rounds after a first one."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(1 + repeats):
        for name, side in sides.items():
            times[name].append(side())
    return {name: median(seconds[1:]) for name, seconds in times.items()}


def seconds(side: Callable[[], object]) -> float:
    """Seconds that `side` takes, including work that a GPU does asynchronously."""
    gc.collect()
    start = time.perf_counter()
    side()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product."""
    first, second = (torch.randn(MATRIX, MATRIX, device=device, dtype=dtype) for _ in range(2))
    return 2 * MATRIX**3 / interleaved({OURS: lambda: seconds(lambda: first @ second)}, 7)[OURS]


def copy_rate(device: str) -> float:
    """Bytes per second that a large copy reads and writes."""
    source = torch.zeros(1 << 28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * len(source) / interleaved({OURS: lambda: seconds(lambda: target.copy_(source))}, 7)[OURS]


class Side:
    """A side that is built and run in a separate process."""

    def __init__(self, work: Work, name: str) -> None:
        context = get_context("spawn")
        self.name, (self.answers, requests) = f"{work.name}: {name}", context.Pipe()
        self.process = context.Process(target=_serve, args=(work, name, requests), daemon=True)
        self.process.start()
        requests.close()
        self.extra_mb = 0.0
        """Peak memory in megabytes that the first run added to the process."""

    def run(self) -> float:
        """Runs the side once and returns its seconds. Raises RuntimeError if the side fails."""
        self.answers.send(True)
        try:
            duration, self.extra_mb = self.answers.recv()
        except EOFError:
            raise RuntimeError(f"{self.name} failed in its process") from None
        return float(duration)

    def end(self) -> None:
        """Ends the process."""
        self.answers.send(False)
        self.process.join()


def _serve(work: Work, name: str, requests: Connection) -> None:
    side = work.build(work.settings)[name]()
    gc.collect()
    peak, extra_mb = _peak_from_now(), None
    while requests.recv():
        duration = seconds(side)
        extra_mb = peak() / 1e6 if extra_mb is None else extra_mb
        requests.send((duration, extra_mb))


def _peak_from_now() -> Callable[[], int]:
    """A function that returns the growth of memory from now to its peak, in bytes: of the GPU if any, else resident."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        allocated = torch.cuda.memory_allocated()
        return lambda: torch.cuda.max_memory_allocated() - allocated
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    return lambda: resident("VmHWM") - before


def resident(name: str) -> int:
    """Bytes of a memory field of this process, such as VmRSS. Raises RuntimeError except on Linux."""
    if not sys.platform.startswith("linux"):
        raise RuntimeError("memory can be measured only on Linux or on a CUDA device")
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024
