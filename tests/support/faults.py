"""Named fault points: mutations of the package that a test must notice.

A test that claims to detect a fault proves it: it injects the fault by name and expects its check to fail. All patches
of the package's internals for this purpose are in this file, so that a refactoring needs to update one file only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import kernels.block_table
from envs.site.jira import changes, issues
from envs.site.jql import evaluate
from grpo.engine import decode_step, engine, hybrid_engine, kv_cache
from grpo.engine.engine import Engine
from grpo.models import token_tree
from grpo.packing import Packed
from grpo.parallel.policy import TrainingPolicy
from grpo.types import Sampling

Fault = Callable[[pytest.MonkeyPatch], None]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    """Registers a fault under a name of the form "component: fault"."""

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


@fault("rollout: clearing leaves the caches as they are")
def keep_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "clear", lambda self: None)


@fault("token tree: the sliding window is forgotten")
def forget_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_tree, "window_mask", lambda *arguments: None)


@fault("site: an edit writes before it reads its changes")
def write_before_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    read_changes = changes.read_changes

    def broken(target: Any, *arguments: Any) -> Any:
        target.state.tick()
        return read_changes(target, *arguments)

    monkeypatch.setattr(issues, "read_changes", broken)


@fault("jql: the negation of = is =")
def negate_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(evaluate._INVERSE, "=", "=")


@pytest.fixture
def inject(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`inject(NAME)` injects that fault until the end of the test."""
    return lambda name: FAULTS[name](monkeypatch)


@fault("engine: the last lane's blocks are read with its neighbour's query")
def read_a_neighbours_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = decode_step.DecodeContext.__init__

    def broken(self, *arguments):
        prepare(self, *arguments)
        owner = self.table.owner.clamp(max=max(len(self.at.positions) - 2, 0))
        self.table = replace(self.table, owner=owner)

    monkeypatch.setattr(decode_step.DecodeContext, "__init__", broken)


@fault("engine: places without a token, or with another sequence's old one, are read")
def forget_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels.block_table, "score_mask", lambda distance, window: torch.zeros(distance.shape))


@fault("engine: the root of a chain of prefixes is not read")
def lose_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = kv_cache.spans
    for module in (engine, decode_step):
        monkeypatch.setattr(module, "spans", lambda *arguments: spans(*arguments)[1:])


@fault("engine: positions are one too high")
def misplace_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = engine.Engine._positions
    monkeypatch.setattr(engine.Engine, "_positions", lambda self, slots: positions(self, slots) + 1)


@fault("engine: a lane's last part is not read in a decode step")
def forget_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    views = decode_step.DecodeBatch.views

    def broken(self, index):
        at = views(self, index)
        at.parts[:, -1] = -1
        return at

    monkeypatch.setattr(decode_step.DecodeBatch, "views", broken)


@fault("hybrid engine: every sequence continues from the first one's states")
def share_states(monkeypatch: pytest.MonkeyPatch) -> None:
    original = hybrid_engine.States
    monkeypatch.setattr(hybrid_engine, "States", lambda config, states: original(config, [states[0]] * len(states)))
