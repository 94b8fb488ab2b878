"""The checker of every scenario, by its name."""

from envs.scenarios import SCENARIOS

CHECKERS = {name: scenario.check for name, scenario in SCENARIOS.items()}
