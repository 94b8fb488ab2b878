"""Which scenarios a command works on: by name, `all`, or somebody's own through `--env package.module:factory`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from envs.protocol import Scenario
from envs.scenarios import NAMES, SCENARIOS
from grpo.cli import UserError

ALL = "all"


def add_env_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--env`, which `resolve` takes."""
    parser.add_argument(
        "--env",
        metavar="PACKAGE.MODULE:FACTORY",
        help="your own environment: a callable without arguments that returns a scenario (docs/environments.md)",
    )


def resolve(names: Sequence[str], env: str | None = None) -> dict[str, Scenario]:
    """The scenarios named, in the order given; `all` stands for the five (the saturated one only by its name).

    With `env` the only scenario is the one its factory makes, and `names` is empty, `all` or that scenario's name.
    Raises UserError on an unknown name and on a factory that cannot be loaded.
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
    """Imports `package.module:factory` and calls it."""
    module_name, _, factory_name = path.partition(":")
    if not module_name or not factory_name:
        raise UserError(f"--env takes package.module:factory, not {path!r}")
    # The command's own folder is not on the path when it was started by its installed name.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except ImportError as error:
        raise UserError(f"--env {path}: {error}") from error
    except AttributeError as error:
        raise UserError(f"--env {path}: {error}") from error
    if not callable(factory):
        raise UserError(f"--env {path}: {factory_name} is not callable")
    scenario = factory()
    if not isinstance(getattr(scenario, "name", None), str) or not callable(getattr(scenario, "env", None)):
        raise UserError(f"--env {path}: the factory returned no scenario (`name` and `env(seed, split)`)")
    return scenario
