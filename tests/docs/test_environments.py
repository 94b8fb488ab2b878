"""docs/environments.md tells the truth: its traces and scores, its tables, its two examples."""

from __future__ import annotations

import doctest
import importlib
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rewards
from envs.protocol import Env, ToolCall, Turn
from envs.scenarios import NAMES, SCENARIOS
from envs.scenarios.drafting import AtlassianScenario
from envs.scripts import Noise, oracle_turns
from envs.site.site import operation_ids
from grpo.cli.main import main
from rewards.discipline import COSTS, FREE_READS
from rewards.trace import Kind
from tests.support import properties, truth
from tests.support.worked import BLOCK, TASK, mended_table, mended_traces

DOCUMENT = Path(__file__).parents[2] / "docs" / "environments.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
MEND = "run: python -m tests.support.worked docs/environments.md"
LONGEST = 400

Calls = list[tuple[str, Any]]


def table(marker: str) -> dict[str, str]:
    """The second column of a table by its first."""
    rows = TEXT.split(f"<!-- {marker} -->")[1].split("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", rows, re.MULTILINE))


def tools_of(name: str) -> tuple[str, ...]:
    """The tools that a scenario's section lists."""
    section = TEXT.split(f"### `{name}`\n")[1].split("```")[0]
    return tuple(re.findall(r"`(\w+)`", section.split("- Tools:")[1]))


def example(place: int, holding: str) -> str:
    """A code block, by its place among those that are no doctest; `holding` makes a wrong place plain."""
    code = str(re.findall(r"```python\n(?!>>>)(.*?)```", TEXT, re.DOTALL)[place])
    assert holding in code
    return code


