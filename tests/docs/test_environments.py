"""docs/environments.md is true: its traces and scores, its tables, its session with a site."""

from __future__ import annotations

import doctest
import re
from dataclasses import fields, is_dataclass

import pytest

import rewards
from envs.habits import ANY, HABITS, SLIPS
from envs.protocol import Env, Observation, Scenario, Tool, ToolCall, Turn
from envs.scenarios import NAMES, SCENARIOS
from envs.site.http import OPERATIONS
from rewards.compose import ARGUMENTS, CALLS, DISCIPLINE, LEFT, REVERTED, WAY
from rewards.discipline import FREE_ISSUES, FREE_READS, READS_FOR_EACH, SHARES
from rewards.score import Score
from rewards.trace import Call, Kind
from tests.docs.pages import code_block, read_page, table_rows
from tests.support.worked import BLOCK, TASK, mended_table, mended_traces, table_row

DOCUMENT = "environments.md"
TEXT = read_page(DOCUMENT)
MEND = "run: python -m tests.support.worked docs/environments.md"


def tools_of(name: str) -> tuple[str, ...]:
    """The tools that a scenario's section lists."""
    section = TEXT.split(f"### `{name}`\n")[1].split("```")[0]
    return tuple(re.findall(r"`(\w+)`", section.split("- Tools:")[1]))


# Worked traces


def test_traces_play_as_they_are_printed() -> None:
    assert mended_traces(TEXT) == TEXT, MEND


@pytest.mark.parametrize(
    ("printed", "wrong"),
    [
        (r"(= 0\.\d+)\d: arguments", r"\1x: arguments"),
        (r"(: arguments 0\.[1-4]\d)\d, calls", r"\1x, calls"),
        ("204 deleteIssue", "200 deleteIssue"),
        (r'("summary": )"\w+ ', r'\1"Another '),
        (r'(204 editIssue {"issueIdOrKey": "[A-Z]+-\d*)\d"', r'\1x"'),
        ("\noracle\n200 getSpaces", "\noracle\n200 getPages {}\n200 getSpaces"),
        (r"page-create, heldout seed (\d+)", r"page-create, heldout seed 1\1"),
        ("page-create, heldout seed", "page-create, train seed"),
        ("In Design is what it should be", "Nowhere is where it should be"),
    ],
)
def test_a_wrong_trace_is_noticed(printed: str, wrong: str) -> None:
    altered, replaced = re.subn(printed, wrong, TEXT, count=1)
    assert replaced and mended_traces(altered) != altered


def test_every_scenario_has_an_oracle_and_a_worse_trace() -> None:
    names = []
    for block in BLOCK.findall(TEXT):
        head, oracle, *flawed = block.split("\n\n")
        task = TASK.match(head)
        assert task and task["split"] == "heldout" and oracle.startswith("oracle\n") and flawed
        names.append(task["name"])
        scores = [float(score) for score in re.findall(r"^= ([\d.]+):", block, re.MULTILINE)]
        assert scores[0] == 1.0 and all(score < 1.0 for score in scores[1:]) and len(scores) == 1 + len(flawed)
    assert sorted(names) == sorted(SCENARIOS)


# Tables and lists


@pytest.mark.full
def test_scripted_policies_get_what_the_table_says() -> None:
    assert mended_table(TEXT) == TEXT, MEND


def test_one_row_of_the_table_is_right() -> None:
    """The quick tier's part of the test above."""
    row = table_row("ticket-transition")
    assert f"\n{row}\n" in TEXT, MEND


@pytest.mark.parametrize("name", NAMES)
def test_tools_listed_are_the_tools_offered(name: str) -> None:
    assert tools_of(name) == SCENARIOS[name].tools


def test_the_numbers_of_tools_are_right() -> None:
    counts = sorted(len(scenario.tools) for scenario in SCENARIOS.values())
    assert (counts[0], counts[-1]) == (9, 12) and "nine to twelve tools" in TEXT


def test_weights_costs_and_rates_are_those_of_the_code() -> None:
    printed = {name: float(value) for name, value in re.findall(r"- `(\w+)`, up to ([\d.]+):", TEXT)}
    assert printed == {"arguments": ARGUMENTS, "calls": CALLS, "discipline": DISCIPLINE}
    costs = {name.strip("`"): (float(share), float(cost)) for name, share, cost, _ in table_rows(TEXT, "costs")}
    assert costs == {name: (share, pytest.approx(DISCIPLINE * share)) for name, share in SHARES.items()}
    habits = [(scenario, name, float(rate)) for scenario, name, rate, _ in table_rows(TEXT, "habits")]
    expected = [(f"`{scenario}`", habit.name, habit.rate) for scenario, two in HABITS.items() for habit in two]
    assert habits == expected + [("any other", habit.name, habit.rate) for habit in ANY]
    assert set(SLIPS.values()) == {0.04} and "In 4 % of the episodes" in TEXT
    assert f"beyond {FREE_READS}, plus {READS_FOR_EACH} for each thing" in TEXT
    assert f"more than {FREE_ISSUES} issues were shown" in TEXT and f"are {len(OPERATIONS)} operations" in TEXT
    assert f"multiplies the total by {LEFT}" in TEXT and f"undone again by {REVERTED}" in TEXT
    assert WAY == 0.005 and "half a percent" in TEXT


def test_the_saturated_scenario_is_as_described() -> None:
    saturated = rewards.ticket_transition_saturated
    assert SCENARIOS["ticket-transition-saturated"].tools == SCENARIOS["ticket-transition"].tools
    assert f"{saturated.SATURATION:.0%}".replace("%", " %") in TEXT
    assert saturated.COST_SCALE == 0.1 and "cost a\ntenth" in TEXT


def test_the_session_with_a_site_runs() -> None:
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    session = code_block(TEXT, ">>> ")
    assert runner.run(parser.get_doctest(session, {}, "session", DOCUMENT, 0), out=lambda _: None).failed == 0
    wrong = parser.get_doctest(session.replace("204", "200"), {}, "wrong", DOCUMENT, 0)
    assert runner.run(wrong, out=lambda _: None).failed == 1


# The protocol


def members_of(kind: type) -> set[str]:
    """The public members of a protocol, a dataclass or an enumeration; derived properties of a dataclass aside."""
    if is_dataclass(kind):
        return {field.name for field in fields(kind)}
    return {name for name in vars(kind) if not name.startswith("_")}


def test_the_protocol_is_listed_in_full() -> None:
    kinds = (Scenario, Env, Tool, ToolCall, Turn, Observation, Call, Kind, Score)
    listed = re.findall(r"^\[`([\w.]+)`\]", "\n".join(row[0] for row in table_rows(TEXT, "protocol")), re.MULTILINE)
    assert sorted(listed) == sorted(f"{kind.__name__}.{name}" for kind in kinds for name in members_of(kind))
