"""Two tiers of tests: `make test` runs the quick one, `make test-full` and `.ci/run` everything.

A test belongs to the full tier alone (`@pytest.mark.full`) if a cheaper one would fail with it, or if what it guards
seldom changes. Property tests run in both; the quick tier draws fewer examples.
"""

from __future__ import annotations

import os

FULL = os.environ.get("GRPO_TESTS") == "full"


def examples(full: int) -> int:
    """The number of Hypothesis examples: `full` in the full tier; a fifth of that, but at least 5, in the quick one."""
    return full if FULL else max(5, full // 5)
