"""docs/algorithm.md tells the truth: its table of recipes, its example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from grpo.advantages import ADVANTAGES
from grpo.cli.arguments import parse
from grpo.config import OptionError
from grpo.losses import AGGREGATIONS, KLS, OBJECTIVES, RATIOS
from grpo.recipes import RECIPES
from tests.support.links import symbols
from tests.support.training import trainer

DOCUMENT = Path(__file__).parents[2] / "docs" / "algorithm.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def block(language: str) -> str:
    """The document's one code block in a language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(code)


def test_every_variant_is_linked() -> None:
    tables = (ADVANTAGES, RATIOS, OBJECTIVES, KLS, AGGREGATIONS)
    assert {function.__name__ for table in tables for function in table.values()} <= symbols(TEXT)


def test_the_table_of_recipes_is_the_recipes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT.split("<!-- recipes -->")[1].split("\n\n")[0], re.MULTILINE)
    expected = {
        name: ", ".join(f"`{option} {value}`" for option, value in options.items()) or "the defaults"
        for name, options in RECIPES.items()
    }
    assert dict(rows) == expected
    assert all(f"**`{name}`**" in TEXT for name in RECIPES if name != "laptop")


def test_the_example_adds_an_estimator_in_under_twenty_lines() -> None:
    with pytest.raises(OptionError, match="rank"):
        parse(["--advantage", "rank"])
    code = block("python")
    assert len(code.splitlines()) < 20
    try:
        exec(compile(code, str(DOCUMENT), "exec"), {})
        rank = ADVANTAGES["rank"]
        rewards = torch.tensor([[0.0, 0.9, 1.0], [0.3, 0.3, 0.3], [1.0, 0.0, 1.0]])
        assert rank(rewards).tolist() == [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.5, -1.0, 0.5]]
        assert parse(["--advantage", "rank"]).advantage == "rank"
        metrics, _ = trainer(advantage="rank").step()
        assert metrics["optimizer_steps"] == 1
    finally:
        ADVANTAGES.pop("rank", None)


def test_the_configuration_file_is_one(tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    path.write_text(block("yaml"), encoding="utf-8")
    options = parse(["--config", str(path)])
    assert (options.recipe, options.learning_rate, options.group_size, options.mask_truncated) == (
        "dapo",
        1e-5,
        16,
        True,
    )
