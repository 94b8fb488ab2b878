"""What a training run shows, and what it writes into its folder (`grpo.run.run_folder`):

config.json        the options; `grpo train --config` reads it
metrics.jsonl      one line per step, deterministic but for `timing` and `memory`
evaluations.jsonl  one line per evaluation, shaped as `grpo evaluate --json` with step and decoding beside it
episodes/          sampled episodes of each evaluation, as text and as JSON
rewards.png        reward over the steps, one panel per scenario (needs matplotlib)
table.json/.md     the rewards before and after
tensorboard/       the same numbers, when TensorBoard is installed
final/             the checkpoint, written by `grpo.run.training`
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

from grpo.config import Options
from grpo.errors import UserError
from grpo.parallel.ranks import Ranks
from grpo.run.curves import draw_rewards
from grpo.run.diagnostics import LOSS_NEAR_ZERO, hints
from grpo.run.evaluation import Evaluation
from grpo.run.records import episode_record, episode_text
from grpo.run.run_folder import (
    EVALUATIONS,
    METRICS,
    RECORDS,
    append_record,
    check,
    lock,
    read_records,
    start,
    write_json,
    write_text,
    writing,
)
from grpo.types import Episode

HINT_PAUSE = 10
"""Steps without further hints after some were shown."""
NO_MATPLOTLIB = "No reward curves: they need matplotlib (pip install -e '.[plot]' in the checkout)."


class Report:
    """Writes a run's folder and shows its progress. A context manager; closing it draws the curves."""

    def __init__(self, options: Options, steps_done: int = 0) -> None:
        """Starts the folder, or resumes it after `steps_done` steps and drops the records of later ones.

        Raises UserError if the folder cannot be used.
        """
        self.options = options
        self.steps_done = steps_done
        self.folder = Path(options.out)
        if steps_done:
            check(self.folder)
        elif aside := start(options.out, options.model):
            print(f"{options.out} held an earlier run, which is now in {aside}", flush=True)
        self.lock = lock(self.folder)
        for path in (self.folder / name for name in RECORDS):
            records = [one for one in read_records(path) if one["step"] <= steps_done]
            write_text(path, "".join(json.dumps(one) + "\n" for one in records))
        write_json(self.folder / "config.json", dataclasses.asdict(options))
        with writing(self.folder / "tensorboard"):
            self.board = _tensorboard(self.folder / "tensorboard")
        self.bar: tqdm | None = None
        self.quiet_until = 0

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_steps()
        try:
            if self.board is not None:
                self.board.close()
            if read_records(self.folder / METRICS):
                picture = draw_rewards(self.folder)
                print(f"reward curves: {picture}" if picture else NO_MATPLOTLIB)
        except (OSError, UserError) as error:  # an error that ended the run is not hidden by this one
            print(f"No reward curves: {error}")
        os.close(self.lock)

    def say(self, text: str) -> None:
        """Prints a line above the progress bar."""
        if self.bar is None:
            print(text, flush=True)
        else:
            self.bar.write(text)

    def begin_steps(self) -> None:
        """Opens the progress bar; if the output is no terminal, each step is a line instead."""
        self.say(LOSS_NEAR_ZERO)
        settings = {"desc": "training", "unit": "step", "disable": None, "dynamic_ncols": True}
        self.bar = tqdm(total=self.options.steps, initial=self.steps_done, **settings)

    def end_steps(self) -> None:
        """Closes the progress bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def step(self, metrics: Mapping[str, Any]) -> None:
        """Records one training step, and shows it with its hints."""
        append_record(self.folder / METRICS, metrics)
        self._to_board(metrics, metrics["step"])
        line = progress(metrics)
        if self.bar is not None:
            self.bar.set_postfix_str(line, refresh=False)
            self.bar.update()
        if self.bar is None or self.bar.disable:
            print(f"step {metrics['step']}/{self.options.steps}: {line}", flush=True)
        if metrics["step"] >= self.quiet_until and (new_hints := hints(metrics, self.options)):
            self.quiet_until = metrics["step"] + HINT_PAUSE
            for hint in new_hints:
                self.say(f"HINT (step {metrics['step']}): {hint}")

    def evaluation(self, step: int, decoding: str, evaluation: Evaluation, episodes: Sequence[Episode]) -> None:
        """Records and shows one evaluation; `decoding` is sampled or greedy."""
        append_record(self.folder / EVALUATIONS, {"step": step, "decoding": decoding, **evaluation})
        means = {name: row["reward_mean"] for name, row in evaluation["scenarios"].items()}
        self._to_board({"evaluation": {decoding: means}}, step)
        self.say(f"evaluation at step {step}, {decoding}: " + ", ".join(f"{k} {v:.3f}" for k, v in means.items()))
        if examples := list(_first_of_each(episodes, self.options.save_episodes)):
            self.write_episodes(f"step-{step:06d}-{decoding}", examples)

    def write_episodes(self, name: str, episodes: Sequence[Episode]) -> Path:
        """Writes episodes as `name`.json and, for reading, `name`.txt; returns the text's path."""
        stem = self.folder / "episodes" / name
        with writing(stem.parent):
            stem.parent.mkdir(parents=True, exist_ok=True)
        write_json(stem.with_suffix(".json"), [episode_record(episode) for episode in episodes])
        text = "\n\n".join(episode_text(episode) for episode in episodes)
        write_text(stem.with_suffix(".txt"), text + "\n")
        return stem.with_suffix(".txt")

    def recorded(self, step: int) -> dict[str, Evaluation]:
        """The recorded evaluations of a step, by decoding."""
        lines = [one for one in read_records(self.folder / EVALUATIONS) if one["step"] == step]
        keys = ("step", "decoding")
        return {one["decoding"]: {name: part for name, part in one.items() if name not in keys} for one in lines}

    def is_best(self, step: int) -> bool:
        """Whether a step's evaluation, sampled, has a higher mean reward than all before it."""
        means = {
            one["step"]: fmean(row["reward_mean"] for row in one["scenarios"].values())
            for one in read_records(self.folder / EVALUATIONS)
            if one["decoding"] == "sampled"
        }
        return all(mean < means[step] for earlier, mean in means.items() if earlier < step)

    def table(self, before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> None:
        """Writes and prints the run's table from its evaluations by decoding (sampled and greedy)."""
        if before.keys() != after.keys():
            return self.say(f"no table: {self.folder / EVALUATIONS} lacks the evaluations before training")
        text = results_table(before, after)
        greedy = {"before": before["greedy"], "after": after["greedy"]}
        content = {"before": before["sampled"], "after": after["sampled"], "greedy": greedy}
        write_json(self.folder / "table.json", content)
        write_text(self.folder / "table.md", text + "\n")
        self.say(f"\n{text}\n")

    def _to_board(self, metrics: Mapping[str, Any], step: int) -> None:
        if self.board is not None:
            for name, value in flatten(metrics):
                self.board.add_scalar(name, value, step)


class NoReport:
    """The report of a rank that is not the first: every method does nothing and returns None."""

    def __enter__(self) -> NoReport:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def open_report(options: Options, ranks: Ranks, steps_done: int) -> Report | NoReport:
    """This rank's report. Raises UserError on all ranks if the first one cannot start the folder or resume in it."""
    report: Report | NoReport = NoReport()
    problem: UserError | None = None
    if ranks.first:
        try:
            report = Report(options, steps_done)
        except UserError as error:
            problem = error
    if problem := ranks.gather(problem)[0]:
        raise problem
    return report


def progress(metrics: Mapping[str, Any]) -> str:
    """One step in a line: reward, KL (to the reference if there is one, else new to old), entropy, speed, loss."""
    kl = metrics.get("kl_reference", metrics.get("kl_old", 0.0))
    speed = metrics["timing"]["step_tokens_per_second"]
    return (
        f"reward {metrics['reward_mean']:.3f}, KL {kl:.4f}, entropy {metrics['sampled_entropy']:.3f}, "
        f"{speed:.0f} tokens/s, loss {metrics.get('loss', 0.0):+.4f}"
    )


def results_table(before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> str:
    """Rewards before and after and the gain per scenario, greedy and then sampled, as a Markdown table."""
    tasks = next(iter(after["sampled"]["scenarios"].values()))["tasks"]
    heading = ["scenario", *(f"{how} {what}" for how in ("greedy", "sampled") for what in ("before", "after", "gain"))]
    lines = [
        f"Reward on {tasks} {after['sampled']['split']} tasks per scenario, with the 95 % interval of its mean:",
        "",
        f"| {' | '.join(heading)} |",
        f"|{' --- |' * len(heading)}",
    ]
    for name in after["sampled"]["scenarios"]:
        cells = [name]
        for decoding in ("greedy", "sampled"):
            old, new = (when[decoding]["scenarios"][name] for when in (before, after))
            gain = new["reward_mean"] - old["reward_mean"]
            cells += [_with_interval(old), _with_interval(new), f"{gain:+.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _with_interval(row: Mapping[str, Any]) -> str:
    low, high = row["reward_ci95"]
    return f"{row['reward_mean']:.3f} [{low:.3f}, {high:.3f}]"


def flatten(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Nested numbers as `outer/inner` names."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", float(value)


def _first_of_each(episodes: Sequence[Episode], count: int) -> Iterator[Episode]:
    """The first `count` episodes of each scenario."""
    for _, group in groupby(episodes, key=lambda episode: episode.request.scenario):
        yield from list(group)[:count]


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
