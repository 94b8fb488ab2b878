"""The tasks of ticket-transition: their requests are right, the oracle solves them, and the splits share no wording."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from envs.episode import Task
from envs.phrasing import Frames, skeletons, tidy
from envs.protocol import Split
from envs.scenarios import decoys, ticket_wording, wording
from envs.scenarios.drafting import Draft
from envs.scenarios.goals import issue_facts
from envs.scenarios.ticket_decisions import NO_RESOLUTION, NO_STATUS
from envs.scenarios.ticket_transition import SATURATED, SCENARIO
from envs.scripts import Oracle
from envs.site.records import State
from envs.site.site import Site
from envs.words import ACTIONS, LABEL_KINDS, OBJECTS, SUBJECTS, TAILS, WORDS, Names
from tests.support.tiers import examples

SPLITS: tuple[Split, ...] = ("train", "heldout")
TASKS, REQUESTS, SITES = examples(300), 2_000, 25
SLIPS = {
    "two spaces": r"  ",
    "a space before a mark": r" [,.?!:](\s|$)",
    "two marks": r"[.?!,:]\s*[.?!,:](?!\w)",
    "a word twice": r"\b([a-z]+) \1\b",
    "a small letter at a start": r"(^|[.?!] |\n)[a-z]",
    "a capital after a comma": r", (?:The|It|Please|Move|Set|Change|If)\b",
    "a slot or a bracket": r"[{}\[\]|]",
    "a or an": r"\b(?:a [aeiou]|an [^aeiou\W])",
    "a pronoun in the wrong form": r"\bof its? (?:status|resolution)\b|the status of it\b|\bit (?:have|need|get)\b",
    "a number": r"\b(?:team are|we is|issues that is|tickets that is|issues has)\b",
    "in twice": r"\b(?:in|into) In\b",
}


@cache
def tasks(split: Split) -> list[Task]:
    return [SCENARIO.task(seed, split) for seed in range(TASKS)]


@cache
def requests(split: Split) -> list[tuple[str, str]]:
    """Many requests for few sites, which take the most time to draw. Each with its wording."""
    drawn = []
    for number in range(REQUESTS):
        rng = random.Random(f"requests/{split}/{number}")
        draft = Draft(rng, Names(rng, split), split, Site.from_seed(number % SITES, split), 1 + number % 4)
        drawn.append((SCENARIO.draft(draft)[0], " / ".join(draft.wording)))
    return drawn


def facts(state: State) -> dict[str, Any]:
    return {issue.id: issue_facts(state, issue) for issue in state.issues.values()}


def expected(task: Task) -> dict[str, Any]:
    """The issues at the end, as the goal says."""
    state = task.site().state
    issues = facts(state)
    done = {status.name for status in state.statuses.values() if status.category == "done"}
    default = next(iter(state.resolutions.values()))
    for entry in task.goal.get("issues", ()):
        issue = issues[entry["id"]]
        target = dict(entry["target"])
        issue["comments"] = issue["comments"] + target.pop("comments", [])
        if "status" in target:
            kept = issue["resolution"] or default
            issue["resolution"] = kept if target["status"] in done else None
        issue |= target
    return issues


@pytest.mark.parametrize("split", SPLITS)
def test_the_oracle_brings_the_site_to_the_goal(split):
    for task in tasks(split):
        env, script = SCENARIO.env(task.seed, split), Oracle(SCENARIO, task.seed, split)
        observation, turns = env.reset(), 0
        while not observation.done:
            turn = script.turn(observation)
            observation, turns = env.step(turn), turns + 1
        assert turns <= 9, (task.seed, turns)
        assert all(call.ok for call in env.trace), (task.seed, task.prompt)
        assert facts(env.site.state) == expected(task), (task.seed, task.prompt)
        assert turn.content.startswith("Cannot: ") == bool(task.goal.get("impossible")), task.seed


@pytest.mark.parametrize("split", SPLITS)
def test_goals_are_plain_data_and_difficulties_equally_likely(split):
    for task in tasks(split):
        assert json.loads(json.dumps(task.goal)) == task.goal
    shares = [sum(task.difficulty == level for task in tasks(split)) / TASKS for level in (1, 2, 3, 4)]
    assert all(0.1 < share < 0.4 for share in shares)


def test_the_request_names_what_the_goal_says():
    """Statuses, resolutions and comments stand in the request; a key does unless it has to be looked up."""
    for split in SPLITS:
        for task in tasks(split):
            to_find = {alias for aliases in task.goal.get("lookups", ()) for alias in aliases}
            for entry in task.goal.get("issues", ()):
                target = entry["target"]
                wanted = [target.get("status"), target.get("resolution"), *target.get("comments", ())]
                assert all(text in task.prompt for text in wanted if text), task.prompt
                assert (entry["key"] in to_find) != bool(re.search(rf"\b{entry['key']}\b", task.prompt)), task.prompt


def test_no_site_has_the_names_that_requests_in_vain_use():
    for split in SPLITS:
        for task in tasks(split):
            assert not set(task.goal["site"]["statuses"]) & set(NO_STATUS)
            assert not set(task.goal["site"]["resolutions"].values()) & set(NO_RESOLUTION)


@pytest.mark.parametrize("split", SPLITS)
def test_requests_have_no_slips_of_grammar(split):
    for text, _ in requests(split):
        for slip, pattern in SLIPS.items():
            match = re.search(pattern, text)
            assert not match, (slip, match, text)


def test_the_linter_sees_slips():
    slips = (
        "Move FOX-1 to Done .",
        "the ticket needs a move.",
        "Please set the status of it to Done.",
        "Put FOX-1 in In Review.",
        "Hello, Please move it.",
        "Move FOX-1 to  Done.",
        "We have a issue.",
    )
    assert all(any(re.search(pattern, text) for pattern in SLIPS.values()) for text in slips)


def all_frames() -> list[Frames]:
    members = [*vars(ticket_wording).values(), *vars(wording).values(), *vars(decoys).values()]
    groups = [[*member.values()] if isinstance(member, dict) else [member] for member in members]
    return [frames for group in groups for frames in group if isinstance(frames, Frames)]


def words(patterns: list[str]) -> set[str]:
    """The words of all skeletons, at the start of a sentence and elsewhere. Capitals make other words."""
    texts = [text for pattern in patterns for text in skeletons(pattern)]
    plain = [re.sub(r"{\w+}", "0", text) for text in [*texts, *map(tidy, texts)]]
    return {word for text in plain for word in re.findall(r"[A-Za-z]+", text)}


def test_all_words_of_held_out_frames_occur_in_training_frames():
    train = words([pattern for frames in all_frames() for pattern in frames.train])
    for frames in all_frames():
        for pattern in frames.heldout:
            assert words([pattern]) <= train, (pattern, words([pattern]) - train)


def test_held_out_requests_have_no_new_words():
    """Words as they stand in requests, with names in quotation marks and the words of names left aside."""
    names = set(
        " ".join((*WORDS, *SUBJECTS, *ACTIONS, *OBJECTS, *TAILS, *LABEL_KINDS, *NO_STATUS, *NO_RESOLUTION))
        .replace("-", " ")
        .split()
    )
    sites = [Site.from_seed(number, "heldout") for number in range(SITES)]
    names |= {word for site in sites for status in site.state.statuses.values() for word in status.name.split()}
    found = {
        split: {word for text, _ in requests(split) for word in re.findall(r"[A-Za-z]+", text)} for split in SPLITS
    }
    new = found["heldout"] - found["train"] - names
    assert not {word for word in new if not re.fullmatch("[A-Z]{3}", word)}


def test_held_out_frames_have_structures_of_their_own():
    for frames in all_frames():
        train = {tidy(text) for pattern in frames.train for text in skeletons(pattern)}
        assert not train & {tidy(text) for pattern in frames.heldout for text in skeletons(pattern)}, frames
    assert not {wording for _, wording in requests("train")} & {wording for _, wording in requests("heldout")}


def test_wordings_are_many():
    assert len({wording for _, wording in requests("train")}) > 0.75 * REQUESTS


def test_saturated_has_the_same_tasks():
    assert replace(SATURATED.task(3, "train"), scenario="", goal={}) == replace(
        SCENARIO.task(3, "train"), scenario="", goal={}
    )
