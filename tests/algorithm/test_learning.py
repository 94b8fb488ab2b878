"""GRPO learns an environment that is not Atlassian, through the real engine, from chance."""

from __future__ import annotations

from statistics import fmean

from grpo.config import Options
from tests.support import bandit
from tests.support.training import trainer_of

STEPS = 120
"""Over six seeds the last five rewards averaged 0.97 to 0.98 after 120 steps, 0.89 to 0.94 after 80."""


def rewards(learning_rate: float, steps: int) -> list[float]:
    """Mean reward of each step."""
    options = Options(
        steps=steps,
        prompts_per_step=6,
        group_size=16,
        rows=96,
        max_turns=1,
        max_turn_tokens=4,
        max_episode_tokens=4,
        learning_rate=learning_rate,
    )
    log: list[float] = []
    trainer_of(options, bandit.scenario()).run(lambda metrics, episodes: log.append(metrics["reward_mean"]))
    return log


def test_reward_rises_from_chance_to_over_19_of_20() -> None:
    log = rewards(learning_rate=3e-3, steps=STEPS)
    assert log[0] < 0.2
    assert fmean(log[-5:]) > 0.95


def test_without_learning_reward_stays_at_chance() -> None:
    """The control: the environment does not hand out reward with time."""
    assert fmean(rewards(learning_rate=1e-12, steps=20)[-5:]) < 0.2
