"""Selects the scenarios of a command: by name, `all`, or a custom one with `--env package.module:factory`."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from envs.protocol import Scenario
from envs.scenarios import NAMES, SCENARIOS
from grpo.errors import UserError
from grpo.run.custom_environment import CheckedScenario, try_out

ALL = "all"


def load_scenarios(names: Sequence[str], env: str | None = None) -> dict[str, Scenario]:
    """The named scenarios, in order. `all` means the five in NAMES, without the saturated one.

    With `env`, the result is the scenario that its factory returns; `names` must be empty, `all` or that scenario's
    name. Raises UserError for an unknown name, a factory that cannot be loaded, or a scenario that breaks the protocol.
    """
    if env is not None:
        scenario = _load(env)
        for name in names:
            if name not in (ALL, scenario.name):
                raise UserError(f"{env} returns the scenario {scenario.name!r}, not {name!r}")
        return {scenario.name: scenario}
    scenarios: dict[str, Scenario] = {}
    for name in names:
        if name != ALL and name not in SCENARIOS:
            raise UserError(f"unknown scenario {name!r}; the scenarios are {', '.join(SCENARIOS)}")
        scenarios.update({one: SCENARIOS[one] for one in (NAMES if name == ALL else (name,))})
    return scenarios


def _load(path: str) -> Scenario:
    """Imports `package.module:factory`, calls it and tries out the scenario that it returns."""
    module_name, _, factory_name = path.partition(":")
    if not module_name or not factory_name or module_name.startswith("."):
        raise UserError(f"--env needs package.module:factory, not {path!r}")
    # An installed command does not have the current folder on its path.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    with _line_before_traceback(f"--env {path} raised an exception while it was loaded:"):
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise UserError(f"--env {path}: {error}") from error
        factory = getattr(module, factory_name, None)
        if factory is None:
            raise UserError(f"--env {path}: {module_name} has no {factory_name}")
        if not callable(factory):
            raise UserError(f"--env {path}: {factory_name} is not callable")
        if not _takes_no_arguments(factory):
            raise UserError(
                f"--env {path}: {factory_name} must be callable without arguments and return a scenario, not an "
                "environment"
            )
        scenario = factory()
        if not isinstance(getattr(scenario, "name", None), str) or not callable(getattr(scenario, "env", None)):
            raise UserError(
                f"--env {path}: {factory_name} must return a scenario (with `name` and `env(seed, split)`), not an "
                "environment"
            )
        checked = CheckedScenario(scenario)
        try_out(checked)
        return checked


def _takes_no_arguments(factory: Callable[..., Any]) -> bool:
    """Whether `factory` can be called without arguments, or has no signature that would tell."""
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return False
    except ValueError:  # functions written in C may have no signature
        pass
    return True


@contextlib.contextmanager
def _line_before_traceback(line: str) -> Iterator[None]:
    """Prints `line` before the traceback of an exception in the user's code, which must stay visible."""
    try:
        yield
    except UserError:
        raise
    except Exception:
        print(line, file=sys.stderr)
        raise
