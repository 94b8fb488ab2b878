"""`grpo evaluate`: a policy, scripted or a model, on many tasks of each scenario."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from envs.protocol import SPLITS, Scenario
from envs.scripts import POLICIES
from grpo.cli.parser import Parser, add_env_option, natural, positive, truth
from grpo.errors import UserError
from grpo.run.environments import ALL, load_scenarios
from grpo.run.evaluation import Evaluation, Tasks, evaluate_model, evaluate_script, evaluation_text
from grpo.types import LOWEST_TEMPERATURE, Sampling

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
        type=truth,
        nargs="?",
        const=True,
        metavar="true|false",
        help="for a model: whether its chat template asks for thinking (default: the template's own)",
    )
    result.add_argument("--no-thinking", dest="thinking", action="store_false", default=None, help="--thinking false")
    add_env_option(result)
    return result


def main(arguments: Sequence[str]) -> int:
    """Evaluates one policy and prints the result."""
    options = parser().parse_args(arguments)
    scenarios = load_scenarios(options.scenario, options.env)
    tasks = Tasks(options.tasks, options.seed, options.split)
    if options.policy in POLICIES:
        evaluation = evaluate_script(options.policy, scenarios, tasks)
    else:
        evaluation = _evaluate_checkpoint(options, scenarios, tasks)
    print(json.dumps(evaluation, indent=2) if options.json else evaluation_text(evaluation))
    return 0


def _evaluate_checkpoint(options: Namespace, scenarios: Mapping[str, Scenario], tasks: Tasks) -> Evaluation:
    """Evaluates the embedded policy or a checkpoint directory. Limits that were not given are those of training."""
    if options.policy != "tiny" and not Path(options.policy).is_dir():
        scripts = ", ".join(POLICIES)
        raise UserError(f"unknown policy {options.policy!r}: neither a script ({scripts}) nor tiny nor a directory")
    # Scripts are evaluated without torch.
    from grpo.config import Options
    from grpo.models.checkpoint import load
    from grpo.parallel.actor import Actor
    from grpo.parallel.ranks import Ranks
    from grpo.parallel.sharding import compute_dtype

    run = Options(**{name: getattr(options, name) for name in LIMITS if getattr(options, name) is not None})
    device = Ranks().device
    checkpoint = load(options.policy, compute_dtype(run.precision, device), device)
    actor = Actor.prepare(checkpoint, scenarios, run.limits, run.rows, options.thinking)
    sampling = Sampling(0.0 if options.greedy else options.temperature)
    evaluation, _ = evaluate_model(options.policy, actor.play, list(scenarios), tasks, sampling)
    return evaluation


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not LOWEST_TEMPERATURE <= value < float("inf"):
        raise ArgumentTypeError(
            f"{text!r} is not a number from {LOWEST_TEMPERATURE} on (--greedy takes the most likely token)"
        )
    return value
