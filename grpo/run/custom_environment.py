"""Somebody's own scenario (`--env`), held to `envs.protocol`.

What it returns is looked at where it is returned: nonsense is named with its scenario and method, instead of failing
somewhere else. Everything beside the protocol passes through (a scenario's `demonstrate`, an environment's `task`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from envs.protocol import Env, Observation, Scenario, Split, Tool, ToolCall, Turn
from grpo.cli.main import UserError
from rewards.score import Score
from rewards.trace import Call


class OwnScenario:
    """A scenario whose environments are looked at."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self.name = scenario, scenario.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scenario, name)

    def env(self, seed: int, split: Split) -> OwnEnv:
        env = self._scenario.env(seed, split)
        missing = [f"{name}()" for name in ("reset", "step", "score") if not callable(getattr(env, name, None))]
        if missing:
            what = f"env({seed}, {split!r}) returned {_kind(env)} without {', '.join(missing)}"
            raise UserError(f"scenario {self.name!r}: {what}; it has to return an environment (envs/protocol.py)")
        return OwnEnv(env, self.name)


class OwnEnv:
    """An environment whose every answer is looked at, which takes microseconds."""

    def __init__(self, env: Env, scenario: str) -> None:
        self._env, self._scenario, self._seen = env, scenario, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    @property
    def tools(self) -> Sequence[Tool]:
        return self._env.tools

    @property
    def trace(self) -> tuple[Call, ...]:
        return self._env.trace

    def reset(self) -> Observation:
        opening = self._observed("reset()", self._env.reset())
        if opening.done:
            self._refuse("reset() returned done=True; an episode begins with a turn of the policy")
        return opening

    def step(self, turn: Turn) -> Observation:
        observation = self._observed("step()", self._env.step(turn))
        self.check_trace()
        return observation

    def score(self) -> Score:
        score = self._env.score()
        if not isinstance(score, Score):
            self._refuse(f"score() returned {_kind(score)}; it has to return a rewards.score.Score")
        for name, value in score.parts.items():
            if not isinstance(name, str) or not isinstance(value, int | float):
                self._refuse(f"score() has the part {name!r}: {value!r}; parts are numbers by name")
        return score

    def check_tools(self) -> None:
        """Refuses tools that are something else."""
        tools = getattr(self._env, "tools", None)
        if not isinstance(tools, Sequence):
            self._refuse(f"tools is {_kind(tools)}; it has to be a sequence of envs.protocol.Tool")
        for tool in tools:
            if not isinstance(tool, Tool):
                self._refuse(f"tools holds {_kind(tool)}; it has to hold envs.protocol.Tool")

    def check_trace(self) -> None:
        """Refuses new calls that are something else, or whose responses could not be written to a file."""
        trace = getattr(self._env, "trace", None)
        if not isinstance(trace, tuple | list):
            self._refuse(f"trace is {_kind(trace)}; it has to be a tuple of rewards.trace.Call")
        new, self._seen = trace[self._seen :], len(trace)
        for call in new:
            if not isinstance(call, Call):
                self._refuse(f"trace holds {_kind(call)}; it has to hold rewards.trace.Call")
            try:
                # How deep a body is may be the policy's doing.
                with contextlib.suppress(RecursionError):
                    json.dumps(call.body)
            except (TypeError, ValueError) as error:
                self._refuse(f"the body of {call.name} in the trace is not JSON: {error}")

    def _observed(self, method: str, given: Any) -> Observation:
        if not isinstance(given, Observation):
            self._refuse(f"{method} returned {_kind(given)}; it has to return an envs.protocol.Observation")
        if not isinstance(given.messages, tuple | list):
            self._refuse(f"{method} returned messages that are {_kind(given.messages)}; they have to be a tuple")
        for message in given.messages:
            texts = (message.get("role"), message.get("content")) if isinstance(message, dict) else ()
            if not texts or not all(isinstance(text, str) for text in texts):
                self._refuse(
                    f'{method} returned the message {message!r:.99}; it has to be {{"role": text, "content": text}}'
                )
        if not given.messages and not given.done:
            self._refuse(f"{method} returned no message; an observation that does not end the episode has to hold one")
        return given

    def _refuse(self, what: str) -> NoReturn:
        raise UserError(f"scenario {self._scenario!r}: {what}")


def try_out(scenario: OwnScenario) -> None:
    """Plays a short episode: a call that cannot be read, a turn without calls, the score."""
    env = scenario.env(0, "train")
    env.reset()
    env.check_tools()
    for turn in (Turn("", (ToolCall("", "", error="not a call"),)), Turn("")):
        if env.step(turn).done:
            break
    env.score()


def _kind(value: Any) -> str:
    """How a message calls a value: None, or its type."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
