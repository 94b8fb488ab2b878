"""There are two tiers of tests: `make test` runs the quick tier, `make test-full` and `.ci/run` run all tests.

A test belongs to the full tier only (`@pytest.mark.full`) if a cheaper test detects the same faults, or if the code
that it protects seldom changes. Property tests run in both tiers, with fewer examples in the quick tier.
"""

from __future__ import annotations

import os

FULL = os.environ.get("GRPO_TESTS") == "full"


def examples(full: int) -> int:
    """Number of Hypothesis examples: `full` in the full tier; a fifth of that, but at least 5, in the quick tier."""
    return full if FULL else max(5, full // 5)
