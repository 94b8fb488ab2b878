"""Plays turns on a task's site and records the site's state before and after every call."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from envs.episode import AtlassianEnv, Task
from envs.protocol import Split, ToolCall, Turn
from envs.scenarios import SCENARIOS
from envs.scripts import oracle_turns
from envs.site.records import State
from envs.site.site import Site
from rewards.trace import Call, Kind
from tests.support.truth import Judge

Calls = Sequence[tuple[str, Any]]


class Recorder(AtlassianEnv):
    """An episode that keeps the state of its site before each call, and the last one."""

    def __init__(self, task: Task) -> None:
        scenario = SCENARIOS[task.scenario]
        super().__init__(task, scenario.tools, scenario.check)
        self.states = [start(task)]
        self.site = Site(self.states[0].copy())

    def _execute(self, call: ToolCall) -> Call:
        result = super()._execute(call)
        changed = result.kind == Kind.WRITE and result.ok
        self.states.append(self.site.state.copy() if changed else self.states[-1])
        return result


@lru_cache(maxsize=1024)
def _start(scenario: str, seed: int, split: Split) -> tuple[State, Judge]:
    task = SCENARIOS[scenario].task(seed, split)
    state = task.site().state
    return state, Judge(task.goal, state)


def start(task: Task) -> State:
    """The state of the task's site before the episode. Nobody may change it."""
    return _start(task.scenario, task.seed, task.split)[0]


def judge_of(task: Task) -> Judge:
    return _start(task.scenario, task.seed, task.split)[1]


@dataclass
class Episode:
    """A played episode. `states[i]` is the site before entry i of the trace, the last one after the episode."""

    task: Task
    trace: tuple[Call, ...]
    states: tuple[State, ...]
    judged: dict[int, Any] = field(default_factory=dict, repr=False)
    """The judgement of each state, by its `id`; for those who ask often."""
    totals: dict[Any, float] = field(default_factory=dict, repr=False)
    """The scores of parts of the trace."""

    @cached_property
    def total(self) -> float:
        return SCENARIOS[self.task.scenario].check(self.task.goal, self.trace).total

    @property
    def judge(self) -> Judge:
        return judge_of(self.task)

    @cached_property
    def is_true(self) -> bool | None:
        """Whether the goal holds at the end and nothing else has changed; None if the answer is not clear."""
        return self.judge.is_true(self.trace, self.states[-1])

    @cached_property
    def blame(self) -> list[str]:
        """What is certainly wrong with the way."""
        return self.judge.blame(self.trace, self.states)

    @cached_property
    def did_no_harm(self) -> bool:
        """Whether nothing that nobody asked for was changed or created on the way, not even for a time."""
        judge, made = self.judge, self.judge.made(self.states[-1])
        states = {id(state): state for state in self.states}.values()
        return not any(judge.harm(state) or judge.made(state) not in (None, made) for state in states)


def finish(env: Recorder) -> Episode:
    states = (*env.states, *env.states[-1:] * (len(env.trace) + 1 - len(env.states)))
    return Episode(env.task, env.trace, states)


def play(task: Task, turns: Sequence[Turn]) -> Episode:
    """Plays turns, the last of which may be a closing answer. Arguments are copied, as if they came over a network."""
    env = Recorder(task)
    for turn in turns:
        env.step(Turn(turn.content, tuple(deepcopy(turn.calls))))
    return finish(env)


def play_calls(task: Task, calls: Calls, answer: str | None = "Done.") -> Episode:
    """Plays calls, one a turn, and a closing answer unless it is None."""
    turns = [Turn("", (ToolCall(name, arguments),)) for name, arguments in calls]
    return play(task, [*turns, *([] if answer is None else [Turn(answer)])])


@lru_cache(maxsize=4096)
def oracle(scenario: str, seed: int, split: Split) -> tuple[tuple[Turn, ...], str]:
    """The oracle's turns with calls, and its closing answer."""
    *turns, answer = oracle_turns(SCENARIOS[scenario], seed, split)
    return tuple(turns), answer.content


def oracle_calls(task: Task) -> list[tuple[str, Any]]:
    turns, _ = oracle(task.scenario, task.seed, task.split)
    return [(call.name, call.arguments) for turn in turns for call in turn.calls]


def answer_of(task: Task) -> str:
    """The oracle's closing answer."""
    return oracle(task.scenario, task.seed, task.split)[1]
