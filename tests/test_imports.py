"""The directions of imports, and the top-level name `kernels` beside the library's hub package."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("grpo", "envs", "rewards", "kernels")
ALLOWED = {
    "rewards": {"rewards"},
    "envs": {"envs", "rewards"},
    "kernels": {"kernels", "torch", "triton"},
    "grpo/advantages.py": {"torch"},
    "grpo/losses.py": {"torch"},
}
"""What each room may import beside the standard library; what is not listed is free."""
LIGHT = ("grpo.cli", "grpo.play", "grpo.evaluate", "grpo.statistics", "grpo.scenarios")
"""Modules that a command needs before any model: they start without torch."""


def imported(source: str, package: str) -> Iterator[str]:
    """The top-level names that a module of `package` imports, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield package if node.level else (node.module or "").partition(".")[0]


def against_direction(source: str, package: str, allowed: set[str]) -> set[str]:
    return {name for name in imported(source, package) if name not in allowed | sys.stdlib_module_names}


@pytest.mark.parametrize("place", ALLOWED)
def test_imports_follow_the_directions(place):
    files = [ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py"))
    assert files
    found = {
        str(file.relative_to(ROOT)): names
        for file in files
        if (names := against_direction(file.read_text(encoding="utf-8"), place.partition("/")[0], ALLOWED[place]))
    }
    assert not found


@pytest.mark.parametrize("place", ROOMS)
def test_only_grpo_and_its_tests_import_grpo(place):
    if place != "grpo":
        sources = (file.read_text(encoding="utf-8") for file in (ROOT / place).rglob("*.py"))
        assert all("grpo" not in set(imported(source, place)) for source in sources)


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "from torch import nn",
        "def f():\n    import grpo.types",
        "if True:\n    from envs import protocol",
    ],
)
def test_an_import_against_the_direction_is_seen(source):
    assert against_direction(source, "rewards", ALLOWED["rewards"])


def test_every_room_is_typed_and_is_a_package():
    for room in ROOMS:
        assert (ROOT / room / "py.typed").exists()
        assert (ROOT / room / "__init__.py").exists()


def run(code: str, *path: Path) -> str:
    """Runs Python code in a fresh process with the project, then `path`, ahead of what is installed."""
    script = f"import sys; sys.path[:0] = {[str(ROOT), *map(str, path)]!r}\n{code}"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_light_modules_start_without_torch():
    code = f"import importlib; [importlib.import_module(name) for name in {LIGHT!r}]; print('torch' in sys.modules)"
    assert run(code) == "False"
    assert run(code.replace("print", "import torch; print")) == "True"
