"""The protocol between a policy and an environment: messages and tool calls, never tokens.

Anything that implements `Scenario` and `Env` can be trained on; the Atlassian scenarios are one implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rewards.score import Score
from rewards.trace import Call

Message = dict[str, Any]
"""A chat message: `role`, `content`, and for assistant messages `tool_calls`."""

Split = Literal["train", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "heldout")


@dataclass(frozen=True)
class Tool:
    """A function that the policy may call."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema of the arguments object."""
    effect: Literal["read", "write"]

    def render(self) -> dict[str, Any]:
        """The function-calling format that `tokenizer.apply_chat_template(..., tools=...)` takes."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class ToolCall:
    """A call as the policy wrote it; `error` says why its text could not be parsed."""

    name: str
    arguments: Any
    error: str | None = None


@dataclass(frozen=True)
class Turn:
    """One assistant turn: free text and the calls it makes, in order."""

    content: str
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Observation:
    """What the environment answers: one `tool` message for each call, or none when the episode is over."""

    messages: tuple[Message, ...]
    done: bool = False


class Env(Protocol):
    """One episode. Single-use: `reset` once, then `step` until `done`, then `score`."""

    @property
    def tools(self) -> Sequence[Tool]:
        """What the policy may call, the same for all episodes of a scenario."""

    def reset(self) -> Observation:
        """The opening messages (system and user)."""

    def step(self, turn: Turn) -> Observation:
        """Executes the turn's calls in order. Nothing that a policy can write raises; a turn after the end may."""

    def score(self) -> Score:
        """The reward of the episode so far."""

    @property
    def trace(self) -> tuple[Call, ...]:
        """The tool calls so far with their responses."""


class Scenario(Protocol):
    """A named source of tasks."""

    @property
    def name(self) -> str:
        """How commands and metrics call it."""

    def env(self, seed: int, split: Split) -> Env:
        """A fresh episode of task `seed`; equal arguments give identical siblings."""
