"""Seeds of tasks, and keys of random streams: pure functions of what identifies an episode."""

from __future__ import annotations

import hashlib

GOLDEN = 0x9E3779B97F4A7C15
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""SplitMix64's constants (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators")."""
WORD = (1 << 64) - 1


def task_seed(seed: int, step: int, task: int) -> int:
    """The seed of a task, below 2^48: spread out, so that runs with other seeds see other tasks."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{step}/{task}".encode(), digest_size=6).digest(), "big")


def stream_key(seed: int, step: int, task: int, sibling: int) -> int:
    """The key of one episode's random stream, a non-negative int64, from what identifies the episode.

    The four numbers pass one after the other through the finaliser of SplitMix64. So neither the slot nor the rank that
    runs an episode has an influence.
    """
    key = 0
    for number in (seed, step, task, sibling):
        key = _finalise((key + GOLDEN * (1 + number)) & WORD)
    return key >> 1


def _finalise(word: int) -> int:
    word = (word ^ (word >> 30)) * MULTIPLIERS[0] & WORD
    word = (word ^ (word >> 27)) * MULTIPLIERS[1] & WORD
    return word ^ (word >> 31)
