"""A run that was killed goes on to exactly what it would have reached, and no snapshot is lost on the way."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from grpo.cli.main import main
from grpo.run import snapshots
from tests.support import bandit

ROOT = Path(__file__).parents[2]
STEPS: dict[str, Any] = {
    **bandit.RUN, "steps": 7, "save_every": 2, "eval_tasks": 3, "eval_every": 3, "passes": 2, "schedule": "linear",
    "kl": "k3", "kl_coef": 0.05,
}  # fmt: skip
FSYNCS = 6
"""Of one snapshot: weights, their index, run.json, the checksums, and two folders."""
KILL = "__import__('os').kill(__import__('os').getpid(), 9)"
MOMENTS = {
    "in a rollout": ("grpo.parallel.actor", "rollout", 6),
    "between two passes over the same rollouts": ("grpo.trainer.Trainer", "optimizer_step", 10),
    "while a snapshot is written": ("os", "fsync", FSYNCS + 2),
    "before the first snapshot": ("grpo.parallel.actor", "rollout", 3),
}
"""What is called for the n-th time when the process is killed. The evaluation before training is two rollouts."""


def flags(policy: Path, out: Path, **options: Any) -> list[str]:
    settings = {"model": policy, "out": out, **STEPS, **options}
    return ["train", *(text for name, value in settings.items() for text in (f"--{name}", str(value)))]


@pytest.fixture(scope="module")
def whole(bandit_policy, tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(flags(bandit_policy, out)) == 0
    return out


def lines(run: Path, name: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / name).read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in one.items() if key not in ("timing", "memory", "policy")} for one in found]


def assert_same(run: Path, whole: Path) -> None:
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        assert lines(run, name) == lines(whole, name)
    weights = [load_file(one / "final" / "model.safetensors") for one in (run, whole)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    tables = [json.loads((one / "table.json").read_text(encoding="utf-8")) for one in (run, whole)]
    assert tables[0]["before"]["scenarios"] == tables[1]["before"]["scenarios"]
    assert tables[0]["after"]["scenarios"] == tables[1]["after"]["scenarios"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_goes_on_bit_for_bit(moment, whole, bandit_policy, tmp_path):
    place, name, count = MOMENTS[moment]
    script = f"""
import importlib, sys
path = {place!r}
try:
    owner = importlib.import_module(path)
except ModuleNotFoundError:
    owner = getattr(importlib.import_module(path.rpartition(".")[0]), path.rpartition(".")[2])
import grpo.run.training
original, calls = getattr(owner, {name!r}), []
def counted(*given, **named):
    calls.append(1)
    if len(calls) == {count}:
        {KILL}
    return original(*given, **named)
setattr(owner, {name!r}, counted)
from grpo.cli.main import main
main(sys.argv[1:])
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *flags(bandit_policy, tmp_path / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert len(lines(tmp_path / "run", "metrics.jsonl")) < STEPS["steps"]
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert_same(tmp_path / "run", whole)


def test_half_a_line_and_later_lines_are_dropped(whole, bandit_policy, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(flags(bandit_policy, run)) == 0
    shutil.rmtree(run / "snapshots" / "step-000006.snapshot")
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 8, "rew')
    assert main(["train", "--resume", str(run)]) == 0
    assert_same(run, whole)


def test_only_the_newest_are_kept(whole, bandit_policy, tmp_path):
    names = sorted(path.name for path in (whole / "snapshots").iterdir())
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
def test_what_cannot_be_gone_on_from_is_refused_and_kept(spoil, reason, whole, tmp_path, capsys):
    run = shutil.copytree(whole, tmp_path / "run")
    spoil(run / "snapshots" / "step-000006.snapshot")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["train", "--resume", str(run)]) == 2
    message = capsys.readouterr().err
    assert reason in message and len(message.splitlines()) == 1
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("failing", [1, 3], ids=["while the weights are written", "while the counts are written"])
def test_a_full_disk_loses_no_snapshot(failing, whole, bandit_policy, tmp_path, monkeypatch, capsys):
    calls: list[int] = []
    original = os.fsync

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == FSYNCS + failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(handle)

    monkeypatch.setattr(snapshots.os, "fsync", full)
    assert main(flags(bandit_policy, tmp_path / "run")) == 2
    assert "No space left" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run" / "snapshots").iterdir()] == ["step-000002.snapshot"]
    monkeypatch.undo()
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize(
    ("options", "kept", "remedy"),
    [
        ({"save_every": 9}, True, "--model {}/final"),
        ({"save_every": 0}, True, "--model {}/final"),
        ({"save_every": 0}, False, "start it anew with --config {}/config.json"),
    ],
    ids=["ended before its first", "finished", "killed"],
)
def test_a_run_without_a_snapshot_keeps_its_records(options, kept, remedy, bandit_policy, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(flags(bandit_policy, run, eval_tasks=0, eval_every=0, steps=2, **options)) == 0
    if not kept:
        shutil.rmtree(run / "final")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["train", "--resume", str(run)]) == 2
    message = capsys.readouterr().err
    assert remedy.format(run) in message and message.count("\n") == 1
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (Path.unlink, [7]),
        (lambda path: path.write_text("garbage\n"), "metrics.jsonl, line 1, is not what a run writes"),
    ],
    ids=["missing", "garbage"],
)
def test_records_that_are_gone_or_garbage(spoil, expected, whole, tmp_path, capsys):
    run = shutil.copytree(whole, tmp_path / "run")
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


def test_sigterm_saves_and_says_how_to_go_on(bandit_policy, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    arguments = flags(bandit_policy, tmp_path / "run", steps=100_000, eval_tasks=0, eval_every=0)
    command = [sys.executable, "-m", "grpo", *arguments]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        seen = ""
        for line in process.stdout or ():
            seen += line
            if line.startswith("step 3/"):
                process.terminate()
        assert process.wait(60) == 130
    assert f"grpo train --resume {tmp_path / 'run'}" in seen
    assert (tmp_path / "run" / "final" / "model.safetensors").exists()
