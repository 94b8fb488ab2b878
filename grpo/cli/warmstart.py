"""`grpo warmstart`: make the embedded policy from nothing."""

from __future__ import annotations

from collections.abc import Sequence

from grpo.cli.arguments import add_options, values_of
from grpo.cli.parser import Parser
from grpo.tiny.warmstart import WarmStart, warm_start


def main(arguments: Sequence[str]) -> int:
    """Makes the policy by the flags."""
    parser = Parser(prog="grpo warmstart")
    add_options(parser, WarmStart)
    options: WarmStart = values_of(parser.parse_args(arguments), WarmStart)
    print(f"saved {warm_start(options)}")
    return 0
