"""The requests of `issue-read` and `issue-labels`: they are solvable, determined and well written."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from functools import cache

import pytest

from envs import words
from envs.episode import Task
from envs.phrasing import Frames, skeletons, tidy
from envs.protocol import SPLITS, Split
from envs.scenarios import SCENARIOS
from envs.scenarios.issue_properties import JIRA_FIELDS, PLURALS, values
from envs.scripts import Oracle
from envs.site.records import Issue
from tests.support.tiers import examples

NAMES = ("issue-read", "issue-labels")
WORDING = {"issue-read": "read_wording", "issue-labels": "labels_wording"}
SHARED = ("wording", "decoys", "issue_reference", "issue_properties")
MOST_TURNS = 7
WORD = re.compile(r"[A-Za-z]+")

cases = pytest.mark.parametrize(("name", "split"), [(name, split) for name in NAMES for split in SPLITS])


@cache
def all_tasks(name: str, split: Split) -> list[Task]:
    return [SCENARIOS[name].task(seed, split) for seed in range(1_000)]


def tasks(name: str, split: Split, count: int = 1_000) -> list[Task]:
    return all_tasks(name, split)[:count]


@cases
def test_the_oracle_ends_at_the_goal_without_a_failed_call(name: str, split: Split) -> None:
    for task in tasks(name, split, examples(300)):
        env, script = SCENARIOS[name].env(task.seed, split), Oracle(SCENARIOS[name], task.seed, split)
        observation, turns = env.reset(), 1
        while (turn := script.turn(observation)).calls:
            observation, turns = env.step(turn), turns + 1
        assert turns <= MOST_TURNS, task.prompt
        assert turns > 1, task.prompt
        assert all(call.ok for call in env.trace), (task.prompt, env.trace)
        json.dumps(task.goal)
        assert wrong_issues(task, env.site.state.issues) == [], task.prompt
        assert wrong_answers(task, turn.content) == [], (task.prompt, turn.content)


def wrong_issues(task: Task, after: dict[str, Issue]) -> list[str]:
    """The keys of issues that are not as the goal says; issues outside of it must not have changed."""
    targets = {entry["id"]: entry["target"] for entry in task.goal.get("issues", [])}
    wrong = []
    for id, before in task.site().state.issues.items():
        if id not in targets:
            if after[id] != before:
                wrong.append(before.key)
            continue
        change = targets[id]["labels"]
        labels = [label for label in before.labels if label not in change["remove"]] + change["add"]
        if sorted(after[id].labels) != sorted(labels) or labels == list(before.labels):
            wrong.append(before.key)
    return wrong


def wrong_answers(task: Task, answer: str) -> list[str]:
    """The values that the closing answer lacks."""
    if task.goal.get("impossible"):
        return [] if answer.startswith("Cannot: ") else ["Cannot"]
    lacking = []
    for question in task.goal.get("questions", []):
        if "issue" in question:
            state = task.site().state
            assert question["values"] == values(state, state.issues[question["issue"]["id"]], question["field"])
        lacking += [value for value in question["values"] or ["none"] if value not in answer]
    return lacking


def test_a_missing_label_or_answer_is_noticed() -> None:
    task = next(task for task in tasks("issue-labels", "train", 300) if task.goal.get("issues"))
    assert wrong_issues(task, task.site().state.issues) == [entry["key"] for entry in task.goal["issues"]]
    task = next(task for task in tasks("issue-read", "train", 300) if task.goal.get("questions"))
    assert wrong_answers(task, "I do not know.")


@cases
def test_a_request_determines_its_issues(name: str, split: Split) -> None:
    """What is named by summary has no namesake in its project, except for the look-alikes."""
    for task in tasks(name, split, 300):
        issues = task.site().state.issues
        for id, _ in task.goal.get("lookups", []):
            issue = issues[id]
            same = [o for o in issues.values() if (o.project_id, o.summary) == (issue.project_id, issue.summary)]
            if issue.summary in task.prompt:
                assert len(same) in ((2, 3) if task.goal["plan"]["kind"] == "twin" else (1,)), task.prompt
        for question in task.goal.get("questions", []):
            if "issue" in question:
                id, key = question["issue"]["id"], question["issue"]["key"]
                by_key = re.search(rf"\b{key}\b", task.prompt) is not None
                assert by_key != ([id, key] in task.goal["lookups"]), task.prompt


@pytest.mark.parametrize("name", NAMES)
def test_difficulties_and_decisions_are_drawn_about_equally_often(name: str) -> None:
    drawn = tasks(name, "train", 300)
    for difficulty in (1, 2, 3, 4):
        assert 45 < sum(task.difficulty == difficulty for task in drawn) < 105
    impossible = sum(bool(task.goal.get("impossible")) for task in drawn)
    assert 5 <= impossible <= 30


def frames(name: str) -> Iterator[Frames]:
    for module in (WORDING[name], *SHARED):
        for member in vars(importlib.import_module(f"envs.scenarios.{module}")).values():
            yield from (
                item for item in (member.values() if isinstance(member, dict) else [member]) if isinstance(item, Frames)
            )


@pytest.mark.parametrize("name", NAMES)
def test_the_splits_have_different_skeletons(name: str) -> None:
    for item in frames(name):
        train = {tidy(text) for pattern in item.train for text in skeletons(pattern)}
        heldout = {tidy(text) for pattern in item.heldout for text in skeletons(pattern)}
        assert len(item.heldout) == 0 or heldout - train
    wordings = [{task.wording for task in tasks(name, split)} for split in SPLITS]
    assert not wordings[0] & wordings[1]


NAME_WORDS = {
    *words.WORDS,
    *(
        word
        for text in (*words.SUBJECTS, *words.OBJECTS, *words.TAILS, *words.LABEL_KINDS)
        for word in WORD.findall(text)
    ),
    *(word for field in (*JIRA_FIELDS, *PLURALS.values()) for word in WORD.findall(f"{field} {field.capitalize()}")),
}


def name_words(task: Task) -> set[str]:
    """The words of the site's statuses, types, priorities and categories."""
    state = task.site().state
    names = [*(status.name for status in state.statuses.values()), *(kind.name for kind in state.issue_types.values())]
    return set(WORD.findall(" ".join([*names, *state.priorities.values()])))


