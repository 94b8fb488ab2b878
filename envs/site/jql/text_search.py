"""x"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
_PATTERN = re.compile(r"[\w*?]+")
_QUOTED = re.compile(r'"([^"]*)"')


@dataclass(frozen=True)
class Phrase:
    """A text query: every word must appear, and every quoted sequence in its order."""

    words: tuple[str, ...]
    """Lower-case words."""
    patterns: tuple[str, ...]
    """Lower-case words with the wildcards `*` (any characters) and `?` (one)."""
    sequences: tuple[tuple[str, ...], ...]

    @classmethod
    def read(cls, text: str) -> Phrase | None:
        """The query that `text` spells; None when it holds no word."""
        folded = text.casefold()
        sequences = tuple(tuple(_WORD.findall(quoted)) for quoted in _QUOTED.findall(folded))
        sequences = tuple(sequence for sequence in sequences if sequence)
        found = [word for word in _PATTERN.findall(_QUOTED.sub(" ", folded)) if word.strip("*?")]
        words = tuple(word for word in found if "*" not in word and "?" not in word)
        patterns = tuple(word for word in found if "*" in word or "?" in word)
        return cls(words, patterns, sequences) if found or sequences else None

    def matches(self, text: str) -> bool:
        """Whether one text holds all of the query."""
        folded = text.casefold()
        for word in self.words:
            # Most texts lack even the letters, which spares splitting them into words.
            if word not in folded:
                return False
        found = _WORD.findall(folded)
        for word in self.words:
            if word not in found:
                return False
        for pattern in self.patterns:
            if not any(_fits(pattern, word) for word in found):
                return False
        return all(_has_sequence(sequence, found) for sequence in self.sequences)


def _fits(pattern: str, word: str) -> bool:
    """Wildcard matching in time proportional to the product of the lengths, whatever the pattern."""
    # reached[i]: whether the pattern so far fits the first i characters.
    reached = [True] + [False] * len(word)
    for symbol in pattern:
        if symbol == "*":
            first = reached.index(True) if True in reached else len(reached)
            reached = [i >= first for i in range(len(reached))]
        else:
            steps = (reached[i] and symbol in ("?", word[i]) for i in range(len(word)))
            reached = [False, *steps]
    return reached[-1]


def _has_sequence(sequence: tuple[str, ...], words: list[str]) -> bool:
    size = len(sequence)
    return any(tuple(words[i : i + size]) == sequence for i in range(len(words) - size + 1))
