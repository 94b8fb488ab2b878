"""Timing and memory of the same work done by several sides.

Times are medians of repeated, interleaved runs in one process, the first round thrown away, so that a busy machine
slows all sides alike; trust the ratios. Memory is what a side's first run adds to its process, in a process of its own.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from statistics import median
from typing import Any

import torch

Sides = dict[str, Callable[[], object]]
"""What each side runs; "ours" first, then the peers that are installed."""
MATRIX = 2048
OURS = "ours"


@dataclass(frozen=True)
class Work:
    """Work to be timed: `build(settings)` makes the sides, as a function of a module, for processes of their own."""

    name: str
    build: Callable[[dict[str, Any]], Sides]
    settings: dict[str, Any]
    tokens: int
    """Tokens that each side generates, scores or trains on."""
    flops: float
    """Floating-point operations that our side needs for it."""
    bytes: float = 0.0
    """What our side has to read from memory, 0 where arithmetic is the bound."""
    notes: Mapping[str, float] | None = None
    """Figures to be printed beside the result, the ratio of the arithmetic, say."""


def measure(work: Work, repeats: int) -> list[dict[str, Any]]:
    """One row for each peer, ready for JSON: seconds, their ratio, peak extra memory, and our rates."""
    sides = work.build(work.settings)
    seconds = interleaved(sides, repeats)
    rate = matrix_rate(work.settings["device"], getattr(torch, work.settings["dtype"]))
    copied = work.bytes / seconds[OURS] / copy_rate(work.settings["device"]) if work.bytes else None
    del sides
    memory = {name: extra_mb(work, name) for name in seconds}
    ours = seconds.pop(OURS)
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
            **({} if copied is None else {"ours_of_copy_rate": copied}),
            **(work.notes or {}),
        }
        for peer, theirs in seconds.items()
    ]


def interleaved(sides: Sides, repeats: int) -> dict[str, float]:
    """The median seconds of each side over `repeats` rounds after the first."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(1 + repeats):
        for name, side in sides.items():
            gc.collect()
            taken[name].append(_seconds(side))
    return {name: median(seconds[1:]) for name, seconds in taken.items()}


def _seconds(side: Callable[[], object]) -> float:
    start = time.perf_counter()
    side()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product."""
    left, right = (torch.randn(MATRIX, MATRIX, device=device, dtype=dtype) for _ in range(2))
    return 2 * MATRIX**3 / interleaved({OURS: lambda: left @ right}, 7)[OURS]


def copy_rate(device: str) -> float:
    """Bytes per second that a large copy reads and writes."""
    source = torch.zeros(1 << 28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * len(source) / interleaved({OURS: lambda: target.copy_(source)}, 7)[OURS]


def extra_mb(work: Work, side: str) -> float:
    """What a side's first run adds at its peak to the memory of a process that has built it, in MB."""
    context = get_context("spawn")
    answers = context.SimpleQueue()
    process = context.Process(target=_run_once, args=(work, side, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{work.name}: {side} failed in a process of its own")
    return float(answers.get())


def _run_once(work: Work, name: str, answers: SimpleQueue[float]) -> None:
    side = work.build(work.settings)[name]
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        side()
        return answers.put((torch.cuda.max_memory_allocated() - before) / 1e6)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    side()
    answers.put((resident("VmHWM") - before) / 1e6)


def resident(name: str) -> int:
    """Bytes as Linux reports them for this process."""
    if not sys.platform.startswith("linux"):
        raise RuntimeError("memory is measured on Linux and on CUDA only")
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024
