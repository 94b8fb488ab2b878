"""`grpo evaluate`: a policy, scripted or a model, on many tasks of each scenario.

Task i of an evaluation with seed S is the task that `grpo play --seed S+i --split heldout` shows.
"""

from __future__ import annotations

import json
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

from envs.protocol import SPLITS, Scenario, Split
from envs.scripts import POLICIES
from grpo.cli.main import Parser, UserError, natural, positive
from grpo.cli.play import SCRIPT_TURNS, play_out, script_for
from grpo.refusals import AT_LEAST
from grpo.run.environments import ALL, add_env_option, resolve
from grpo.run.intervals import mean_interval, rate_interval
from rewards.score import Score

Evaluation = dict[str, Any]
"""`{"policy", "split", "seed", "scenarios": {NAME: ROW}}` with
`ROW = {"tasks", "reward_mean", "reward_ci95": [low, high], "success_rate", "parts": {PART: mean}}`."""

LIMITS = {
    "rows": "episodes at the same time",
    "max_turns": "turns per episode",
    "max_turn_tokens": "sampled tokens per turn",
    "max_episode_tokens": "tokens per episode after the prompt",
}
"""Options of a model's rollouts, with the meaning and the defaults of `grpo.config.Options`."""


def parser() -> Parser:
    """The options of `grpo evaluate`."""
    result = Parser(prog="grpo evaluate", description="Score a policy on many tasks of each scenario.")
    scripts = "|".join(POLICIES)
    result.add_argument(
        "--policy",
        required=True,
        help=f"{scripts}: a script; tiny: the embedded model; or a Hugging Face checkpoint directory",
    )
    result.add_argument("--scenario", nargs="+", default=[ALL], metavar="NAME", help="scenarios, or all (default)")
    result.add_argument("--tasks", type=positive, default=200, help="tasks per scenario (default 200)")
    result.add_argument("--seed", type=natural, default=0, help="seed of the first task (default 0)")
    result.add_argument("--split", choices=SPLITS, default="heldout", help="which tasks: heldout (default) or train")
    result.add_argument("--json", action="store_true", help="print JSON instead of a table")
    decoding = result.add_mutually_exclusive_group()
    decoding.add_argument("--greedy", action="store_true", help="a model takes its most likely token")
    decoding.add_argument("--temperature", type=_temperature, default=1.0, help="a model samples at it (default 1.0)")
    for name, meaning in LIMITS.items():
        spellings = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
        result.add_argument(*spellings, type=positive, metavar="N", help=f"for a model: {meaning}")
    result.add_argument(
        "--thinking",
        type=_truth,
        nargs="?",
        const=True,
        metavar="true|false",
        help="for a model: whether its chat template asks for thinking (default: as the template has it)",
    )
    result.add_argument("--no-thinking", dest="thinking", action="store_false", default=None, help="--thinking false")
    add_env_option(result)
    return result


def main(arguments: Sequence[str]) -> int:
    """Evaluates one policy and prints the result."""
    options = parser().parse_args(arguments)
    scenarios = resolve(options.scenario, options.env)
    if options.policy in POLICIES:
        scores = evaluate_script(options.policy, scenarios, options.tasks, options.seed, options.split)
        evaluation = summarise(options.policy, options.split, options.seed, scores)
    else:
        evaluation = _evaluate_model(options, scenarios)
    print(json.dumps(evaluation, indent=2) if options.json else table(evaluation))
    return 0


def evaluate_script(
    policy: str, scenarios: Mapping[str, Scenario], tasks: int, seed: int, split: Split
) -> dict[str, list[Score]]:
    """The scores of a scripted policy on tasks `seed` to `seed + tasks - 1` of each scenario."""
    scores: dict[str, list[Score]] = {name: [] for name in scenarios}
    with tqdm(total=tasks * len(scenarios), desc=policy, unit="task", leave=False, disable=None) as bar:
        for name, scenario in scenarios.items():
            for task in range(seed, seed + tasks):
                env = scenario.env(task, split)
                script = script_for(policy, scenario, task, split)
                play_out(env, script, env.reset(), lambda _: None, SCRIPT_TURNS)
                scores[name].append(env.score())
                bar.update()
    return scores


def _evaluate_model(options: Namespace, scenarios: Mapping[str, Scenario]) -> Evaluation:
    """Evaluates the embedded policy or a checkpoint directory; the limits not given are those of training."""
    if options.policy != "tiny" and not Path(options.policy).is_dir():
        scripts = ", ".join(POLICIES)
        raise UserError(f"unknown policy {options.policy!r}: neither a script ({scripts}) nor tiny nor a directory")
    from grpo.config import Options
    from grpo.models.checkpoint import load
    from grpo.parallel.actor import Player, Tasks
    from grpo.parallel.policy import compute_dtype
    from grpo.parallel.ranks import Ranks
    from grpo.types import Sampling

    given = {name: getattr(options, name) for name in LIMITS if getattr(options, name) is not None}
    run = Options(**given)
    checkpoint = load(options.policy, compute_dtype(run.precision, Ranks().device))
    player = Player.prepare(checkpoint, scenarios, run.limits, run.rows, options.thinking)
    sampling = Sampling(0.0 if options.greedy else options.temperature)
    evaluation, _ = player.evaluate(options.policy, Tasks(options.tasks, options.seed, options.split), sampling)
    return evaluation


def summarise(policy: str, split: str, seed: int, scores: Mapping[str, Sequence[Score]]) -> Evaluation:
    """Means over the tasks of each scenario; the interval is that of `grpo.run.intervals.mean_interval`.

    A part that an episode's score lacks counts as 0 there.
    """
    return {"policy": policy, "split": split, "seed": seed, "scenarios": {k: _summary(v) for k, v in scores.items()}}


def _summary(scores: Sequence[Score]) -> dict[str, Any]:
    rewards = [score.total for score in scores]
    names = dict.fromkeys(name for score in scores for name in score.parts)
    return {
        "tasks": len(scores),
        "reward_mean": fmean(rewards),
        "reward_ci95": list(mean_interval(rewards)),
        "success_rate": fmean(reward == 1.0 for reward in rewards),
        "parts": {name: fmean(score.parts.get(name, 0.0) for score in scores) for name in names},
    }


def table(evaluation: Evaluation) -> str:
    """The evaluation as text. The success rate carries Wilson's interval."""
    lines = [
        f"policy {evaluation['policy']}, split {evaluation['split']}, seed {evaluation['seed']}",
        f"{'scenario':28} {'tasks':>5}  {'reward':>6}  {'95 % interval':16} {'success':>7}  {'95 % interval':16}",
    ]
    for name, row in evaluation["scenarios"].items():
        low, high = row["reward_ci95"]
        successes = round(row["success_rate"] * row["tasks"])
        rate_low, rate_high = rate_interval(successes, row["tasks"])
        lines.append(
            f"{name:28} {row['tasks']:5}  {row['reward_mean']:6.3f}  [{low:.3f}, {high:.3f}]   "
            f"{row['success_rate']:7.3f}  [{rate_low:.3f}, {rate_high:.3f}]"
        )
        parts = ", ".join(f"{part} {value:.3f}" for part, value in row["parts"].items())
        lines.append(f"  {parts}")
    return "\n".join(lines)


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    lowest = AT_LEAST["temperature"]
    if not lowest <= value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number from {lowest} on (--greedy takes the most likely token)")
    return value


def _truth(text: str) -> bool:
    """As `grpo train` reads it."""
    words = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(("false", "f", "no", "n", "0"), False)
    if text.lower() not in words:
        raise ArgumentTypeError(f"{text!r} is neither true nor false")
    return words[text.lower()]
