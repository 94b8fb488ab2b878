"""Means with their uncertainty.

A reward mean carries Student's t interval, cut to the range of a reward. If all rewards are equal, its width is 0,
which says nothing about the mean. A success rate carries Wilson's score interval (JASA 22, 1927), whose width does not
vanish.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

CONFIDENCE = 0.95


def mean_interval(rewards: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of the mean of values in [0, 1]: mean +- t s / sqrt(n), cut to [0, 1].

    One value does not determine a spread: the interval is then [0, 1].
    """
    if len(rewards) < 2:
        return 0.0, 1.0
    mean = fmean(rewards)
    half = student_quantile((1 + confidence) / 2, len(rewards) - 1) * stdev(rewards) / math.sqrt(len(rewards))
    return max(0.0, mean - half), min(1.0, mean + half)


def rate_interval(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval of a success rate."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, weight = successes / trials, z * z / trials
    centre = (rate + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(rate * (1 - rate) / trials + weight / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def student_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t distribution with `freedom` degrees of freedom.

    Closed for 1 and 2; otherwise the normal quantile with four correction terms (Abramowitz and Stegun 26.7.5), which
    at 0.975 is within 0.3 % from 3 degrees on.
    """
    if freedom == 1:
        return math.tan(math.pi * (probability - 0.5))
    if freedom == 2:
        return (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))
