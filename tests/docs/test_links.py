"""Every link of every document leads somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.links import DOCUMENTS, ROOT, broken_links, symbols

MODULE = "LIMIT: int = 1\nSIZE = 2\n\nclass Shop:\n    NAME = 'x'\n    def sell(self): pass\n\nasync def wait(): pass\n"
PAGE = "# A page\n\n## One, two & `three`\n\n## Twice\n\n## Twice\n\n```\n## Code\n```\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module and a page to link to."""
    (tmp_path / "code.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    return tmp_path


def broken(folder: Path, text: str) -> list[str]:
    document = folder / "document.md"
    document.write_text(text, encoding="utf-8")
    return broken_links(document)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_all_documents_are_looked_at() -> None:
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    assert {"README.md", "CONTRIBUTING.md", "docs/algorithm.md", "docs/environments.md"} <= names
    assert len(symbols((ROOT / "docs" / "algorithm.md").read_text(encoding="utf-8"))) > 40


@pytest.mark.parametrize(
    "text",
    [
        "[`LIMIT`](code.py) [`SIZE`](code.py) [`Shop`](code.py) [`wait`](code.py)",
        "[`Shop.sell`](code.py) and [`Shop.NAME`](code.py)",
        "[`code.py`](code.py), [the module](code.py), [`src/code.py`](code.py), [`sell things`](code.py)",
        "[a page](page.md), [its folder](.), <img src='page.md'>",
        "[three](page.md#one-two--three) [first](page.md#twice) [second](page.md#twice-1)",
        '# Here\n\n[above](#here) <a href="#here">again</a>',
        '[elsewhere](https://example.org/missing.py#L3) <a href="mailto:nobody@example.org">nobody</a>',
        "```\n[`gone`](missing.py)\n```\n\n$$\n[x](missing.md)\n$$",
    ],
)
def test_a_good_link_passes(folder: Path, text: str) -> None:
    assert broken(folder, text) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[`gone`](code.py)", "not defined in that file"),
        ("[`Shop.gone`](code.py)", "not defined in that file"),
        ("[`sell`](code.py)", "not defined in that file"),
        ("[`Shop`](missing.py)", "no such file"),
        ("[the module](missing.py)", "no such file"),
        ("[`Shop`](code.py#L4)", "a link to code names the symbol, not the line"),
        ("[`Shop.sell()`](code.py)", "neither a symbol nor the file's name"),
        ("[`other.py`](code.py)", "not defined in that file"),
        ("[a page](missing.md)", "no such file"),
        ("[a heading](page.md#three)", "no such heading"),
        ("[a heading](page.md#code)", "no such heading"),
        ("[a heading](page.md#twice-2)", "no such heading"),
        ("# Here\n\n[nowhere](#there)", "no such heading"),
        ('[a page](missing.md "A title")', "no such file"),
        ("[![a picture](code.py)](missing.md)", "no such file"),
        ("[![a picture](missing.png)](page.md)", "no such file"),
        ('<img src="missing.png">', "no such file"),
        ('<a href="page.md#gone">a heading</a>', "no such heading"),
        ("```\ncode\n```\n\n[`gone`](code.py)\n\n```\ncode\n```", "not defined in that file"),
    ],
)
def test_a_broken_link_is_found(folder: Path, text: str, reason: str) -> None:
    (found,) = broken(folder, text)
    assert found.endswith(f": {reason}")
