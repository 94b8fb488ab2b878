"""docs/api.md tells the truth: each block runs, and so does each example script; the public API is documented."""

from __future__ import annotations

import inspect
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import grpo

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"## (.*?)\n(?:(?!## ).)*?```python\n(.*?)```", TEXT, re.DOTALL)
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))


@pytest.mark.parametrize(("title", "code"), BLOCKS, ids=[title for title, _ in BLOCKS])
def test_block_runs(title: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"docs/api.md, {title}", "exec"), {"__name__": "block"})
    assert capsys.readouterr().out


def test_training_takes_fifteen_lines_at_most() -> None:
    (code,) = [code for title, code in BLOCKS if title == "Train"]
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 90, "an example is a page or two"


@pytest.mark.parametrize("name", [name for name in grpo.__all__ if name != "__version__"])
def test_public_name_is_documented(name: str) -> None:
    value = getattr(grpo, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value), f"grpo.{name} has no docstring"


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = grpo.nonsense


def test_importing_is_light() -> None:
    code = "import sys, grpo; print('torch' in sys.modules, grpo.Options is not None, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True"]
