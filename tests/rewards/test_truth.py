"""The reward and the truth: 1.0 means that the site is as it should be, and every good way there earns 1.0.

Every trace here holds the responses of a fresh site.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from envs.atlassian import AtlassianEnv, Task
from envs.scenarios import SCENARIOS
from rewards import CHECKERS
from tests.support import broken, properties, replay, spoiling, ways
from tests.support.calls import document

NAMES = tuple(CHECKERS)
SCENARIO = pytest.mark.parametrize("name", NAMES)
FEW = settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Without shrinking: a smaller seed is no simpler task."""
SEEDS = st.integers(0, 10_000)
SPLITS = st.sampled_from(["train", "heldout"])


def task_of(name: str, seed: int, split: Any = "train") -> Task:
    return SCENARIOS[name].task(seed, split)


def spoiled_episodes(name: str, seeds: range, split: Any = "train") -> list[AtlassianEnv]:
    episodes = []
    for seed in seeds:
        task = task_of(name, seed // 4, split)
        episodes.append(replay.play(task, spoiling.spoiled(task, Random(f"{name}/{seed}"))))
    return episodes


@SCENARIO
@FEW
@given(seed=SEEDS, split=SPLITS)
def test_every_good_way_scores_one_and_leaves_the_site_as_it_should_be(name: str, seed: int, split: Any) -> None:
    """Completeness; and the judge agrees, so that it is no judge that denies everything."""
    task = task_of(name, seed, split)
    for way, calls in ways.ways(task):
        env = replay.play(task, calls)
        assert CHECKERS[name](task.goal, env.trace).total == 1.0, way
        assert replay.is_true(env), way


@SCENARIO
@FEW
@given(start=st.integers(0, 1_000_000), split=SPLITS)
def test_one_exactly_when_the_goal_holds_and_nothing_is_to_blame(name: str, start: int, split: Any) -> None:
    """Soundness, over good ways with up to three mistakes, and where the site alone can tell the other direction."""
    check = CHECKERS[name]
    episodes = spoiled_episodes(name, range(start, start + 4), split)
    assert not replay.contradictions(check, episodes)
    for env in episodes:
        properties.assert_in_range(check, env.task.goal, env.trace)
        perfect, blameless = env.score().total == 1.0, replay.is_blameless(env)
        assert blameless or not perfect, env.trace
        # Which fields are too many is not for the site to say.
        if blameless and not perfect and replay.is_plain(env) and name != "issue-read":
            assert not replay.is_true(env), env.trace


@SCENARIO
def test_soundness_fails_for_a_broken_checker(name: str) -> None:
    episodes = spoiled_episodes(name, range(60))
    assert replay.contradictions(broken.any_success, episodes)


@SCENARIO
def test_the_judge_denies_what_is_wrong(name: str) -> None:
    """An untouched site, another task's site, and a good one with one change too many."""
    for seed in range(4):
        task = task_of(name, seed)
        calls = replay.oracle_calls(name, seed)
        assert replay.is_true(replay.play(task, calls))
        assert not replay.is_true(replay.play(task, []))
        assert not replay.is_true(replay.play(task, calls[:-1]))
        other = random_issue(task)
        for stray in (
            ("addComment", {"issueIdOrKey": other, "body": document("x")}),
            ("deletePage", {"id": random_page(task)}),
            ("assignIssue", {"issueIdOrKey": other, "accountId": None}),
        ):
            if stray[0] in SCENARIOS[name].tools:
                assert not replay.is_true(replay.play(task, [*calls, stray]))


def random_issue(task: Task) -> str:
    return Random(task.seed).choice(list(task.site().state.issues.values())).key


def random_page(task: Task) -> str:
    state = task.site().state
    homes = {space.homepage_id for space in state.spaces.values()}
    return Random(task.seed).choice([id for id in state.pages if id not in homes])


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
    spoiled = replay.play(task, spoiling.spoiled(task, Random(seed)))
    properties.assert_empty_is_zero(check, task.goal)
    for trace in (oracle.trace, spoiled.trace):
        properties.assert_deterministic(check, task.goal, trace)
        properties.assert_unmutated(check, task.goal, trace)
        properties.assert_order_of_keys_is_nothing(check, task.goal, trace)
        properties.assert_ids_alike(check, task.goal, trace)
        properties.assert_no_duplicate_raises(check, task.goal, trace)
        properties.assert_no_insertion_raises(check, task.goal, trace, properties.UNKNOWN_CALLS)
        properties.assert_no_insertion_raises(check, task.goal, trace, properties.STRAY_WRITES)
