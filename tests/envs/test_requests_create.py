"""Requests to create issues and pages: they are demonstrated, determined by their words, and free of slips.

The end state of a demonstration is compared with the goal on the site itself, without the checkers of `rewards`.
"""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from envs.episode import AtlassianEnv, Task
from envs.phrasing import Frames, skeletons, tidy
from envs.protocol import SPLITS, Split
from envs.scenarios import SCENARIOS, issue_create_frames, page_create_frames, wording
from envs.scenarios.drafting import Draft
from envs.scenarios.goals import issue_facts, page_facts
from envs.scripts import Oracle
from envs.site.records import State
from envs.site.site import Site
from envs.words import Names
from rewards.trace import Kind
from tests.support.tiers import examples

NAMES = ("issue-create", "page-create")
FRAMES = {"issue-create": issue_create_frames, "page-create": page_create_frames}
SEEDS = examples(600)
SAMPLE, SITES = 1500, 25
WORD = re.compile(r"[A-Za-z]+(?:-[a-z]+)?")


def play(name: str, seed: int, split: Split) -> tuple[AtlassianEnv, str]:
    """The oracle's episode and its closing answer."""
    scenario = SCENARIOS[name]
    env, oracle = scenario.env(seed, split), Oracle(scenario, seed, split)
    observation = env.reset()
    for _ in range(7):
        turn = oracle.turn(observation)
        observation = env.step(turn)
        if observation.done:
            return env, turn.content
    raise AssertionError(f"{name} {split} {seed} does not end: {env.task.prompt}")


# The end state
def facts(state: State) -> dict[tuple[str, str], dict[str, Any]]:
    """The attributes of everything on a site."""
    issues = {("issue", issue.id): issue_facts(state, issue) for issue in state.issues.values()}
    pages = {
        ("page", page.id): {**page_facts(page), "body": text_of(page.body), "version": page.versions[-1].number}
        for page in state.pages.values()
    }
    return issues | pages


def text_of(body: str) -> str:
    """The paragraphs of a body, a line each."""
    return "\n".join(re.findall(r"<p>(.*?)</p>", body))


def slips_of_state(task: Task, end: State) -> list[str]:
    """What of the goal does not hold on the site at the end, and what changed besides."""
    goal, before, after = task.goal, facts(task.site().state), facts(end)
    slips = [f"{key} is gone" for key in before if key not in after]
    for kind, entries in (("issue", goal.get("issues", [])), ("page", goal.get("pages", []))):
        for entry in entries:
            expected = dict(before[kind, entry["id"]])
            for name, value in entry["target"].items():
                expected[name] = [*expected[name], *value["add"]] if name == "labels" else value
            if expected == before[kind, entry["id"]]:
                slips.append("nothing has to be changed")
            if kind == "page":
                expected["version"] += 1
            before[kind, entry["id"]] = expected
    slips += [f"{key}: {after.get(key)} instead of {value}" for key, value in before.items() if after.get(key) != value]
    new = [(key[0], value) for key, value in after.items() if key not in before]
    wanted = list(goal.get("create", {}).items())
    if len(new) != len(wanted):
        slips.append(f"created: {new}")
    for (kind, value), (wanted_kind, attributes) in zip(new, wanted, strict=False):
        asked = {name: value[name] for name in attributes}
        unasked = {n: v for n, v in value.items() if n in ("description", "assignee", "parent") and n not in attributes}
        if kind != wanted_kind or asked != attributes or any(unasked.values()):
            slips.append(f"created {value} instead of {attributes}")
    return slips


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", NAMES)
def test_demonstrations_reach_the_goal(name: str, split: Split) -> None:
    answers, difficulties = set(), set()
    for seed in range(SEEDS):
        env, answer = play(name, seed, split)
        failed = [call for call in env.trace if not call.ok]
        calls = [(call.name, json.dumps(call.arguments)) for call in env.trace if call.kind is not Kind.ANSWER]
        assert not failed, (seed, failed)
        assert len(set(calls)) == len(calls), (seed, calls)
        assert not slips_of_state(env.task, env.site.state), (seed, slips_of_state(env.task, env.site.state))
        impossible = env.task.goal.get("impossible", False)
        assert answer.startswith("Cannot: ") is impossible, (seed, answer)
        assert calls, seed
        shown = json.dumps([call.body for call in env.trace])
        for aliases in env.task.goal["lookups"]:
            assert any(json.dumps(alias) in shown for alias in aliases), (seed, aliases)
        json.dumps(env.task.goal)
        answers.add(impossible)
        difficulties.add(env.task.difficulty)
    assert (answers, difficulties) == ({False, True}, {1, 2, 3, 4})


