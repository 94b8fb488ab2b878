"""The pages are readable: no sentence that needs a second reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import longest_sentence, read_page, sentences
from tests.docs.test_links import DOCUMENTS, ROOT

MOST_WORDS = 40
MOST_LINES = 400


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_and_their_sentences_are_short(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert [one for one in sentences(text) if len(one.split()) > MOST_WORDS] == []


def test_a_long_sentence_is_found() -> None:
    text = read_page("algorithm.md")
    assert longest_sentence(text + "\n\n" + "word " * 41 + ".") > MOST_WORDS
    assert longest_sentence(text + "\n\n- item\n- " + "word " * 20 + "\n  " + "word " * 21) > MOST_WORDS
    assert longest_sentence(text + "\n\n| a | " + "word " * 41 + "|") > MOST_WORDS


def test_sentences_end_where_a_reader_ends_them() -> None:
    text = "# A title\n\nOne (see 1.5). Two, as Yao et al. do?\n- Three\n  goes on: [four](page.md).\n\n    code\n"
    assert sentences(text) == ["# A title", "One (see 1.5).", "Two, as Yao et al do?", "- Three goes on: four."]
