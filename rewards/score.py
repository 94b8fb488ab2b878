"""The verdict on an episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """A reward in [0, 1] and the named contributions that add up to it."""

    total: float
    parts: Mapping[str, float]
