"""Episodes from a policy: continuous batching over slots, with tool calls executed the moment a turn closes.

An episode in progress holds one of the engine's slots, and with it a KV cache that only ever grows. It either decodes
(its last token was sampled and the turn continues) or waits for a prefill (the rest of its prompt, or the stop token it
sampled and the tokens of a tool response, are not in the cache yet). A finished episode leaves its slot to the next.

    prefill:  ids injected into the waiting episodes -> logits [W, V] -> one token each
    decode:   the last token of the others           -> logits [R, V] -> one token each

Every draw is keyed by the request's key and the token's place in its episode, so that neither slots nor the order of
requests change an episode.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from envs.protocol import Env, Message, Scenario, Split
from grpo.chat.template import ChatFormat
from grpo.engine.engine import Engine
from grpo.engine.shared_prompts import SharedPrompts
from grpo.sampling import sample, uniform
from grpo.types import Episode, Limits, Request, Sampling, StopReason

PREFILL_FRACTION = 0.125
"""Waiting episodes are prefilled when they exceed this fraction of the decoding ones: a prefill is a pass over all
weights, and a waiting episode leaves its place in the decode steps empty. 1/16 to 1/4 need about as many passes."""

TaskKey = tuple[str, Split, int]


def roll_out(
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
    after the prompt, reached by sampling or about to be exceeded by an observation. After a truncation nothing is
    appended. Clears the engine first, since its prefixes belong to the weights they were computed with.

    Raises ValueError if a prompt and the limits exceed the engine's slots, and if an environment gives siblings
    different openings. Exceptions of an environment are passed on: they are bugs, not a bad policy.
    """
    return _Rollout(engine, chat, scenarios, requests, sampling, limits).run()


