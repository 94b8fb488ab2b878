"""The directions of imports, and the top-level name `kernels` beside the library's hub package."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import transformers
from transformers.utils import import_utils

ROOT = Path(__file__).parents[2]
ROOMS = ("grpo", "envs", "rewards", "kernels")
ALLOWED = {
    "rewards": {"rewards"},
    "envs": {"envs", "rewards"},
    "kernels": {"kernels", "torch", "triton"},
    "grpo/advantages.py": {"torch"},
    "grpo/losses.py": {"torch"},
}
"""What each room may import beside the standard library; what is not listed is free."""
LIGHT = ("grpo.cli.main", "grpo.cli.play", "grpo.run.evaluation", "grpo.run.intervals", "grpo.run.environments")
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


HUB_IMPORTS = (Path(transformers.__file__).parent / "integrations" / "hub_kernels.py").read_text(encoding="utf-8")
TINY_QWEN = """
from transformers import Qwen3Config, Qwen3ForCausalLM
sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, vocab_size=9, head_dim=4)
Qwen3ForCausalLM(Qwen3Config(num_attention_heads=2, num_key_value_heads=1, **sizes))
import kernels
print(kernels.__file__, kernels.linear_logprob.__module__, hasattr(kernels, "HUB"), hasattr(kernels, "Mode"))
"""
OURS = f"{ROOT / 'kernels' / '__init__.py'} kernels.logprob"


def hub_package(folder: Path, version: str) -> Path:
    """A stand-in for the library's hub package `kernels`: whatever name is asked of it exists, in a submodule."""
    (folder / "kernels").mkdir()
    (folder / "kernels" / "__init__.py").write_text("from kernels.layer import *\nHUB = True\n", encoding="utf-8")
    names = re.findall(r"^\s+(\w+),$|^\s+(\w+) as \w+,$|^    from kernels import (\w+) as", HUB_IMPORTS, re.MULTILINE)
    code = "\n".join(f"def {next(filter(None, found))}(*_, **__): return lambda thing: thing" for found in names)
    (folder / "kernels" / "layer.py").write_text(code + "\n", encoding="utf-8")
    information = folder / f"kernels-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: kernels\nVersion: {version}\n", encoding="utf-8"
    )
    (information / "RECORD").write_text("kernels/__init__.py,,\nkernels/layer.py,,\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("version", ["0.1.0", import_utils.KERNELS_MIN_VERSION])
def test_kernels_beside_the_hub_package_of_that_name(tmp_path, version):
    """Neither a version that `transformers` ignores nor one that it imports gets in our way, nor we in its."""
    assert run(TINY_QWEN, hub_package(tmp_path, version)) == f"{OURS} True True"


def test_a_package_that_shadows_ours_is_named_in_one_line(tmp_path):
    folder = hub_package(tmp_path, "0.1.0")
    code = f"import sys; sys.path[:0] = {[str(folder), str(ROOT)]!r}; from grpo.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "train", "--steps", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "another package called kernels" in done.stderr and str(folder) in done.stderr


def test_kernels_without_the_hub_package():
    assert run(TINY_QWEN) == f"{OURS} False False"
