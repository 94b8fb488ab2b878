"""JQL's text search: words in any letter case, wildcards, and exact phrases."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
_PATTERN = re.compile(r"[\w*?]+")
_QUOTED = re.compile(r'"([^"]*)"')


@dataclass(frozen=True)
class TextQuery:
    """A text query. A text matches if it has all words, patterns and phrases."""

    words: tuple[str, ...]
    """Lower-case words."""
    patterns: tuple[str, ...]
    """Lower-case words with the wildcards `*` (any characters) and `?` (one)."""
    phrases: tuple[tuple[str, ...], ...]
    """Quoted sequences of words, which must follow each other in this order."""

    @classmethod
    def parse(cls, text: str) -> TextQuery | None:
        """The query in `text`; None if it has no word."""
        lower = text.casefold()
        phrases = tuple(tuple(_WORD.findall(quotation)) for quotation in _QUOTED.findall(lower))
        phrases = tuple(phrase for phrase in phrases if phrase)
        terms = [term for term in _PATTERN.findall(_QUOTED.sub(" ", lower)) if term.strip("*?")]
        words = tuple(term for term in terms if "*" not in term and "?" not in term)
        patterns = tuple(term for term in terms if "*" in term or "?" in term)
        return cls(words, patterns, phrases) if terms or phrases else None

    def matches(self, text: str) -> bool:
        lower = text.casefold()
        for word in self.words:
            # Most texts do not contain the word even as letters. This check saves splitting them into words.
            if word not in lower:
                return False
        words = _WORD.findall(lower)
        for word in self.words:
            if word not in words:
                return False
        for pattern in self.patterns:
            if not any(_fits(pattern, word) for word in words):
                return False
        return all(_has_phrase(phrase, words) for phrase in self.phrases)


def _fits(pattern: str, word: str) -> bool:
    """Whether `word` matches a wildcard pattern. The time is at most proportional to the product of their lengths."""
    # prefix_fits[i]: whether the part of the pattern read so far matches the first i characters.
    prefix_fits = [True] + [False] * len(word)
    for symbol in pattern:
        if symbol == "*":
            first = prefix_fits.index(True) if True in prefix_fits else len(prefix_fits)
            prefix_fits = [i >= first for i in range(len(prefix_fits))]
        else:
            steps = (prefix_fits[i] and symbol in ("?", word[i]) for i in range(len(word)))
            prefix_fits = [False, *steps]
    return prefix_fits[-1]


def _has_phrase(phrase: tuple[str, ...], words: list[str]) -> bool:
    size = len(phrase)
    return any(tuple(words[i : i + size]) == phrase for i in range(len(words) - size + 1))
