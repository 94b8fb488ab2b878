"""Checks that the links in the project's documents lead somewhere.

A link to code names a symbol, never a line: [`Trainer.step`](../grpo/trainer.py). The file must define that symbol: a
function, a class, a member as Class.member, or a module-level name. Links between documents, and anchors in them, are
resolved as GitHub resolves them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])

CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1|^\$\$.*?^\$\$", re.DOTALL | re.MULTILINE)
"""Fenced code and displayed equations, which contain no links and no headings."""
MARKDOWN_LINK = re.compile(r"""(?:\[(?P<text>`[^`]*`|[^\[\]]*))?\]\((?P<target>[^()\s]+)(?:\s+"[^"]*")?\)""")
"""There is no text if it is an image, since an image is a link itself."""
HTML_LINK = re.compile(r"""\b(?:href|src)=["'](?P<target>[^"']+)["']""")
HEADING = re.compile(r"^#+ +(.*?)[ #]*$", re.MULTILINE)
SYMBOL = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)`")
CODE_WORD = re.compile(r"`[^`\s]+`")
"""Code without a space: a symbol or a file. With a space, such as `grpo plan`, it is prose."""
EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:")


@dataclass(frozen=True)
class Link:
    """The text (empty in HTML) and the target of a link, as written."""

    text: str
    target: str

    def __str__(self) -> str:
        return f"[{self.text}]({self.target})"

    @property
    def symbol(self) -> str | None:
        """The symbol that a link to a Python file names; None if the text is a file name or prose."""
        path = self.target.partition("#")[0]
        match = SYMBOL.fullmatch(self.text)
        return match[1] if match and path.endswith(".py") and match[1] != Path(path).name else None


def links(text: str) -> Iterator[Link]:
    """Yields the links of a document: Markdown links first, then HTML links."""
    text = CODE.sub("", text)
    for match in MARKDOWN_LINK.finditer(text):
        yield Link(match["text"] or "", match["target"])
    for match in HTML_LINK.finditer(text):
        yield Link("", match["target"])


def symbols(text: str) -> set[str]:
    """The symbols that a document links to."""
    return {link.symbol for link in links(text) if link.symbol}


def broken_links(document: Path) -> list[str]:
    """The broken links of a document, each with the reason."""
    reasons = ((link, _problem(link, document)) for link in links(document.read_text(encoding="utf-8")))
    return [f"{link}: {reason}" for link, reason in reasons if reason]


def _problem(link: Link, document: Path) -> str:
    """The reason why a link is broken; empty if it is not."""
    if EXTERNAL.match(link.target):
        return ""
    name, _, anchor = link.target.partition("#")
    path = document.parent / name if name else document
    if not path.exists():
        return "no such file"
    if path.suffix == ".py":
        if anchor:
            return "a link to code names the symbol, not the line"
        if CODE_WORD.fullmatch(link.text) and not link.symbol and not link.text.strip("`").endswith(path.name):
            return "neither a symbol nor the file's name"
        if link.symbol and link.symbol not in definitions(path):
            return "not defined in that file"
    elif anchor and anchor not in anchors(path.read_text(encoding="utf-8")):
        return "no such heading"
    return ""


@cache
def definitions(path: Path) -> frozenset[str]:
    """The names that a module defines at its top level, and the members of its classes as Class.member."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names |= set(_defined(node))
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{name}" for member in node.body for name in _defined(member)}
    return frozenset(names)


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement defines; an import defines none."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets: list[ast.expr] = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings. Repeated headings get a number."""
    names: set[str] = set()
    for heading in HEADING.findall(CODE.sub("", text)):
        base = re.sub(r"[^\w\- ]", "", MARKDOWN_LINK.sub(r"\g<text>", heading).lower()).replace(" ", "-")
        anchor, count = base, 0
        while anchor in names:
            count += 1
            anchor = f"{base}-{count}"
        names.add(anchor)
    return names
