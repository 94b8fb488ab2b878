"""`grpo play`: one task in the terminal, from a file of calls, or by a script."""

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

EXAMPLES: dict[str, Any] = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
"""Values of JSON Schema's types."""


def parser() -> Parser:
    """The options of `grpo play`."""
    result = Parser(prog="grpo play", description="Play one task: read the request, make tool calls, see the score.")
    result.add_argument("scenario", nargs="?", help="name of the scenario (not needed with --env)")
    result.add_argument("--seed", type=natural, default=0, help="which task (default 0)")
    result.add_argument("--split", choices=SPLITS, default="train", help="which tasks: train (default) or heldout")
    source = result.add_mutually_exclusive_group()
    source.add_argument("--calls", metavar="FILE", help='play a JSON list of {"name", "arguments"} instead')
    source.add_argument("--policy", choices=POLICIES, help="let a script play")
    result.add_argument("--goal", action="store_true", help="show the goal that the score is computed from")
    result.add_argument("--json", action="store_true", help="print the whole episode as JSON and nothing else")
    add_env_option(result)
    return result


def main(arguments: Sequence[str]) -> int:
    """Plays one episode and prints it."""
    options = parser().parse_args(arguments)
    if options.scenario is None and options.env is None:
        raise UserError("name a scenario, or give --env")
    scenarios = load_scenarios([] if options.scenario is None else [options.scenario], options.env)
    if len(scenarios) != 1:
        raise UserError(f"play takes one scenario: {', '.join(scenarios)}")
    (scenario,) = scenarios.values()
    env = scenario.env(options.seed, options.split)
    script = _script(options, scenario, env)
    goal = goal_of(env) if options.goal else None
    opening = env.reset()
    show = _silent if options.json else print
    show(_opening_text(env, opening))
    if options.goal:
        show(f"goal: {json.dumps(goal, ensure_ascii=False, indent=2)}\n")
    for turn, calls in turns_of(env, script, opening, SCRIPT_TURNS if options.policy else math.inf):
        if turn.content:
            show(f"{turn.content}\n")
        for call in calls:
            show(f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})")
            show(f"{call.status} {json.dumps(call.body, ensure_ascii=False, indent=2)}\n")
    episode = episode_record(env, opening)
    if options.goal:
        episode["goal"] = goal
    print(json.dumps(episode, indent=2) if options.json else _score_text(episode["score"]))
    return 0


def read_calls(path: str) -> list[ToolCall]:
    """Reads a file of calls. Raises UserError where it is not a JSON list of objects with a `name`."""
    try:
        listed = parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--calls {path!r}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(listed, list):
        raise UserError(f'{path} has to hold a list of {{"name", "arguments"}}, not {_kind(listed)}')
    try:
        return [as_call(item) for item in listed]
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def parse_json(text: str) -> Any:
    """Strict JSON: NaN and Infinity are refused, and so is nesting beyond the interpreter's depth (ValueError)."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def as_call(item: Any) -> ToolCall:
    """Reads `{"name", "arguments"}`; arguments left out are none. Raises ValueError on anything else."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise ValueError(f'a call is {{"name": ..., "arguments": {{...}}}}, not {json.dumps(item)[:80]}')
    return ToolCall(item["name"], item.get("arguments", {}))


def goal_of(env: Env) -> Any:
    """The goal of the episode's task. Raises UserError for an environment that does not show one."""
    task = getattr(env, "task", None)
    if task is None:
        raise UserError("this environment shows no goal (it has no `task`)")
    return task.goal


def episode_record(env: Env, opening: Observation) -> dict[str, Any]:
    """The episode as plain data: prompt, tools, calls with their responses, score."""
    return {
        "prompt": "\n\n".join(m["content"] for m in opening.messages if m["role"] == "user"),
        "tools": [tool.render() for tool in env.tools],
        **outcome(env.trace, env.score()),
    }


def _script(options: Namespace, scenario: Scenario, env: Env) -> Script:
    """Whoever plays: the file, the script or the terminal."""
    if options.calls is not None:
        return _File(read_calls(options.calls))
    if options.policy:
        return script_for(options.policy, scenario, options.seed, options.split)
    return _Terminal("" if options.json else f"{_how_to_call(env)}\n> ")


class _File:
    """One turn for each call of a list, then a closing turn."""

    def __init__(self, calls: Sequence[ToolCall]) -> None:
        self.calls = iter(calls)

    def turn(self, observation: Observation) -> Turn:
        call = next(self.calls, None)
        return CLOSING if call is None else Turn("", (call,))


class _Terminal:
    """Reads a line with a call or a list of calls at a time; an empty line or the end of the input closes."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt

    def turn(self, observation: Observation) -> Turn:
        try:
            line = input(self.prompt).strip()
        except EOFError:
            line = ""
        self.prompt = self.prompt[-2:]
        return Turn("", _typed(line)) if line else CLOSING


def _how_to_call(env: Env) -> str:
    """What a person types, with a call of the first tool as an example."""
    text = "One JSON call a line, or a list of them; an empty line ends."
    for tool in env.tools[:1]:
        properties = tool.parameters.get("properties", {})
        arguments = {name: _example(properties.get(name, {})) for name in tool.parameters.get("required", ())}
        text += f" For example:\n{json.dumps({'name': tool.name, 'arguments': arguments})}"
    return text


def _example(schema: Mapping[str, Any]) -> Any:
    """Some value of the schema's type; text where it has none or several."""
    kind = schema.get("type")
    return EXAMPLES.get(kind, "...") if isinstance(kind, str) else "..."


def _typed(line: str) -> tuple[ToolCall, ...]:
    """The calls on a line. What cannot be read becomes a malformed call, as it would for a policy."""
    try:
        parsed = parse_json(line)
        return tuple(as_call(item) for item in (parsed if isinstance(parsed, list) else [parsed]))
    except ValueError as error:
        return (ToolCall("", line, error=str(error)),)


def _opening_text(env: Env, opening: Observation) -> str:
    """The conversation so far and the tools with their arguments."""
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
    """Shows nothing: the JSON form prints the whole episode at the end."""
