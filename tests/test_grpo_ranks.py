"""Several processes do what one does, whoever starts them."""

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

from grpo.ranks import Ranks
from tests.support import bandit

ROOT = Path(__file__).parent.parent
OWN_GROUP: dict[str, Any] = {"start_new_session": True}
"""As a shell starts a command: Ctrl-C reaches every process of the group."""
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "a rank without a group": {"prompts_per_step": 1},
    "scored before the update": {"kl": "k3", "kl_coef": 0.1, "minibatches": 2, "passes": 2},
    "a KL in the reward": {"kl": "k1_reward", "kl_coef": 0.1, "dynamic_sampling": 1},
}


def command(policy: Path | str, out: Path, launcher: list[str], **options: Any) -> tuple[list[str], dict[str, Any]]:
    """Arguments for `subprocess`, by place and by name, that train the bandit's policy."""
    settings = {"model": policy, "out": out, **bandit.RUN, **options}
    flags = [text for name, value in settings.items() if value is not None for text in (f"--{name}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return [sys.executable, *launcher, "-m", "grpo", "train", *flags], {"env": environment, "text": True}


def torchrun(processes: int) -> list[str]:
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]


def train(policy: Path | str, out: Path, launcher: list[str], **options: Any) -> tuple[list[dict], dict[str, Any], str]:
    """The metrics, the final weights and what was printed."""
    arguments, settings = command(policy, out, launcher, **options)
    done = subprocess.run(arguments, **settings, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return metrics, load_file(out / "final" / "model.safetensors"), done.stdout


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_learns(bandit_policy, tmp_path, case):
    alone, weights, _ = train(bandit_policy, tmp_path / "one", [], **CASES[case])
    started: dict[str, Any] = {"launcher": torchrun(2)} if case == "defaults" else {"launcher": [], "processes": 2}
    together, same_weights, _ = train(bandit_policy, tmp_path / "two", **started, **CASES[case])
    assert any(step["trained_tokens"] for step in alone)
    for one, two in zip(alone, together, strict=True):
        for exact in ("scenarios", "sampled_tokens", "trained_tokens", "optimizer_steps", "stop_reasons"):
            assert one[exact] == two[exact]
        assert one.keys() == two.keys()
        for name in one.keys() & {"loss", "grad_norm", "entropy", "kl_old", "kl_reference", "ratio_max"}:
            assert one[name] == pytest.approx(two[name], rel=1e-4, abs=1e-6)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, same_weights[name], rtol=1e-3, atol=1e-4)


def test_twenty_steps_of_the_embedded_policy_agree(tmp_path):
    """Sharded over two processes as in one: losses and gradient norms to 1e-4."""
    options = {
        "model": "tiny", "env": None, "scenarios": "issue-read", "steps": 20, "prompts_per_step": 1, "group_size": 4,
        "max_turns": 2, "max_turn_tokens": 80, "max_episode_tokens": 300, "eval_tasks": 0, "learning_rate": 1e-4,
    }  # fmt: skip
    alone, *_ = train("tiny", tmp_path / "one", [], **options)
    together, *_ = train("tiny", tmp_path / "two", torchrun(2), **options)
    assert sum(step["optimizer_steps"] for step in alone) >= 10
    for one, two in zip(alone, together, strict=True):
        assert one["sampled_tokens"] == two["sampled_tokens"]
        for name in one.keys() & {"loss", "grad_norm"}:
            assert one[name] == pytest.approx(two[name], rel=1e-4, abs=1e-6)


def test_a_sharded_run_goes_on_with_another_number_of_ranks(bandit_policy, tmp_path):
    steps: dict[str, Any] = {"steps": 6, "save_every": 2, "eval_tasks": 0}
    whole, weights, _ = train(bandit_policy, tmp_path / "whole", [], **steps)
    train(bandit_policy, tmp_path / "run", torchrun(2), **{**steps, "steps": 6})
    snapshots = sorted((tmp_path / "run" / "snapshots").iterdir())
    assert [path.name for path in snapshots] == ["step-000004.snapshot", "step-000006.snapshot"]
    snapshots[-1].unlink()
    for launcher in ([], torchrun(3)):
        folder = tmp_path / str(len(launcher))
        shutil.copytree(tmp_path / "run", folder)
        arguments, settings = command(bandit_policy, folder, launcher)
        arguments = [*arguments[: arguments.index("train") + 1], "--resume", str(folder)]
        done = subprocess.run(arguments, **settings, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [step["grad_norm"] for step in metrics] == pytest.approx([s["grad_norm"] for s in whole], rel=1e-3)
        for name, weight in load_file(folder / "final" / "model.safetensors").items():
            torch.testing.assert_close(weight, weights[name], rtol=1e-3, atol=1e-4)


def test_a_sharded_run_that_is_stopped_saves_with_all_its_ranks(bandit_policy, tmp_path):
    options: dict[str, Any] = {"steps": 100_000, "eval_tasks": 0}
    arguments, settings = command(bandit_policy, tmp_path / "run", torchrun(2), **options)
    with subprocess.Popen(
        arguments, **settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **OWN_GROUP
    ) as process:
        seen = ""
        for line in process.stdout or ():
            seen += line
            if line.startswith("step 3/"):
                os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) != 0
        assert seen.count("Interrupted after") == 1
    assert (tmp_path / "run" / "final" / "model.safetensors").exists()


def test_only_the_first_process_prints(bandit_policy, tmp_path):
    *_, alone = train(bandit_policy, tmp_path / "run", [])
    *_, together = train(bandit_policy, tmp_path / "run", [], processes=3)
    steps = [line.partition(":")[0] for line in alone.splitlines()]
    assert steps.count("step 1/3") == 1
    assert [line.partition(":")[0] for line in together.splitlines()] == steps


def test_bad_input_is_one_line(bandit_policy, tmp_path):
    arguments, settings = command(tmp_path / "nowhere", tmp_path / "run", [], processes=2)
    done = subprocess.run(arguments, **settings, capture_output=True, timeout=300)
    assert done.returncode == 2
    assert "nowhere" in done.stderr and len(done.stderr.splitlines()) == 1


def test_interrupt_saves_once_and_says_how_to_go_on(bandit_policy, tmp_path):
    arguments, settings = command(bandit_policy, tmp_path / "run", [], processes=2, steps=100_000, eval_tasks=0)
    with subprocess.Popen(
        arguments, **settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **OWN_GROUP
    ) as process:
        seen = ""
        for line in process.stdout or ():
            seen += line
            if line.startswith("step 3/"):
                os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
        assert seen.count("Interrupted after") == 1 and "Train on from it:" in seen
    assert (tmp_path / "run" / "final" / "model.safetensors").exists()


def test_work_is_dealt_in_turn():
    items = list(range(8))
    assert [Ranks(rank, 3).own(items) for rank in range(3)] == [[0, 3, 6], [1, 4, 7], [2, 5]]
