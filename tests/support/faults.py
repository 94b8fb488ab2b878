"""Named fault points: mutations of the package that a test must notice.

A test that claims to see a fault proves it: it injects the fault by name and expects its own check to fail. Every patch
of a package's internals that serves this purpose is here, so that a refactoring has one file to follow.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

Fault = Callable[[pytest.MonkeyPatch], None]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    """Registers a fault under a name of the form "room: what goes wrong"."""

    def register(inject: Fault) -> Fault:
        assert name not in FAULTS, name
        FAULTS[name] = inject
        return inject

    return register


@pytest.fixture
def inject(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`inject(NAME)` injects that fault until the end of the test."""
    return lambda name: FAULTS[name](monkeypatch)
