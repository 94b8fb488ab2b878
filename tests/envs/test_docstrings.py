"""The examples in the docstrings of `envs` are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import envs

MODULES = [module.name for module in pkgutil.walk_packages(envs.__path__, "envs.")]


def failures(module: ModuleType) -> list[str]:
    """The examples of a module whose output is wrong."""
    runner = doctest.DocTestRunner(verbose=False)
    tests = doctest.DocTestFinder().find(module)
    return [test.name for test in tests if runner.run(test, out=lambda _: None).failed]


def test_examples_are_true() -> None:
    assert [example for name in MODULES for example in failures(importlib.import_module(name))] == []


def test_a_wrong_example_is_noticed() -> None:
    module = ModuleType("wrong", ">>> 1 + 1\n3\n")
    assert failures(module) == ["wrong"]
