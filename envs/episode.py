"""An episode on an Atlassian site: it executes tool calls, records the trace and asks the checker for the score."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from envs.protocol import Message, Observation, Split, Tool, ToolCall, Turn
from envs.site.site import Site
from envs.tools import TOOLS, argument_error
from rewards.score import Score
from rewards.trace import Call, Kind, Trace

SYSTEM = (
    "You act in Jira and Confluence, only through the tools. Do what the request asks and change nothing else, not "
    "even for a moment. Use only ids and keys that the request or an earlier turn shows; never guess. Avoid calls that "
    "fail, repeat or are needless, and search for what you need instead of listing everything. When done, answer "
    "without a call. If something was asked, state the values as the tools show them, in the order asked, "
    '"none" for an empty one. Only if the request cannot be met, change nothing and answer "Cannot" with the reason.'
)
"""What costs stands here or in a tool's description; `tests/envs/test_conventions.py` finds where."""

Checker = Callable[[Mapping[str, Any], Trace], Score]
Write = tuple[str, str, Any]
"""A request to a site: method, path, body."""


@dataclass(frozen=True)
class Task:
    """One task on a synthetic site."""

    scenario: str
    split: Split
    seed: int
    prompt: str
    """The request to the policy."""
    goal: Mapping[str, Any]
    """What the checker expects, as plain data."""
    difficulty: int
    """1 (easy) to 4 (needs a decision after reading)."""
    site_seed: int
    wording: str = ""
    """The request without its names: the skeletons that it was composed of."""
    history: tuple[Write, ...] = ()
    """What somebody did on the site before the episode starts."""

    def site(self) -> Site:
        """A fresh copy of the task's site."""
        site = Site.from_seed(self.site_seed, self.split)
        for method, path, body in self.history:
            site.request(method, path, body=body)
        return site


class AtlassianEnv:
    """One episode of a task; see `envs.protocol.Env`."""

    def __init__(self, task: Task, tool_names: tuple[str, ...], check: Checker) -> None:
        self.task = task
        self.tools: tuple[Tool, ...] = tuple(TOOLS[name].tool for name in tool_names)
        self.site = task.site()
        self._tool_names = frozenset(tool_names)
        self._check = check
        self._trace: list[Call] = []
        self._turns = 0
        self._over = False

    @property
    def trace(self) -> tuple[Call, ...]:
        return tuple(self._trace)

    def reset(self) -> Observation:
        return Observation(({"role": "system", "content": SYSTEM}, {"role": "user", "content": self.task.prompt}))

    def step(self, turn: Turn) -> Observation:
        if self._over:
            raise RuntimeError("the episode is over: make a new environment for another one")
        if not turn.calls:
            self._over = True
            self._trace.append(Call("", turn.content, 200, None, Kind.ANSWER, self._turns))
            return Observation((), done=True)
        calls = [replace(self._execute(call), turn=self._turns) for call in turn.calls]
        self._turns += 1
        self._trace += calls
        return Observation(tuple(tool_message(call) for call in calls))

    def score(self) -> Score:
        return self._check(self.task.goal, self.trace)

    def _execute(self, call: ToolCall) -> Call:
        if call.error is not None:
            return Call("", call.arguments, 400, {"error": f"Malformed tool call: {call.error}"}, Kind.MALFORMED)
        if call.name not in self._tool_names:
            return Call(call.name, call.arguments, 404, {"error": f"Unknown tool '{call.name}'."}, Kind.UNKNOWN)
        operation = TOOLS[call.name]
        kind = Kind(operation.tool.effect)
        error = argument_error(operation.tool.parameters, call.arguments)
        if error:
            return Call(call.name, call.arguments, 400, {"error": error}, kind)
        response = operation.call(self.site, call.arguments)
        return Call(call.name, call.arguments, response.status, response.body, kind)


def tool_message(call: Call) -> Message:
    """A response as the policy sees it: the body, with the status if the call failed or the body is empty."""
    if call.body is None:
        body: Any = {"status": call.status}
    elif call.ok:
        body = call.body
    else:
        body = {"status": call.status, **call.body}
    return {"role": "tool", "content": json.dumps(body)}
