"""The reward and the truth: a score of 1.0 means that the goal holds on the site, and every good way earns 1.0.

Every trace here has the responses of a fresh site.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from envs.episode import AtlassianEnv, Task
from envs.scenarios import SCENARIOS
from tests.support import broken, properties, replay, spoiling, ways
from tests.support.calls import document
from tests.support.checkers import CHECKERS
from tests.support.tiers import examples

NAMES = tuple(CHECKERS)
SCENARIO = pytest.mark.parametrize("name", NAMES)
FEW = settings(max_examples=examples(12), deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Without shrinking: a smaller seed does not make a simpler task."""
SEEDS = st.integers(0, 10_000)
SPLITS = st.sampled_from(["train", "heldout"])


def task_of(name: str, seed: int, split: Any = "train") -> Task:
    return SCENARIOS[name].task(seed, split)


@cache
def spoiled_episode(name: str, seed: int, split: Any = "train") -> AtlassianEnv:
    """An episode with up to three mistakes. Four seeds share a task."""
    task = task_of(name, seed // 4, split)
    return replay.play(task, spoiling.spoil(task, Random(f"{name}/{seed}")))


@SCENARIO
@FEW
@given(seed=SEEDS, split=SPLITS)
def test_every_good_way_scores_one_and_leaves_the_site_as_it_should_be(name: str, seed: int, split: Any) -> None:
    """Completeness. The judge must agree, which shows that it does not deny everything."""
    task = task_of(name, seed, split)
    for way, calls in ways.ways(task):
        env = replay.play(task, calls)
        assert CHECKERS[name](task.goal, env.trace).total == 1.0, way
        assert replay.is_true(env), way


@SCENARIO
@FEW
@given(start=st.integers(0, 1_000_000), split=SPLITS)
def test_one_exactly_when_the_goal_holds_and_no_call_is_to_blame(name: str, start: int, split: Any) -> None:
    """Soundness, on good ways with up to three mistakes. The converse is tested where the site alone decides."""
    check = CHECKERS[name]
    episodes = [spoiled_episode(name, seed, split) for seed in range(start, start + 4)]
    assert not replay.contradictions(check, episodes)
    for env in episodes:
        properties.assert_in_range(check, env.task.goal, env.trace)
        perfect, blameless = env.score().total == 1.0, replay.is_blameless(env)
        assert blameless or not perfect, env.trace
        # The site does not record which fields were read, so it cannot tell that they were too many.
        if blameless and not perfect and replay.is_plain(env) and name != "issue-read":
            assert not replay.is_true(env), env.trace


@SCENARIO
def test_snapshots_are_those_of_the_site(name: str) -> None:
    """`replay.snapshots` reuses the records that an episode did not write. The result must be the same."""
    for seed in range(8):
        env = spoiled_episode(name, seed)
        assert replay.snapshots(env) == (env.task.site().snapshot(), env.site.snapshot())


@SCENARIO
def test_soundness_fails_for_a_broken_checker(name: str) -> None:
    episodes = [spoiled_episode(name, seed) for seed in range(60)]
    assert replay.contradictions(broken.any_success, episodes)


@SCENARIO
def test_the_judge_denies_what_is_wrong(name: str) -> None:
    """The judge denies an untouched site, one where the last call is missing, and one with an additional change."""
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
def test_some_spoiled_episodes_are_perfect_and_some_are_not(name: str) -> None:
    """The search for contradictions has power: it covers both perfect and imperfect episodes."""
    totals = [spoiled_episode(name, seed).score().total for seed in range(80)]
    assert 8 <= sum(total == 1.0 for total in totals) <= 72


@SCENARIO
@FEW
@given(seed=SEEDS, split=SPLITS)
def test_dropping_a_required_call_lowers(name: str, seed: int, split: Any) -> None:
    """The other calls are played again. In issue-read nothing is written, and every call is required."""
    task = task_of(name, seed, split)
    calls = replay.oracle_calls(name, seed, split)
    complete = replay.play(task, calls)
    required = range(len(calls)) if name == "issue-read" else replay.required(complete)
    assert required
    for place in required:
        env = replay.play(task, calls[:place] + calls[place + 1 :])
        assert env.score().total < complete.score().total, calls[place]


@SCENARIO
@FEW
@given(seed=SEEDS, split=SPLITS)
def test_real_traces_have_the_properties(name: str, seed: int, split: Any) -> None:
    """The properties of hand-written traces also hold for the oracle's trace and for a spoiled one."""
    task, check = task_of(name, seed, split), CHECKERS[name]
    oracle = replay.play(task, replay.oracle_calls(name, seed, split))
    spoiled = replay.play(task, spoiling.spoil(task, Random(seed)))
    properties.assert_empty_is_zero(check, task.goal)
    for trace in (oracle.trace, spoiled.trace):
        properties.assert_deterministic(check, task.goal, trace)
        properties.assert_unmutated(check, task.goal, trace)
        properties.assert_order_of_keys_is_nothing(check, task.goal, trace)
        properties.assert_ids_alike(check, task.goal, trace)
        properties.assert_no_duplicate_raises(check, task.goal, trace)
        properties.assert_no_insertion_raises(check, task.goal, trace, properties.UNKNOWN_CALLS)
        properties.assert_no_insertion_raises(check, task.goal, trace, properties.STRAY_WRITES)