@pytest.mark.parametrize("name", NAMES)
def test_held_out_words_occur_in_training_requests(name: str) -> None:
    """With the same capitals, since these make other tokens. Names are in requests of both splits."""
    patterns = {
        split: {
            word
            for item in frames(name)
            for pattern in getattr(item, split)
            for text in skeletons(pattern)
            for word in pattern_words(text)
        }
        for split in SPLITS
    }
    assert patterns["heldout"] <= patterns["train"], patterns["heldout"] - patterns["train"]
    requests = {split: {word for task in tasks(name, split) for word in WORD.findall(task.prompt)} for split in SPLITS}
    keys = {word for word in requests["heldout"] if re.fullmatch(r"[A-Z]{3}", word)}
    new = requests["heldout"] - requests["train"] - NAME_WORDS - keys
    new -= name_words(tasks(name, "heldout")[0])
    assert not new


def pattern_words(skeleton: str) -> set[str]:
    """The words of a skeleton, as a part of a sentence and at its start."""
    return {word for text in (skeleton, tidy(skeleton)) for word in WORD.findall(re.sub(r"{\w+}", "x", text))}


SLIPS = {
    "double space": r"  ",
    "space before punctuation": r" [,.;:?!]",
    "article before a vowel": r"\ba [aeiouAEIO]",
    "article before a consonant": r"\ban [^aeiouAEIOh]",
    "word twice": r"\b([A-Za-z]+) \1\b",
    "punctuation twice": r"[,.;:?!]{2}",
    "please twice": r"(?i)\bplease\b[^.?!\n]*\bplease\b",
    "sentence without a capital": r"[.?!] [a-z]",
    "line without a capital": r"\n[a-z]",
    "empty slot": r"[{}\[\]|]",
    "quotation mark inside a name": r'\w"\w',
}


def slips(text: str) -> list[str]:
    """What a careful editor would mend in a request."""
    found = [name for name, pattern in SLIPS.items() if re.search(pattern, text)]
    if not text[0].isupper() and not text.startswith('"'):
        found.append("start without a capital")
    if text.count('"') % 2 or text.count("(") != text.count(")"):
        found.append("unbalanced marks")
    last = text.rsplit("\n", 1)
    if not re.search(r"[.?!]\Z", text) and not (len(last) == 2 and re.match(r"- |[A-Z][\w ]*: ", last[1])):
        found.append("no final punctuation")
    return found


@cases
def test_requests_are_well_written(name: str, split: Split) -> None:
    for task in tasks(name, split):
        assert not slips(task.prompt), (slips(task.prompt), task.prompt)
        assert len(task.prompt) < 800


@pytest.mark.parametrize(
    ("text", "slip"),
    [
        ("Tell me  more.", "double space"),
        ("Please look , now.", "space before punctuation"),
        ("Make a Epic.", "article before a vowel"),
        ("Move the the issue.", "word twice"),
        ('Open "it.', "unbalanced marks"),
        ("Look. now.", "sentence without a capital"),
        ("Look", "no final punctuation"),
        ("please look.", "start without a capital"),
        ("Please look, please.", "please twice"),
    ],
)
def test_a_slip_is_noticed(text: str, slip: str) -> None:
    assert slip in slips(text)
