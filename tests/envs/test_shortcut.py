"""The control `shortcut` sees messages only, ends every episode and fits on a page."""

from __future__ import annotations

from itertools import count, islice
from pathlib import Path
from statistics import fmean

import pytest

import envs.shortcut
from envs.protocol import Observation
from envs.scenarios import SCENARIOS
from envs.shortcut import Shortcut
from tests.support.tiers import FULL

MOVES = SCENARIOS["ticket-transition"]
JUDGED = sorted(SCENARIOS.keys() - {"ticket-transition-saturated"})
"""The saturated scenario has the same tasks with a reward that is easy to earn."""
MOST, TASKS = 0.6, 60 if FULL else 40
"""Below this score the control has to stay, over so many tasks of a difficulty."""


def test_it_has_at_most_150_lines_of_code():
    lines = Path(envs.shortcut.__file__).read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 150


def test_it_depends_on_the_messages_alone():
    """Two seeds with the same messages get the same turns: neither task, goal nor state can be behind them."""
    env = MOVES.env(1, "train")
    observation, scripts = env.reset(), [Shortcut(MOVES, seed, "train") for seed in (1, 2)]
    while not observation.done:
        first, second = [script.turn(observation) for script in scripts]
        assert first == second
        observation = env.step(first)


@pytest.mark.parametrize("seed", range(60))
def test_it_ends_every_episode(seed):
    env, script = MOVES.env(seed, "train"), Shortcut(MOVES, seed, "train")
    observation, turns = env.reset(), 0
    while not observation.done:
        observation, turns = env.step(script.turn(observation)), turns + 1
        assert turns < 40


@pytest.mark.parametrize("difficulty", (2, 3, 4))
@pytest.mark.parametrize("name", JUDGED if FULL else JUDGED[-1:])
def test_it_stays_below_what_understanding_earns(name, difficulty):
    """The tasks must not be solvable by patterns and fixed choices."""
    scenario = SCENARIOS[name]
    seeds = (seed for seed in count() if scenario.task(seed, "train").difficulty == difficulty)
    assert fmean(score(name, seed) for seed in islice(seeds, TASKS)) < MOST


def score(name: str, seed: int) -> float:
    env, script = SCENARIOS[name].env(seed, "train"), Shortcut(SCENARIOS[name], seed, "train")
    observation = env.reset()
    while not observation.done:
        observation = env.step(script.turn(observation))
    return env.score().total


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_it_answers_a_request_without_names(name):
    message = {"role": "user", "content": "Please do it."}
    assert Shortcut(SCENARIOS[name], 0, "train").turn(Observation((message,))) is not None


def test_it_solves_the_easiest_tasks():
    """A negative control of the control: it does act."""
    observation = Observation(({"role": "user", "content": "Move FOX-1 to Done."},))
    turn = Shortcut(MOVES, 0, "train").turn(observation)
    assert turn.calls[0].arguments == {"issueIdOrKey": "FOX-1"}
