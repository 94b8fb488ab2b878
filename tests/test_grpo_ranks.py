"""Several processes do what one does, whoever starts them."""

import json
import os
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


def command(policy: Path, out: Path, launcher: list[str], **options: Any) -> tuple[list[str], dict[str, Any]]:
    """Arguments for `subprocess`, by place and by name, that train the bandit's policy."""
    settings = {"model": policy, "out": out, **bandit.RUN, **options}
    flags = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return [sys.executable, *launcher, "-m", "grpo", "train", *flags], {"env": environment, "text": True}


def torchrun(processes: int) -> list[str]:
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]


def train(policy: Path, out: Path, launcher: list[str], **options: Any) -> tuple[list[dict], dict[str, Any], str]:
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


def test_work_is_dealt_in_turn_and_comes_back_in_order(monkeypatch):
    ranks = [Ranks(rank, 3) for rank in range(3)]
    items = list(range(8))
    assert [rank.own(items) for rank in ranks] == [[0, 3, 6], [1, 4, 7], [2, 5]]
    monkeypatch.setattr(
        Ranks, "together", lambda self, value: [[item * 10 for item in one.own(items)] for one in ranks]
    )
    assert ranks[1].dealt(items, lambda item: item * 10) == [item * 10 for item in items]
