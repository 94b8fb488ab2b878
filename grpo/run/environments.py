"""The scenarios that a command works on: by name, `all`, or a custom one by `--env package.module:factory`."""

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
    """The named scenarios, in order; `all` stands for the five (the saturated one only by its name).

    With `env` the only scenario is the one its factory makes, and `names` is empty, `all` or that scenario's name.
    Raises UserError for an unknown name, a factory that cannot be loaded and a scenario that breaks the protocol.
    """
    if env is not None:
        scenario = _load(env)
        for name in names:
            if name not in (ALL, scenario.name):
                raise UserError(f"{env} makes the scenario {scenario.name!r}, not {name!r}")
        return {scenario.name: scenario}
    chosen: dict[str, Scenario] = {}
    for name in names:
        if name != ALL and name not in SCENARIOS:
            raise UserError(f"unknown scenario {name!r}; there are {', '.join(SCENARIOS)}")
        chosen.update({one: SCENARIOS[one] for one in (NAMES if name == ALL else (name,))})
    return chosen


def _load(path: str) -> Scenario:
    """Imports `package.module:factory`, calls it and tries out what it returns."""
    module_name, _, factory_name = path.partition(":")
    if not module_name or not factory_name or module_name.startswith("."):
        raise UserError(f"--env takes package.module:factory, not {path!r}")
    # The command's own folder is not on the path when it was started by its installed name.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    with _line_before_traceback(f"--env {path} raised while it was loaded:"):
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
                f"--env {path}: {factory_name} has to be something that takes no arguments; give the scenario, not the "
                "environment"
            )
        scenario = factory()
        if not isinstance(getattr(scenario, "name", None), str) or not callable(getattr(scenario, "env", None)):
            raise UserError(
                f"--env {path}: {factory_name} made no scenario (with `name` and `env(seed, split)`); give the "
                "scenario, not the environment"
            )
        checked = CheckedScenario(scenario)
        try_out(checked)
        return checked


def _takes_no_arguments(factory: Callable[..., Any]) -> bool:
    """Whether it can be called without arguments, as far as its signature tells."""
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return False
    except ValueError:  # functions written in C may have no signature
        pass
    return True


@contextlib.contextmanager
def _line_before_traceback(line: str) -> Iterator[None]:
    """Prints a line before the traceback of an exception in a user's code; the traceback shows the place."""
    try:
        yield
    except UserError:
        raise
    except Exception:
        print(line, file=sys.stderr)
        raise
