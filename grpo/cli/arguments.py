"""The options of a training run, from flags and a file.

Precedence, lowest first: the defaults of `grpo.config.Options`; the preset of the file's
`recipe`; the file; the preset of `--recipe`; the flags.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from grpo.cli.parser import Parser, nearest, truth
from grpo.config import RECIPES, TYPES, Options
from grpo.errors import OptionError

TYPE_NAMES = {int: "a whole number", str: "text", bool: "true or false", type(None): "null"}
"""How messages name the types of a file's values."""


def add_options(parser: argparse.ArgumentParser, kind: Any) -> None:
    """Adds an option for each field of a dataclass whose fields `grpo.config.option` made."""
    parser.formatter_class, parser.usage = argparse.ArgumentDefaultsHelpFormatter, "%(prog)s [OPTION ...]"
    types = typing.get_type_hints(kind)
    for one in dataclasses.fields(kind):
        default = one.metadata["default"]
        details: dict[str, Any] = {"default": default, "help": one.metadata["help"]}
        details |= {name: one.metadata[name] for name in ("choices", "metavar") if name in one.metadata}
        members = [
            member for member in typing.get_args(types[one.name]) or [types[one.name]] if member is not type(None)
        ]
        if isinstance(default, list):
            details |= {"nargs": "+", "type": str}
        elif members == [bool]:
            details |= {"nargs": "?", "const": True, "type": truth, "metavar": "true|false"}
        else:
            details["type"] = members[0]
        spellings = dict.fromkeys((f"--{one.name}", f"--{one.name.replace('_', '-')}"))
        parser.add_argument(*spellings, dest=one.name, **details)


def values_of(namespace: argparse.Namespace, kind: Any) -> Any:
    """The dataclass that `add_options` described."""
    return kind(**{one.name: getattr(namespace, one.name) for one in dataclasses.fields(kind)})


def parse(arguments: Sequence[str]) -> Options:
    """Options from flags and, with `--config FILE`, a YAML or JSON file whose values the flags override.

    Raises OptionError with the reason and the remedy; `--help` prints and exits as argparse does.
    """
    options, _ = parse_run(arguments, Parser(prog="grpo train"))
    return options


def parse_run(arguments: Sequence[str], parser: Parser) -> tuple[Options, argparse.Namespace]:
    """The options of a training run, and all values of `parser`, which may have options of its command already."""
    add_options(parser, Options)
    parser.add_argument("--config", metavar="FILE", help="YAML or JSON file of options; flags override it")
    first = Parser(add_help=False)
    first.add_argument("--config")
    first.add_argument("--recipe")
    early, _ = first.parse_known_args(arguments)
    file = read(Path(early.config)) if early.config is not None else {}
    preset = _preset(file["recipe"]) if "recipe" in file else {}
    if early.recipe is not None:
        # The recipe on the command line replaces the file's recipe, and with it the values that came from that one.
        file = {name: value for name, value in file.items() if name not in preset or preset[name] != value}
        preset = {}
    parser.set_defaults(**preset)
    parser.set_defaults(**file)
    if early.recipe is not None:
        parser.set_defaults(**_preset(early.recipe))
    values = parser.parse_args(list(arguments))
    options: Options = values_of(values, Options)
    if parser.prog == "grpo train" and file.get("shard") != options.shard:
        _refuse_unused_shard(options)
    return options, values


def _refuse_unused_shard(options: Options) -> None:
    """`grpo plan` looks ahead, and a snapshot of several processes may be resumed by one: neither is refused."""
    if options.shard in ("full", "hybrid") and options.processes == 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        raise OptionError(
            f"shard {options.shard} has no effect in a single process; start it under torchrun (docs/scaling.md), or "
            "leave shard out"
        )


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
    kind = TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise OptionError(f"{path}: unknown option {name!r}{nearest(str(name), list(TYPES), 'grpo train')}")
    if kind is float:
        with contextlib.suppress(TypeError, ValueError):
            return float(value) if type(value) is not bool else _refuse(path, name, value, "a number")
        _refuse(path, name, value, "a number")
    if kind == list[str]:
        valid = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return value if valid else _refuse(path, name, value, "a list of strings")
    kinds = typing.get_args(kind) or (kind,)
    return value if type(value) in kinds else _refuse(path, name, value, " or ".join(TYPE_NAMES[one] for one in kinds))


def _refuse(path: Path, name: str, value: Any, expected: str) -> NoReturn:
    raise OptionError(f"{path}: {name} is {value!r}; it has to be {expected}")


def _preset(recipe: Any) -> Mapping[str, Any]:
    if recipe not in RECIPES:
        raise OptionError(f"recipe {recipe!r} is not known; choose one of {', '.join(RECIPES)}")
    return RECIPES[recipe]
