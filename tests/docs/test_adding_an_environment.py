"""docs/adding-an-environment.md is true: its examples run, are scored and enter the package as it says."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from envs.protocol import Env, ToolCall, Turn
from envs.scenarios.drafting import AtlassianScenario
from envs.scripts import POLICIES, oracle_turns
from grpo.cli.main import main
from rewards.trace import Kind
from tests.docs.pages import code_block, load_module, read_page
from tests.support import properties, truth
from tests.support.links import ROOT

TEXT = read_page("adding-an-environment.md")

Calls = list[tuple[str, Any]]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What `grpo ARGUMENTS --json` prints."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def play(env: Env, calls: Calls) -> Env:
    env.reset()
    for name, arguments in calls:
        env.step(Turn("", (ToolCall(name, arguments),)))
    return env


# An Atlassian scenario of your own


@pytest.fixture
def page_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_module("page_comment", code_block(TEXT, "AtlassianScenario("), tmp_path, monkeypatch)


def oracle_calls(scenario: AtlassianScenario, seed: int) -> Calls:
    return [(call.name, call.arguments) for turn in oracle_turns(scenario, seed, "heldout") for call in turn.calls]


def test_own_scenario_scores_the_scripts(page_comment: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    results = {}
    for policy in ("oracle", "noisy", "idle"):
        printed = run(capsys, "evaluate", "--env", "page_comment:factory", "--policy", policy, "--tasks", "50")
        assert printed["split"] == "heldout"
        results[policy] = printed["scenarios"]["page-comment"]
    assert results["oracle"]["reward_mean"] == results["oracle"]["success_rate"] == 1.0
    assert results["idle"]["reward_mean"] == 0.0
    assert 0.35 < results["noisy"]["reward_mean"] < 0.92
    assert run(capsys, "play", "--env", "page_comment:factory", "--policy", "oracle")["score"]["total"] == 1.0


def test_own_scenario_is_tied_to_the_site(page_comment: ModuleType) -> None:
    scenario = page_comment.factory()
    unknown_page: Calls = [("createFooterComment", {"pageId": "1", "body": {}})]
    for seed in range(50):
        calls = oracle_calls(scenario, seed)
        env = scenario.env(seed, "heldout")
        before = env.site.snapshot()
        play(env, calls)
        after, goal = env.site.snapshot(), env.task.goal
        assert truth.differences(before, after) == truth.COUNTERS | {"footer_comments"}
        (page,) = goal["pages"]
        (new,) = after["footer_comments"].keys() - before["footer_comments"]
        comment = after["footer_comments"][new]
        assert comment["page_id"] == page["id"] and comment["body"] == f"<p>{page['target']['comments'][0]}</p>"
        assert scenario.env(seed, "heldout").task == env.task
        properties.assert_empty_is_zero(scenario.check, goal)
        properties.assert_no_duplicate_raises(scenario.check, goal, env.trace)
        failed = play(scenario.env(seed, "heldout"), unknown_page).trace[0]
        assert failed.status == 404 and failed.kind == Kind.WRITE
        properties.assert_correcting_pays(scenario.check, goal, env.trace, failed)


def test_own_scenario_tells_flaws_apart(page_comment: ModuleType) -> None:
    scenario = page_comment.factory()
    for seed in range(10):
        spaces, pages, (write, arguments) = oracle_calls(scenario, seed)
        state = scenario.task(seed, "heldout").site().state
        elsewhere = next(page.id for page in state.pages.values() if page.id != arguments["pageId"])
        flawed: list[Calls] = [
            [spaces, pages],
            [(write, arguments)],
            [spaces, pages, (write, {**arguments, "body": {"value": arguments["body"]["value"]}})],
            [spaces, pages, (write, {**arguments, "pageId": elsewhere})],
            [spaces, pages, (write, arguments), (write, arguments)],
            [spaces, pages, (write, arguments), ("deletePage", {"id": arguments["pageId"]})],
            [spaces, pages, ("getPageByTitle", {}), (write, arguments)],
        ]
        totals = [play(scenario.env(seed, "heldout"), calls).score().total for calls in flawed]
        assert all(total < 1.0 for total in totals), totals
        assert play(scenario.env(seed, "heldout"), [spaces, pages, (write, arguments)]).score().total == 1.0


# An environment of your own


@pytest.fixture
def guess_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    code = code_block(TEXT, "class GuessNumber:")
    assert sum(bool(line) for line in code.splitlines()) <= 40
    return load_module("guess_number", code, tmp_path, monkeypatch)


def halve(env: Any) -> list[int]:
    """Halves the interval until the number is found."""
    low, high, guesses = 1, 99, []
    while not env.found:
        guesses.append((low + high) // 2)
        (message,) = env.step(Turn("", (ToolCall("compare", {"guess": guesses[-1]}),))).messages
        low, high = (guesses[-1] + 1, high) if json.loads(message["content"])["higher"] else (low, guesses[-1] - 1)
    return guesses


def test_own_environment_is_played(
    guess_number: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env_option = ("--env", "guess_number:GuessNumber")
    numbers = set()
    for seed in range(20):
        env = guess_number.GuessNumber().env(seed, "train")
        env.reset()
        guesses = halve(env)
        assert len(guesses) <= 7 and env.score().total == 1.0
        numbers.add(env.number)
    assert len(numbers) > 10
    calls = [{"name": "compare", "arguments": {"guess": guess}} for guess in guesses]
    (tmp_path / "calls.json").write_text(json.dumps(calls), encoding="utf-8")
    arguments = ("play", *env_option, "--seed", "19", "--calls", str(tmp_path / "calls.json"))
    assert run(capsys, *arguments)["score"] == {"total": 1.0, "parts": {"found": 0.6, "quick": 0.4}}
    (tmp_path / "calls.json").write_text(json.dumps([*calls[:-1], {"name": "reveal"}]), encoding="utf-8")
    assert run(capsys, *arguments)["score"]["total"] == 0.0


def test_own_environment_is_evaluated(guess_number: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for policy in ("random", "idle"):
        arguments = ("--env", "guess_number:GuessNumber", "--policy", policy, "--tasks", "50")
        result = run(capsys, "evaluate", *arguments)["scenarios"]["guess-number"]
        assert result["tasks"] == 50 and result["reward_mean"] < 0.2


def test_scripts_that_need_a_demonstrator_are_refused_without(
    guess_number: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    for policy in ("oracle", "noisy"):
        assert main(["evaluate", "--env", "guess_number:GuessNumber", "--policy", policy, "--tasks", "1"]) == 2
        assert "demonstrator" in capsys.readouterr().err
    assert main(["evaluate", "--env", "guess_number:GuessNumber", "--policy", "shortcut", "--tasks", "1"]) == 2
    assert "no rules for guess-number" in capsys.readouterr().err
    assert main(["play", "--env", "guess_number:GuessNumber", "--policy", "idle", "--goal"]) == 2
    assert "`task`" in capsys.readouterr().err


def test_a_demonstrator_gives_an_environment_all_scripts(
    guess_number: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_module("guess_halving", code_block(TEXT, "class GuessHalving"), tmp_path, monkeypatch)
    results = {}
    for policy in set(POLICIES) - {"shortcut"}:
        arguments = ("--env", "guess_halving:GuessHalving", "--policy", policy, "--tasks", "50")
        results[policy] = run(capsys, "evaluate", *arguments)["scenarios"]["guess-number"]
    assert results["oracle"]["reward_mean"] == results["oracle"]["success_rate"] == 1.0
    assert 0.5 < results["noisy"]["reward_mean"] < 1.0
    assert results["idle"]["reward_mean"] == 0.0


def test_own_environment_answers_whatever_a_policy_writes(guess_number: ModuleType) -> None:
    calls = (ToolCall("", "{", error="no JSON"), ToolCall("reveal", {}), ToolCall("compare", {"guess": "5"}))
    env = guess_number.GuessNumber().env(0, "train")
    env.reset()
    observation = env.step(Turn("", (*calls, ToolCall("compare", None), ToolCall("compare", {"guess": -1}))))
    assert len(observation.messages) == 5 and not observation.done
    assert [call.status for call in env.trace] == [400, 400, 400, 400, 200]
    assert [call.kind for call in env.trace[:3]] == [Kind.MALFORMED, Kind.UNKNOWN, Kind.READ]
    assert env.step(Turn("I give up.")).done and env.score().total == 0.0


# A scenario in the package


def halves(code: str) -> tuple[str, str]:
    """The example as the page divides it: the checker's module and the scenario's."""
    lines, checker, scenario = code.splitlines(), [], []
    for node in ast.parse(code).body:
        source = "\n".join(lines[node.lineno - 1 : node.end_lineno]) + "\n"
        if isinstance(node, ast.ImportFrom):
            if not str(node.module).startswith("envs"):
                checker.append(source)
            if not str(node.module).startswith("rewards"):
                scenario.append(source)
        elif source.startswith("def check"):
            checker.append(source)
        else:
            scenario.append(source)
    last = scenario.pop()
    assert last.startswith("def factory") and "return AtlassianScenario(" in last
    scenario.append(last.splitlines()[-1].replace("    return ", "SCENARIO = ") + "\n")
    return "".join(checker), "".join(["from rewards.page_comment import check\n", *scenario])


def enter(path: Path, before: str, entry: str) -> None:
    """Adds an entry to a list in a file, before a piece of text that occurs once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, entry + before), encoding="utf-8")


def test_own_scenario_enters_the_package(tmp_path: Path) -> None:
    for room in ("envs", "rewards"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    checker, scenario = halves(code_block(TEXT, "AtlassianScenario("))
    (tmp_path / "rewards" / "page_comment.py").write_text(checker, encoding="utf-8")
    (tmp_path / "envs" / "scenarios" / "page_comment.py").write_text(scenario, encoding="utf-8")
    scenarios = tmp_path / "envs" / "scenarios" / "__init__.py"
    enter(scenarios, ')\n"""The scenarios', "    page_comment.SCENARIO,\n")
    enter(scenarios, "ALL: ", "from envs.scenarios import page_comment\n\n")
    command = [sys.executable, "-m", "grpo", "evaluate", "--policy", "oracle", "--tasks", "5", "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    means = {name: result["reward_mean"] for name, result in json.loads(result.stdout)["scenarios"].items()}
    assert means["page-comment"] == 1.0 and len(means) == 6
