"""A custom scenario (`--env`), checked against `envs.protocol`.

Every value is checked where it is returned, so that an error names the scenario and the method instead of appearing
somewhere else. Attributes beside the protocol pass through (a scenario's `demonstrate`, an environment's `task`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from envs.protocol import Env, Observation, Scenario, Split, Tool, ToolCall, Turn
from grpo.errors import UserError
from rewards.score import Score
from rewards.trace import Call


class CheckedScenario:
    """A scenario whose environments are checked."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self.name = scenario, scenario.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scenario, name)

    def env(self, seed: int, split: Split) -> CheckedEnv:
        env = self._scenario.env(seed, split)
        missing = [f"{name}()" for name in ("reset", "step", "score") if not callable(getattr(env, name, None))]
        if missing:
            problem = f"env({seed}, {split!r}) returned {_kind(env)} without {', '.join(missing)}"
            raise UserError(f"scenario {self.name!r}: {problem}; it has to return an environment (envs/protocol.py)")
        return CheckedEnv(env, self.name)


class CheckedEnv:
    """An environment whose every answer is checked, which takes microseconds."""

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
        """Refuses anything but a sequence of tools."""
        tools = getattr(self._env, "tools", None)
        if not isinstance(tools, Sequence):
            self._refuse(f"tools is {_kind(tools)}; it has to be a sequence of envs.protocol.Tool")
        for tool in tools:
            if not isinstance(tool, Tool):
                self._refuse(f"tools holds {_kind(tool)}; it has to hold envs.protocol.Tool")

    def check_trace(self) -> None:
        """Refuses new entries that are no calls, or whose responses cannot be written to a file."""
        trace = getattr(self._env, "trace", None)
        if not isinstance(trace, tuple | list):
            self._refuse(f"trace is {_kind(trace)}; it has to be a tuple of rewards.trace.Call")
        new, self._seen = trace[self._seen :], len(trace)
        for call in new:
            if not isinstance(call, Call):
                self._refuse(f"trace holds {_kind(call)}; it has to hold rewards.trace.Call")
            try:
                # A body may nest deeply because the policy wrote it so.
                with contextlib.suppress(RecursionError):
                    json.dumps(call.body)
            except (TypeError, ValueError) as error:
                self._refuse(f"the body of {call.name} in the trace is not JSON: {error}")

    def _observed(self, method: str, observation: Any) -> Observation:
        if not isinstance(observation, Observation):
            self._refuse(f"{method} returned {_kind(observation)}; it has to return an envs.protocol.Observation")
        if not isinstance(observation.messages, tuple | list):
            self._refuse(f"{method} returned messages that are {_kind(observation.messages)}; they have to be a tuple")
        for message in observation.messages:
            texts = (message.get("role"), message.get("content")) if isinstance(message, dict) else ()
            if not texts or not all(isinstance(text, str) for text in texts):
                self._refuse(
                    f'{method} returned the message {message!r:.99}; it has to be {{"role": text, "content": text}}'
                )
        if not observation.messages and not observation.done:
            self._refuse(f"{method} returned no message; an observation that does not end the episode has to hold one")
        return observation

    def _refuse(self, problem: str) -> NoReturn:
        raise UserError(f"scenario {self._scenario!r}: {problem}")


def try_out(scenario: CheckedScenario) -> None:
    """Plays a short episode: a call that cannot be read, a turn without calls, the score."""
    env = scenario.env(0, "train")
    env.reset()
    env.check_tools()
    for turn in (Turn("", (ToolCall("", "", error="not a call"),)), Turn("")):
        if env.step(turn).done:
            break
    env.score()


def _kind(value: Any) -> str:
    """A value's name in a message: None, or its type."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
