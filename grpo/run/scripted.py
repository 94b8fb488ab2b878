"""Playing an environment by a script. Starts without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

from envs.protocol import Env, Observation, Scenario, Split, Turn
from envs.scenarios.drafting import AtlassianScenario
from envs.scripts import POLICIES, Script
from envs.shortcut import RULES
from grpo.errors import UserError
from rewards.trace import Call

DEMONSTRATORS = ("oracle", "noisy")
"""Scripts that need a scenario's `demonstrate`; the others play any environment."""
SCRIPT_TURNS = 20
"""A script that has not ended by then is stopped; the longest task needs six."""
CLOSING = Turn("")
"""The last turn of a file or a person. A custom environment may continue after it, but nobody would answer."""


def script_for(policy: str, scenario: Scenario, seed: int, split: Split) -> Script:
    """A scripted policy for one episode. Raises UserError if the scenario has no demonstrator or rules to follow."""
    if policy in DEMONSTRATORS and not hasattr(scenario, "demonstrate"):
        raise UserError(f"{policy} follows a scenario's demonstrator, and {scenario.name} has none")
    if policy == "shortcut" and scenario.name not in RULES:
        raise UserError(f"shortcut has no rules for {scenario.name}, only for {', '.join(RULES)}")
    return POLICIES[policy](cast("AtlassianScenario", scenario), seed, split)


def turns_of(
    env: Env, script: Script, observation: Observation, limit: float = math.inf
) -> Iterator[tuple[Turn, tuple[Call, ...]]]:
    """Plays an environment that was just reset; yields each turn and the calls that it made.

    Ends when the environment is done, after the turn `CLOSING`, or after `limit` turns.
    """
    turn = None
    while limit > 0 and not observation.done and turn is not CLOSING:
        limit -= 1
        turn, before = script.turn(observation), len(env.trace)
        observation = env.step(turn)
        yield turn, env.trace[before:]
