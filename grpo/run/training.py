"""`grpo train`: evaluate, train with GRPO, save, evaluate what was saved, and show the table."""

from __future__ import annotations

import functools
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from envs.protocol import Scenario
from grpo.cli.arguments import parse
from grpo.cli.main import UserError
from grpo.config import Options
from grpo.models.checkpoint import load, save
from grpo.models.lora import save_peft
from grpo.models.recurrence import shares_prefixes
from grpo.parallel.actor import Player, Tasks
from grpo.parallel.policy import compute_dtype
from grpo.parallel.ranks import Ranks, launch, leave, on_signals
from grpo.run import snapshots
from grpo.run.diagnostics import before_training
from grpo.run.environments import resolve
from grpo.run.evaluation import Evaluation
from grpo.run.report import Report, open_report
from grpo.run.run_folder import writing
from grpo.trainer import NonFiniteError, Trainer
from grpo.types import Episode, Sampling

RESUME_HELP = "grpo train --resume RUN   go on with the run in that folder, from its newest snapshot\n"
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells report it."""
DECODINGS = ("sampled", "greedy")
PADDED = (
    "This model has recurrent layers, in which episodes cannot share their prompt while training: every episode is "
    "computed whole, in padded batches. Rollouts share prompts as ever."
)


def main(arguments: Sequence[str]) -> int:
    """Trains as the flags and the configuration file say."""
    if not {"-h", "--help"}.isdisjoint(arguments):
        print(RESUME_HELP)
        parse(["--help"])
    resume = any(one.partition("=")[0] == "--resume" for one in arguments)
    options = _resumed(arguments) if resume else parse(arguments)
    ranks = Ranks.join()
    if options.processes == 1:
        status = train(options, ranks, resume)
        return leave(status) if dist.is_initialized() else status
    if ranks.size > 1:
        raise UserError("torchrun has started the processes already: leave --processes out")
    if options.processes > (most := max(2, os.cpu_count() or 1)):
        where = f" in {options.out}/config.json" if resume else ""
        raise UserError(f"{options.processes} processes would get in each other's way here: give at most {most}{where}")
    return launch(options.processes, functools.partial(train, resume=resume), options)


def _resumed(arguments: Sequence[str]) -> Options:
    """The options of the run to go on with."""
    flag, equals, run = arguments[0].partition("=")
    if flag != "--resume" or len(arguments) != (1 if equals else 2):
        raise UserError("--resume takes the folder of a run and nothing else: its options stand in its config.json")
    run = run if equals else arguments[1]
    if not run.strip():
        raise UserError("--resume is empty: give the folder of a run")
    config = Path(run) / "config.json"
    if not os.path.isfile(config):
        raise UserError(f"{run} is not the folder of a run: it has no config.json")
    options = parse(["--config", str(config), "--out", run])
    snapshots.expect(options)
    return options


def train(options: Options, ranks: Ranks | None = None, resume: bool = False) -> int:
    """One run, from the start or from its newest snapshot.

    Returns the exit status; what was learned before a Ctrl-C or SIGTERM is saved.
    """
    ranks = ranks or Ranks()
    scenarios = resolve(options.scenarios, options.env)
    compute = compute_dtype(options.precision, ranks.device)
    # Frozen weights under adapters need no fp32 masters.
    player = _player(options.model, scenarios, options, ranks, compute if options.lora_rank else torch.float32)
    trainer = Trainer(player, options)
    if resume:
        snapshots.restore(trainer, options)
    final, start = Path(options.out) / "final", trainer.steps_done
    with open_report(options, ranks, start) as report:
        before = report.recorded(0) if start else _evaluate_both(player, options.model, 0, options, report)
        model = player.checkpoint.model
        if not shares_prefixes(model):
            report.say(PADDED)
        for hint in before_training(options, sum(weight.numel() for weight in model.parameters())):
            report.say(f"HINT: {hint}")
        try:
            interrupted = _run(trainer, player, options, report)
        except Exception:
            # Sharded weights cannot be gathered any more: the other ranks are elsewhere.
            if ranks.first and not trainer.learner.sharded and trainer.steps_done > start:
                _rescue(trainer, player, options, report)
            raise
        _save(trainer, player, options)
        if interrupted:
            report.say(_how_to_go_on(options, trainer.steps_done, final))
            return INTERRUPTED
        report.say(f"saved {final}")
        del trainer, player
        ranks.wait()
        reloaded = _player(str(final), scenarios, options, ranks, compute)
        after = _evaluate_both(reloaded, str(final), options.steps, options, report)
        if after:
            report.table(before, after)
    return 0


def _player(
    model: str, scenarios: Mapping[str, Scenario], options: Options, ranks: Ranks, dtype: torch.dtype
) -> Player:
    return Player.prepare(load(model, dtype), scenarios, options.limits, options.rows, options.thinking, ranks)


def _save(trainer: Trainer, player: Player, options: Options) -> None:
    """Writes what was learned. All ranks have to take part where the weights are sharded."""
    weights, out = trainer.learner.weights(), Path(options.out)
    if player.ranks.first:
        save(player.checkpoint, out / "final", weights=weights)
        if options.lora_rank:
            with writing(out / "adapter"):
                save_peft(trainer.model, out / "adapter", options.model)


def _rescue(trainer: Trainer, player: Player, options: Options, report: Report) -> None:
    """Saves what was learned before an error, which is what the user is to see in the end."""
    try:
        _save(trainer, player, options)
    except Exception as error:
        report.say(f"what was learned in {trainer.steps_done} steps could not be saved: {error}")
    else:
        report.say(_how_to_go_on(options, trainer.steps_done, Path(options.out) / "final"))


def _run(trainer: Trainer, player: Player, options: Options, report: Report) -> bool:
    """Trains to the end, with the evaluations on the way. Returns whether Ctrl-C or SIGTERM ended it early."""
    asked: list[int] = []

    def each_step(metrics: dict[str, Any], episodes: list[Episode]) -> None:
        report.step(metrics)
        step = metrics["step"]
        if options.eval_tasks and options.eval_every and step % options.eval_every == 0 and step < options.steps:
            _evaluate(player, "sampled", f"{options.model}, step {step}", step, options, report)
            if any(player.ranks.together(report.is_best(step))):
                weights = trainer.learner.weights()
                if player.ranks.first:
                    save(player.checkpoint, Path(options.out) / "best", weights=weights)
        if options.save_every and step % options.save_every == 0:
            snapshots.write(trainer, options)
        # Several ranks stop together, between two steps: what they have is gathered and saved by all of them.
        if any(player.ranks.together(bool(asked))):
            raise KeyboardInterrupt

    if player.ranks.size > 1:
        stopping = on_signals([signal.SIGINT, signal.SIGTERM], lambda number, _: asked.append(number))
    else:  # who stops the process politely gets what Ctrl-C gets
        stopping = on_signals([signal.SIGTERM], signal.default_int_handler)
    report.begin_steps()
    try:
        with stopping:
            trainer.run(each_step)
    except KeyboardInterrupt:
        return True
    except NonFiniteError as error:
        report.step(error.metrics)
        kept = report.keep_episodes("not-finite", error.episodes)
        raise UserError(f"{error}; the last step's episodes are in {kept}; lower learning_rate") from error
    finally:
        report.end_steps()
    return False


def _evaluate_both(player: Player, policy: str, step: int, options: Options, report: Report) -> dict[str, Evaluation]:
    """The evaluation of each decoding, or nothing without evaluation tasks."""
    if not options.eval_tasks:
        return {}
    return {one: _evaluate(player, one, policy, step, options, report) for one in DECODINGS}


def _evaluate(player: Player, decoding: str, policy: str, step: int, options: Options, report: Report) -> Evaluation:
    """One evaluation on the held-out tasks, sampled at the training temperature or greedy."""
    sampling = options.sampling if decoding == "sampled" else Sampling(temperature=0.0)
    tasks = Tasks(options.eval_tasks, options.eval_seed, "heldout")
    evaluation, episodes = player.evaluate(policy, tasks, sampling)
    report.evaluation(step, decoding, evaluation, episodes)
    return evaluation


def _how_to_go_on(options: Options, steps_done: int, final: Path) -> str:
    """What a user can do after Ctrl-C or an error."""
    left = max(1, options.steps - steps_done)
    tasks = ["--env", options.env] if options.env else ["--scenario", *options.scenarios]
    evaluate = ["grpo", "evaluate", "--policy", str(final), *tasks]
    train_on = [
        "grpo", "train", "--config", str(Path(options.out) / "config.json"), "--model", str(final),
        "--out", f"{options.out}-2", "--seed", str(options.seed + 1), "--steps", str(left),
    ]  # fmt: skip
    resume = f"Go on exactly where the last snapshot stands: grpo train --resume {shlex.quote(options.out)}\n"
    return (
        f"Interrupted after {steps_done} of {options.steps} steps; what was learned is in {final}.\n"
        f"Evaluate it: {shlex.join(evaluate)}\n"
        f"{resume if snapshots.snapshots_of(options.out) else ''}"
        f"Train on from it: {shlex.join(train_on)}\n"
        "(the optimizer starts afresh; another seed draws other tasks)"
    )
