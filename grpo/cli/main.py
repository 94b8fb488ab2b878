"""The `grpo` command: the choice of a subcommand, and how errors are printed.

Each subcommand has its own module, which is imported only when it is called, so that `grpo play` starts without torch.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

import grpo
from grpo.cli.parser import Parser
from grpo.errors import BAD_INPUT, INTERRUPTED, UserError

COMMANDS = {
    "play": ("grpo.cli.play", "play one task in the terminal, from a file or by a script"),
    "evaluate": ("grpo.cli.evaluate", "score a policy on many tasks"),
    "train": ("grpo.cli.train", "train a policy with GRPO, with an evaluation before and after"),
    "warmstart": ("grpo.cli.warmstart", "make the embedded policy from nothing"),
    "bench": ("grpo.cli.bench", "measure speed"),
    "plan": ("grpo.cli.plan", "the memory that a run would take"),
}


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
    parser.add_argument("--version", action="version", version=f"grpo {grpo.__version__}")
    try:
        options = parser.parse_args(arguments)
    except UserError as error:
        print(f"grpo: {error}", file=sys.stderr)
        return BAD_INPUT
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
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; keep the interpreter's last flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
