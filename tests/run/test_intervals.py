"""Intervals against published quantiles, and their coverage."""

import random

import pytest

from grpo.run.intervals import mean_interval, rate_interval, student_quantile


@pytest.mark.parametrize(
    ("freedom", "quantile", "tolerance"),
    [
        (1, 12.7062, 1e-5),
        (2, 4.30265, 1e-5),
        (3, 3.18245, 3e-3),
        (4, 2.77645, 1e-3),
        (10, 2.22814, 1e-5),
        (199, 1.97196, 1e-5),
    ],
)
def test_student_quantiles_are_those_of_the_tables(freedom, quantile, tolerance):
    assert student_quantile(0.975, freedom) == pytest.approx(quantile, rel=tolerance)


def test_wilson_interval_of_a_published_example():
    """Newcombe 1998 (Statistics in Medicine 17), table I: 81 of 263 and 0 of 20."""
    assert rate_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert rate_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_intervals_stay_in_the_range_of_a_reward():
    assert mean_interval([1.0, 1.0, 0.98]) == (pytest.approx(0.9647, abs=1e-3), 1.0)
    assert mean_interval([0.5]) == (0.0, 1.0)
    assert mean_interval([0.7] * 9) == pytest.approx((0.7, 0.7))
    assert rate_interval(200, 200)[0] < 1.0


def coverage(width: float) -> float:
    """The share of intervals, stretched by `width`, that contain the true mean of uniform rewards."""
    rng = random.Random(0)
    hits = 0
    for _ in range(1000):
        low, high = mean_interval([rng.random() for _ in range(8)])
        centre, half = (low + high) / 2, (high - low) / 2 * width
        hits += centre - half <= 0.5 <= centre + half
    return hits / 1000


def test_mean_interval_covers_the_mean_in_95_percent():
    assert coverage(1.0) == pytest.approx(0.95, abs=0.02)
    assert coverage(0.7) < 0.9
