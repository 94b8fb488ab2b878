"""Reading the project's pages: their code blocks, tables and sentences."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.links import CODE, ROOT

DOCS = ROOT / "docs"
LINKED = re.compile(r"\[([^\[\]]*)\]\([^()]*\)")
ABBREVIATION = re.compile(r"\b(?:et al|eq|Fig|vs|e\.g|i\.e)\.")


def read_page(name: str) -> str:
    """The text of a page in `docs/`."""
    return (DOCS / name).read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    """The code blocks in a language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def code_block(text: str, holding: str, language: str = "python") -> str:
    """The one code block that holds a piece of text."""
    (code,) = (code for code in code_blocks(text, language) if holding in code)
    return code


def table_rows(text: str, marker: str) -> list[list[str]]:
    """The cells of each row of the table below `<!-- marker -->`, without its heading."""
    table = text.split(f"<!-- {marker} -->\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def load_module(name: str, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The code as an importable module, which is gone after the test."""
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, name, ModuleType(name))  # so that the import is undone after the test
    del sys.modules[name]
    return importlib.import_module(name)


def sentences(text: str) -> list[str]:
    """The sentences of a page. A heading, a list item and a cell of a table each end one; code is left out."""
    text = re.sub(r"^(?: {4}.*\n)+", "", CODE.sub("\n\n", text), flags=re.MULTILINE)
    text = ABBREVIATION.sub(lambda match: match[0].replace(".", ""), LINKED.sub(r"\1", text))
    parts = re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#]|\d+\.) ?)|\|", text)
    pieces = [piece for part in parts for piece in re.split(r"(?<=[.!?])[)\"*]*\s+", part)]
    return [" ".join(piece.split()) for piece in pieces if piece.strip(" -|:#")]


def longest_sentence(text: str) -> int:
    """The number of words in the longest sentence of a page."""
    return max(len(sentence.split()) for sentence in sentences(text))
