"""`grpo train`: one training run, in one process or several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch.distributed as dist

from grpo.cli.arguments import parse
from grpo.config import Options
from grpo.errors import INTERRUPTED, UserError
from grpo.parallel.launch import join_torchrun, launch, leave
from grpo.parallel.ranks import Ranks
from grpo.run import snapshots
from grpo.run.training import train

RESUME_HELP = "grpo train --resume RUN   continue the run in that folder, from its newest snapshot\n"


def main(arguments: Sequence[str]) -> int:
    """Trains by the flags and the configuration file."""
    if not {"-h", "--help"}.isdisjoint(arguments):
        print(RESUME_HELP)
        parse(["--help"])
    resume = any(argument.partition("=")[0] == "--resume" for argument in arguments)
    options = _resumed(arguments) if resume else parse(arguments)
    ranks = join_torchrun()
    if options.processes == 1:
        status = run(options, resume, ranks)
        return leave(status) if dist.is_initialized() else status
    if ranks.size > 1:
        raise UserError("torchrun has started the processes already: leave --processes out")
    if options.processes > (most := max(2, os.cpu_count() or 1)):
        where = f" in {options.out}/config.json" if resume else ""
        raise UserError(f"{options.processes} processes would get in each other's way here: give at most {most}{where}")
    return launch(options.processes, run, options, resume)


def run(options: Options, resume: bool, ranks: Ranks) -> int:
    """The run as one of several processes; returns the exit status."""
    return INTERRUPTED if train(options, ranks, resume).interrupted else 0


def _resumed(arguments: Sequence[str]) -> Options:
    """The options of the run to resume."""
    flag, equals, folder = arguments[0].partition("=")
    if flag != "--resume" or len(arguments) != (1 if equals else 2):
        raise UserError("--resume takes the folder of a run and nothing else: its options are in its config.json")
    folder = folder if equals else arguments[1]
    if not folder.strip():
        raise UserError("--resume is empty: give the folder of a run")
    config = Path(folder) / "config.json"
    if not os.path.isfile(config):
        raise UserError(f"{folder} is not the folder of a run: it has no config.json")
    options = parse(["--config", str(config), "--out", folder])
    snapshots.expect(options)
    return options
