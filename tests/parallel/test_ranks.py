"""Several processes learn the same as one, whoever starts them."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from grpo.cli.main import main
from grpo.parallel import launch
from grpo.parallel.ranks import Ranks
from tests.support import bandit

ROOT = Path(__file__).parents[2]
OWN_GROUP: dict[str, Any] = {"start_new_session": True}
"""As a shell starts a command: Ctrl-C reaches every process of the group."""
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "a rank without a group": {"prompts_per_step": 1},
    "scored before the update": {"kl": "k3", "kl_coef": 0.1, "minibatches": 2, "passes": 2},
    "a KL in the reward": {"kl": "k1_reward", "kl_coef": 0.1, "dynamic_sampling": 1},
}


def command(launcher: list[str], **options: Any) -> tuple[list[str], dict[str, Any]]:
    """Positional and named arguments for `subprocess` that run `grpo train`."""
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return [sys.executable, *launcher, "-m", "grpo", "train", *flags], {"env": environment, "text": True}


def torchrun(processes: int) -> list[str]:
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]


def train(run: Path, launcher: list[str], **options: Any) -> tuple[list[dict], dict[str, Any], str]:
    """The metrics and final weights under `run`, and the printed text. A single process is this one."""
    arguments, settings = command(launcher, **options)
    if launcher or "processes" in options:
        done = subprocess.run(arguments, **settings, capture_output=True, timeout=300)
        assert done.returncode == 0 and "leaked" not in done.stderr, done.stderr[-3000:]
        printed = done.stdout
    else:
        with redirect_stdout(io.StringIO()) as stream:
            assert main(arguments[arguments.index("train") :]) == 0
        printed = stream.getvalue()
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return metrics, load_file(run / "final" / "model.safetensors"), printed


def interrupted(launcher: list[str], **options: Any) -> tuple[str, int]:
    """The printed text and exit status of a run that gets Ctrl-C in its third step."""
    arguments, settings = command(launcher, **options)
    with subprocess.Popen(
        arguments, **settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **OWN_GROUP
    ) as process:
        output = ""
        for line in process.stdout or ():
            output += line
            if line.startswith("step 3/"):
                os.killpg(process.pid, signal.SIGINT)
        return output, process.wait(60)


def bandit_run(policy: Path, out: Path, **options: Any) -> dict[str, Any]:
    return {"model": policy, "out": out, **bandit.RUN, **options}


@pytest.mark.parametrize("case", ["defaults", *(pytest.param(case, marks=pytest.mark.full) for case in [*CASES][1:])])
def test_two_processes_learn_what_one_learns(bandit_policy, tmp_path, case):
    one, two = tmp_path / "one", tmp_path / "two"
    alone, weights, printed = train(one, [], **bandit_run(bandit_policy, one, **CASES[case]))
    started: dict[str, Any] = {"launcher": torchrun(2)} if case == "defaults" else {"launcher": [], "processes": 2}
    together, same_weights, same_printed = train(two, **started, **bandit_run(bandit_policy, two, **CASES[case]))
    assert any(step["trained_tokens"] for step in alone)
    # Only the first process prints.
    lines = [line.partition(":")[0] for line in printed.replace(str(one), "RUN").splitlines()]
    assert lines.count("step 1/3") == 1
    assert [line.partition(":")[0] for line in same_printed.replace(str(two), "RUN").splitlines()] == lines
    for expected, step in zip(alone, together, strict=True):
        for exact in ("scenarios", "sampled_tokens", "trained_tokens", "optimizer_steps", "stop_reasons"):
            assert step[exact] == expected[exact]
        assert step.keys() == expected.keys()
        for name in step.keys() & {"loss", "grad_norm", "entropy", "kl_old", "kl_reference", "ratio_max"}:
            assert step[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, same_weights[name], rtol=1e-3, atol=1e-4)


@pytest.mark.full
def test_twenty_steps_of_the_embedded_policy_agree(tmp_path):
    """Sharded over two processes as in one: losses and gradient norms to 1e-4."""
    options = {
        "model": "tiny", "scenarios": "issue-read", "steps": 20, "prompts_per_step": 1, "group_size": 4,
        "temperature": 1.5, "max_turns": 2, "max_turn_tokens": 80, "max_episode_tokens": 300, "eval_tasks": 0,
        "learning_rate": 1e-4,
    }  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    alone, *_ = train(one, [], out=one, **options)
    together, *_ = train(two, torchrun(2), out=two, **options)
    assert sum(step["optimizer_steps"] for step in alone) >= 10
    for expected, step in zip(alone, together, strict=True):
        assert step["sampled_tokens"] == expected["sampled_tokens"]
        for name in step.keys() & {"loss", "grad_norm"}:
            assert step[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6)


@pytest.mark.full
def test_a_sharded_run_continues_with_another_number_of_ranks(bandit_policy, tmp_path):
    steps: dict[str, Any] = {"steps": 6, "save_every": 2, "eval_tasks": 0}
    run = tmp_path / "run"
    whole, weights, _ = train(tmp_path / "whole", [], **bandit_run(bandit_policy, tmp_path / "whole", **steps))
    train(run, torchrun(2), **bandit_run(bandit_policy, run, **steps))
    snapshots = sorted((run / "snapshots").iterdir())
    assert [path.name for path in snapshots] == ["step-000004.snapshot", "step-000006.snapshot"]
    shutil.rmtree(snapshots[-1])
    for launcher in ([], torchrun(3)):
        folder = tmp_path / str(len(launcher))
        shutil.copytree(run, folder)
        metrics, same_weights, _ = train(folder, launcher, resume=folder)
        assert [step["grad_norm"] for step in metrics] == pytest.approx([s["grad_norm"] for s in whole], rel=1e-3)
        for name, weight in weights.items():
            torch.testing.assert_close(same_weights[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.full
def test_a_sharded_run_that_is_stopped_saves_with_all_its_ranks(bandit_policy, tmp_path):
    run = tmp_path / "run"
    output, status = interrupted(torchrun(2), **bandit_run(bandit_policy, run, steps=100_000, eval_tasks=0))
    assert status != 0
    assert output.count("Interrupted after") == 1
    assert (run / "final" / "model.safetensors").exists()


@pytest.mark.full
def test_bad_input_is_one_line(tmp_path, capfd):
    arguments, _ = command([], **bandit_run(tmp_path / "nowhere", tmp_path / "run", processes=2))
    assert main(arguments[arguments.index("train") :]) == 2
    message = capfd.readouterr().err
    assert "nowhere" in message and len(message.splitlines()) == 1


@pytest.mark.full
def test_interrupt_saves_once_and_prints_how_to_continue(bandit_policy, tmp_path):
    run = tmp_path / "run"
    output, status = interrupted([], **bandit_run(bandit_policy, run, processes=2, steps=100_000, eval_tasks=0))
    assert status == 130
    assert output.count("Interrupted after") == 1 and "Train on from it:" in output
    assert (run / "final" / "model.safetensors").exists()


def test_work_is_shared_in_turn():
    items = list(range(8))
    assert [Ranks(rank, 3).share(items) for rank in range(3)] == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_processes_on_the_cpu_leave_the_gpu_alone(monkeypatch):
    devices = []

    def work(ranks: Ranks) -> int:
        devices.append(ranks.device.type)
        return 0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(launch.dist, "init_process_group", lambda *arguments, **options: None)
    monkeypatch.setattr(launch, "leave", lambda *arguments: None)
    launch._enter(0, 2, "", SimpleQueue(), False, work, ())
    assert (devices, Ranks().device.type) == (["cpu"], "cuda")
