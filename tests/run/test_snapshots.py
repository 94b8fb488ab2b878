"""A killed and resumed run reaches exactly the state of an uninterrupted one, and no snapshot is lost."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from grpo.cli.main import main
from grpo.parallel import actor
from grpo.run import snapshots
from grpo.trainer import Trainer
from tests.support import bandit
from tests.support.tiers import FULL

FORK = get_context("fork")
"""A forked process has imported everything already. Tests compute on one thread, so that they can be forked.

A spawned one, as in the full tier, has another hash seed.
"""
STEPS: dict[str, Any] = {
    **bandit.RUN, "steps": 7, "save_every": 2, "eval_tasks": 3, "eval_every": 3, "passes": 2, "schedule": "linear",
    "kl": "k3", "kl_coef": 0.05,
}  # fmt: skip
FSYNCS = 6
"""Calls for one snapshot: weights, their index, run.json, the checksums, and two folders."""
MOMENTS = {
    "in a rollout": (actor, "roll_out", 6),
    "between two passes over the same rollouts": (Trainer, "optimizer_step", 10),
    "while a snapshot is written": (os, "fsync", FSYNCS + 2),
    "before the first snapshot": (actor, "roll_out", 3),
}
"""The function in whose n-th call the process is killed. The evaluation before training is two rollouts."""


def flags(policy: Path, out: Path, **options: Any) -> list[str]:
    settings = {"model": policy, "out": out, **STEPS, **options}
    return ["train", *(text for name, value in settings.items() for text in (f"--{name}", str(value)))]


@pytest.fixture(scope="module")
def uninterrupted(bandit_policy, tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(flags(bandit_policy, out)) == 0
    return out


def lines(run: Path, name: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (run / name).read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in one.items() if key not in ("timing", "memory", "policy")} for one in records]


def assert_same(run: Path, uninterrupted: Path) -> None:
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        assert lines(run, name) == lines(uninterrupted, name)
    weights = [load_file(one / "final" / "model.safetensors") for one in (run, uninterrupted)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    tables = [json.loads((one / "table.json").read_text(encoding="utf-8")) for one in (run, uninterrupted)]
    assert tables[0]["before"]["scenarios"] == tables[1]["before"]["scenarios"]
    assert tables[0]["after"]["scenarios"] == tables[1]["after"]["scenarios"]


def die_at(moment: str, arguments: list[str]) -> None:
    """Runs the command; the process kills itself at the moment."""
    torch.set_num_threads(1)
    owner, name, count = MOMENTS[moment]
    original, calls = getattr(owner, name), itertools.count(1)

    def counted(*values: Any, **named: Any) -> Any:
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*values, **named)

    setattr(owner, name, counted)
    main(arguments)


@pytest.mark.parametrize(
    "moment", [pytest.param(one, marks=pytest.mark.full) if one == "in a rollout" else one for one in MOMENTS]
)
def test_a_killed_run_resumes_bit_for_bit(moment, uninterrupted, bandit_policy, tmp_path):
    context = get_context("spawn") if FULL else FORK
    process = context.Process(target=die_at, args=(moment, flags(bandit_policy, tmp_path / "run")), daemon=True)
    process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    assert len(lines(tmp_path / "run", "metrics.jsonl")) < STEPS["steps"]
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert_same(tmp_path / "run", uninterrupted)


def rewind(run: Path, copy: Path) -> Path:
    """A copy of a finished run whose newest snapshot is that of step 4, without its results."""
    shutil.copytree(run, copy)
    for path in (copy / "snapshots" / "step-000006.snapshot", copy / "final", copy / "best"):
        shutil.rmtree(path, ignore_errors=True)
    (copy / "table.json").unlink()
    return copy


def test_half_a_line_and_later_lines_are_dropped(uninterrupted, tmp_path):
    run = rewind(uninterrupted, tmp_path / "run")
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 8, "rew')
    assert main(["train", "--resume", str(run)]) == 0
    assert_same(run, uninterrupted)


def test_only_the_newest_stay(uninterrupted):
    names = sorted(path.name for path in (uninterrupted / "snapshots").iterdir())
    assert names == ["step-000004.snapshot", "step-000006.snapshot"]


def weights_file(snapshot: Path) -> Path:
    """The largest of a snapshot's files."""
    return max(snapshot.iterdir(), key=lambda path: path.stat().st_size)


def flip_a_bit(snapshot: Path) -> None:
    path = weights_file(snapshot)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_off(snapshot: Path) -> None:
    path = weights_file(snapshot)
    path.write_bytes(path.read_bytes()[:-100])


