"""`grpo bench`: measures speed on this machine, compared with widely used alternatives."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from grpo.bench import env
from grpo.bench.measure import measure
from grpo.cli.parser import Parser, positive

AGAINST_PEERS = {
    "generation": "sample groups; against generate()",
    "logprob": "log-probs from hidden states; against log-softmax and gather, and fused losses",
    "update": "forward and backward of a group; against the padded batch",
    "step": "a complete GRPO step; against TRL's GRPOTrainer",
}


def parser() -> Parser:
    """The options of `grpo bench`."""
    result = Parser(prog="grpo bench", description="Measure speed on this machine.")
    lines = ". ".join(f"{name}: {line}" for name, line in AGAINST_PEERS.items())
    result.add_argument(
        "work",
        nargs="?",
        choices=("env", *AGAINST_PEERS),
        help=f"env: reset, four calls and scoring of an episode. {lines}. Default: all except env",
    )
    result.add_argument("--tasks", type=positive, default=40, help="tasks per scenario, for env only (default 40)")
    result.add_argument("--repeats", type=positive, default=5, help="timed rounds, after one untimed round (default 5)")
    result.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return result


def main(arguments: Sequence[str]) -> int:
    """Measures and prints the results. Returns the exit status."""
    options = parser().parse_args(arguments)
    if options.work == "env":
        return env.report(options.tasks, options.json)
    names = [options.work] if options.work else AGAINST_PEERS
    works = [work for name in names for work in importlib.import_module(f"grpo.bench.{name}").works()]
    rows: list[dict[str, Any]] = []
    for work in works:
        print(f"measuring {work.name}: {describe(work.settings)}", file=sys.stderr, flush=True)
        results = measure(work, options.repeats)
        if not options.json:
            print(table(results))
        rows += results
    if options.json:
        print(json.dumps(rows, indent=2))
    return 0


def describe(settings: dict[str, Any]) -> str:
    """The settings on one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A table for one work: its settings, our figures, and a line per peer."""
    first = rows[0]
    lines = [
        f"\n{first['work']}: {describe(first['settings'])}",
        f"{'':28} {'seconds':>9} {'ours is':>12} {'extra MB':>9} {'tokens/s':>9}",
        f"{'ours':28} {first['ours_s']:9.3f} {'':>12} {first['ours_mb']:9.0f} {first['ours_tokens_per_s']:9.0f}"
        f"   {first['ours_of_matrix_rate']:.0%} of the matrix-product rate",
    ]
    lines += [
        f"{row['peer']:28} {row['peer_s']:9.3f} {row['ratio']:5.2f}x faster {row['peer_mb']:9.0f} "
        f"{row['peer_tokens_per_s']:9.0f}"
        for row in rows
    ]
    if "ours_of_copy_rate" in first:
        lines.append(f"ours reads the required memory at {first['ours_of_copy_rate']:.0%} of the rate of a large copy")
    if "arithmetic_ratio" in first:
        lines.append(f"the saved arithmetic allows at most {first['arithmetic_ratio']:.2f}x")
    return "\n".join(lines)
