"""Scripted policies. They demonstrate the tasks, and they are the baselines for policies that learn.

- `oracle` solves every task through the tools.
- `noisy` is the oracle with the habits of a prompted model that fails silently.
- `shortcut` solves what it can by regular expressions: a control for tasks that need no understanding.
- `random` makes valid but arbitrary calls.
- `idle` ends at once.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from envs.habits import disturb
from envs.protocol import Observation, Split, ToolCall, Turn
from envs.scenarios.drafting import AtlassianScenario, Demonstration
from envs.shortcut import Shortcut

ANSWER = Turn("Done.")
"""The turn that ends an episode where nothing was asked."""


class Script(Protocol):
    """A policy of plain code, for one episode."""

    def turn(self, observation: Observation) -> Turn:
        """The answer to the environment's latest observation."""


class Oracle:
    """Follows the scenario's demonstrator, which sees the goal and the observations that a model would see."""

    def __init__(self, scenario: AtlassianScenario, seed: int, split: Split) -> None:
        self._demonstration: Demonstration = scenario.demonstrate(scenario.task(seed, split))
        self._started = False

    def turn(self, observation: Observation) -> Turn:
        try:
            if not self._started:
                self._started = True
                return next(self._demonstration)
            return self._demonstration.send([json.loads(message["content"]) for message in observation.messages])
        except StopIteration as end:
            return ANSWER if end.value is None else Turn(end.value)


class Noisy:
    """The oracle's turns with the habits of a prompted model (`envs.habits`). The policy ignores observations."""

    def __init__(self, scenario: AtlassianScenario, seed: int, split: Split) -> None:
        rng = random.Random(f"noisy/{scenario.name}/{split}/{seed}")
        *turns, answer = oracle_turns(scenario, seed, split)
        name = getattr(scenario, "draw_as", "") or scenario.name
        self._turns = iter(disturb(name, turns, answer, rng))

    def turn(self, observation: Observation) -> Turn:
        return next(self._turns, ANSWER)


def oracle_turns(scenario: AtlassianScenario, seed: int, split: Split) -> list[Turn]:
    """All turns of the oracle's episode; the last one is the closing answer."""
    env, script = scenario.env(seed, split), Oracle(scenario, seed, split)
    observation, turns = env.reset(), []
    while (turn := script.turn(observation)).calls:
        turns.append(turn)
        observation = env.step(turn)
    return [*turns, turn]


class Random:
    """Valid but arbitrary calls: any tool, arguments of the right types, values from earlier responses or invented."""

    CALLS = 4

    def __init__(self, scenario: AtlassianScenario, seed: int, split: Split) -> None:
        self._rng = random.Random(f"random/{scenario.name}/{split}/{seed}")
        self._tools = scenario.env(seed, split).tools
        self._vocabulary: list[str] = ["1", "summary"]
        self._calls_left = self.CALLS

    def turn(self, observation: Observation) -> Turn:
        for message in observation.messages:
            self._vocabulary += re.findall(r"[\w-]+", message["content"])
        if not self._calls_left:
            return ANSWER
        self._calls_left -= 1
        tool = self._rng.choice(self._tools)
        return Turn("", (ToolCall(tool.name, self._value(tool.parameters)),))

    def _value(self, schema: Mapping[str, Any]) -> Any:
        kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
        if kind == "object":
            required = schema.get("required", ())
            properties = schema.get("properties", {})
            names = [name for name in properties if name in required or self._rng.random() < 0.4]
            return {name: self._value(properties[name]) for name in names}
        if kind == "array":
            return [self._value(schema["items"])]
        if kind == "integer":
            return self._rng.randrange(1, 100)
        if kind == "boolean":
            return self._rng.random() < 0.5
        return self._rng.choice(self._vocabulary)


class Idle:
    """Ends at once."""

    def __init__(self, scenario: AtlassianScenario, seed: int, split: Split) -> None:
        pass

    def turn(self, observation: Observation) -> Turn:
        return ANSWER


POLICIES: dict[str, Callable[[AtlassianScenario, int, Split], Script]] = {
    "oracle": Oracle,
    "noisy": Noisy,
    "shortcut": Shortcut,
    "random": Random,
    "idle": Idle,
}
