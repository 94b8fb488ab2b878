"""`grpo play`: plays one task from the terminal, from a file of calls, or with a script."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from envs.protocol import SPLITS, Env, Observation, Scenario, ToolCall, Turn
from envs.scripts import POLICIES, Script
from grpo.cli.parser import Parser, add_env_option, natural
from grpo.errors import UserError
from grpo.run.environments import load_scenarios
from grpo.run.records import outcome
from grpo.run.scripted import CLOSING, SCRIPT_TURNS, script_for, turns_of
from rewards.trace import Kind

EXAMPLES: dict[str, Any] = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
"""JSON Schema type -> an example value."""


def parser() -> Parser:
    """The options of `grpo play`."""
    result = Parser(prog="grpo play", description="Play one task: read the request, make tool calls, see the score.")
    result.add_argument("scenario", nargs="?", help="scenario to play (not needed with --env)")
    result.add_argument("--seed", type=natural, default=0, help="task seed (default 0)")
    result.add_argument("--split", choices=SPLITS, default="train", help="task split: train (default) or heldout")
    source = result.add_mutually_exclusive_group()
    source.add_argument(
        "--calls",
        metavar="FILE",
        help='play FILE, a JSON list of {"name", "arguments"}; a list in it is one turn, {"answer": TEXT} ends',
    )
    source.add_argument("--policy", choices=POLICIES, help="play with a scripted policy")
    result.add_argument("--goal", action="store_true", help="show the goal that determines the score")
    result.add_argument("--json", action="store_true", help="print only the episode, as JSON")
    add_env_option(result)
    return result


def main(arguments: Sequence[str]) -> int:
    """Plays one episode and prints it."""
    options = parser().parse_args(arguments)
    if options.scenario is None and options.env is None:
        raise UserError("no scenario: name one, or pass --env")
    scenarios = load_scenarios([] if options.scenario is None else [options.scenario], options.env)
    if len(scenarios) != 1:
        raise UserError(f"play needs exactly one scenario, not {', '.join(scenarios)}")
    (scenario,) = scenarios.values()
    env = scenario.env(options.seed, options.split)
    script = _script(options, scenario, env)
    goal = goal_of(env) if options.goal else None
    opening = env.reset()
    show = _silent if options.json else print
    show(_opening_text(env, opening))
    if options.goal:
        brief = {name: value for name, value in goal.items() if name != "site"} if isinstance(goal, dict) else goal
        show(f"goal: {json.dumps(brief, ensure_ascii=False, indent=2)}\n")
    for turn, calls in turns_of(env, script, opening, SCRIPT_TURNS if options.policy else math.inf):
        if turn.content:
            show(f"{turn.content}\n")
        for call in (call for call in calls if call.kind != Kind.ANSWER):
            show(f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})")
            show(f"{call.status} {json.dumps(call.body, ensure_ascii=False, indent=2)}\n")
    episode = episode_record(env, opening)
    if options.goal:
        episode["goal"] = goal
    print(json.dumps(episode, indent=2) if options.json else _score_text(episode["score"]))
    return 0


def read_turns(path: str) -> list[Turn]:
    """Reads a file of calls, one turn for each entry of its list. Raises UserError for anything else.

    An entry is a call, a list of calls that make one turn, or `{"answer": text}`, which closes the episode.
    """
    try:
        entries = parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--calls {path!r}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, list):
        raise UserError(f'{path} must contain a list of {{"name", "arguments"}}, not {_kind(entries)}')
    try:
        return [_as_turn(item) for item in entries]
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _as_turn(item: Any) -> Turn:
    """Reads an entry of a file of calls. Raises ValueError if it is none."""
    if isinstance(item, dict) and set(item) == {"answer"} and isinstance(item["answer"], str):
        return Turn(item["answer"])
    if isinstance(item, list) and not item:
        raise ValueError('a turn needs at least one call; an answer is {"answer": text}')
    return Turn("", tuple(as_call(one) for one in (item if isinstance(item, list) else [item])))


def parse_json(text: str) -> Any:
    """Parses strict JSON. Raises ValueError for NaN, Infinity, and nesting beyond the interpreter's recursion limit."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def as_call(item: Any) -> ToolCall:
    """Reads `{"name", "arguments"}`; the arguments are optional. Raises ValueError for anything else."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise ValueError(f'a call is {{"name": ..., "arguments": {{...}}}}, not {json.dumps(item)[:80]}')
    return ToolCall(item["name"], item.get("arguments", {}))


def goal_of(env: Env) -> Any:
    """The goal of the episode's task. Raises UserError if the environment has no `task`."""
    task = getattr(env, "task", None)
    if task is None:
        raise UserError("--goal: this environment has no `task`, which would hold the goal")
    return task.goal


