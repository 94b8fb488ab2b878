"""The `grpo` command: which subcommand, and how its failures read.

Each subcommand lives in its own module and is imported when it is asked for, so that `grpo play` starts without torch.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

COMMANDS = {
    "play": ("grpo.cli.play", "play one task in the terminal, from a file or by a script"),
    "evaluate": ("grpo.run.evaluation", "score a policy on many tasks"),
    "train": ("grpo.run.training", "train a policy with GRPO, with an evaluation before and after"),
    "warmstart": ("grpo.tiny.warmstart", "make the embedded policy from nothing"),
    "bench": ("grpo.bench", "measure speed"),
    "plan": ("grpo.cli.plan", "the memory that a run would take"),
}
BAD_INPUT = 2


class UserError(Exception):
    """Input that cannot be used. Its one line goes to the user, with exit status 2."""


class Parser(argparse.ArgumentParser):
    """A parser that answers bad input with one line on stderr and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `grpo ARGUMENTS` and returns the exit status: 0, 2 for bad input, 130 when interrupted."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = Parser(prog="grpo", description="GRPO from scratch for tool-using language models.")
    listing = "\n".join(f"  {name:10} {line}" for name, (_, line) in COMMANDS.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"commands:\n{listing}\n\n`grpo COMMAND --help` shows a command's options."
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS).required = False
    options = parser.parse_args(arguments)
    module, _ = COMMANDS[options.command]
    try:
        return importlib.import_module(module).main(options.arguments) or 0
    except UserError as error:
        print(f"grpo {options.command}: {error}", file=sys.stderr)
        return BAD_INPUT
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "kernels":
            raise
        place = getattr(sys.modules.get("kernels"), "__file__", error.path)
        print(
            f"grpo {options.command}: another package called kernels ({place}) stands before this project's: "
            "uninstall it, or install this project again after it",
            file=sys.stderr,
        )
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; keep the interpreter's last flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
