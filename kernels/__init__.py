"""Fused operations on plain tensors. This package depends on torch only.

The model hub's client is also a package called `kernels`, and `transformers` imports names from it if it is installed.
If both are installed, this package must come first on the path. It looks up the names that it lacks in the other one.
"""

from __future__ import annotations

import functools
import pkgutil
from pathlib import Path
from typing import Any

from kernels.decoder import FusedDecoder, agree, is_packed, is_standard
from kernels.linear import PackedWeight, fast_linear
from kernels.logprob import linear_logprob
from kernels.memory import keep_freed_memory

__path__ = pkgutil.extend_path(__path__, __name__)

__all__ = [
    "FusedDecoder",
    "PackedWeight",
    "agree",
    "fast_linear",
    "is_packed",
    "is_standard",
    "keep_freed_memory",
    "linear_logprob",
]


def __getattr__(name: str) -> Any:
    """Looks up a name in the hub's package."""
    if name.startswith("__") or name not in _hub():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _hub()[name]


@functools.cache
def _hub() -> dict[str, Any]:
    """The names in the other package called `kernels`; empty if there is none."""
    names: dict[str, Any] = {"__name__": __name__, "__package__": __name__, "__path__": __path__}
    for folder in __path__[1:]:
        source = Path(folder, "__init__.py")
        exec(compile(source.read_text(encoding="utf-8"), source, "exec"), names)
        return names
    return {}
