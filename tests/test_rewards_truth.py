"""The reward and the truth: 1.0 means that the site is as it should be, and every good way there earns 1.0.

Every trace here holds the responses of a fresh site.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.atlassian import AtlassianEnv, Task
from envs.scenarios import SCENARIOS
from rewards import CHECKERS
from tests.support import broken, properties, replay

NAMES = tuple(CHECKERS)
SCENARIO = pytest.mark.parametrize("name", NAMES)
FEW = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 10_000)
SPLITS = st.sampled_from(["train", "heldout"])


def task_of(name: str, seed: int, split: Any = "train") -> Task:
    return SCENARIOS[name].task(seed, split)


def spoiled_episodes(name: str, seeds: range, split: Any = "train") -> list[AtlassianEnv]:
    episodes = []
    for seed in seeds:
        task = task_of(name, seed // 4, split)
        episodes.append(replay.play(task, replay.spoiled(task, Random(f"{name}/{seed}"))))
    return episodes


@SCENARIO
@FEW
@given(seed=SEEDS, split=SPLITS)
def test_every_good_way_scores_one_and_leaves_the_site_as_it_should_be(name: str, seed: int, split: Any) -> None:
    """Completeness; and the judge agrees, so that it is no judge that denies everything."""
    task = task_of(name, seed, split)
    for way, calls in replay.ways(task):
        env = replay.play(task, calls)
        assert CHECKERS[name](task.goal, env.trace).total == 1.0, way
        assert replay.is_true(env), way


@SCENARIO
@FEW
@given(start=st.integers(0, 1_000_000), split=SPLITS)
def test_one_implies_that_the_goal_holds_and_nothing_else_changed(name: str, start: int, split: Any) -> None:
    """Soundness, over good ways with up to three mistakes."""
    episodes = spoiled_episodes(name, range(start, start + 4), split)
    assert not replay.contradictions(CHECKERS[name], episodes)
    for env in episodes:
        properties.assert_in_range(CHECKERS[name], env.task.goal, env.trace)


@SCENARIO
@FEW
@given(start=st.integers(0, 1_000_000), split=SPLITS)
def test_one_exactly_when_the_goal_holds_and_nothing_is_to_blame(name: str, start: int, split: Any) -> None:
    """For reading, the one direction: which fields are too many is not for the site to say."""
    for env in spoiled_episodes(name, range(start, start + 4), split):
        perfect = env.score().total == 1.0
        assert replay.is_blameless(env) or not perfect, env.trace
        if replay.is_blameless(env) and replay.is_sparing(env) and name != "issue-read":
            assert perfect == replay.is_true(env), env.trace


@SCENARIO
def test_soundness_fails_for_a_broken_checker(name: str) -> None:
    episodes = spoiled_episodes(name, range(60))
    assert replay.contradictions(broken.any_success, episodes)


@SCENARIO
def test_spoiled_episodes_are_some_good_and_some_bad(name: str) -> None:
    """The search for contradictions is worth something: it meets both sides of the border."""
    totals = [env.score().total for env in spoiled_episodes(name, range(80))]
    assert 8 <= sum(total == 1.0 for total in totals) <= 72


@SCENARIO
@FEW
@given(seed=SEEDS, split=SPLITS)
def test_dropping_a_required_call_lowers(name: str, seed: int, split: Any) -> None:
    """The rest is played anew. Where nothing is written, reading is the goal and every call is required."""
    task = task_of(name, seed, split)
    calls = replay.oracle_calls(name, seed, split)
    whole = replay.play(task, calls)
    needed = range(len(calls)) if name == "issue-read" else replay.required(whole)
    assert needed
    for place in needed:
        env = replay.play(task, calls[:place] + calls[place + 1 :])
        assert env.score().total < whole.score().total, calls[place]


@SCENARIO
@FEW
@given(seed=SEEDS, split=SPLITS)
def test_real_traces_have_the_properties(name: str, seed: int, split: Any) -> None:
    """Those of the hand-written ones, for the oracle and for a spoiled episode."""
    task, check = task_of(name, seed, split), CHECKERS[name]
    oracle = replay.play(task, replay.oracle_calls(name, seed, split))
    spoiled = replay.play(task, replay.spoiled(task, Random(seed)))
    properties.assert_empty_is_zero(check, task.goal)
    for trace in (oracle.trace, spoiled.trace):
        properties.assert_deterministic(check, task.goal, trace)
        properties.assert_unmutated(check, task.goal, trace)
        properties.assert_order_of_keys_is_nothing(check, task.goal, trace)
        properties.assert_ids_alike(check, task.goal, trace)
        properties.assert_no_duplicate_raises(check, task.goal, trace)
        properties.assert_no_insertion_raises(check, task.goal, trace, properties.UNKNOWN_CALLS)
        properties.assert_no_insertion_raises(check, task.goal, trace, properties.STRAY_WRITES)
