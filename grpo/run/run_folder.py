"""A run's folder on disk: started without losing an earlier run's files, and read and written in one place.

A folder with metrics.jsonl belongs to a run. A new run moves it aside as a whole, so that records, snapshots and
weights in a folder always belong to one run.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grpo.errors import UserError

METRICS, EVALUATIONS = "metrics.jsonl", "evaluations.jsonl"
RECORDS = {METRICS: {"step", "scenarios"}, EVALUATIONS: {"step", "decoding", "scenarios"}}
"""Files with one JSON object a line, and the keys that every line has."""
REPLACED = ("final", "best")
"""Folders of weights, which are replaced as a whole."""
FOLDERS = (*REPLACED, "adapter", "snapshots", "episodes", "tensorboard")
FILES = (*RECORDS, "config.json", "rewards.png", "table.json", "table.md")


def start(out: str, model: str) -> Path | None:
    """Makes the folder `out` of a new run that trains `model`; returns the new place of an earlier run's folder.

    Raises UserError if the folder cannot be written, or is no run's and holds files that would be overwritten.
    """
    folder = Path(os.path.realpath(out))  # the target of a link is moved, and the link leads to the new run
    with writing(out):
        aside = _move_aside(folder, out, model) if (folder / METRICS).is_file() else None
        if not folder.exists():
            folder.mkdir(parents=True)
        endangered = {path.name for path in folder.iterdir()} & {*FOLDERS, *FILES}
    if endangered:
        names = ", ".join(sorted(endangered))
        raise UserError(f"{out} is not the folder of a run and holds {names}: give another --out")
    return aside


def _move_aside(folder: Path, out: str, model: str) -> Path:
    """Renames an earlier run's folder to the first free of `folder`.1, .2 and so on."""
    os.close(lock(folder))
    if any(Path(os.path.realpath(used)).is_relative_to(folder) for used in (model, os.getcwd())):
        raise UserError(
            f"{out} holds an earlier run, which cannot be moved aside while it is the current folder or holds the "
            "model to train: give another --out"
        )
    number = 1
    while os.path.lexists(aside := folder.with_name(f"{folder.name}.{number}")):
        number += 1
    try:
        return folder.rename(aside)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{out} holds an earlier run and cannot be renamed ({reason}): give another --out") from error


def lock(folder: Path) -> int:
    """Locks a run's folder until the returned descriptor is closed, at the latest when the process ends.

    Raises UserError if another process holds the lock: two runs would mix their records. A file system without locks
    refuses nobody.
    """
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UserError(f"another run is writing to {folder}: give another --out, or wait for its end") from error
    except OSError:
        pass
    return descriptor


def check(folder: Path) -> None:
    """Raises UserError if something in a run's folder would be in the way when the run is resumed."""
    for path in (folder / name for name in FOLDERS):
        replaceable = path.is_dir() and not (path.is_symlink() and path.name in REPLACED)
        if os.path.lexists(path) and not replaceable:
            raise UserError(f"{path} has to be a folder, or absent: move it away")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turns the system's errors into UserErrors that say that `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Replaces a file's content; a full disk leaves the old content."""
    fresh = path.with_name(f".{path.name}")
    with writing(path):
        fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
        fresh.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` for people to read."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def append_record(path: Path, value: Mapping[str, Any]) -> None:
    """Adds a line to one of RECORDS."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


def read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of one of RECORDS. A missing file is empty; a last line that a crash cut off is left out.

    Raises UserError for any other line that is no record.
    """
    try:
        *lines, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    return [_record(path, number, line) for number, line in enumerate(lines, 1)]


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not value.keys() >= RECORDS[path.name] or type(value["step"]) is not int:
        raise UserError(f"{path}, line {number}, is not a record of a run: mend or remove the line")
    return value
