"""Snapshots of a run, from which `grpo train --resume` continues as if the run had never stopped.

A snapshot is a folder, RUN/snapshots/step-000020.snapshot. It holds weights and optimizer states as
`torch.distributed.checkpoint` writes them, each rank its part; run.json with the counts and the options; and SHA256SUMS
with all checksums (`sha256sum -c` reads it). It is written under another name, synced and renamed, so that a process
killed at any moment leaves the older snapshots intact. It loads on any number of ranks. Sampling is keyed by step and
task and needs no state. Ranks on several machines need one file system.

Like every checkpoint of PyTorch it holds pickles: resume only your own runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from grpo.config import Options
from grpo.errors import UserError
from grpo.parallel.policy import TrainingPolicy
from grpo.parallel.ranks import Ranks
from grpo.run.run_folder import writing
from grpo.trainer import Trainer

FOLDER, SUFFIX, RUN, SUMS = "snapshots", ".snapshot", "run.json", "SHA256SUMS"
COUNTS = ("steps_done", "skipped_in_a_row")
"""What a resumed run needs beside `TrainingPolicy.training_state` and, for a KL, the first checkpoint."""
FREE = ("out", "save_every", "keep_snapshots", "processes", "eval_every", "save_episodes")
"""Options that may differ between a snapshot and the run that resumes it: no step's arithmetic depends on them."""


def write(trainer: Trainer, policy: TrainingPolicy, options: Options) -> Path:
    """Saves the run's state after its last finished step and removes all but the newest `keep_snapshots`.

    Every rank has to call it. Raises UserError if it cannot be written (a full disk, say).
    """
    ranks = trainer.ranks
    folder = Path(options.out) / FOLDER
    path = folder / f"step-{trainer.steps_done:06d}{SUFFIX}"
    fresh = folder / f".{path.stem}"
    try:
        if ranks.first:
            for unfinished in folder.glob(".step-*"):
                shutil.rmtree(unfinished)
            fresh.mkdir(parents=True)
        ranks.wait()
        with _without_warning():
            save(policy.training_state(trainer.optimizer), checkpoint_id=fresh)
        if ranks.first:
            counts = {name: getattr(trainer, name) for name in COUNTS}
            about = {"trainer": counts, "options": dataclasses.asdict(options), "torch": torch.__version__}
            _write_text(fresh / RUN, json.dumps(about, indent=1) + "\n")
        ranks.wait()
        sums = ranks.gather(_checksums(ranks.share(sorted(fresh.iterdir()))))
        if ranks.first:
            _write_text(fresh / SUMS, "".join(f"{digest}  {name}\n" for part in sums for name, digest in part.items()))
            _sync(fresh)
            fresh.replace(path)
    except (OSError, CheckpointException) as error:
        reason = _reason(error)
        shutil.rmtree(fresh, ignore_errors=True)
        raise UserError(f"{path} could not be written ({reason}); the older snapshots are whole") from error
    if ranks.first:
        with writing(folder):
            _sync(folder)
            for old in snapshots_of(options.out)[: -options.keep_snapshots]:
                shutil.rmtree(old)
    return path


def snapshots_of(run: str | Path) -> list[Path]:
    """A run's snapshots, the newest last."""
    return sorted((Path(run) / FOLDER).glob(f"step-*{SUFFIX}"))


def expect(options: Options) -> None:
    """Raises UserError for a run without a snapshot, unless it was killed before its first one and can start over."""
    final, config = Path(options.out) / "final", Path(options.out) / "config.json"
    if snapshots_of(options.out):
        return
    nothing = f"{options.out} has no snapshot to go on from"
    if final.exists():
        raise UserError(f"{nothing}: train on from its weights with --model {final} and another --out")
    if not options.save_every:
        raise UserError(f"{nothing}, as its save_every is 0: start it anew with --config {config}")


def restore(trainer: Trainer, policy: TrainingPolicy, options: Options) -> None:
    """Puts the newest snapshot's state into `trainer` and its policy; without a snapshot they stay as they are.

    Every rank has to call it. Raises UserError, with the remedy, for a snapshot that is damaged, of another version or
    of a run with other options.
    """
    snapshots = snapshots_of(options.out)
    if not snapshots:
        return
    path, ranks = snapshots[-1], trainer.ranks
    about = _read(path, ranks)
    saved, now = about["options"], dataclasses.asdict(options)
    changed = [name for name in saved if name not in FREE and saved[name] != now.get(name)]
    if changed:
        raise UserError(f"the snapshot belongs to a run with other options ({', '.join(changed)}): start a new run")
    state = policy.training_state(trainer.optimizer)
    with _without_warning():
        load(state, checkpoint_id=path)
    policy.load_training_state(trainer.optimizer, state)
    for name in COUNTS:
        setattr(trainer, name, about["trainer"][name])


def _read(path: Path, ranks: Ranks) -> dict[str, Any]:
    """A snapshot's run.json, after all checksums were verified; the ranks share the reading."""
    remedy = "move it away to go on from an older one"
    if not (path / SUMS).is_file():
        raise UserError(f"{path} is not a snapshot of this version: {remedy}")
    lines = (path / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    stated = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = {file.name: file for file in path.iterdir() if file.name != SUMS}
    whole = stated.keys() == there.keys() and RUN in stated
    digests = _checksums(there[name] for name in ranks.share(sorted(stated))) if whole else {}
    if not all(ranks.gather(whole and all(stated[name] == digest for name, digest in digests.items()))):
        raise UserError(f"{path} is damaged (its checksums are wrong): {remedy}")
    about: dict[str, Any] = json.loads((path / RUN).read_text(encoding="utf-8"))
    return about


@contextmanager
def _without_warning() -> Iterator[None]:
    """Suppresses the library's warning that one process without a process group saves alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _checksums(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 by name."""
    digests = {}
    for path in files:
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _reason(error: OSError | CheckpointException) -> str:
    """The system's reason, also if it is wrapped as one rank's failure."""
    if isinstance(error, CheckpointException):
        failure, _ = next(iter(error.failures.values()))
        return str(getattr(failure, "strerror", None) or failure)
    return error.strerror or str(error)


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Makes a rename last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
