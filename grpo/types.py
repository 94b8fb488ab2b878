"""The data types of a training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from envs.protocol import Message, Split
from rewards.score import Score
from rewards.trace import Call


class StopReason(StrEnum):
    """Why an episode ended."""

    DONE = "done"
    """The environment ended it. An Atlassian episode ends with a turn without a tool call."""
    MAX_TURNS = "max_turns"
    TURN_TOKENS = "turn_tokens"
    """A turn reached its token limit before its stop token."""
    MAX_TOKENS = "max_tokens"
    """The episode reached its token limit, or its next observation would not fit."""

    @property
    def truncated(self) -> bool:
        return self is not StopReason.DONE


LOWEST_TEMPERATURE = 1e-3
"""Lowest positive temperature. Division by a lower one overflows the logits; 0 means greedy decoding."""


@dataclass(frozen=True)
class Sampling:
    """Defines the distribution that tokens are drawn from. Temperature 0 selects the most likely token."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """0 keeps all tokens."""
    min_p: float = 0.0

    @property
    def cuts(self) -> bool:
        """Whether unlikely tokens are excluded."""
        return self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0


@dataclass(frozen=True)
class Limits:
    max_turns: int
    max_turn_tokens: int
    """Sampled tokens per turn."""
    max_episode_tokens: int
    """Tokens after the prompt, including tool responses."""


@dataclass(frozen=True)
class Request:
    """An episode to roll out."""

    scenario: str
    split: Split
    seed: int
    """Task seed."""
    group: int
    sibling: int
    key: int
    """Key of the episode's random stream, from `grpo.keys.stream_key`."""


@dataclass
class Episode:
    """A finished episode. `ids`, `mask` and `logprobs` have equal length T.

    `mask` is 1 on sampled tokens, including stop tokens, and 0 elsewhere. `logprobs` holds the log-prob of each sampled
    token in the distribution that it was drawn from, and 0 elsewhere.
    """

    request: Request
    ids: list[int]
    mask: list[int]
    logprobs: list[float]
    prompt_length: int
    stop_reason: StopReason
    score: Score
    trace: tuple[Call, ...]
    messages: Sequence[Message]
    turns: int

    @property
    def sampled_logprobs(self) -> list[float]:
        """The log-probs of the sampled tokens only."""
        return [value for value, bit in zip(self.logprobs, self.mask, strict=True) if bit]

    @property
    def reward(self) -> float:
        return self.score.total

    @property
    def group(self) -> int:
        return self.request.group
