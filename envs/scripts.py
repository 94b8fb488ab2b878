"""Scripted policies. They demonstrate the tasks, and they are the baselines for policies that learn.

- `oracle` solves every task through the tools.
- `noisy` is the oracle with the failures that the paper names.
- `random` makes valid but arbitrary calls.
- `idle` ends at once.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Protocol

from envs.protocol import Observation, Split, ToolCall, Turn
from envs.scenarios.drafting import AtlassianScenario, Demonstration

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


@dataclass(frozen=True)
class Noise:
    """The probability that an episode has each failure."""

    stop: float = 0.08
    """Ends early, after at least one call if there are several."""
    drop: float = 0.15
    """The last call, usually the write, loses one of its arguments, at any depth."""
    hallucinate: float = 0.08
    """Calls a tool that does not exist."""
    nest: float = 0.07
    """An argument of the last call is one level too high."""
    hurry: float = 0.07
    """Starts with the write, with guessed ids."""
    repeat: float = 0.08
    """Makes a call twice."""


INVENTED = (
    "getIssueByKey",
    "searchIssues",
    "getUser",
    "createTask",
    "updateIssue",
    "getPageByTitle",
    "setStatus",
    "addLabel",
)
"""Plausible names of tools that do not exist."""
GUESSED_IDS = frozenset(("id", "accountId", "spaceId", "parentId"))
"""The arguments that a hurried call guesses."""


class Noisy:
    """The oracle's turns with failures. They are fixed before the episode starts; the policy ignores observations."""

    def __init__(self, scenario: AtlassianScenario, seed: int, split: Split, noise: Noise | None = None) -> None:
        rng = random.Random(f"noisy/{scenario.name}/{split}/{seed}")
        *turns, self._answer = oracle_turns(scenario, seed, split)
        self._turns = iter(disturb(turns, noise or Noise(), rng))

    def turn(self, observation: Observation) -> Turn:
        return next(self._turns, self._answer)


def oracle_turns(scenario: AtlassianScenario, seed: int, split: Split) -> list[Turn]:
    """All turns of the oracle's episode; the last one is the closing answer."""
    env, script = scenario.env(seed, split), Oracle(scenario, seed, split)
    observation, turns = env.reset(), []
    while (turn := script.turn(observation)).calls:
        turns.append(turn)
        observation = env.step(turn)
    return [*turns, turn]


def disturb(turns: list[Turn], noise: Noise, rng: random.Random) -> list[Turn]:
    """`turns` with each failure at its probability."""
    last = turns[-1]
    if rng.random() < noise.drop:
        turns = [*turns[:-1], _with_call(last, _drop_argument(last.calls[0], rng))]
    elif rng.random() < noise.nest:
        turns = [*turns[:-1], _with_call(last, _hoist_argument(last.calls[0], rng))]
    if rng.random() < noise.hurry and len(turns) > 1:
        turns = [Turn("", (_guess_ids(last.calls[0], rng),)), *turns]
    if rng.random() < noise.hallucinate:
        place = rng.randrange(len(turns))
        call = replace(turns[place].calls[0], name=rng.choice(INVENTED))
        turns = [*turns[:place], _with_call(turns[place], call), *turns[place:]]
    if rng.random() < noise.repeat:
        place = rng.randrange(len(turns))
        turns = [*turns[: place + 1], Turn("", turns[place].calls), *turns[place + 1 :]]
    if rng.random() < noise.stop:
        turns = turns[: rng.randrange(1, len(turns))] if len(turns) > 1 else []
    return turns


def _with_call(turn: Turn, call: ToolCall) -> Turn:
    return Turn(turn.content, (call,))


def _drop_argument(call: ToolCall, rng: random.Random) -> ToolCall:
    """The call without one of its arguments; if it has several `fields`, without one of them."""
    arguments = deepcopy(call.arguments)
    fields = arguments.get("fields")
    holder = fields if isinstance(fields, dict) and len(fields) > 1 else arguments
    names = [name for name in holder if name != "issueIdOrKey"] or list(holder)
    del holder[rng.choice(names)]
    return replace(call, arguments=arguments)


def _hoist_argument(call: ToolCall, rng: random.Random) -> ToolCall:
    """The call with one nested argument one level too high."""
    arguments = deepcopy(call.arguments)
    nested = [name for name, value in arguments.items() if isinstance(value, dict)]
    if not nested:
        return _drop_argument(call, rng)
    outer = rng.choice(nested)
    inner = rng.choice(list(arguments[outer]))
    arguments[inner] = arguments[outer].pop(inner)
    return replace(call, arguments=arguments)


def _guess_ids(call: ToolCall, rng: random.Random) -> ToolCall:
    """The call with guesses for the digits of all ids."""

    def guess(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: guess(item, key) for key, item in value.items()}
        if isinstance(value, str) and name in GUESSED_IDS:
            return re.sub(r"\d", lambda _: str(rng.randrange(1, 10)), value)
        return value

    return replace(call, arguments=guess(call.arguments))


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
    "random": Random,
    "idle": Idle,
}
