"""Replays the worked traces and the table of scripted policies in docs/environments.md.

`python -m tests.support.worked docs/environments.md` updates the page after a change to the site or a checker. The
oracle's traces are generated again. The other traces keep their calls and get new statuses and scores.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from envs.protocol import Split, ToolCall, Turn
from envs.scenarios import SCENARIOS
from envs.scripts import POLICIES, oracle_turns
from grpo.run.evaluation import Tasks, evaluate_script
from rewards.score import Score
from rewards.trace import Call, Kind

BLOCK = re.compile(r"(?<=```trace\n).*?(?=\n```)", re.DOTALL)
"""A task with its request, then its traces, separated by empty lines."""
TASK = re.compile(r"(?P<name>[\w-]+), (?P<split>train|heldout) seed (?P<seed>\d+)")
TABLE = re.compile(r"(?<=<!-- scripts -->\n).*?(?=\n\n)", re.DOTALL)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"(?:: )?')
UNBREAKABLE = "\0"
"""Replaces a space at which a line must not be broken."""
WIDTH = 118
INDENT = "    "
TASKS = Tasks(100, 0, "heldout")


def mended_traces(text: str) -> str:
    """The document with all traces updated."""
    return BLOCK.sub(lambda match: _mended_block(match[0]), text)


def mended_table(text: str) -> str:
    """The document with the table of mean rewards updated."""
    heading = ["scenario", *(f"`{policy}`" for policy in POLICIES)]
    table = [_row(heading), _row(["---", *("---:" for _ in POLICIES)]), *map(table_row, SCENARIOS)]
    return TABLE.sub(lambda _: "\n".join(table), text)


def table_row(name: str) -> str:
    """The row of a scenario: the mean reward of each scripted policy on the first held-out tasks."""
    scenario = {name: SCENARIOS[name]}
    evaluations = (evaluate_script(policy, scenario, TASKS) for policy in POLICIES)
    means = (evaluation["scenarios"][name]["reward_mean"] for evaluation in evaluations)
    return _row([f"`{name}`", *(f"{mean:.3f}" for mean in means)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _mended_block(block: str) -> str:
    head, *traces = block.split("\n\n")
    task = TASK.match(head)
    assert task, head
    name, split, seed = task["name"], cast(Split, task["split"]), int(task["seed"])
    request = f"{task[0]}: {SCENARIOS[name].task(seed, split).prompt}"
    played = [_mended_trace(trace, name, split, seed) for trace in traces]
    lines = [textwrap.fill(line, WIDTH, break_on_hyphens=False) for line in request.split("\n") if line]
    return "\n\n".join(["\n".join(lines), *played])


def _mended_trace(trace: str, name: str, split: Split, seed: int) -> str:
    """Plays a trace again: its title, one line per call (continued by indented lines), the answer, and the score."""
    title, *lines = re.sub(r"\n +", " ", trace).split("\n")
    turns = [_read_turn(line) for line in lines if not line.startswith("=")]
    if title == "oracle":
        turns = oracle_turns(SCENARIOS[name], seed, split)
    env = SCENARIOS[name].env(seed, split)
    env.reset()
    for turn in turns:
        env.step(turn)
    return "\n".join([title, *(_wrapped(_line(call)) for call in env.trace), _score_line(env.score())])


def _line(call: Call) -> str:
    if call.kind == Kind.ANSWER:
        return f"answer {json.dumps(call.arguments)}"
    return f"{call.status} {call.name} {json.dumps(call.arguments)}"


def _read_turn(line: str) -> Turn:
    if line.startswith("answer "):
        return Turn(json.loads(line.removeprefix("answer ")))
    _, name, arguments = line.split(" ", 2)
    return Turn("", (ToolCall(name, json.loads(arguments)),))


def _wrapped(line: str) -> str:
    """Breaks the line between members, never inside a string or between a name and its value."""
    guarded = STRING.sub(lambda match: match[0].replace(" ", UNBREAKABLE), line)
    filled = textwrap.fill(guarded, WIDTH, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False)
    return filled.replace(UNBREAKABLE, " ")


def _score_line(score: Score) -> str:
    return f"= {score.total:.3f}: " + ", ".join(f"{name} {value:.3f}" for name, value in score.parts.items())


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(mended_table(mended_traces(path.read_text(encoding="utf-8"))), encoding="utf-8")
