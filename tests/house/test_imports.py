"""The directions of imports, and the top-level name `kernels` beside the library's hub package."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import transformers
from transformers.utils import import_utils

ROOT = Path(__file__).parents[2]
PACKAGES = ("grpo", "envs", "rewards", "kernels")
ALLOWED = {
    "rewards": {"rewards"},
    "envs": {"envs", "rewards"},
    "kernels": {"kernels", "torch", "triton"},
    "grpo/errors.py": set(),
    "grpo/advantages.py": {"torch"},
    "grpo/losses.py": {"torch"},
}
"""What each place may import beside the standard library; what is not listed is free."""
ORDER = (
    {"errors", "types", "keys"},
    {"advantages", "losses"},
    {"config"},
    {"sampling"},
    {"models", "chat"},
    {"engine"},
    {"packing", "logprobs"},
    {"rollout"},
    {"parallel"},
    {"trainer"},
    {"run"},
    {"tiny", "bench"},
    {"__init__"},
    {"cli", "__main__"},
)
"""The rooms of grpo: a module imports from its own level and from those before it, never from a later one."""
READING_PATH = ("advantages", "losses", "sampling", "packing", "logprobs", "rollout", "trainer")
LIGHT = ("grpo.cli.main", "grpo.cli.play", "grpo.cli.evaluate", "grpo.run.intervals", "grpo.run.environments")
"""Modules that a command needs before any model: they start without torch."""


def modules_of(package: str) -> dict[str, str]:
    """The source of every module of a package, by dotted name; a package's own file is called `__init__`."""
    files = (ROOT / package).rglob("*.py")
    return {".".join(file.relative_to(ROOT).with_suffix("").parts): file.read_text(encoding="utf-8") for file in files}


MODULES = {name: source for package in PACKAGES for name, source in modules_of(package).items()}


def imported(source: str) -> Iterator[str]:
    """The modules that a source imports, wherever in the file; of `from a import b` both `a` and `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a module comes from"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def against_direction(source: str, allowed: set[str]) -> set[str]:
    names = {name.partition(".")[0] for name in imported(source)}
    return {name for name in names if name not in allowed | sys.stdlib_module_names}


def targets(source: str, modules: Collection[str]) -> set[str]:
    """The modules of ours that a source imports; importing a package is importing its `__init__`."""
    names = set(imported(source))
    return {name for name in names if name in modules} | {
        f"{name}.__init__" for name in names if f"{name}.__init__" in modules
    }


def level(module: str) -> int:
    """The place of a module of grpo in ORDER."""
    room = module.split(".")[1]
    (place,) = (place for place, rooms in enumerate(ORDER) if room in rooms)
    return place


def against_order(sources: Mapping[str, str]) -> list[str]:
    """Imports inside grpo from a later room."""
    return [
        f"{module} imports {target}"
        for module, source in sources.items()
        for target in sorted(targets(source, MODULES))
        if module.startswith("grpo.") and target.startswith("grpo.") and level(target) > level(module)
    ]


def circles(sources: Mapping[str, str]) -> list[str]:
    """Modules that import each other, directly or through others."""
    graph = {module: targets(source, sources) - {module} for module, source in sources.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("place", ALLOWED)
def test_imports_follow_the_directions(place):
    prefix = place.removesuffix(".py").replace("/", ".")
    sources = {name: text for name, text in MODULES.items() if name == prefix or name.startswith(f"{prefix}.")}
    assert sources
    allowed = ALLOWED[place] | ({"grpo"} if place.startswith("grpo/") else set())
    wrong = {name: against_direction(text, allowed) for name, text in sources.items()}
    assert not {name: names for name, names in wrong.items() if names}


def test_rooms_of_grpo_import_from_the_rooms_before_them():
    assert not against_order(MODULES)


def test_no_modules_import_each_other():
    assert not circles(MODULES)


def test_no_import_is_for_type_checking_only():
    assert not [name for name, source in MODULES.items() if name != "grpo.__init__" and "TYPE_CHECKING" in source]


def test_nobody_but_grpo_imports_grpo():
    outside = {name: source for name, source in MODULES.items() if not name.startswith("grpo.")}
    assert not [name for name, source in outside.items() if any(one.startswith("grpo") for one in imported(source))]


def test_every_room_has_a_level():
    assert all(level(module) >= 0 for module in MODULES if module.startswith("grpo."))


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
    assert against_direction(source, ALLOWED["rewards"])


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("grpo.losses", "from grpo.config import Options"),
        ("grpo.models.attention", "from grpo import rollout"),
        ("grpo.trainer", "def f():\n    import grpo.run.report"),
        ("grpo.run.training", "import grpo.cli.main"),
    ],
)
def test_an_import_against_the_order_is_seen(module, source):
    assert against_order({module: source}) and not against_order({module: "import grpo.types"})


def test_a_circle_is_seen():
    circle = {"kernels.blocks": "from kernels import masks", "kernels.masks": "def f():\n    import kernels.blocks"}
    assert circles(circle) and not circles(circle | {"kernels.masks": ""})


LOADED = """
import sys, grpo.trainer
names = [name for name in sys.modules if name.partition(".")[0] == "grpo"]
print(*(sys.modules[name].__file__ for name in names), sep="\\n")
"""


def test_the_algorithm_is_read_in_an_evening():
    """The trainer takes values and callables, so importing it loads little; the reading path is shorter still."""
    loaded = run(LOADED).splitlines()
    assert sum(len(Path(file).read_text(encoding="utf-8").splitlines()) for file in loaded) <= 1800
    assert sum(len(MODULES[f"grpo.{name}"].splitlines()) for name in READING_PATH) < 1100


@pytest.mark.full
def test_the_algorithm_trains_without_the_rooms_around_it(tmp_path):
    """Commands, reports and benchmarks can each be deleted."""
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__", "run", "cli", "bench", "__main__.py")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore if package == "grpo" else None)
    code = (ROOT / "docs" / "examples" / "train_loop.py").read_text(encoding="utf-8")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import grpo; print(grpo.__file__)\n{code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path)) and "step 2" in done.stdout


def test_every_package_is_typed_and_is_a_package():
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").exists()
        assert (ROOT / package / "__init__.py").exists()


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


@pytest.mark.full
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


@pytest.mark.full
def test_kernels_without_the_hub_package():
    assert run(TINY_QWEN) == f"{OURS} False False"
