"""One training run: evaluate, train with GRPO, save, evaluate the saved checkpoint, and show the table."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from envs.protocol import Scenario
from grpo.config import Options
from grpo.errors import NonFiniteError, UserError
from grpo.models.checkpoint import Checkpoint, load, save
from grpo.models.lora import save_peft
from grpo.parallel.actor import Actor
from grpo.parallel.launch import on_signals
from grpo.parallel.optimizer import adamw
from grpo.parallel.policy import TrainingPolicy
from grpo.parallel.ranks import Ranks
from grpo.parallel.sharding import compute_dtype
from grpo.run import snapshots
from grpo.run.diagnostics import before_training
from grpo.run.environments import load_scenarios
from grpo.run.evaluation import Evaluation, Tasks, evaluate_model
from grpo.run.metrics import Stopwatch, step_metrics
from grpo.run.report import NoReport, Report, open_report
from grpo.run.run_folder import writing
from grpo.trainer import StepResult, Trainer
from grpo.types import Sampling

DECODINGS = ("sampled", "greedy")
PADDED = (
    "This model has recurrent layers in which episodes cannot share their prompt while training: every episode is "
    "computed whole, in padded batches. Rollouts still share prompts."
)


@dataclass(frozen=True)
class RunResult:
    """The end of a run. Evaluations are by decoding (sampled, greedy) and empty without evaluation tasks."""

    folder: Path
    steps_done: int
    interrupted: bool
    """Whether Ctrl-C or SIGTERM ended the steps early; what was learned is saved."""
    before: dict[str, Evaluation] = field(default_factory=dict)
    after: dict[str, Evaluation] = field(default_factory=dict)


def train(
    options: Options,
    ranks: Ranks | None = None,
    resume: bool = False,
    on_step: Callable[[StepResult], None] = lambda result: None,
) -> RunResult:
    """One run in the folder `options.out`, from the start or from its newest snapshot.

    `on_step` is called after each step, on every rank. Raises UserError for input that cannot be used. If an error ends
    the steps, what was learned is saved first, unless the weights are sharded.
    """
    ranks = ranks or Ranks()
    scenarios = load_scenarios(options.scenarios, options.env)
    dtype = compute_dtype(options.precision, ranks.device)
    # Frozen weights under adapters need no fp32 masters.
    checkpoint = load(options.model, dtype if options.lora_rank else torch.float32, ranks.device)
    run = _Run(options, checkpoint, scenarios, ranks)
    if resume:
        snapshots.restore(run.trainer, run.policy, options)
    final, start = Path(options.out) / "final", run.trainer.steps_done
    with open_report(options, ranks, start) as report:
        before = report.recorded(0) if start else run.evaluate_both(run.actor, options.model, 0, report)
        if not run.policy.shares_prefixes:
            report.say(PADDED)
        for hint in before_training(options, sum(weight.numel() for weight in checkpoint.model.parameters())):
            report.say(f"HINT: {hint}")
        try:
            interrupted = run.steps(report, on_step)
        except Exception:
            # Sharded weights can no longer be gathered: the other ranks are elsewhere.
            if ranks.first and not run.policy.sharded and run.trainer.steps_done > start:
                run.rescue(report)
            raise
        run.save()
        steps_done = run.trainer.steps_done
        if interrupted:
            report.say(run.next_commands())
            return RunResult(Path(options.out), steps_done, True, before or {})
        report.say(f"saved {final}")
        del checkpoint, run.checkpoint, run.actor, run.policy, run.trainer  # the saved model takes their memory
        ranks.wait()
        actor = run.actor_of(load(final, dtype, ranks.device))
        after = run.evaluate_both(actor, str(final), options.steps, report)
        if after:
            report.table(before, after)
    return RunResult(Path(options.out), steps_done, False, before or {}, after)


class _Run:
    """The parts of a run, put together."""

    def __init__(
        self, options: Options, checkpoint: Checkpoint, scenarios: Mapping[str, Scenario], ranks: Ranks
    ) -> None:
        self.options, self.scenarios, self.ranks, self.checkpoint = options, scenarios, ranks, checkpoint
        self.watch = Stopwatch()
        self.actor = self.actor_of(checkpoint)
        self.policy = TrainingPolicy(checkpoint.model, options, ranks)
        self.actor.use(self.policy.rollout_model)
        optimizer = adamw(self.policy, options)
        self.trainer = Trainer(
            self.policy, optimizer, self.actor.play, list(scenarios), options, ranks, self.watch.stage
        )

    def actor_of(self, checkpoint: Checkpoint) -> Actor:
        o = self.options
        return Actor.prepare(checkpoint, self.scenarios, o.limits, o.rows, o.thinking, self.ranks)

    def steps(self, report: Report | NoReport, on_step: Callable[[StepResult], None]) -> bool:
        """Trains to the end, with the evaluations on the way. Returns whether Ctrl-C or SIGTERM ended it early."""
        signals: list[int] = []

        def each_step(result: StepResult) -> None:
            report.step(step_metrics(result, self.watch))
            on_step(result)
            self.after_step(result.step, report)
            # All ranks stop together, between two steps: all of them gather and save what was learned.
            if any(self.ranks.gather(bool(signals))):
                raise KeyboardInterrupt

        if self.ranks.size > 1:
            stopping = on_signals([signal.SIGINT, signal.SIGTERM], lambda number, _: signals.append(number))
        else:  # SIGTERM is treated as Ctrl-C
            stopping = on_signals([signal.SIGTERM], signal.default_int_handler)
        report.begin_steps()
        try:
            with stopping:
                self.trainer.run(each_step)
        except KeyboardInterrupt:
            return True
        except NonFiniteError as error:
            report.step(step_metrics(error.result, self.watch))
            path = report.write_episodes("not-finite", error.result.episodes)
            raise UserError(f"{error}; the last step's episodes are in {path}; lower learning_rate") from error
        finally:
            report.end_steps()
        return False

    def after_step(self, step: int, report: Report | NoReport) -> None:
        """Evaluations and snapshots on the way."""
        o = self.options
        if o.eval_tasks and o.eval_every and step % o.eval_every == 0 and step < o.steps:
            self.evaluate(self.actor, "sampled", f"{o.model}, step {step}", step, report)
            if any(self.ranks.gather(report.is_best(step))):
                weights = self.policy.weights()
                if self.ranks.first:
                    save(self.checkpoint, Path(o.out) / "best", weights=weights)
        if o.save_every and step % o.save_every == 0:
            snapshots.write(self.trainer, self.policy, o)

    def evaluate_both(self, actor: Actor, policy: str, step: int, report: Report | NoReport) -> dict[str, Evaluation]:
        """The evaluation of each decoding, or nothing without evaluation tasks."""
        if not self.options.eval_tasks:
            return {}
        return {one: self.evaluate(actor, one, policy, step, report) for one in DECODINGS}

    def evaluate(self, actor: Actor, decoding: str, policy: str, step: int, report: Report | NoReport) -> Evaluation:
        """One evaluation on the held-out tasks, sampled at the training temperature or greedy."""
        o = self.options
        sampling = o.sampling if decoding == "sampled" else Sampling(temperature=0.0)
        tasks = Tasks(o.eval_tasks, o.eval_seed, "heldout")
        names = list(self.scenarios)
        evaluation, episodes = evaluate_model(policy, actor.play, names, tasks, sampling, self.ranks.first)
        report.evaluation(step, decoding, evaluation, episodes)
        return evaluation

    def save(self) -> None:
        """Writes what was learned. All ranks have to take part if the weights are sharded."""
        weights, out = self.policy.weights(), Path(self.options.out)
        if self.ranks.first:
            save(self.checkpoint, out / "final", weights=weights)
            if self.options.lora_rank:
                with writing(out / "adapter"):
                    save_peft(self.policy.model, out / "adapter", self.options.model)

    def rescue(self, report: Report | NoReport) -> None:
        """Saves what was learned before an error, which is the last thing that the user sees."""
        try:
            self.save()
        except Exception as error:
            steps = self.trainer.steps_done
            report.say(f"what was learned in {steps} steps could not be saved: {error}")
        else:
            report.say(self.next_commands())

    def next_commands(self) -> str:
        """The commands for a user after Ctrl-C or an error."""
        o, final, steps_done = self.options, Path(self.options.out) / "final", self.trainer.steps_done
        remaining = max(1, o.steps - steps_done)
        tasks = ["--env", o.env] if o.env else ["--scenario", *o.scenarios]
        evaluate = ["grpo", "evaluate", "--policy", str(final), *tasks]
        train_on = [
            "grpo", "train", "--config", str(Path(o.out) / "config.json"), "--model", str(final),
            "--out", f"{o.out}-2", "--seed", str(o.seed + 1), "--steps", str(remaining),
        ]  # fmt: skip
        resume = f"Continue exactly from the last snapshot: grpo train --resume {shlex.quote(o.out)}\n"
        return (
            f"Interrupted after {steps_done} of {o.steps} steps; what was learned is in {final}.\n"
            f"Evaluate it: {shlex.join(evaluate)}\n"
            f"{resume if snapshots.snapshots_of(o.out) else ''}"
            f"Train on from it: {shlex.join(train_on)}\n"
            "(the optimizer starts afresh; another seed draws other tasks)"
        )
