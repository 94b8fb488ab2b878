"""Episodes from a policy: continuous batching over slots, with tool calls executed the moment a row closes its turn.

A *row* is an episode that holds one of the engine's slots, and with it a KV cache that only ever grows. A row either
decodes (its last token was sampled and goes on) or waits for a prefill (its prompt's rest, or the stop token it sampled
and the tokens of a tool response, are not in the cache yet). A finished row leaves its slot to the next request.

    prefill:  ids injected into the waiting rows -> logits [W, V] -> one token each
    decode:   the last token of the others       -> logits [R, V] -> one token each

Prompts are computed once for all who share them: the longest common prefix of a scenario's prompts (system text and
tool schemas), then what the siblings of a task share. Every draw is keyed by the request's key and the token's place in
its row, so that neither slots nor the order of requests change an episode.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import torch
from torch import Tensor

from envs.protocol import Env, Message, Scenario, Split
from grpo.chat.template import ChatFormat
from grpo.engine.engine import Engine
from grpo.engine.kv_cache import Prefix
from grpo.sampling import sample, uniform
from grpo.types import Episode, Limits, Request, Sampling, StopReason

PREFILL_FRACTION = 0.125
"""Rows wait until they exceed this fraction of the decoding ones: a prefill is a pass over all weights, a waiting row
its place in the decode steps. From 1/16 to 1/4 the number of passes hardly changes."""

SHORTEST_PREFIX = 16
"""A common beginning of fewer tokens is cheaper computed for each task: shared, it is one more part of every step."""

TaskKey = tuple[str, Split, int]


def rollout(
    engine: Engine,
    chat: ChatFormat,
    scenarios: Mapping[str, Scenario],
    requests: Sequence[Request],
    sampling: Sampling,
    limits: Limits,
) -> list[Episode]:
    """Plays one episode per request and returns them in the order of `requests`.

    An episode ends when its environment says so (DONE), after `max_turns` turns (the last one's calls are executed), or
    truncated: a turn without stop token after `max_turn_tokens` (its calls are not executed), or `max_episode_tokens`
    after the prompt reached by sampling or about to be exceeded by an observation. After a truncation nothing is
    appended. Clears the engine's prefixes first, since they belong to the weights they were computed with.

    Raises ValueError where a prompt and the limits exceed the engine's rows, and where an environment gives siblings
    different openings. What an environment raises is passed on: it is a bug, not a bad policy.
    """
    return _Rollout(engine, chat, scenarios, requests, sampling, limits).run()


@dataclass
class _Task:
    """The opening of a task, which all its siblings share."""

    messages: list[Message]
    prompt: list[int]
    handle: Prefix | None = None
    """The engine's prefix for the siblings; None until the first of them starts."""
    shared: int = 0
    """Tokens of the prompt that the handle holds."""


@dataclass(slots=True)
class _Row:
    index: int
    """Place of the request."""
    request: Request
    env: Env
    slot: int
    ids: list[int]
    mask: list[int]
    logprobs: list[float]
    messages: list[Message]
    prompt_length: int
    pending: list[int]
    """Ids at the end of the row that are not in the cache yet."""
    turn_start: int = 0
    turn_limit: int = 0
    """Length of the row at which its current turn is cut."""
    turns: int = 0

    def open_turn(self, limits: Limits) -> None:
        self.turn_start = len(self.ids)
        self.turn_limit = min(len(self.ids) + limits.max_turn_tokens, self.prompt_length + limits.max_episode_tokens)
        self.turns += 1

    def inject(self, ids: list[int]) -> None:
        """Appends tokens that nobody sampled; the stop token before them is not in the cache yet either."""
        self.pending = [self.ids[-1], *ids]
        self.ids += ids
        self.mask += [0] * len(ids)
        self.logprobs += [0.0] * len(ids)


@dataclass
class _Rollout:
    engine: Engine
    chat: ChatFormat
    scenarios: Mapping[str, Scenario]
    requests: Sequence[Request]
    sampling: Sampling
    limits: Limits
    active: list[_Row] = field(default_factory=list)
    waiting: list[_Row] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    episodes: dict[int, Episode] = field(default_factory=dict)

    def run(self) -> list[Episode]:
        self.engine.clear()
        self.siblings = Counter(_task_key(request) for request in self.requests)
        self.tasks = {key: self._open_task(key) for key in self.siblings}
        self.prefixes = {name: self._common_prefix(name) for name in dict.fromkeys(name for name, _, _ in self.tasks)}
        self.free = list(reversed(range(self.engine.rows)))
        queue = deque(enumerate(self.requests))
        while queue or self.waiting or self.active:
            while queue and self.free:
                self.waiting.append(self._admit(*queue.popleft()))
            if len(self.waiting) > PREFILL_FRACTION * len(self.active):
                rows, self.waiting = self.waiting, []
                logits = self.engine.extend({row.slot: row.pending for row in rows})
                self._draw(rows, torch.stack([logits[row.slot] for row in rows]))
            else:
                rows, self.active = self.active, []
                self._draw(rows, self.engine.decode([row.slot for row in rows], [row.ids[-1] for row in rows]))
        return [self.episodes[index] for index in range(len(self.requests))]

    def _draw(self, rows: list[_Row], logits: Tensor) -> None:
        """Appends one token to each row, rows and logits [R, V] in one order, and sorts the rows by what comes next."""
        keys = torch.tensor([row.request.key for row in rows])
        places = torch.tensor([len(row.ids) for row in rows])
        ids, logprobs = sample(logits, uniform(keys, places), self.sampling)
        values = logprobs.tolist()
        if not all(map(math.isfinite, values)):
            raise FloatingPointError("a model's logits are not finite: its weights may hold NaN")
        stop_ids, active = self.chat.stop_ids, self.active
        for row, id, logprob in zip(rows, ids.tolist(), values, strict=True):
            row.ids.append(id)
            row.mask.append(1)
            row.logprobs.append(logprob)
            if id in stop_ids:
                self._close_turn(row)
            elif len(row.ids) < row.turn_limit:
                active.append(row)
            else:
                self._cut_turn(row)

    def _close_turn(self, row: _Row) -> None:
        """Executes the turn's calls and injects the answers, or ends the episode."""
        said = row.ids[row.turn_start :]
        row.messages.append({"role": "assistant", "content": self.chat.text(said)})
        observation = row.env.step(self.chat.parse(said, row.env.tools))
        row.messages += observation.messages
        if observation.done:
            return self._finish(row, StopReason.DONE)
        if row.turns == self.limits.max_turns:
            return self._finish(row, StopReason.MAX_TURNS)
        injected = self.chat.continuation(observation.messages)
        if len(row.ids) + len(injected) >= row.prompt_length + self.limits.max_episode_tokens:
            return self._finish(row, StopReason.MAX_TOKENS)
        row.inject(injected)
        row.open_turn(self.limits)
        self.waiting.append(row)

    def _cut_turn(self, row: _Row) -> None:
        sampled = len(row.ids) - row.turn_start
        row.messages.append({"role": "assistant", "content": self.chat.text(row.ids[row.turn_start :])})
        cut_turn = sampled >= self.limits.max_turn_tokens
        self._finish(row, StopReason.TURN_TOKENS if cut_turn else StopReason.MAX_TOKENS)

    def _finish(self, row: _Row, reason: StopReason) -> None:
        self.engine.close(row.slot)
        self.free.append(row.slot)
        self.episodes[row.index] = Episode(
            request=row.request,
            ids=row.ids,
            mask=row.mask,
            logprobs=row.logprobs,
            prompt_length=row.prompt_length,
            stop_reason=reason,
            score=row.env.score(),
            trace=row.env.trace,
            messages=row.messages,
            turns=row.turns,
        )

    def _open_task(self, key: TaskKey) -> _Task:
        """Looks at a task's opening, which has to be known before the first of its episodes starts."""
        name, split, seed = key
        env = self.scenarios[name].env(seed, split)
        messages = list(env.reset().messages)
        prompt = self.chat.prompt(messages, env.tools)
        needed = len(prompt) + self.limits.max_episode_tokens
        if needed > self.engine.max_length:
            raise ValueError(
                f"the prompt of {name} {split} {seed} has {len(prompt)} tokens: with max_episode_tokens = "
                f"{self.limits.max_episode_tokens} a row needs {needed}, and the engine has {self.engine.max_length}; "
                "lower max_episode_tokens or raise the engine's max_length"
            )
        return _Task(messages, prompt)

    def _common_prefix(self, name: str) -> tuple[Prefix, int]:
        """A handle on what all prompts of a scenario begin with, and its length; each row keeps a token to prefill."""
        prompts = [task.prompt for (scenario, _, _), task in self.tasks.items() if scenario == name]
        first, last = min(prompts), max(prompts)
        equal = (a == b for a, b in zip(first, last, strict=False))
        length = min(sum(takewhile(bool, equal)), min(map(len, prompts)) - 1)
        length = length if length >= SHORTEST_PREFIX else 0
        return self.engine.prefix(first[:length]), length

    def _admit(self, index: int, request: Request) -> _Row:
        """Starts an episode in a free slot."""
        task = self.tasks[_task_key(request)]
        env = self.scenarios[request.scenario].env(request.seed, request.split)
        messages = list(env.reset().messages)
        if messages != task.messages:
            raise ValueError(f"scenario {request.scenario}, seed {request.seed}: siblings open with different messages")
        if task.handle is None:
            task.handle, task.shared = self.prefixes[request.scenario]
            own = task.prompt[task.shared : -1]
            if own and self.siblings[_task_key(request)] > 1:
                task.handle, task.shared = self.engine.prefix(own, task.handle), task.shared + len(own)
        slot = self.free.pop()
        self.engine.open(slot, task.handle)
        row = _Row(
            index=index,
            request=request,
            env=env,
            slot=slot,
            ids=list(task.prompt),
            mask=[0] * len(task.prompt),
            logprobs=[0.0] * len(task.prompt),
            messages=messages,
            prompt_length=len(task.prompt),
            pending=task.prompt[task.shared :],
        )
        row.open_turn(self.limits)
        return row


def _task_key(request: Request) -> TaskKey:
    return request.scenario, request.split, request.seed