def module_of(name: str, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The code as an importable module that is gone after the test."""
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, name, ModuleType(name))  # so that it is taken out in the end
    del sys.modules[name]
    return importlib.import_module(name)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What `grpo ARGUMENTS --json` prints."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def play(env: Env, calls: Calls) -> Env:
    env.reset()
    for name, arguments in calls:
        env.step(Turn("", (ToolCall(name, arguments),)))
    return env


def test_document_is_short() -> None:
    assert len(TEXT.splitlines()) <= LONGEST


# Worked traces


def test_traces_play_as_they_are_printed() -> None:
    assert mended_traces(TEXT) == TEXT, MEND


@pytest.mark.parametrize(
    ("printed", "wrong"),
    [
        (r"(= 0\.\d+)\d: arguments", r"\1x: arguments"),
        (r"(: arguments 0\.[1-4]\d)\d, calls", r"\1x, calls"),
        ("400 createPage", "200 createPage"),
        (r'("summary": )"\w+ ', r'\1"Another '),
        (r'(204 editIssue {"issueIdOrKey": "[A-Z]+-\d*)\d"', r'\1x"'),
        ("\noracle\n200 findUsers", "\noracle\n200 getPriorities {}\n200 findUsers"),
        (r"page-create, heldout seed (\d+)", r"page-create, heldout seed 1\1"),
        ("page-create, heldout seed", "page-create, train seed"),
        (r"(change the status of .* to )\w+\.\n", r"\1Nowhere.\n"),
    ],
)
def test_a_wrong_trace_is_noticed(printed: str, wrong: str) -> None:
    altered, found = re.subn(printed, wrong, TEXT, count=1)
    assert found and mended_traces(altered) != altered


def test_every_scenario_has_an_oracle_and_a_worse_trace() -> None:
    shown = []
    for block in BLOCK.findall(TEXT):
        head, oracle, *flawed = block.split("\n\n")
        found = TASK.match(head)
        assert found and found["split"] == "heldout" and oracle.startswith("oracle\n") and flawed
        shown.append(found["name"])
        scores = [float(score) for score in re.findall(r"^= ([\d.]+):", block, re.MULTILINE)]
        assert scores[0] == 1.0 and all(score < 1.0 for score in scores[1:]) and len(scores) == 1 + len(flawed)
    assert sorted(shown) == sorted(SCENARIOS)


# Tables and lists


def test_scripted_policies_get_what_the_table_says() -> None:
    assert mended_table(TEXT) == TEXT, MEND


@pytest.mark.parametrize("name", NAMES)
def test_tools_listed_are_the_tools_offered(name: str) -> None:
    assert tools_of(name) == SCENARIOS[name].tools


def test_weights_costs_and_rates_are_those_of_the_code() -> None:
    printed = {name: float(value) for name, value in re.findall(r"- `(\w+)`, up to ([\d.]+):", TEXT)}
    modules = (name.replace("-", "_") for name in SCENARIOS)
    assert all(asdict(getattr(rewards, module).WEIGHTS) == printed for module in modules)
    assert {name: float(cost) for name, cost in table("costs").items()} == asdict(COSTS)
    assert {name: float(rate) for name, rate in table("noise").items()} == asdict(Noise())
    assert f"and {FREE_READS} more |" in TEXT and f"{len(operation_ids())} operations" in TEXT
    assert SCENARIOS["ticket-transition-saturated"].tools == SCENARIOS["ticket-transition"].tools
    saturated = rewards.ticket_transition_saturated
    assert f"{saturated.SATURATION:.0%}".replace("%", " %") in TEXT
    assert asdict(saturated.COSTS) == pytest.approx({name: cost / 10 for name, cost in asdict(COSTS).items()})


def test_the_session_at_the_door_runs() -> None:
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    (session,) = re.findall(r"```python\n(>>> .*?)```", TEXT, re.DOTALL)
    assert runner.run(parser.get_doctest(session, {}, "session", str(DOCUMENT), 0), out=lambda _: None).failed == 0
    wrong = parser.get_doctest(session.replace("204", "200"), {}, "wrong", str(DOCUMENT), 0)
    assert runner.run(wrong, out=lambda _: None).failed == 1


# The scenario of one's own


@pytest.fixture
def page_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return module_of("page_comment", example(0, "page-comment"), tmp_path, monkeypatch)


def oracle_calls(scenario: AtlassianScenario, seed: int) -> Calls:
    return [(call.name, call.arguments) for turn in oracle_turns(scenario, seed, "heldout") for call in turn.calls]


def test_own_scenario_scores_the_scripts(page_comment: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {}
    for policy in ("oracle", "noisy", "idle"):
        printed = run(capsys, "evaluate", "--env", "page_comment:factory", "--policy", policy, "--tasks", "50")
        assert printed["split"] == "heldout"
        rows[policy] = printed["scenarios"]["page-comment"]
    assert rows["oracle"]["reward_mean"] == rows["oracle"]["success_rate"] == 1.0
    assert rows["idle"]["reward_mean"] == 0.0
    assert 0.35 < rows["noisy"]["reward_mean"] < 0.92
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
        (new,) = after["footer_comments"].keys() - before["footer_comments"]
        comment = after["footer_comments"][new]
        assert comment["page_id"] == goal["page"]["id"] and comment["body"] == f"<p>{goal['body']}</p>"
        assert scenario.env(seed, "heldout").task == env.task
        properties.assert_empty_is_zero(scenario.check, goal)
        properties.assert_no_duplicate_raises(scenario.check, goal, env.trace)
        failed = play(scenario.env(seed, "heldout"), unknown_page).trace[0]
        assert failed.status == 404 and failed.kind == Kind.WRITE
        properties.assert_correcting_pays(scenario.check, goal, env.trace, failed)


def test_own_scenario_tells_flaws_apart(page_comment: ModuleType) -> None:
    scenario = page_comment.factory()
    for seed in range(10):
        spaces, pages, (write, told) = oracle_calls(scenario, seed)
        state = scenario.task(seed, "heldout").site().state
        elsewhere = next(page.id for page in state.pages.values() if page.id != told["pageId"])
        flawed: list[Calls] = [
            [spaces, pages],
            [(write, told)],
            [spaces, pages, (write, {**told, "body": {"value": told["body"]["value"]}})],
            [spaces, pages, (write, {**told, "pageId": elsewhere})],
            [spaces, pages, (write, told), (write, told)],
            [spaces, pages, (write, told), ("deletePage", {"id": told["pageId"]})],
            [spaces, pages, ("getPageByTitle", {}), (write, told)],
        ]
        totals = [play(scenario.env(seed, "heldout"), calls).score().total for calls in flawed]
        assert all(total < 1.0 for total in totals), totals
        assert play(scenario.env(seed, "heldout"), [spaces, pages, (write, told)]).score().total == 1.0


# The environment that is not Atlassian


@pytest.fixture
def guess_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    code = example(1, "guess-number")
    assert sum(bool(line) for line in code.splitlines()) <= 40
    return module_of("guess_number", code, tmp_path, monkeypatch)


def guesses(env: Any) -> list[int]:
    """Halves the interval until the number is found."""
    low, high, made = 1, 99, []
    while not env.found:
        made.append((low + high) // 2)
        (message,) = env.step(Turn("", (ToolCall("compare", {"guess": made[-1]}),))).messages
        low, high = (made[-1] + 1, high) if json.loads(message["content"])["higher"] else (low, made[-1] - 1)
    return made


def test_own_environment_is_played(
    guess_number: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("--env", "guess_number:GuessNumber")
    numbers = set()
    for seed in range(20):
        env = guess_number.GuessNumber().env(seed, "train")
        env.reset()
        made = guesses(env)
        assert len(made) <= 7 and env.score().total == 1.0
        numbers.add(env.number)
    assert len(numbers) > 10
    calls = [{"name": "compare", "arguments": {"guess": guess}} for guess in made]
    (tmp_path / "calls.json").write_text(json.dumps(calls), encoding="utf-8")
    played = run(capsys, "play", *own, "--seed", "19", "--calls", str(tmp_path / "calls.json"))
    assert played["score"] == {"total": 1.0, "parts": {"found": 0.6, "quick": 0.4}}
    (tmp_path / "calls.json").write_text(json.dumps([*calls[:-1], {"name": "reveal"}]), encoding="utf-8")
    assert run(capsys, "play", *own, "--seed", "19", "--calls", str(tmp_path / "calls.json"))["score"]["total"] == 0.0


def test_own_environment_is_evaluated(guess_number: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for policy in ("random", "idle"):
        arguments = ("--env", "guess_number:GuessNumber", "--policy", policy, "--tasks", "50")
        row = run(capsys, "evaluate", *arguments)["scenarios"]["guess-number"]
        assert row["tasks"] == 50 and row["reward_mean"] < 0.2


def test_own_environment_answers_whatever_a_policy_writes(guess_number: ModuleType) -> None:
    calls = (ToolCall("", "{", error="no JSON"), ToolCall("reveal", {}), ToolCall("compare", {"guess": "5"}))
    env = guess_number.GuessNumber().env(0, "train")
    env.reset()
    observation = env.step(Turn("", (*calls, ToolCall("compare", None), ToolCall("compare", {"guess": -1}))))
    assert len(observation.messages) == 5 and not observation.done
    assert [call.status for call in env.trace] == [400, 400, 400, 400, 200]
    assert [call.kind for call in env.trace[:3]] == [Kind.MALFORMED, Kind.UNKNOWN, Kind.READ]
    assert env.step(Turn("I give up.")).done and env.score().total == 0.0
