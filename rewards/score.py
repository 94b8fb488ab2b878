"""The score of an episode: a total and the parts that it consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ROUNDING = 1e-9
"""The tolerance at both ends of [0, 1], for sums of floats."""


@dataclass(frozen=True)
class Score:
    """A reward in [0, 1] and the named contributions that sum to it.

    Raises ValueError if the total is not a number in [0, 1] or the parts are not a mapping.
    """

    total: float
    parts: Mapping[str, float]

    def __post_init__(self) -> None:
        if not isinstance(self.total, int | float):
            raise ValueError(f"total {self.total!r} is not a number")
        if not -ROUNDING <= self.total <= 1 + ROUNDING:
            raise ValueError(f"total {self.total} is outside [0, 1]")
        if not isinstance(self.parts, Mapping):
            raise ValueError(f"parts {self.parts!r} are not a mapping of names to numbers")