def episode_record(env: Env, opening: Observation) -> dict[str, Any]:
    """The episode as JSON-serialisable data: prompt, tools, calls with their responses, score."""
    return {
        "prompt": "\n\n".join(m["content"] for m in opening.messages if m["role"] == "user"),
        "tools": [tool.render() for tool in env.tools],
        **outcome(env.trace, env.score()),
    }


def _script(options: Namespace, scenario: Scenario, env: Env) -> Script:
    """The player that the options select: a file of calls, a script or the terminal."""
    if options.calls is not None:
        return _File(read_turns(options.calls))
    if options.policy:
        return script_for(options.policy, scenario, options.seed, options.split)
    return _Terminal("" if options.json else f"{_how_to_call(env)}\n> ")


class _File:
    """Plays the turns of a file, then a closing turn."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.turns = iter(turns)

    def turn(self, observation: Observation) -> Turn:
        return next(self.turns, CLOSING)


class _Terminal:
    """Reads one turn per line: a call, a list of calls or an answer. An empty line or the end of the input closes."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt

    def turn(self, observation: Observation) -> Turn:
        try:
            line = input(self.prompt).strip()
        except EOFError:
            line = ""
        self.prompt = self.prompt[-2:]
        return _parse_line(line) if line else CLOSING


def _how_to_call(env: Env) -> str:
    """Instructions for the terminal, with a call of the first tool as an example."""
    text = 'Type one turn per line: a JSON call, a list of calls or {"answer": "text"}. An empty line ends the episode.'
    for tool in env.tools[:1]:
        properties = tool.parameters.get("properties", {})
        arguments = {name: _example(properties.get(name, {})) for name in tool.parameters.get("required", ())}
        text += f" For example:\n{json.dumps({'name': tool.name, 'arguments': arguments})}"
    return text


def _example(schema: Mapping[str, Any]) -> Any:
    """An example value of the schema's type; a string if the schema has no single type."""
    kind = schema.get("type")
    return EXAMPLES.get(kind, "...") if isinstance(kind, str) else "..."


def _parse_line(line: str) -> Turn:
    """The turn on a line. Unreadable text becomes a malformed call, as it would for a policy."""
    try:
        return _as_turn(parse_json(line))
    except ValueError as error:
        return Turn("", (ToolCall("", line, error=str(error)),))


def _opening_text(env: Env, opening: Observation) -> str:
    """The opening messages, and the tools with their arguments."""
    lines = [f"[{message['role']}] {message['content']}" for message in opening.messages]
    lines.append("\ntools:")
    for tool in env.tools:
        required = set(tool.parameters.get("required", ()))
        names = [name if name in required else f"{name}?" for name in tool.parameters.get("properties", {})]
        lines.append(f"  {tool.name}({', '.join(names)}) [{tool.effect}] {tool.description}")
    return "\n".join(lines) + "\n"


def _score_text(score: dict[str, Any]) -> str:
    lines = [f"score {score['total']:.3f}"]
    lines += [f"  {name:24} {value:+.3f}" for name, value in score["parts"].items()]
    return "\n".join(lines)


def _kind(value: Any) -> str:
    names = {dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _silent(text: str) -> None:
    """Replaces `print` with --json, where only the complete episode is printed."""