def change_options(snapshot: Path) -> None:
    config = snapshot.parent.parent / "config.json"
    config.write_text(config.read_text().replace('"group_size": 4', '"group_size": 5'))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (flip_a_bit, "checksum"),
        (cut_off, "checksum"),
        (lambda snapshot: weights_file(snapshot).unlink(), "checksum"),
        (lambda snapshot: (snapshot / "SHA256SUMS").unlink(), "not a snapshot"),
        (change_options, "other options (group_size)"),
    ],
    ids=["a flipped bit", "a missing end", "a missing file", "another folder", "another run's options"],
)
def test_a_snapshot_that_cannot_be_resumed_is_refused_and_stays(spoil, reason, uninterrupted, tmp_path, capsys):
    run = shutil.copytree(uninterrupted, tmp_path / "run")
    spoil(run / "snapshots" / "step-000006.snapshot")
    assert_refused(run, reason, capsys)


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param(1, id="while the weights are written"),
        pytest.param(3, id="while the counts are written", marks=pytest.mark.full),
    ],
)
def test_a_full_disk_loses_no_snapshot(failing, uninterrupted, tmp_path, monkeypatch, capsys):
    run = rewind(uninterrupted, tmp_path / "run")
    calls: list[int] = []
    original = os.fsync

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(handle)

    monkeypatch.setattr(snapshots.os, "fsync", full)
    assert main(["train", "--resume", str(run)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert [path.name for path in (run / "snapshots").iterdir()] == ["step-000004.snapshot"]
    monkeypatch.undo()
    assert main(["train", "--resume", str(run)]) == 0
    assert_same(run, uninterrupted)


@pytest.mark.parametrize("save_every", [9, 0], ids=["ended before its first", "saves none"])
def test_a_run_without_a_snapshot_keeps_its_records(save_every, bandit_policy, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(flags(bandit_policy, run, eval_tasks=0, eval_every=0, steps=2, save_every=save_every)) == 0
    assert_refused(run, f"--model {run}/final", capsys)
    if save_every == 0:
        shutil.rmtree(run / "final")  # killed before its end
        assert_refused(run, f"start it anew with --config {run}/config.json", capsys)


def assert_refused(run: Path, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Resuming prints one line with the reason, and neither changes a file nor adds one beside the run's folder."""
    before = {path: path.read_bytes() for path in run.parent.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["train", "--resume", str(run)]) == 2
    message = capsys.readouterr().err
    assert reason in message and len(message.splitlines()) == 1
    assert before == {path: path.read_bytes() for path in run.parent.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (Path.unlink, [7]),
        (
            lambda path: path.write_text("garbage\n"),
            "metrics.jsonl, line 1, is not a record of a run: mend or remove the line",
        ),
    ],
    ids=["missing", "garbage"],
)
def test_records_that_are_missing_or_garbage(spoil, expected, uninterrupted, tmp_path, capsys):
    run = shutil.copytree(uninterrupted, tmp_path / "run")
    spoil(run / "metrics.jsonl")
    (run / "evaluations.jsonl").unlink()
    status = main(["train", "--resume", str(run)])
    if isinstance(expected, str):
        message = capsys.readouterr().err
        assert status == 2 and expected in message and message.count("\n") == 1
    else:
        assert status == 0 and [one["step"] for one in lines(run, "metrics.jsonl")] == expected
        assert "lacks the evaluations before training" in capsys.readouterr().out


def test_bad_arguments_are_one_line(tmp_path, capsys):
    for arguments, reason in (([str(tmp_path)], "no config.json"), ([str(tmp_path), "--steps", "3"], "nothing else")):
        assert main(["train", "--resume", *arguments]) == 2
        message = capsys.readouterr().err
        assert reason in message and len(message.splitlines()) == 1


def train_into(pipe: int, arguments: list[str]) -> None:
    """Runs the command with its output in a pipe."""
    with open(pipe, "w", buffering=1, encoding="utf-8") as sys.stdout:
        sys.exit(main(arguments))


def test_sigterm_saves_and_prints_the_next_commands(bandit_policy, tmp_path):
    arguments = flags(bandit_policy, tmp_path / "run", steps=100_000, eval_tasks=0, eval_every=0)
    reading, writing = os.pipe()
    process = FORK.Process(target=train_into, args=(writing, arguments), daemon=True)
    process.start()
    os.close(writing)
    output = ""
    with open(reading, encoding="utf-8") as lines_of_output:
        for line in lines_of_output:
            output += line
            if line.startswith("step 3/"):
                process.terminate()
    process.join(60)
    assert process.exitcode == 130
    assert f"grpo train --resume {tmp_path / 'run'}" in output
    assert (tmp_path / "run" / "final" / "model.safetensors").exists()
