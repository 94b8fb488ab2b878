"""A small language for the wording of requests: patterns with alternatives and slots.

    [Please |]move {issue} to {status}[, thanks|].

Square brackets hold alternatives, which may nest and may be empty; braces name slots. One choice at every bracket gives
a *skeleton*, whose slots then take the task's names. Each split has patterns of its own, so that held-out requests
differ in their structure and not only in their names.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from itertools import product

SENTENCE_START = re.compile(r"(\A|[.?!]\s+|\n)([a-z])")
SPACES = re.compile(r" {2,}")


@dataclass(frozen=True)
class Frames:
    """The patterns of one sentence."""

    train: tuple[str, ...]
    heldout: tuple[str, ...]


def draw(pattern: str, rng: random.Random) -> str:
    """One skeleton of a pattern."""
    return "".join(part if isinstance(part, str) else draw(rng.choice(part), rng) for part in _parts(pattern))


def skeletons(pattern: str) -> list[str]:
    """All skeletons of a pattern.

    >>> skeletons("[Please |]go[ now|].")
    ['Please go now.', 'Please go.', 'go now.', 'go.']
    """
    options = [
        [part] if isinstance(part, str) else [text for option in part for text in skeletons(option)]
        for part in _parts(pattern)
    ]
    return ["".join(choice) for choice in product(*options)]


def tidy(text: str) -> str:
    """The text with single spaces and a capital at the start of every sentence.

    >>> tidy("please look  up FOX-1. then tell me.")
    'Please look up FOX-1. Then tell me.'
    """
    return SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), SPACES.sub(" ", text)).strip()


def _parts(pattern: str) -> list[str | list[str]]:
    """The pattern's texts and, for each outermost pair of brackets, its alternatives."""
    parts: list[str | list[str]] = []
    text, depth, options = "", 0, [""]
    for character in pattern:
        if character == "[":
            depth += 1
            if depth == 1:
                parts.append(text)
                text, options = "", [""]
                continue
        elif character == "]":
            depth -= 1
            if depth == 0:
                parts.append(options)
                continue
        elif character == "|" and depth == 1:
            options.append("")
            continue
        if depth:
            options[-1] += character
        else:
            text += character
    if depth:
        raise ValueError(f"unbalanced brackets in {pattern!r}")
    return [*parts, text]