@pytest.mark.parametrize("name", NAMES)
def test_another_end_is_noticed(name: str) -> None:
    for seed in range(20):
        env, _ = play(name, seed, "train")
        task, state = env.task, env.site.state
        assert bool(slips_of_state(task, task.site().state)) is not task.goal.get("impossible", False), seed
        changed = {issue["id"] for issue in task.goal.get("issues", [])}
        del state.issues[next(issue for issue in state.issues if issue not in changed)]
        assert slips_of_state(task, state), seed


# The words
def all_frames(module: ModuleType) -> Iterator[Frames]:
    for value in vars(module).values():
        yield from (
            item for item in (value.values() if isinstance(value, dict) else [value]) if isinstance(item, Frames)
        )


def split_skeletons(module: ModuleType, split: Split) -> set[str]:
    patterns = [
        pattern for frames in all_frames(module) for pattern in (frames.train if split == "train" else frames.heldout)
    ]
    return {written(skeleton) for pattern in patterns for skeleton in skeletons(pattern)}


def written(skeleton: str) -> str:
    """A skeleton as `Draft` writes it: a part of a sentence has no capital."""
    return tidy(skeleton) if skeleton[-1] in ".?!:," or "\n" in skeleton else skeleton


def words(texts: set[str]) -> set[str]:
    """The words of skeletons. Capitals matter, since they make different tokens."""
    return {word for text in texts for word in WORD.findall(re.sub(r"{\w+}", " ", text))}


@pytest.mark.parametrize("name", NAMES)
def test_held_out_wording_is_new_and_its_words_are_not(name: str) -> None:
    train, heldout = split_skeletons(FRAMES[name], "train"), split_skeletons(FRAMES[name], "heldout")
    assert not train & heldout
    known = words(train | split_skeletons(wording, "train"))
    assert words(heldout) <= known, sorted(words(heldout) - known)
    assert words({"look at this, Mr {name}"}) == {"look", "at", "this", "Mr"}


@pytest.mark.parametrize("name", NAMES)
def test_frames_have_the_same_slots_in_both_splits(name: str) -> None:
    for frames in all_frames(FRAMES[name]):
        slots = [
            {slot for p in patterns for slot in re.findall(r"{(\w+)}", p)}
            for patterns in (frames.train, frames.heldout)
        ]
        assert slots[1] <= slots[0], frames


@pytest.mark.parametrize("name", NAMES)
def test_wordings_are_many_and_differ_between_splits(name: str) -> None:
    train, heldout = ({wording for _, wording in requests(name, split)} for split in SPLITS)
    assert len(train) > 0.9 * SAMPLE
    assert not train & heldout


# The names
@pytest.mark.parametrize("name", NAMES)
def test_most_requests_name_two_candidates_in_any_order(name: str) -> None:
    """At the difficulties 2 and 3. The demonstrator notes first which of them is meant."""
    places = []
    for task in (SCENARIOS[name].task(seed, "train") for seed in range(5 * examples(60))):
        right, wrong = task.goal["way"].get("chosen", {}), task.goal["way"].get("avoid", {})
        assert bool(right) <= (task.difficulty in (2, 3))
        assert right.keys() == wrong.keys()
        assert all(text in task.prompt for text in (*right.values(), *wrong.values())), task.prompt
        places += [task.prompt.index(right[noun]) < task.prompt.index(wrong[noun]) for noun in right]
        note = next(SCENARIOS[name].demonstrate(task)).content
        assert all(f"{noun}: {text}" in note for noun, text in right.items()), note
    assert 0.35 < sum(places) / len(places) < 0.65


