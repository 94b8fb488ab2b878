"""The picture of a run: reward over the steps, one panel per scenario."""

from __future__ import annotations

from pathlib import Path

from grpo.run.run_folder import EVALUATIONS, METRICS, read_records


def draw_rewards(folder: Path) -> Path | None:
    """Draws rewards.png from the folder's metrics and evaluations; None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    steps = read_records(folder / METRICS)
    evaluations = read_records(folder / EVALUATIONS)
    names = sorted({name for step in steps for name in step["scenarios"]})
    figure = Figure(figsize=(3.6 * len(names), 3.2), layout="constrained")
    for panel, name in zip(figure.subplots(1, len(names), sharey=True, squeeze=False)[0], names, strict=True):
        sampled = [step for step in steps if name in step["scenarios"]]
        rewards = [step["scenarios"][name]["reward_mean"] for step in sampled]
        panel.plot([step["step"] for step in sampled], rewards, linewidth=1, label="training tasks")
        for decoding, marker in (("sampled", "o"), ("greedy", "x")):
            points = [one for one in evaluations if one["decoding"] == decoding and name in one["scenarios"]]
            means = [one["scenarios"][name]["reward_mean"] for one in points]
            panel.plot([one["step"] for one in points], means, marker, label=f"held out, {decoding}")
        panel.set(title=name, xlabel="step", ylim=(0, 1.02))
        panel.grid(alpha=0.3)
    figure.axes[0].set_ylabel("reward")
    figure.axes[0].legend(loc="lower right", fontsize="small")
    figure.savefig(folder / "rewards.png", dpi=120)
    return folder / "rewards.png"
