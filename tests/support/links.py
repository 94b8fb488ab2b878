"""Links of the form [`symbol`](path.py#Lnumber) in a document: whether each points at the symbol's definition.

`python -m tests.support.links docs/algorithm.md` sets the line numbers right after the code has moved.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

LINK = re.compile(r"\[`(?P<symbol>[\w.]+)`\]\((?P<path>[^)#]+\.py)#L(?P<line>\d+)\)")


def definitions(path: Path) -> dict[str, int]:
    """The line of every function and class of a module, methods as Class.method."""
    found: dict[str, int] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node.lineno
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}": one.lineno for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


def broken_links(document: Path) -> list[str]:
    """The links that miss their symbol."""
    text = document.read_text(encoding="utf-8")
    return [match[0] for match in LINK.finditer(text) if match[0] != _mended(match, document)]


def mend(document: Path) -> None:
    """Sets every line number to where the symbol is defined now."""
    text = document.read_text(encoding="utf-8")
    document.write_text(LINK.sub(lambda match: _mended(match, document), text), encoding="utf-8")


def _mended(match: re.Match[str], document: Path) -> str:
    path = document.parent / match["path"]
    line = definitions(path).get(match["symbol"], 0) if path.exists() else 0
    return f"[`{match['symbol']}`]({match['path']}#L{line})"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        mend(Path(name))
