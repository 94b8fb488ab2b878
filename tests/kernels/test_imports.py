"""The modules of `kernels` import each other without circles, and only the dispatch module imports Triton kernels."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import kernels

SOURCES = {file.stem: file.read_text(encoding="utf-8") for file in Path(kernels.__file__).parent.glob("*.py")}


def imports(statements: list[ast.stmt], names: set[str]) -> set[str]:
    """The modules of `kernels` that statements import, also inside functions."""
    paths = set()
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Import):
            paths |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            paths |= {f"{node.module}.{alias.name}" for alias in node.names}
    modules = {path.split(".")[1] for path in paths if path.startswith("kernels.")}
    return {module if module in names else "__init__" for module in modules}


def check_no_circle(sources: dict[str, str]) -> None:
    graph = {name: imports(ast.parse(source).body, set(sources)) for name, source in sources.items()}
    TopologicalSorter(graph).prepare()


def test_no_circle():
    check_no_circle(SOURCES)


@pytest.mark.parametrize("statement", ["import kernels.logprob", "from kernels import linear_logprob"])
def test_the_check_detects_a_circle_through_a_function(statement):
    source = f"{SOURCES['triton_logprob']}\ndef f():\n    {statement}\n"
    with pytest.raises(CycleError):
        check_no_circle(SOURCES | {"triton_logprob": source})


def test_only_the_dispatch_module_imports_triton_kernels():
    """It imports them inside functions, because Triton is not installed on every machine."""
    modules = {name: ast.parse(source) for name, source in SOURCES.items()}
    triton = {name for name in modules if name.startswith("triton_")}
    importers = {name for name, module in modules.items() if imports(module.body, set(modules)) & triton}
    assert triton and importers == {"dispatch"}
    top_level = [node for node in modules["dispatch"].body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert top_level and not imports(top_level, set(modules)) & triton
