"""Snapshots of a run, from which `grpo train --resume` goes on as if it had never stopped.

A snapshot is one file, RUN/snapshots/step-000020.snapshot: a mark, the SHA-256 of what follows, and the weights, the
trainer's state and the options as `torch.save` writes them. It is written beside its place, synced and renamed, so that
a process killed at any moment leaves the older snapshots whole. Sampling is keyed by step and task and needs no state.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from grpo.cli import UserError
from grpo.config import Options
from grpo.trainer import Trainer

MARK = b"grpo snapshot 1\n"
FOLDER, SUFFIX = "snapshots", ".snapshot"
FREE = ("out", "save_every", "keep_snapshots", "processes", "eval_every", "save_episodes")
"""Options that may differ between a snapshot and the run that goes on from it: no step's arithmetic depends on them."""


def write(trainer: Trainer, options: Options) -> Path:
    """Saves the run's state after its last finished step and removes all but the newest `keep_snapshots`.

    Every rank has to call it; the first one writes.
    """
    state = trainer.state_dict()
    folder = Path(options.out) / FOLDER
    path = folder / f"step-{trainer.steps_done:06d}{SUFFIX}"
    if not trainer.ranks.first:
        return path
    content = {"options": dataclasses.asdict(options), "trainer": state, "torch": str(torch.__version__)}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            file.write(MARK + hashlib.sha256(payload).digest() + payload)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UserError(f"{path} could not be written ({error.strerror}); the older snapshots are whole") from error
    _sync(folder)
    for old in _all(options.out)[: -options.keep_snapshots]:
        old.unlink()
    return path


def newest(run: str | Path) -> dict[str, Any] | None:
    """What the newest snapshot of a run holds, None where there is none yet.

    Raises UserError, with the remedy, for a file that is damaged or something else.
    """
    found = _all(run)
    if not found:
        return None
    path = found[-1]
    data = path.read_bytes()
    if not data.startswith(MARK):
        raise UserError(f"{path} is not a snapshot of this version: move it away to go on from an older one")
    digest, payload = data[len(MARK) :][:32], data[len(MARK) + 32 :]
    if hashlib.sha256(payload).digest() != digest:
        raise UserError(f"{path} is damaged (its checksum is wrong): move it away to go on from an older one")
    try:
        content: dict[str, Any] = torch.load(io.BytesIO(payload), weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    return content


def restore(trainer: Trainer, content: dict[str, Any], options: Options) -> None:
    """Puts a snapshot's state into `trainer`. Raises UserError where the run's options are not the snapshot's."""
    saved, now = content["options"], dataclasses.asdict(options)
    changed = [name for name in saved if name not in FREE and saved[name] != now.get(name)]
    if changed:
        raise UserError(f"the snapshot belongs to a run with other options ({', '.join(changed)}): start a new run")
    trainer.load_state_dict(content["trainer"])


def _all(run: str | Path) -> list[Path]:
    """A run's snapshots, the newest last."""
    return sorted((Path(run) / FOLDER).glob(f"step-*{SUFFIX}"))


def _sync(folder: Path) -> None:
    """Makes a rename last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
