"""Checks a custom scenario (`--env`) against `envs.protocol`.

Every value is checked where it is returned. An error therefore names the scenario and the method, instead of appearing
later somewhere else. Attributes outside the protocol pass through, such as a scenario's `demonstrate` and an
environment's `task`.
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
    """A scenario that wraps its environments in `CheckedEnv`."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self.name = scenario, scenario.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scenario, name)

    def env(self, seed: int, split: Split) -> CheckedEnv:
        env = self._scenario.env(seed, split)
        missing = [f"{name}()" for name in ("reset", "step", "score") if not callable(getattr(env, name, None))]
        if missing:
            problem = f"env({seed}, {split!r}) returned {_kind(env)} without {', '.join(missing)}"
            raise UserError(f"scenario {self.name!r}: {problem}; it must return an environment (envs/protocol.py)")
        return CheckedEnv(env, self.name)


class CheckedEnv:
    """An environment whose return values are all checked, which takes microseconds."""

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
        opening = self._check_observation("reset()", self._env.reset())
        if opening.done:
            self._refuse("reset() returned done=True; an episode must begin with a turn of the policy")
        return opening

    def step(self, turn: Turn) -> Observation:
        observation = self._check_observation("step()", self._env.step(turn))
        self.check_trace()
        return observation

    def score(self) -> Score:
        score = self._env.score()
        if not isinstance(score, Score):
            self._refuse(f"score() returned {_kind(score)}; it must return a rewards.score.Score")
        for name, value in score.parts.items():
            if not isinstance(name, str) or not isinstance(value, int | float):
                self._refuse(f"score() has the part {name!r}: {value!r}; parts must map names to numbers")
        return score

    def check_tools(self) -> None:
        """Raises UserError unless `tools` is a sequence of tools."""
        tools = getattr(self._env, "tools", None)
        if not isinstance(tools, Sequence):
            self._refuse(f"tools is {_kind(tools)}; it must be a sequence of envs.protocol.Tool")
        for tool in tools:
            if not isinstance(tool, Tool):
                self._refuse(f"tools contains {_kind(tool)}; it must contain only envs.protocol.Tool")

    def check_trace(self) -> None:
        """Raises UserError if a new entry of the trace is not a call or its body is not JSON-serialisable."""
        trace = getattr(self._env, "trace", None)
        if not isinstance(trace, tuple | list):
            self._refuse(f"trace is {_kind(trace)}; it must be a tuple of rewards.trace.Call")
        new, self._seen = trace[self._seen :], len(trace)
        for call in new:
            if not isinstance(call, Call):
                self._refuse(f"trace contains {_kind(call)}; it must contain only rewards.trace.Call")
            try:
                # Deep nesting is allowed: the policy may have written it.
                with contextlib.suppress(RecursionError):
                    json.dumps(call.body)
            except (TypeError, ValueError) as error:
                self._refuse(f"the body of {call.name} in the trace is not JSON: {error}")

    def _check_observation(self, method: str, observation: Any) -> Observation:
        if not isinstance(observation, Observation):
            self._refuse(f"{method} returned {_kind(observation)}; it must return an envs.protocol.Observation")
        if not isinstance(observation.messages, tuple | list):
            self._refuse(f"{method} returned messages that are {_kind(observation.messages)}; they must be a tuple")
        for message in observation.messages:
            texts = (message.get("role"), message.get("content")) if isinstance(message, dict) else ()
            if not texts or not all(isinstance(text, str) for text in texts):
                self._refuse(
                    f'{method} returned the message {message!r:.99}; it must be {{"role": text, "content": text}}'
                )
        if not observation.messages and not observation.done:
            self._refuse(f"{method} returned no message; only an observation that ends the episode may have none")
        return observation

    def _refuse(self, problem: str) -> NoReturn:
        raise UserError(f"scenario {self._scenario!r}: {problem}")


def try_out(scenario: CheckedScenario) -> None:
    """Plays a short episode: a malformed call, a turn without calls, and the score."""
    env = scenario.env(0, "train")
    env.reset()
    env.check_tools()
    for turn in (Turn("", (ToolCall("", "", error="not a call"),)), Turn("")):
        if env.step(turn).done:
            break
    env.score()


def _kind(value: Any) -> str:
    """The description of a value in a message: None, or its type with an article."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
