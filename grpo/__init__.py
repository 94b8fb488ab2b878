"""GRPO from scratch for language models that act through tools: the public API.

    import grpo

    run = grpo.train(grpo.Options(scenarios=["issue-labels"], steps=10), on_step=lambda result: print(result.step))

`docs/api.md` shows more. The public names are those that `__init__.pyi` imports. Each is imported on its first use, so
that `import grpo` is quick and `grpo.trainer` loads nothing that it does not need.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.2.0"

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_IMPORTS = [node for node in _STUB.body if isinstance(node, ast.ImportFrom)]
_MODULE_OF = {alias.name: str(node.module) for node in _IMPORTS for alias in node.names}

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    """Imports a public name on its first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