@dataclass(slots=True)
class _Live:
    """An episode in progress."""

    index: int
    """Place of the request."""
    request: Request
    env: Env
    slot: int
    ids: list[int]
    messages: list[Message]
    pending: list[int]
    """Ids at the end that are not in the cache yet."""
    prompt_length: int = field(init=False)
    mask: list[int] = field(init=False)
    logprobs: list[float] = field(init=False)
    turn_start: int = 0
    turn_limit: int = 0
    """Length at which the current turn is cut."""
    turns: int = 0

    def __post_init__(self) -> None:
        self.prompt_length = len(self.ids)
        self.mask, self.logprobs = [0] * len(self.ids), [0.0] * len(self.ids)

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
    decoding: list[_Live] = field(default_factory=list)
    waiting: list[_Live] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    episodes: dict[int, Episode] = field(default_factory=dict)

    def run(self) -> list[Episode]:
        self.engine.clear()
        self.siblings = Counter(_task_key(request) for request in self.requests)
        self.openings = {key: self._open_task(*key) for key in self.siblings}
        self.prompts = SharedPrompts(self.engine, {key: prompt for key, (_, prompt) in self.openings.items()})
        self.free = list(reversed(range(self.engine.slots)))
        queue = deque(enumerate(self.requests))
        while queue or self.waiting or self.decoding:
            while queue and self.free:
                self.waiting.append(self._admit(*queue.popleft()))
            if len(self.waiting) > PREFILL_FRACTION * len(self.decoding):
                batch, self.waiting = self.waiting, []
                logits = self.engine.extend({live.slot: live.pending for live in batch})
                self._draw(batch, torch.stack([logits[live.slot] for live in batch]))
            else:
                batch, self.decoding = self.decoding, []
                self._draw(batch, self.engine.decode([live.slot for live in batch], [live.ids[-1] for live in batch]))
        return [self.episodes[index] for index in range(len(self.requests))]

    def _draw(self, batch: list[_Live], logits: Tensor) -> None:
        """Appends a token to each episode, given logits [R, V] in their order, and sorts them by what comes next."""
        keys = torch.tensor([live.request.key for live in batch])
        places = torch.tensor([len(live.ids) for live in batch])
        ids, logprobs = sample(logits, uniform(keys, places), self.sampling)
        values = logprobs.tolist()
        if not all(map(math.isfinite, values)):
            raise FloatingPointError("a model's logits are not finite: its weights may hold NaN")
        stop_ids, decoding = self.chat.stop_ids, self.decoding
        for live, id, logprob in zip(batch, ids.tolist(), values, strict=True):
            live.ids.append(id)
            live.mask.append(1)
            live.logprobs.append(logprob)
            if id in stop_ids:
                self._close_turn(live)
            elif len(live.ids) < live.turn_limit:
                decoding.append(live)
            else:
                self._cut_turn(live)

    def _close_turn(self, live: _Live) -> None:
        """Executes the turn's calls and injects the answers, or ends the episode."""
        turn_ids = live.ids[live.turn_start :]
        live.messages.append({"role": "assistant", "content": self.chat.text(turn_ids)})
        observation = live.env.step(self.chat.parse(turn_ids, live.env.tools))
        live.messages += observation.messages
        if observation.done:
            return self._finish(live, StopReason.DONE)
        if live.turns == self.limits.max_turns:
            return self._finish(live, StopReason.MAX_TURNS)
        injected = self.chat.continuation(observation.messages)
        if len(live.ids) + len(injected) >= live.prompt_length + self.limits.max_episode_tokens:
            return self._finish(live, StopReason.MAX_TOKENS)
        live.inject(injected)
        live.open_turn(self.limits)
        self.waiting.append(live)

    def _cut_turn(self, live: _Live) -> None:
        turn_ids = live.ids[live.turn_start :]
        live.messages.append({"role": "assistant", "content": self.chat.text(turn_ids)})
        turn_cut = len(turn_ids) >= self.limits.max_turn_tokens
        self._finish(live, StopReason.TURN_TOKENS if turn_cut else StopReason.MAX_TOKENS)

    def _finish(self, live: _Live, reason: StopReason) -> None:
        self.engine.close(live.slot)
        self.free.append(live.slot)
        self.episodes[live.index] = Episode(
            request=live.request,
            ids=live.ids,
            mask=live.mask,
            logprobs=live.logprobs,
            prompt_length=live.prompt_length,
            stop_reason=reason,
            score=live.env.score(),
            trace=live.env.trace,
            messages=live.messages,
            turns=live.turns,
        )

    def _open_task(self, name: str, split: Split, seed: int) -> tuple[list[Message], list[int]]:
        """The messages and the prompt that open a task, known before the first of its episodes starts."""
        env = self.scenarios[name].env(seed, split)
        messages = list(env.reset().messages)
        prompt = self.chat.prompt(messages, env.tools)
        needed = len(prompt) + self.limits.max_episode_tokens
        if needed > self.engine.max_length:
            raise ValueError(
                f"the prompt of {name} {split} {seed} has {len(prompt)} tokens: a slot needs {needed}, the engine "
                f"has {self.engine.max_length}; lower max_episode_tokens or raise the engine's max_length"
            )
        return messages, prompt

    def _admit(self, index: int, request: Request) -> _Live:
        """Starts an episode in a free slot."""
        task = _task_key(request)
        opening, prompt = self.openings[task]
        env = self.scenarios[request.scenario].env(request.seed, request.split)
        messages = list(env.reset().messages)
        if messages != opening:
            raise ValueError(f"scenario {request.scenario}, seed {request.seed}: siblings open with different messages")
        prefix, shared = self.prompts.handle(task, self.siblings[task])
        slot = self.free.pop()
        self.engine.open(slot, prefix)
        live = _Live(index, request, env, slot, ids=list(prompt), messages=messages, pending=prompt[shared:])
        live.open_turn(self.limits)
        return live


def _task_key(request: Request) -> TaskKey:
    return request.scenario, request.split, request.seed
