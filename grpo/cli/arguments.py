"""Options of a training run from flags and a file.

Precedence, lowest first: the defaults of `grpo.config.Options`; the preset of the file's `recipe`; the file; the preset
of `--recipe`; the flags.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import typing
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from grpo.config import OptionError, Options
from grpo.recipes import RECIPES
from grpo.refusals import alone

KINDS = {int: "a whole number", str: "text", bool: "true or false", type(None): "null"}
"""What a file's values are called."""


class Parser(HfArgumentParser):
    """Bad flags raise OptionError instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(message)

    def into(self, arguments: Sequence[str]) -> tuple[Any, Namespace]:
        """The dataclass, and the values of other options. Raises OptionError for what no option takes."""
        values, *others, rest = self.parse_args_into_dataclasses(
            list(arguments), return_remaining_strings=True, look_for_args_file=False
        )
        if rest and not rest[0].startswith("-"):
            raise OptionError(f"unexpected argument {rest[0]!r}; every option begins with --")
        if rest:
            name, names = rest[0].lstrip("-").partition("=")[0], [one.dest for one in self._actions]
            raise OptionError(f"unknown option {rest[0]}{_closest(name, names, self.prog)}")
        return values, others[0] if others else Namespace()


def parse(arguments: Sequence[str]) -> Options:
    """Options from flags and, with `--config FILE`, a YAML or JSON file whose values the flags override.

    Raises OptionError with the reason and the remedy; `--help` prints and exits as argparse does.
    """
    options, _ = parse_beside(arguments, "grpo train")
    return options


def parse_beside(arguments: Sequence[str], command: str, *own: ArgumentParser) -> tuple[Options, Namespace]:
    """The options of a training run as `parse` has them, and those of `own`, which `command` takes beside them."""
    parser = Parser(Options, prog=command, allow_abbrev=False, parents=own)
    parser.add_argument("--config", metavar="FILE", help="YAML or JSON file of options; flags override it")
    first = Parser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    first.add_argument("--recipe")
    early, _ = first.parse_known_args(arguments)
    file = read(Path(early.config)) if early.config is not None else {}
    preset = _preset(file["recipe"]) if "recipe" in file else {}
    if early.recipe is not None:
        # Another recipe takes the file's place, and not half of it: what came from there goes.
        file = {name: value for name, value in file.items() if name not in preset or preset[name] != value}
        preset = {}
    parser.set_defaults(**preset)
    parser.set_defaults(**file)
    if early.recipe is not None:
        parser.set_defaults(**_preset(early.recipe))
    options, others = parser.into(arguments)
    if command == "grpo train" and file.get("shard") != options.shard:
        for problem in alone(options, "TORCHELASTIC_RUN_ID" in os.environ):
            raise OptionError(problem)
    return options, others


def read(path: Path) -> dict[str, Any]:
    """The options in a YAML or JSON file, with their types checked. Raises OptionError."""
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise OptionError(f"{path} cannot be read as a configuration: {' '.join(str(error).split())}") from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise OptionError(f"{path} holds no mapping; write one `option: value` a line")
    return {name: _checked(path, name, value) for name, value in values.items()}


def _checked(path: Path, name: Any, value: Any) -> Any:
    """A file's value as its option's type. YAML reads 1e-4 as text, which counts as the number it spells."""
    kind = typing.get_type_hints(Options).get(name) if isinstance(name, str) else None
    if kind is None:
        raise OptionError(f"{path}: unknown option {name!r}{_closest(str(name), list(typing.get_type_hints(Options)))}")
    if kind is float:
        with contextlib.suppress(TypeError, ValueError):
            return float(value) if type(value) is not bool else _refuse(path, name, value, "a number")
        _refuse(path, name, value, "a number")
    if kind == list[str]:
        valid = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return value if valid else _refuse(path, name, value, "a list of strings")
    kinds = typing.get_args(kind) or (kind,)
    return value if type(value) in kinds else _refuse(path, name, value, " or ".join(KINDS[one] for one in kinds))


def _refuse(path: Path, name: str, value: Any, expected: str) -> NoReturn:
    raise OptionError(f"{path}: {name} is {value!r}; it has to be {expected}")


def _preset(recipe: Any) -> Mapping[str, Any]:
    if recipe not in RECIPES:
        raise OptionError(f"recipe {recipe!r} is not known; choose one of {', '.join(RECIPES)}")
    return RECIPES[recipe]


def _closest(name: str, names: Sequence[str], command: str = "grpo train") -> str:
    """A hint at the option that was probably meant."""
    near = difflib.get_close_matches(name.replace("-", "_"), names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; `{command} --help` lists them"
