"""The reward and the truth: a score of 1.0 means that the goal holds on the site, and every good way earns 1.0.

All episodes are played on the tasks' sites.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from envs.episode import Task
from envs.scenarios import NAMES, SCENARIOS
from rewards.trace import Kind
from tests.support import broken, exploits, ways
from tests.support.agents import ANSWERS, MOST, Program, random_program, run
from tests.support.properties import PROPERTIES, Property, total
from tests.support.replay import answer_of, judge_of, oracle_calls, play_calls, start
from tests.support.tiers import examples

SCENARIO = pytest.mark.parametrize("name", NAMES)
FEW = settings(max_examples=examples(30), deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Without shrinking: a smaller seed does not make a simpler task."""
SOME = settings(max_examples=examples(120), deadline=None)
SEEDS = st.integers(0, 10_000)
SPLITS = st.sampled_from(["train", "heldout"])
POOL = 40
"""Episodes are about the first tasks, so that few sites have to be built."""
CONTROLS: dict[str, Any] = {
    "is_sound": broken.any_success,
    "refusals_never_pay": broken.more_is_better,
    "every_step_counts": broken.attempts_only,
    "junk_never_pays": broken.more_is_better,
    "the_goal_ranks_first": broken.harsh,
    "mending_pays": broken.harsh,
    "idling_is_nothing": broken.always_one,
}
"""Property -> a checker in which it finds a fault."""


def programs() -> st.SearchStrategy[Program]:
    """Programs of agents, most with the oracle's calls somewhere."""
    step = st.tuples(st.sampled_from([*MOST, *["rest"] * 8]), st.integers(0, 999))
    answer = st.tuples(st.sampled_from(ANSWERS), st.integers(0, 999))
    return st.builds(
        lambda steps, answers: [*steps, *answers], st.lists(step, max_size=7), st.lists(answer, max_size=1)
    )


def pool(name: str) -> list[Task]:
    return exploits.tasks_of(name, POOL)


@SCENARIO
@FEW
@given(seed=SEEDS, split=SPLITS)
def test_every_good_way_scores_one_and_leaves_the_site_as_it_should_be(name: str, seed: int, split: Any) -> None:
    """Completeness. The judge must agree, which shows that it does not deny everything."""
    task = SCENARIOS[name].task(seed, split)
    for way, calls in ways.ways(task):
        episode = play_calls(task, calls, answer_of(task))
        assert (episode.total, episode.is_true, episode.blame) == (1.0, True, []), way


@SCENARIO
@SOME
@given(number=st.integers(0, POOL - 1), program=programs())
def test_every_property_holds_whatever_an_agent_does(name: str, number: int, program: Program) -> None:
    tasks = pool(name)
    episode = run(tasks[number], program, tasks[:3])
    assert not list(exploits.find(SCENARIOS[name].check, episode))


@SCENARIO
def test_a_search_finds_no_exploit(name: str) -> None:
    """`python -m tests.support.exploits` searches longer."""
    found = list(exploits.search(SCENARIOS[name].check, pool(name), traces=examples(200)))
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("one", PROPERTIES, ids=lambda one: one.__name__)
def test_each_property_finds_a_broken_checker(one: Property) -> None:
    check = CONTROLS[one.__name__]
    tasks = [*pool("ticket-transition")[:8], *pool("issue-labels")[:8], *pool("issue-create")[:8]]
    for index, task in enumerate(tasks):
        found = next(exploits.search(check, [task], 20, seed=index, properties=[one]), None)
        if found:
            assert any(one(check, found.episode))
            return
    pytest.fail("the broken checker was not noticed")


def test_the_saturated_reward_is_one_for_the_same_episodes() -> None:
    plain, saturated = (SCENARIOS[name].check for name in ("ticket-transition", "ticket-transition-saturated"))
    random, tasks = Random(5), pool("ticket-transition")
    for _ in range(examples(300)):
        episode = run(random.choice(tasks), random_program(random))
        goal, trace = episode.task.goal, episode.trace
        assert (saturated(goal, trace).total == 1.0) == (plain(goal, trace).total == 1.0)
        assert saturated(goal, trace).total >= plain(goal, trace).total - 1e-9


# Two ways to one end


@SCENARIO
@FEW
@given(seed=SEEDS, split=SPLITS, mistake=st.sampled_from(["", "unknown", "fail", "junk", "listing"]))
def test_ways_to_the_same_end_score_alike(name: str, seed: int, split: Any, mistake: str) -> None:
    """One edit or several, fields or operations, one format or another: after the same mistake, the same score."""
    task = SCENARIOS[name].task(seed, split)
    before = [call for call in run(task, [(mistake, 3)] if mistake else []).trace if isinstance(call.arguments, dict)]
    calls = [(call.name, call.arguments) for call in before]
    episodes = [
        play_calls(task, [*calls, *way], answer_of(task))
        for _, way in [("", oracle_calls(task)), *ways.rewritten(task)]
    ]
    first = episodes[0]
    for other in episodes[1:]:
        reads = [sum(call.kind == Kind.READ for call in one.trace) for one in (first, other)]
        repeated = any("repeated" in reason for reason in other.blame) != any("repeated" in r for r in first.blame)
        if reads[0] == reads[1] and not repeated:
            assert other.total == pytest.approx(first.total, abs=1e-9)


def test_the_comparison_of_ways_finds_a_checker_that_looks_at_the_form() -> None:
    task = next(t for t in pool("issue-labels") if any(way == "labels one by one" for way, _ in ways.rewritten(t)))
    totals = {
        total(broken.form_of_writes, play_calls(task, way), play_calls(task, way).trace) for _, way in ways.ways(task)
    }
    assert len(totals) > 1


@SCENARIO
def test_what_the_same_turn_shows_is_a_guess(name: str) -> None:
    """All calls at once: no response was seen before the ids were written."""
    guessed = 0
    for task in pool(name):
        trace = play_calls(task, oracle_calls(task), answer_of(task)).trace
        at_once = [replace(call, turn=0) for call in trace]
        if judge_of(task).guesses(at_once, start(task)):
            guessed += 1
            assert SCENARIOS[name].check(task.goal, at_once).total < 1.0
            assert SCENARIOS[name].check(task.goal, trace).total == 1.0
    assert guessed > POOL / 8
