"""Every error that a user can meet. Our own bugs raise whatever Python raises."""

from __future__ import annotations

from typing import Any

BAD_INPUT = 2
"""Exit status for input that cannot be used."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells report it."""


class UserError(Exception):
    """Input that cannot be used. The command line prints its one line and exits with `BAD_INPUT`."""


class OptionError(UserError, ValueError):
    """Options that cannot be used: the reason, and what to change."""


class ChatFormatError(UserError, ValueError):
    """The tokenizer's chat template cannot carry a multi-turn conversation with tools; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"this model's chat template cannot be used: {reason}")


class UnsupportedModel(UserError, ValueError):
    """The model has layers whose attention or state cannot share a prefix."""


class NonFiniteError(UserError, RuntimeError):
    """The gradient stayed infinite or NaN, so training stopped; carries the last step's `StepResult`."""

    def __init__(self, steps: int, result: Any) -> None:
        super().__init__(f"the gradient was not finite in {steps} steps in a row")
        self.result = result
