"""What a training run shows and writes down, under its own folder (`grpo.run.run_folder`):

config.json        the resolved options; `grpo train --config` reads it
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

from grpo.cli.main import UserError
from grpo.config import Options
from grpo.parallel.ranks import Ranks
from grpo.run.diagnostics import LOSS_NEAR_ZERO, hints
from grpo.run.evaluation import Evaluation
from grpo.run.run_folder import (
    EVALUATIONS,
    METRICS,
    RECORDS,
    append_record,
    begin,
    check,
    read_records,
    take,
    write_json,
    write_text,
    writing,
)
from grpo.types import Episode

HINT_PAUSE = 10
"""Steps without further hints after some were shown."""
NO_MATPLOTLIB = "No reward curves: they need matplotlib (pip install 'grpo[plot]', or -e '.[plot]' in a checkout)."


class Report:
    """Writes a run's folder and shows its progress. A context manager; closing it draws the curves."""

    def __init__(self, options: Options, steps_done: int = 0) -> None:
        """Begins the folder, or goes on after `steps_done` steps: what was written about later ones is dropped.

        Raises UserError where that cannot be.
        """
        self.options = options
        self.steps_done = steps_done
        self.folder = Path(options.out)
        if steps_done:
            check(self.folder)
        elif aside := begin(options.out, options.model):
            print(f"{options.out} held an earlier run, which is now in {aside}", flush=True)
        self.taken = take(self.folder)
        for path in (self.folder / name for name in RECORDS):
            kept = [one for one in read_records(path) if one["step"] <= steps_done]
            write_text(path, "".join(json.dumps(one) + "\n" for one in kept))
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
                drawn = draw_rewards(self.folder)
                print(f"reward curves: {drawn}" if drawn else NO_MATPLOTLIB)
        except (OSError, UserError) as error:  # an error that ended the run is not hidden by this one
            print(f"No reward curves: {error}")
        os.close(self.taken)

    def say(self, text: str) -> None:
        """Prints a line above the progress bar."""
        if self.bar is None:
            print(text, flush=True)
        else:
            self.bar.write(text)

    def begin_steps(self) -> None:
        """Opens the progress bar; where the output is no terminal, each step is a line instead."""
        self.say(LOSS_NEAR_ZERO)
        shown = {"desc": "training", "unit": "step", "disable": None, "dynamic_ncols": True}
        self.bar = tqdm(total=self.options.steps, initial=self.steps_done, **shown)

    def end_steps(self) -> None:
        """Closes the progress bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def step(self, metrics: Mapping[str, Any]) -> None:
        """Records one training step, and shows it with the hints that it calls for."""
        append_record(self.folder / METRICS, metrics)
        self._to_board(metrics, metrics["step"])
        line = progress(metrics)
        if self.bar is not None:
            self.bar.set_postfix_str(line, refresh=False)
            self.bar.update()
        if self.bar is None or self.bar.disable:
            print(f"step {metrics['step']}/{self.options.steps}: {line}", flush=True)
        if metrics["step"] >= self.quiet_until and (found := hints(metrics, self.options)):
            self.quiet_until = metrics["step"] + HINT_PAUSE
            for hint in found:
                self.say(f"HINT (step {metrics['step']}): {hint}")

    def evaluation(self, step: int, decoding: str, evaluation: Evaluation, episodes: Sequence[Episode]) -> None:
        """Records and shows one evaluation; `decoding` is sampled or greedy."""
        append_record(self.folder / EVALUATIONS, {"step": step, "decoding": decoding, **evaluation})
        means = {name: row["reward_mean"] for name, row in evaluation["scenarios"].items()}
        self._to_board({"evaluation": {decoding: means}}, step)
        self.say(f"evaluation at step {step}, {decoding}: " + ", ".join(f"{k} {v:.3f}" for k, v in means.items()))
        if chosen := list(_first_of_each(episodes, self.options.save_episodes)):
            self.keep_episodes(f"step-{step:06d}-{decoding}", chosen)

    def keep_episodes(self, name: str, episodes: Sequence[Episode]) -> Path:
        """Writes episodes under `name` as text and JSON; returns the text's path."""
        write_episodes(self.folder / "episodes" / name, episodes)
        return self.folder / "episodes" / f"{name}.txt"

    def recorded(self, step: int) -> dict[str, Evaluation]:
        """The evaluations of a step, by decoding, that stand in the folder."""
        lines = [one for one in read_records(self.folder / EVALUATIONS) if one["step"] == step]
        own = ("step", "decoding")
        return {one["decoding"]: {name: part for name, part in one.items() if name not in own} for one in lines}

    def is_best(self, step: int) -> bool:
        """Whether a step's evaluation, sampled, has a higher mean reward than all before it."""
        means = {
            one["step"]: fmean(row["reward_mean"] for row in one["scenarios"].values())
            for one in read_records(self.folder / EVALUATIONS)
            if one["decoding"] == "sampled"
        }
        return all(mean < means[step] for earlier, mean in means.items() if earlier < step)

    def table(self, before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> None:
        """Writes and prints the run's table from the evaluations by decoding (sampled and greedy)."""
        if before.keys() != after.keys():
            return self.say(f"no table: {self.folder / EVALUATIONS} lacks the evaluations before training")
        text = table(before, after)
        greedy = {"before": before["greedy"], "after": after["greedy"]}
        content = {"before": before["sampled"], "after": after["sampled"], "greedy": greedy}
        write_json(self.folder / "table.json", content)
        write_text(self.folder / "table.md", text + "\n")
        self.say(f"\n{text}\n")

    def _to_board(self, metrics: Mapping[str, Any], step: int) -> None:
        if self.board is not None:
            for name, value in flatten(metrics):
                self.board.add_scalar(name, value, step)


class Silence(Report):
    """The report of a rank that is not the first: writes and shows nothing."""

    def __init__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def begin_steps(self) -> None:
        pass

    def end_steps(self) -> None:
        pass

    def step(self, metrics: Mapping[str, Any]) -> None:
        pass

    def evaluation(self, step: int, decoding: str, evaluation: Evaluation, episodes: Sequence[Episode]) -> None:
        pass

    def keep_episodes(self, name: str, episodes: Sequence[Episode]) -> Path:
        return Path(name)

    def recorded(self, step: int) -> dict[str, Evaluation]:
        return {}

    def is_best(self, step: int) -> bool:
        return False

    def table(self, before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> None:
        pass


def open_report(options: Options, ranks: Ranks, steps_done: int) -> Report:
    """This rank's report. Raises UserError on all ranks where the first one cannot begin the folder or go on in it."""
    report: Report = Silence()
    problem: UserError | None = None
    if ranks.first:
        try:
            report = Report(options, steps_done)
        except UserError as error:
            problem = error
    if problem := ranks.together(problem)[0]:
        raise problem
    return report


def progress(metrics: Mapping[str, Any]) -> str:
    """One step in a line: reward, KL (to the reference where there is one, else new to old), entropy, speed, loss."""
    kl = metrics.get("kl_reference", metrics.get("kl_old", 0.0))
    speed = metrics["timing"]["step_tokens_per_second"]
    return (
        f"reward {metrics['reward_mean']:.3f}, KL {kl:.4f}, entropy {metrics['sampled_entropy']:.3f}, "
        f"{speed:.0f} tokens/s, loss {metrics.get('loss', 0.0):+.4f}"
    )


def table(before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> str:
    """Rewards before and after and the gain per scenario, as a Markdown table."""
    tasks = next(iter(after["sampled"]["scenarios"].values()))["tasks"]
    lines = [
        f"Reward on {tasks} {after['sampled']['split']} tasks per scenario, with the 95 % interval of its mean:",
        "",
        "| scenario | before | after | gain | success before | success after | greedy before | greedy after |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in after["sampled"]["scenarios"].items():
        old = before["sampled"]["scenarios"][name]
        greedy = [when["greedy"]["scenarios"][name]["reward_mean"] for when in (before, after)]
        cells = [
            name,
            _with_interval(old),
            _with_interval(row),
            f"{row['reward_mean'] - old['reward_mean']:+.3f}",
            f"{old['success_rate']:.2f}",
            f"{row['success_rate']:.2f}",
            *(f"{value:.3f}" for value in greedy),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _with_interval(row: Mapping[str, Any]) -> str:
    low, high = row["reward_ci95"]
    return f"{row['reward_mean']:.3f} [{low:.3f}, {high:.3f}]"


def write_episodes(stem: Path, episodes: Sequence[Episode]) -> None:
    """Writes episodes beside each other as `stem`.json and, for reading, `stem`.txt."""
    with writing(stem.parent):
        stem.parent.mkdir(parents=True, exist_ok=True)
    write_json(stem.with_suffix(".json"), [episode_record(episode) for episode in episodes])
    text = "\n\n".join(episode_text(episode) for episode in episodes)
    write_text(stem.with_suffix(".txt"), text + "\n")


def episode_record(episode: Episode) -> dict[str, Any]:
    """An episode as plain data, tokens left out."""
    return {
        "scenario": episode.request.scenario,
        "split": episode.request.split,
        "seed": episode.request.seed,
        "stop_reason": episode.stop_reason.value,
        "turns": episode.turns,
        "sampled_tokens": sum(episode.mask),
        "score": {"total": episode.score.total, "parts": dict(episode.score.parts)},
        "messages": list(episode.messages),
        "calls": [{"name": call.name, "arguments": call.arguments} for call in episode.trace],
        "responses": [{"status": call.status, "body": call.body} for call in episode.trace],
    }


def episode_text(episode: Episode) -> str:
    """An episode as a conversation."""
    request = episode.request
    title = f"{request.scenario}, {request.split} task {request.seed}: reward {episode.reward:.3f}"
    parts = ", ".join(f"{name} {value:+.3f}" for name, value in episode.score.parts.items())
    lines = [f"=== {title} ({episode.stop_reason.value} after {episode.turns} turns)", parts]
    lines += [f"\n[{message['role']}]\n{message['content']}" for message in episode.messages]
    return "\n".join(lines)


def flatten(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Nested numbers as `outer/inner` names."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", float(value)


def draw_rewards(folder: Path) -> Path | None:
    """Draws rewards.png from the folder's metrics and evaluations; None where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    steps = read_records(folder / METRICS)
    evaluations = read_records(folder / EVALUATIONS)
    names = sorted({name for step in steps for name in step["scenarios"]})
    figure = Figure(figsize=(3.6 * len(names), 3.2), layout="constrained")
    for panel, name in zip(figure.subplots(1, len(names), sharey=True, squeeze=False)[0], names, strict=True):
        own = [step for step in steps if name in step["scenarios"]]
        rewards = [step["scenarios"][name]["reward_mean"] for step in own]
        panel.plot([step["step"] for step in own], rewards, linewidth=1, label="training tasks")
        for decoding, marker in (("sampled", "o"), ("greedy", "x")):
            shown = [one for one in evaluations if one["decoding"] == decoding and name in one["scenarios"]]
            means = [one["scenarios"][name]["reward_mean"] for one in shown]
            panel.plot([one["step"] for one in shown], means, marker, label=f"held out, {decoding}")
        panel.set(title=name, xlabel="step", ylim=(0, 1.02))
        panel.grid(alpha=0.3)
    figure.axes[0].set_ylabel("reward")
    figure.axes[0].legend(loc="lower right", fontsize="small")
    figure.savefig(folder / "rewards.png", dpi=120)
    return folder / "rewards.png"


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
