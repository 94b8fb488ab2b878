"""Small work for `grpo.bench`. It is in a separate module because its processes import it, but not the tests."""

from __future__ import annotations

import functools
from typing import Any

import torch

from grpo.bench import measure
from grpo.bench.measure import Work

MEGABYTES = {"ours": 50, "peer": 200}


def allocations(_: dict[str, Any]) -> measure.Sides:
    return {name: lambda size=size: functools.partial(torch.ones, size * 250_000) for name, size in MEGABYTES.items()}


def works() -> list[Work]:
    return [
        Work("logprob", allocations, {"device": "cpu", "dtype": "float32"}, 100, 1e9, notes={"arithmetic_ratio": 2.0})
    ]


def failing(_: dict[str, Any]) -> measure.Sides:
    return {"ours": lambda: functools.partial(int, "no number")}
