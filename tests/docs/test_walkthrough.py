"""docs/walkthrough.md shows what its script prints."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "walkthrough.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- ([\w-]+) -->\n```text\n(.*?)\n```", re.DOTALL)


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    """What the script prints, by section."""
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda *values: lines.append(" ".join(map(str, values))))
        runpy.run_path(str(ROOT / "docs" / "examples" / "walkthrough.py"), run_name="__main__")
    output = "\n".join(lines) + "\n\n== "
    return {name: text.strip("\n") for name, text in re.findall(r"== ([\w-]+)\n(.*?)(?=\n\n== )", output, re.DOTALL)}


def test_every_section_is_on_the_page(sections: dict[str, str]) -> None:
    shown = dict(BLOCK.findall(PAGE))
    assert shown == sections


def test_a_wrong_value_would_be_noticed(sections: dict[str, str]) -> None:
    altered = PAGE.replace("0.866", "0.867")
    assert altered != PAGE and dict(BLOCK.findall(altered)) != sections
