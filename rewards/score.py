"""The verdict on an episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ROUNDING = 1e-9
"""How far parts may add up beyond the bounds."""


@dataclass(frozen=True)
class Score:
    """A reward in [0, 1] and the named contributions that add up to it. Raises ValueError for anything else."""

    total: float
    parts: Mapping[str, float]

    def __post_init__(self) -> None:
        if not isinstance(self.total, int | float):
            raise ValueError(f"total {self.total!r} is no float")
        if not -ROUNDING <= self.total <= 1 + ROUNDING:
            raise ValueError(f"total {self.total} lies outside [0, 1]")
        if not isinstance(self.parts, Mapping):
            raise ValueError(f"parts {self.parts!r} are no mapping of names to numbers")
