"""Named fault points: mutations of the package that a test must notice.

A test that claims to see a fault proves it: it injects the fault by name and expects its own check to fail. Every patch
of a package's internals that serves this purpose is here, so that a refactoring has one file to follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from grpo.engine.engine import Engine
from grpo.models import token_tree
from grpo.packing import Packed
from grpo.parallel.policy import TrainingPolicy
from grpo.types import Sampling

Fault = Callable[[pytest.MonkeyPatch], None]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    """Registers a fault under a name of the form "room: what goes wrong"."""

    def register(inject: Fault) -> Fault:
        assert name not in FAULTS, name
        FAULTS[name] = inject
        return inject

    return register


@fault("policy: episodes are scored at a higher temperature than they were sampled at")
def score_at_a_higher_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = TrainingPolicy.forward

    def broken(self: TrainingPolicy, packed: Packed, sampling: Sampling) -> Any:
        return forward(self, packed, replace(sampling, temperature=1.5 * sampling.temperature))

    monkeypatch.setattr(TrainingPolicy, "forward", broken)


@fault("engine: clearing leaves the caches as they are")
def keep_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "clear", lambda self: None)


@fault("token tree: the sliding window is forgotten")
def forget_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_tree, "window_mask", lambda *arguments: None)


@pytest.fixture
def inject(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`inject(NAME)` injects that fault until the end of the test."""
    return lambda name: FAULTS[name](monkeypatch)
