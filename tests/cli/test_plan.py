"""What `grpo plan` counts follows the options and the model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from grpo.cli.main import main
from grpo.config import Options
from grpo.models.checkpoint import Checkpoint, save
from grpo.run.memory import plan
from tests.support import bandit

SETTINGS: dict[str, Any] = {
    "env": "tests.support.bandit:scenario", "steps": 2, "prompts_per_step": 2, "group_size": 8, "rows": 16,
    "max_turns": 1, "max_turn_tokens": 128, "max_episode_tokens": 128, "token_budget": 1024, "eval_tasks": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """A random model of 30 million parameters, large enough for its weights to outweigh everything else."""
    folder = tmp_path_factory.mktemp("models") / "medium"
    tokenizer = bandit.tokenizer()
    config = Qwen3Config(
        vocab_size=8192, hidden_size=512, intermediate_size=1536, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=4, head_dim=64, max_position_embeddings=1024, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    save(Checkpoint(Qwen3ForCausalLM(config), tokenizer), folder)
    return str(folder)


def test_parts_follow_the_options(model):
    base = Options(**SETTINGS, model=model)
    whole = plan(base, 0)
    weights = 4 * sum(weight.numel() for weight in Qwen3ForCausalLM.from_pretrained(model).parameters())
    assert whole.weights == whole.gradients == weights and whole.optimizer == 2 * weights and whole.rollout_model == 0
    eight = plan(base, 8)
    assert eight.weights == weights // 8 and eight.rollout_model == weights // 2, "rollouts have a bf16 copy"
    assert plan(replace(base, shard="hybrid"), 8, node=4).weights == weights // 4
    assert plan(replace(base, optimizer_states="bf16"), 0).optimizer == weights
    assert plan(replace(base, gradient_checkpointing=True), 0).activations < 0.6 * whole.activations
    adapted = plan(replace(base, lora_rank=8), 1)
    assert adapted.weights < 0.6 * weights and adapted.optimizer < 0.1 * weights and adapted.rollout_model == 0
    assert plan(replace(base, rows=8), 0).cache < whole.cache


RUN = """
import json, sys
from pathlib import Path

import torch
import grpo
import grpo.run.training
from grpo.bench.measure import resident

torch.set_num_threads(1)
options = grpo.Options(**json.loads(sys.argv[1]))
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
scenarios = grpo.load_scenarios(options.scenarios, options.env)
checkpoint = grpo.load(options.model)
actor = grpo.Actor.prepare(checkpoint, scenarios, options.limits, options.rows)
policy = grpo.TrainingPolicy(checkpoint.model, options)
trainer = grpo.Trainer(policy, grpo.adamw(policy, options), actor.play, list(scenarios), options)
for _ in range(options.steps):
    trainer.step()
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from Linux")
@pytest.mark.full
@pytest.mark.parametrize(
    "changes", [{"kl": "k3", "kl_coef": 0.1}, {"gradient_checkpointing": True}, {"lora_rank": 8}, {"token_budget": 512}]
)
def test_a_run_takes_what_was_planned(model, changes):
    """Resident memory of a process above that after its imports, at the highest of two steps."""
    settings = {**SETTINGS, "model": model, "prompts_per_step": 1, "entropy_coef": 0.01, **changes}
    command = [sys.executable, "-c", RUN, json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(plan(Options(**settings), 0).peak, rel=0.15)


def test_the_command_says_whether_it_fits_and_what_to_change(model, capsys):
    flags = [text for name, value in {**SETTINGS, "model": model}.items() for text in (f"--{name}", str(value))]
    assert main(["plan", "--gpus", "1", *flags]) == 0
    assert "fits into 80 GB" in capsys.readouterr().out
    assert main(["plan", "--gpus", "1", "--gpu_gb", "0.3", *flags]) == 1
    assert "does not fit into 0.3 GB: give --gradient_checkpointing true" in capsys.readouterr().out
    assert main(["plan", "--gpus", "1", "--gpu_gb", "0.3", *flags, "--gradient_checkpointing", "true"]) == 1
    assert "does not fit into 0.3 GB: take more GPUs, --optimizer_states bf16" in capsys.readouterr().out


def test_help_is_the_commands_own(capsys):
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    shown = capsys.readouterr().out
    assert shown.startswith("usage: grpo plan") and "--token_budget" in shown
    assert all(f"--{name} " in shown for name in ("gpus", "gpu_gb", "gpus_per_node"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--model nowhere", "there is no model in nowhere"),
        ("--max_episode_tokens 100000", "the model's context of 1024; lower max_episode_tokens"),
        ("--gpus x", "--gpus: 'x' is not a non-negative integer"),
        ("--gpus_per_node 0", "at least 1"),
        ("--gpu_gb -1", "'-1' is not a number above 0"),
        ("--gpu_gb nan", "'nan' is not a number above 0"),
        ("--gpu_gb inf", "'inf' is not a number above 0"),
        ("--gpu_bg 80", "did you mean gpu_gb"),
        ("80", "unexpected argument '80'"),
    ],
)
def test_what_cannot_be_planned_is_one_line(model, capsys, flags, message):
    bandits = ["--env", SETTINGS["env"], "--model", model]
    assert main(["plan", *bandits, *flags.split()]) == 2
    _, err = capsys.readouterr()
    assert message in err and err.startswith("grpo plan: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("gone", "kind", "message"),
    [
        ("chat_template.jinja", "qwen3", "this model's chat template cannot be used"),
        ("model.safetensors", "vit", "cannot be planned for"),
    ],
)
def test_a_model_that_train_would_refuse_is_refused(model, tmp_path, capsys, gone, kind, message):
    folder = Path(shutil.copytree(model, tmp_path / "copy"))
    (folder / gone).unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": kind}))
    limits = ["--max_turn_tokens", "8", "--max_episode_tokens", "8"]
    assert main(["plan", "--env", SETTINGS["env"], *limits, "--model", str(folder)]) == 2
    _, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1
