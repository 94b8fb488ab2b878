"""Several processes under `torchrun` do what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from grpo.checkpoint import Checkpoint, save
from grpo.ranks import Ranks
from tests.support import bandit

ROOT = Path(__file__).parent.parent
SIZES: dict[str, Any] = {
    "env": "tests.support.bandit:scenario", "steps": 3, "prompts_per_step": 3, "group_size": 4, "eval_tasks": 6,
    "max_turns": 1, "max_turn_tokens": 4, "max_episode_tokens": 8, "learning_rate": 0.01,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "a rank without a group": {"prompts_per_step": 1},
    "scored before the update": {"kl": "k3", "kl_coef": 0.1, "minibatches": 2, "passes": 2},
    "a KL in the reward": {"kl": "k1_reward", "kl_coef": 0.1, "dynamic_sampling": 1},
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("policy") / "bandit"
    model, chat = bandit.policy()
    save(Checkpoint(model, chat.tokenizer), folder)
    return folder


def train(policy: Path, out: Path, processes: int, **options: Any) -> tuple[list[dict], dict[str, torch.Tensor], str]:
    """The metrics, the final weights and what was printed."""
    settings = {"model": policy, "out": out, **SIZES, **options}
    flags = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "grpo", "train", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return metrics, load_file(out / "final" / "model.safetensors"), done.stdout


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_learns(policy, tmp_path, case):
    alone, weights, _ = train(policy, tmp_path / "one", 1, **CASES[case])
    together, same_weights, _ = train(policy, tmp_path / "two", 2, **CASES[case])
    assert any(step["trained_tokens"] for step in alone)
    for one, two in zip(alone, together, strict=True):
        for exact in ("scenarios", "sampled_tokens", "trained_tokens", "optimizer_steps", "stop_reasons"):
            assert one[exact] == two[exact]
        assert one.keys() == two.keys()
        for name in one.keys() & {"loss", "grad_norm", "entropy", "kl_old", "kl_reference", "ratio_max"}:
            assert one[name] == pytest.approx(two[name], rel=1e-4, abs=1e-6)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, same_weights[name], rtol=1e-3, atol=1e-4)


def test_only_the_first_process_prints(policy, tmp_path):
    *_, alone = train(policy, tmp_path / "run", 1)
    *_, together = train(policy, tmp_path / "run", 3)
    steps = [line.partition(":")[0] for line in alone.splitlines()]
    assert steps.count("step 1/3") == 1
    assert [line.partition(":")[0] for line in together.splitlines()] == steps


def test_work_is_dealt_in_turn_and_comes_back_in_order(monkeypatch):
    ranks = [Ranks(rank, 3) for rank in range(3)]
    items = list(range(8))
    assert [rank.own(items) for rank in ranks] == [[0, 3, 6], [1, 4, 7], [2, 5]]
    monkeypatch.setattr(
        Ranks, "together", lambda self, value: [[item * 10 for item in one.own(items)] for one in ranks]
    )
    assert ranks[1].dealt(items, lambda item: item * 10) == [item * 10 for item in items]
