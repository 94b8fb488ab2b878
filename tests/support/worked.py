"""The worked traces and the table of scripted policies in docs/environments.md, played again.

`python -m tests.support.worked docs/environments.md` brings a document up to date after the world or a checker has
changed. The oracle's traces are made anew; the calls of the others stand as they were written, with the statuses and
the score that they get now.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from statistics import fmean
from typing import cast

from envs.protocol import Split, ToolCall, Turn
from envs.scenarios import SCENARIOS
from envs.scripts import POLICIES, oracle_turns
from grpo.run.evaluation import evaluate_script
from rewards.score import Score

BLOCK = re.compile(r"(?<=```trace\n).*?(?=\n```)", re.DOTALL)
"""A task with its request, and traces, apart by empty lines."""
TASK = re.compile(r"(?P<name>[\w-]+), (?P<split>train|heldout) seed (?P<seed>\d+)")
TABLE = re.compile(r"(?<=<!-- scripts -->\n).*?(?=\n\n)", re.DOTALL)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"(?:: )?')
HELD = "\0"
"""Stands for a blank at which no line is broken."""
WIDTH = 118
INDENT = "    "
TASKS = 100


def mended_traces(text: str) -> str:
    """The document with every block of traces as it plays now."""
    return BLOCK.sub(lambda match: _mended_block(match[0]), text)


def mended_table(text: str) -> str:
    """The document with the mean rewards that the scripted policies get now."""
    return TABLE.sub(lambda _: _table(), text)


def _mended_block(block: str) -> str:
    head, *traces = block.split("\n\n")
    found = TASK.match(head)
    assert found, head
    name, split, seed = found["name"], cast(Split, found["split"]), int(found["seed"])
    request = f"{found[0]}: {SCENARIOS[name].task(seed, split).prompt}"
    played = [_mended_trace(trace, name, split, seed) for trace in traces]
    return "\n\n".join([textwrap.fill(request, WIDTH, break_on_hyphens=False), *played])


def _mended_trace(trace: str, name: str, split: Split, seed: int) -> str:
    """A trace is its title, one line per call (continued by indented ones), and the score."""
    title, *lines = re.sub(r"\n +", " ", trace).split("\n")
    calls = [_read_call(line) for line in lines if not line.startswith("=")]
    if title == "oracle":
        calls = [call for turn in oracle_turns(SCENARIOS[name], seed, split) for call in turn.calls]
    env = SCENARIOS[name].env(seed, split)
    env.reset()
    for call in calls:
        env.step(Turn("", (call,)))
    shown = [_wrapped(f"{call.status} {call.name} {json.dumps(call.arguments)}") for call in env.trace]
    return "\n".join([title, *shown, _score_line(env.score())])


def _read_call(line: str) -> ToolCall:
    _, name, arguments = line.split(" ", 2)
    return ToolCall(name, json.loads(arguments))


def _wrapped(line: str) -> str:
    """The line broken between members, neither inside a string nor between a name and its value."""
    held = STRING.sub(lambda match: match[0].replace(" ", HELD), line)
    filled = textwrap.fill(held, WIDTH, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False)
    return filled.replace(HELD, " ")


def _score_line(score: Score) -> str:
    return f"= {score.total:.3f}: " + ", ".join(f"{name} {value:.3f}" for name, value in score.parts.items())


def _table() -> str:
    rewards = {policy: evaluate_script(policy, SCENARIOS, TASKS, 0, "heldout") for policy in POLICIES}
    rows = [["scenario", *(f"`{policy}`" for policy in POLICIES)], ["---", *("---:" for _ in POLICIES)]]
    for name in SCENARIOS:
        means = (fmean(score.total for score in rewards[policy][name]) for policy in POLICIES)
        rows.append([f"`{name}`", *(f"{mean:.3f}" for mean in means)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(mended_table(mended_traces(path.read_text(encoding="utf-8"))), encoding="utf-8")
