"""The parser of every command, and the types of its arguments. Starts without torch."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Sequence
from typing import Any, NoReturn

from grpo.errors import OptionError

TRUTH = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(("false", "f", "no", "n", "0"), False)


class Parser(argparse.ArgumentParser):
    """A parser that raises OptionError instead of ending the process, and suggests the nearest option for a typo."""

    def __init__(self, *arguments: Any, **details: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **details})

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message} (see {self.prog} --help)")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        values, rest = self.parse_known_args(args, namespace)
        if rest and not rest[0].startswith("-"):
            self.error(f"unexpected argument {rest[0]!r}; every option begins with --")
        if rest:
            name, names = rest[0].lstrip("-").partition("=")[0], [action.dest for action in self._actions]
            raise OptionError(f"unknown option {rest[0]}{nearest(name, names, self.prog)}")
        return values


def nearest(name: str, names: Sequence[str], command: str) -> str:
    """A hint at the option that was probably meant."""
    near = difflib.get_close_matches(name.replace("-", "_"), names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; `{command} --help` lists them"


def natural(text: str) -> int:
    """Parses a seed: a non-negative integer in plain decimal digits."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise argparse.ArgumentTypeError(f"{text!r} is not a non-negative integer")
    return int(text)


def positive(text: str) -> int:
    """Parses a count: an integer from 1."""
    value = natural(text)
    if value == 0:
        raise argparse.ArgumentTypeError("has to be at least 1")
    return value


def positive_number(text: str) -> float:
    """Parses a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def truth(text: str) -> bool:
    """Parses true or false, in the usual spellings."""
    if text.lower() not in TRUTH:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return TRUTH[text.lower()]


def add_env_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--env`, an argument of `grpo.run.environments.load_scenarios`."""
    parser.add_argument(
        "--env",
        metavar="PACKAGE.MODULE:FACTORY",
        help="your own environment: a callable without arguments that returns a scenario "
        "(docs/adding-an-environment.md)",
    )
