"""The protocol between a policy and an environment: messages and tool calls, never tokens.

Anything that implements `Scenario` and `Env` can train a policy. The Atlassian scenarios are one implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rewards.score import Score
from rewards.trace import Call

Message = dict[str, Any]
"""A chat message: `role` and `content`; an assistant message also has `tool_calls`."""

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
        """The tool in the function-calling format of `tokenizer.apply_chat_template(..., tools=...)`."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class ToolCall:
    """A call as the policy wrote it."""

    name: str
    arguments: Any
    error: str | None = None
    """Why the text of the call could not be parsed; None if it could."""


@dataclass(frozen=True)
class Turn:
    """One assistant turn: free text, and calls in their order."""

    content: str
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Observation:
    """The environment's answer to a turn: one `tool` message per call, none if the episode is over."""

    messages: tuple[Message, ...]
    done: bool = False


class Env(Protocol):
    """One episode. An instance is single-use: `reset` once, `step` until `done`, then `score`."""

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools that the policy may call. They are the same in all episodes of a scenario."""

    def reset(self) -> Observation:
        """The opening messages (system and user)."""

    def step(self, turn: Turn) -> Observation:
        """Executes the turn's calls in order.

        Nothing that a policy can write raises an error. A turn after the end of the episode may raise one.
        """

    def score(self) -> Score:
        """The reward of the episode so far."""

    @property
    def trace(self) -> tuple[Call, ...]:
        """The tool calls so far, with their responses."""


class Scenario(Protocol):
    """A named source of tasks."""

    @property
    def name(self) -> str:
        """The scenario's name in commands and metrics."""

    def env(self, seed: int, split: Split) -> Env:
        """A fresh episode of task `seed`. Equal arguments give identical episodes."""
