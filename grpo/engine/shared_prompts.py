"""Prompts computed once: a scenario's common beginning (system text and tool schemas), then each task's prompt."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import takewhile

from grpo.engine.engine import Engine
from grpo.engine.kv_cache import Prefix

SHORTEST_PREFIX = 16
"""Tokens of a scenario's common beginning, at least: a shorter one would cost more as a part of every decode step."""


class SharedPrompts:
    """Handles on the prompts of some tasks, which are computed when the first of their episodes starts."""

    def __init__(self, engine: Engine, prompts: Mapping[tuple[Hashable, ...], list[int]]) -> None:
        """`prompts` by task; the first member of a task's key names its scenario."""
        self.engine, self.prompts = engine, prompts
        self.handles: dict[tuple[Hashable, ...], tuple[Prefix, int]] = {}
        self.common = {name: self._common_prefix(name) for name in dict.fromkeys(key[0] for key in prompts)}

    def handle(self, task: tuple[Hashable, ...], siblings: int) -> tuple[Prefix, int]:
        """A handle for the task's episodes, and how many tokens of the prompt it holds: at least one is left."""
        if task not in self.handles:
            prefix, length = self.common[task[0]]
            rest = self.prompts[task][length:-1]
            if rest and siblings > 1:
                prefix, length = self.engine.prefix(rest, prefix), length + len(rest)
            self.handles[task] = prefix, length
        return self.handles[task]

    def _common_prefix(self, name: Hashable) -> tuple[Prefix, int]:
        """A handle on the common beginning of a scenario's prompts, and its length; each prompt has a token left."""
        prompts = [prompt for key, prompt in self.prompts.items() if key[0] == name]
        first, last = min(prompts), max(prompts)
        equal = (a == b for a, b in zip(first, last, strict=False))
        length = min(sum(takewhile(bool, equal)), min(map(len, prompts)) - 1)
        length = length if length >= SHORTEST_PREFIX else 0
        return self.engine.prefix(first[:length]), length
