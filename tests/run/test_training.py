"""A complete run on the bandit environment: its files, its repeatability, and its end after an interruption."""

import errno
import json
import os
import shlex
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig

import grpo.cli.train
import grpo.run.training
from grpo.cli.arguments import parse
from grpo.cli.main import main
from grpo.config import Options
from grpo.errors import UserError
from grpo.models.checkpoint import load, save
from grpo.parallel.actor import PROBED_TASKS, context_length
from grpo.run import report, snapshots
from grpo.run.evaluation import Evaluation
from grpo.run.report import Report, progress
from grpo.trainer import Trainer
from tests.support import bandit

EVALUATION: Evaluation = {"policy": "p", "split": "heldout", "seed": 0, "scenarios": {}}


def train(policy: Path, out: Path, **options) -> int:
    settings = {"model": policy, "out": out, **bandit.RUN, **options}
    return main(["train", *(text for name, value in settings.items() for text in (f"--{name}", str(value)))])


@pytest.fixture(scope="module")
def run(bandit_policy, tmp_path_factory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("runs") / "first"
    assert train(bandit_policy, out, eval_every=2, save_episodes=1) == 0
    return out


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def repeatable(run: Path) -> list[dict]:
    """A run's metrics without those of the machine."""
    return [{k: v for k, v in step.items() if k not in ("timing", "memory")} for step in lines(run / "metrics.jsonl")]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "final" / "model.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_run_writes_a_line_per_step_and_its_configuration(run, bandit_policy):
    metrics = lines(run / "metrics.jsonl")
    assert [step["step"] for step in metrics] == [1, 2, 3]
    assert all(step["timing"]["step_tokens_per_second"] > 0 and step["memory"]["peak_mb"] > 0 for step in metrics)
    options = parse(["--config", str(run / "config.json")])
    assert (options.model, options.steps, options.learning_rate) == (str(bandit_policy), 3, 0.01)


def test_the_best_weights_are_saved_during_the_run(run, bandit_policy, tmp_path):
    """The best are those of an evaluation with a higher mean than all before it."""
    means = {
        one["step"]: one["scenarios"]["echo"]["reward_mean"]
        for one in lines(run / "evaluations.jsonl")
        if one["decoding"] == "sampled"
    }
    assert (run / "best" / "model.safetensors").exists() == (means[2] > means[0])
    with Report(Options(out=str(tmp_path))) as report:
        for step, mean, best in ((0, 0.5, True), (2, 0.4, False), (4, 0.6, True), (6, 0.6, False)):
            scenarios = {"one": {"reward_mean": mean}}
            report.evaluation(step, "sampled", {**EVALUATION, "scenarios": scenarios}, [])
            report.evaluation(step, "greedy", {**EVALUATION, "scenarios": {"one": {"reward_mean": 0.9}}}, [])
            assert report.is_best(step) == best


def test_table_holds_evaluations_before_and_after(run, bandit_policy):
    table = json.loads((run / "table.json").read_text(encoding="utf-8"))
    assert list(table) == ["before", "after", "greedy"]
    for evaluation in (table["before"], table["after"], *table["greedy"].values()):
        assert list(evaluation) == ["policy", "split", "seed", "scenarios"]
        assert evaluation["split"] == "heldout" and evaluation["scenarios"]["echo"]["tasks"] == 6
    assert (table["before"]["policy"], table["after"]["policy"]) == (str(bandit_policy), str(run / "final"))
    means = [table[when]["scenarios"]["echo"]["reward_mean"] for when in ("before", "after")]
    assert f"{means[1] - means[0]:+.3f}" in (run / "table.md").read_text(encoding="utf-8")


def test_table_agrees_with_evaluate_on_the_saved_checkpoint(run, capsys):
    arguments = ["evaluate", "--policy", str(run / "final"), "--env", bandit.RUN["env"], "--tasks", "6", "--json"]
    limits = ["--max-turns", "1", "--max-turn-tokens", "4", "--max-episode-tokens", "8"]
    table = json.loads((run / "table.json").read_text(encoding="utf-8"))
    for expected, decoding in ((table["after"], []), (table["greedy"]["after"], ["--greedy"])):
        assert main([*arguments, *limits, *decoding]) == 0
        assert json.loads(capsys.readouterr().out) == expected


def test_evaluations_are_recorded_with_their_episodes(run):
    evaluations = [(one["step"], one["decoding"]) for one in lines(run / "evaluations.jsonl")]
    assert evaluations == [(0, "sampled"), (0, "greedy"), (2, "sampled"), (3, "sampled"), (3, "greedy")]
    stems = {f"step-{step:06d}-{decoding}" for step, decoding in evaluations}
    assert {path.stem for path in (run / "episodes").iterdir()} == stems
    (episode,) = json.loads((run / "episodes" / "step-000003-sampled.json").read_text(encoding="utf-8"))
    text = (run / "episodes" / "step-000003-sampled.txt").read_text(encoding="utf-8")
    assert episode["messages"][0]["content"] in text and f"reward {episode['score']['total']:.3f}" in text


def test_final_checkpoint_loads_with_the_library_alone(run, bandit_policy):
    model = AutoModelForCausalLM.from_pretrained(run / "final")
    assert equal({k: v for k, v in model.state_dict().items() if k in weights(run)}, weights(run))
    assert not equal(weights(run), load_file(bandit_policy / "model.safetensors"))


def test_curves_are_drawn_or_the_missing_extra_is_named(run, bandit_policy, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    assert (run / "rewards.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train(bandit_policy, tmp_path / "bare", eval_tasks=0, steps=1) == 0
    assert "pip install" in capsys.readouterr().out
    files = {path.name for path in (tmp_path / "bare").iterdir()}
    assert files == {"config.json", "metrics.jsonl", "evaluations.jsonl", "final"}


def test_same_seed_gives_the_same_metrics_and_weights(run, bandit_policy, tmp_path):
    assert train(bandit_policy, tmp_path / "same", eval_tasks=0) == 0
    assert train(bandit_policy, tmp_path / "other", eval_tasks=0, seed=1) == 0
    assert repeatable(tmp_path / "same") == repeatable(run)
    assert equal(weights(tmp_path / "same"), weights(run))
    assert repeatable(tmp_path / "other") != repeatable(run)
    assert not equal(weights(tmp_path / "other"), weights(run))


class Interrupted(bandit.Echo):
    """Ctrl-C arrives in the third step."""

    opened = 0

    def env(self, seed, split):
        Interrupted.opened += split == "train"
        if Interrupted.opened > 3 * (bandit.RUN["prompts_per_step"] * bandit.RUN["group_size"]):
            raise KeyboardInterrupt
        return super().env(seed, split)


def test_an_interrupted_run_saves_its_weights_and_prints_the_next_commands(run, bandit_policy, tmp_path, capsys):
    Interrupted.opened = 0
    status = train(bandit_policy, tmp_path / "cut", env="tests.run.test_training:Interrupted", eval_tasks=0, steps=50)
    out = capsys.readouterr().out
    assert status == 130
    steps = len(lines(tmp_path / "cut" / "metrics.jsonl"))
    assert 0 < steps < 50 and f"after {steps} of 50 steps" in out
    assert not equal(weights(tmp_path / "cut"), load_file(bandit_policy / "model.safetensors"))
    (command,) = [line.partition(": ")[2] for line in out.splitlines() if line.startswith("Train on")]
    program, subcommand, *flags = shlex.split(command)
    again = parse(flags)
    assert (program, subcommand, again.model) == ("grpo", "train", str(tmp_path / "cut" / "final"))
    assert (again.steps, again.group_size, again.env) == (50 - steps, 4, "tests.run.test_training:Interrupted")


class Unreachable(bandit.Echo):
    """The environment loses its server in the third step."""

    opened = 0

    def env(self, seed, split):
        Unreachable.opened += split == "train"
        if Unreachable.opened > 3 * (bandit.RUN["prompts_per_step"] * bandit.RUN["group_size"]):
            raise ConnectionError("the site is gone")
        return super().env(seed, split)


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def break_environment(patch):
    Unreachable.opened = -PROBED_TASKS
    return {"env": "tests.run.test_training:Unreachable"}


def break_metrics(patch):
    original = report.append_record
    patch.setattr(report, "append_record", lambda path, one: full_disk() if one["step"] == 3 else original(path, one))
    return {}


def break_snapshot(patch):
    patch.setattr(snapshots, "_sync", full_disk)
    return {"save_every": 3}


@pytest.mark.parametrize(
    ("spoil", "error"),
    [(break_environment, ConnectionError), (break_metrics, OSError), (break_snapshot, "No space left")],
)
def test_the_weights_before_an_error_are_saved(spoil, error, bandit_policy, tmp_path, monkeypatch, capsys):
    options = {"eval_tasks": 0, "steps": 9, **spoil(monkeypatch)}
    if isinstance(error, str):
        assert train(bandit_policy, tmp_path / "run", **options) == 2
    else:
        with pytest.raises(error):
            train(bandit_policy, tmp_path / "run", **options)
    captured = capsys.readouterr()
    steps = 2 if spoil is break_environment else 3
    assert f"after {steps} of 9 steps; what was learned is in {tmp_path / 'run' / 'final'}" in captured.out
    assert "--resume" not in captured.out, "there is no snapshot"
    assert isinstance(error, type) or error in captured.err
    assert not equal(weights(tmp_path / "run"), load_file(bandit_policy / "model.safetensors"))


def test_an_error_is_raised_even_if_nothing_can_be_saved(bandit_policy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grpo.run.training, "save", full_disk)
    with pytest.raises(ConnectionError):
        train(bandit_policy, tmp_path / "run", eval_tasks=0, steps=9, **break_environment(monkeypatch))
    assert "what was learned in 2 steps could not be saved: [Errno 28]" in capsys.readouterr().out


def test_nothing_is_saved_before_the_first_step(bandit_policy, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "step", full_disk)
    with pytest.raises(OSError, match="No space left"):
        train(bandit_policy, tmp_path / "run", eval_tasks=0)
    assert not (tmp_path / "run" / "final").exists()


def test_a_second_run_leaves_the_first_intact(bandit_policy, tmp_path, capsys):
    """The first run has snapshots of later steps; neither run uses the other's."""
    out = tmp_path / "run"
    options = {"env": bandit.RUN["env"], "eval_tasks": 0}
    assert train(bandit_policy, out, **options, steps=4, save_every=2) == 0
    first = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert train(bandit_policy, out, **options, steps=2, save_every=1) == 0
    moved = tmp_path / "run.1"
    assert f"{out} held an earlier run, which is now in {moved}\n" in capsys.readouterr().out
    assert first == {path.relative_to(moved): path.read_bytes() for path in moved.rglob("*") if path.is_file()}
    snapshots_of_second = ["step-000001.snapshot", "step-000002.snapshot"]
    assert sorted(path.name for path in (out / "snapshots").iterdir()) == snapshots_of_second
    assert main(["train", "--resume", str(moved)]) == 0
    assert [step["step"] for step in lines(moved / "metrics.jsonl")] == [1, 2, 3, 4]


def test_help_names_resume(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["train", "--help"])
    assert leaving.value.code == 0
    out = capsys.readouterr().out
    assert "grpo train --resume RUN" in out and "--learning_rate" in out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--out", "x", "--resume", "k2"], "takes the folder of a run and nothing else"),
        (["--resume"], "takes the folder of a run and nothing else"),
        (["--resume=k2", "--steps", "3"], "takes the folder of a run and nothing else"),
        (["--resume", ""], "--resume is empty"),
        (["--resume="], "--resume is empty"),
        (["--resume", "x" * 300], "is not the folder of a run"),
        (["--out", ""], "out is empty"),
        (["--model", " "], "model is empty"),
        (["--processes", "99"], "give at most 4"),
    ],
)
def test_bad_flags_are_one_line(arguments, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(grpo.cli.train, "launch", lambda *_: pytest.fail("processes were started"))
    assert main(["train", *arguments]) == 2
    message = capsys.readouterr().err
    assert reason in message and message.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_progress_shows_the_kl_to_the_reference_where_there_is_one():
    metrics = {"reward_mean": 0.5, "sampled_entropy": 1.0, "kl_old": 0.1, "timing": {"step_tokens_per_second": 9.0}}
    assert "KL 0.1000" in progress(metrics)
    assert "KL 0.2000" in progress({**metrics, "kl_reference": 0.2})


def test_stored_type_is_not_the_trained_type(bandit_policy, tmp_path):
    checkpoint = load(bandit_policy)
    save(checkpoint, tmp_path / "half", torch.bfloat16)
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "half").dtype == torch.bfloat16
    assert load(tmp_path / "half").model.dtype == torch.float32
    assert checkpoint.model.dtype == torch.float32


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"])
def test_incomplete_checkpoint_is_refused_in_one_line(bandit_policy, tmp_path, capsys, missing):
    save(load(bandit_policy), tmp_path / "part")
    (tmp_path / "part" / missing).unlink()
    assert main(["evaluate", "--policy", str(tmp_path / "part"), "--env", bandit.RUN["env"], "--tasks", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1


def test_refusals_name_what_is_wrong(bandit_policy, tmp_path, capsys):
    with pytest.raises(UserError, match="no model in"):
        load(tmp_path / "nothing")
    with pytest.raises(UserError, match="name is empty"):
        load("")
    assert train(bandit_policy, tmp_path / "long", max_episode_tokens=4096) == 2
    assert "context" in capsys.readouterr().err
    assert not (tmp_path / "long").exists()
    assert train(bandit_policy, tmp_path / "odd", group_size=1) == 2
    assert "group_size" in capsys.readouterr().err


def test_a_gradient_that_stays_infinite_ends_the_run(bandit_policy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Trainer, "optimizer_step", lambda self, examples: {"skipped_steps": 1.0})
    assert train(bandit_policy, tmp_path / "run", eval_tasks=0, steps=9) == 2
    message = capsys.readouterr().err
    episodes = tmp_path / "run" / "episodes" / "not-finite.txt"
    assert str(episodes) in message and "3 steps in a row" in message
    assert (
        episodes.read_text(encoding="utf-8").count("===") == bandit.RUN["prompts_per_step"] * bandit.RUN["group_size"]
    )
    assert [step["skipped_steps"] for step in lines(tmp_path / "run" / "metrics.jsonl")] == [1, 1, 1]


def test_longrope_limits_the_context_to_the_original_one():
    plain = LlamaConfig(max_position_embeddings=128)
    rotary = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "rope_theta": 1e4}
    shape = {"hidden_size": 32, "num_attention_heads": 4, "max_position_embeddings": 128}
    long = LlamaConfig(**shape, rope_parameters=rotary | {"original_max_position_embeddings": 32})
    assert (context_length(plain, 7), context_length(long, 7)) == (128, 32)
