"""docs/algorithm.md is true: its table of recipes, its estimator, its configuration file."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import grpo.advantages
from grpo.advantages import ADVANTAGES
from grpo.cli.arguments import parse
from grpo.config import RECIPES
from grpo.errors import OptionError
from grpo.losses import AGGREGATIONS, KLS, OBJECTIVES, RATIOS
from tests.algorithm import test_advantages as estimators
from tests.docs.pages import code_block, code_blocks, read_page, table_rows
from tests.support import bandit
from tests.support.links import symbols

TEXT = read_page("algorithm.md")
SCRIPT = code_block(TEXT, "def rank(")
REFERENCE = code_block(TEXT, '"rank": ')
REWARDS = [[0.0, 0.9, 1.0], [0.3, 0.3, 0.3], [1.0, 0.0, 1.0]]
RANKS = [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.5, -1.0, 0.5]]


def test_every_variant_is_linked() -> None:
    tables = (ADVANTAGES, RATIOS, OBJECTIVES, KLS, AGGREGATIONS)
    assert {function.__name__ for table in tables for function in table.values()} <= symbols(TEXT)


def test_the_table_of_recipes_is_the_recipes() -> None:
    expected = {
        name: ", ".join(f"`{option} {value}`" for option, value in options.items()) or "the defaults"
        for name, options in RECIPES.items()
    }
    assert {name.strip("`"): options for name, options in table_rows(TEXT, "recipes")} == expected
    assert all(f"**`{name}`**" in TEXT for name in RECIPES if name != "laptop")


# --- the estimator: as a script, and in the package ----------------------------------------------------------------


@pytest.fixture
def without_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """No estimator of that name, here and after the test, also where somebody has put the example into the package."""
    monkeypatch.setitem(ADVANTAGES, "rank", ADVANTAGES["grpo"])
    del ADVANTAGES["rank"]
    with pytest.raises(OptionError, match="rank"):
        parse(["--advantage", "rank"])


def test_the_script_trains_with_its_estimator(
    without_rank: None, bandit_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block as it is written, run as a script with options of `grpo train`."""
    assert len(SCRIPT.splitlines()) < 20
    (tmp_path / "train_rank.py").write_text(SCRIPT, encoding="utf-8")
    folder = tmp_path / "run"
    options: dict[str, Any] = bandit.RUN | {"steps": 1, "eval_tasks": 0, "model": bandit_policy, "out": folder}
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["train_rank.py", *flags])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(tmp_path / "train_rank.py"), run_name="__main__")
    assert stopped.value.code == 0
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["advantage"] == "rank"
    assert json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8"))["optimizer_steps"] == 1
    assert parse(["--advantage", "rank"]).advantage == "rank"
    for dtype in (torch.float32, torch.float64):
        ranks = ADVANTAGES["rank"](torch.tensor(REWARDS, dtype=dtype))
        assert ranks.dtype == dtype and ranks.tolist() == RANKS


def with_the_estimator(source: str) -> str:
    """The source of grpo/advantages.py with the function of the example and its name in the table."""
    function = SCRIPT[SCRIPT.index("def rank(") : SCRIPT.index("ADVANTAGES[")]
    table = "ADVANTAGES: "
    assert source.count(table) == 1 and source.endswith("}\n")
    return source.replace(table, function + table)[: -len("}\n")] + '    "rank": rank,\n}\n'


def test_in_the_package_it_passes_every_test_of_an_estimator(
    without_rank: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = with_the_estimator(Path(grpo.advantages.__file__).read_text(encoding="utf-8"))
    package: dict[str, Any] = {"__name__": "advantages"}
    exec(compile(source, "advantages.py", "exec"), package)
    assert package["ADVANTAGES"].keys() == ADVANTAGES.keys() | {"rank"}
    monkeypatch.setitem(ADVANTAGES, "rank", package["ADVANTAGES"]["rank"])
    monkeypatch.setattr(estimators, "REFERENCES", estimators.REFERENCES | eval(f"{{{REFERENCE}}}"))
    estimators.test_every_estimator_has_a_reference()
    estimators.test_equals_the_reference(name="rank")
    for dtype in (torch.float32, torch.float64):
        estimators.test_equal_rewards_give_exactly_zero(name="rank", dtype=dtype)
    estimators.test_a_group_does_not_see_its_neighbours("rank")
    estimators.test_the_rewards_are_left_alone("rank")


def test_a_wrong_estimator_would_not_pass(without_rank: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: counts of integers, which torch divides in fp32, are no estimator of float64 rewards."""

    def rank(rewards: torch.Tensor) -> torch.Tensor:
        better = rewards.unsqueeze(2) > rewards.unsqueeze(1)
        return (better.sum(2) - better.sum(1)) / (rewards.shape[1] - 1)

    monkeypatch.setitem(ADVANTAGES, "rank", rank)
    monkeypatch.setattr(estimators, "REFERENCES", estimators.REFERENCES | eval(f"{{{REFERENCE}}}"))
    with pytest.raises(AssertionError):
        estimators.test_equals_the_reference(name="rank")


# --- options -------------------------------------------------------------------------------------------------------


def test_the_configuration_file_is_one(tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    (text,) = code_blocks(TEXT, "yaml")
    path.write_text(text, encoding="utf-8")
    options = parse(["--config", str(path)])
    assert (options.recipe, options.learning_rate, options.group_size, options.mask_truncated) == (
        "dapo",
        1e-5,
        16,
        True,
    )