# The grammar
@functools.cache
def requests(name: str, split: Split) -> tuple[tuple[str, str], ...]:
    """Many requests for few sites, which take the most time to draw. Each with its wording."""
    drawn = []
    for number in range(SAMPLE):
        rng = random.Random(f"requests/{split}/{number}")
        draft = Draft(rng, Names(rng, split), split, Site.from_seed(number % SITES, split), 1 + number % 4)
        drawn.append((SCENARIOS[name].draft(draft)[0], " / ".join(draft.wording)))
    return tuple(drawn)


SLIPS = {
    "double space": r"  ",
    "space before a mark": r" [,.;:?!]",
    "space at a line break": r" \n|\n ",
    "empty line": r"\n\n\n|\A\n|\n\Z",
    "wrong article": r"\b[Aa] [AEIOUaeiou](?!ne\b)|\b[Aa]n [^AEIOUaeiou\"]",
    "repeated word": r"\b(\w+) \1\b",
    "small letter after a sentence": r"[.?!]\s+[a-z](?![a-z]+-[a-z])",
    "two marks": r"[,.;:?!][,.;:?!]",
    "unfilled slot": r"[{}\[\]|]",
    "small letter at the start": r"\A[a-z]",
    "a comma before and": r"\bwith and\b|\band and\b|\band also and\b",
}


def slips_of_text(text: str) -> list[str]:
    """The kinds of slips in a request."""
    bare = re.sub(r'"[^"\n]*"', "X", text)
    slips = [name for name, pattern in SLIPS.items() if re.search(pattern, bare)]
    if any(line.count('"') % 2 for line in text.split("\n")):
        slips.append("unbalanced quotation marks")
    previous = ""
    for line in text.split("\n"):
        own_line = previous.endswith((":", "?")) or bool(FORM_LINE.match(line)) or bool(OWN_TEXT.fullmatch(line))
        if line and not own_line and not line.endswith((".", "!", "?", ":", ",")):
            slips.append(f"no mark at the end of {line!r}")
        previous = line
    return slips


FORM_LINE = re.compile(
    r"([-*] )?(Project|Space|Type|Issue type|Summary|Title|Priority|Labels|Assignee|Parent|Description|Body)(:| -)"
)
OWN_TEXT = re.compile(r"(The|Our|Two|All|New|Some|Three) [^.?!]+")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", NAMES)
def test_requests_have_no_slips(name: str, split: Split) -> None:
    for text, _ in requests(name, split):
        assert not slips_of_text(text), (slips_of_text(text), text)


@pytest.mark.parametrize(
    "text",
    [
        "Create  a Bug.",
        "Create a Bug .",
        "Create a Epic.",
        "Create an Bug.",
        "Put it in the the project.",
        "Create it. then stop.",
        "Create it",
        'Call it "Fix it.',
        "create it.",
        "Create {type}.",
        "Create it.. Thanks.",
    ],
)
def test_slips_are_noticed(text: str) -> None:
    assert slips_of_text(text)
    assert not slips_of_text("Create an Epic called Fix it. Thanks!")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", NAMES)
def test_a_request_says_what_its_goal_needs(name: str, split: Split) -> None:
    """The new thing's own texts stand in the request, and a person's full name is nobody else's."""
    for task in (SCENARIOS[name].task(seed, split) for seed in range(SEEDS)):
        for created in task.goal.get("create", {}).values():
            texts = [created[part] for part in ("summary", "title", "description", "body") if part in created]
            assert all(text in task.prompt for text in texts), task.prompt
        if task.goal.get("create", {}).get("issue", {}).get("priority") == task.goal["site"]["default_priority"]:
            raise AssertionError(f"asks for the default priority: {task.prompt}")
        people = list(task.goal["site"]["users"].values())
        assert all(people.count(person) == 1 for person in people if person in task.prompt), task.prompt
