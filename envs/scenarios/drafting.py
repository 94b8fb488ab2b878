"""Shared by the scenarios: drawing a task from a seed and phrasing its request.

Requests are composed from frames (`envs.phrasing`). Held-out requests use the held-out patterns, training requests the
others. All words of a held-out pattern, with the same capitals, also occur in training patterns.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from envs.episode import AtlassianEnv, Checker, Task, Write
from envs.phrasing import Frames, draw, tidy
from envs.protocol import Split, ToolCall, Turn
from envs.scenarios.goals import site_facts
from envs.scenarios.wording import CLOSINGS, CONTEXTS, GREETINGS
from envs.site.records import Issue, State
from envs.site.site import Site
from envs.words import Names

Demonstration = Generator[Turn, list[Any], str | None]
"""A demonstrator. It yields turns and receives the responses as a model sees them, parsed from JSON. It returns the
closing answer, or None where nothing was asked."""


DIFFICULTIES = (1, 2, 3, 4)
GREETED, EXPLAINED, CLOSED = 0.3, 0.4, 0.25
"""The shares of requests with a greeting, with a sentence of context and with a closing."""
AT_START = re.compile(r"(?:\A|(?<=[.?!]\s)|(?<=\n))\{(\w+)\}")
ARTICLES = ("the ", "a ", "an ", "our ")


@dataclass
class Draft:
    """What a scenario draws a task from: a random stream, unused names of the split, and the site's initial state."""

    rng: random.Random
    names: Names
    split: Split
    site: Site
    difficulty: int
    wording: list[str] = field(default_factory=list)
    """The skeletons drawn so far."""
    history: list[Write] = field(default_factory=list)
    """What somebody did on the site before the episode."""

    @property
    def state(self) -> State:
        return self.site.state

    def write(self, method: str, path: str, body: Any) -> Any:
        """Changes the site before the episode starts, and returns the response's body. For starts that a task needs."""
        response = self.site.request(method, path, body=body)
        assert 200 <= response.status < 300, response
        self.history.append((method, path, body))
        return response.body

    def phrase(self, frames: Frames, **slots: str) -> str:
        """A sentence or a part of one: a skeleton of the split with `slots` in its places."""
        skeleton = tidy(draw(self.rng.choice(self.patterns(frames)), self.rng))
        self.wording.append(skeleton)
        for name in AT_START.findall(skeleton):
            if slots[name].startswith(ARTICLES):
                skeleton = skeleton.replace("{" + name + "}", slots[name][0].upper() + slots[name][1:], 1)
        return skeleton.format(**slots)

    def part(self, frames: Frames, **slots: str) -> str:
        """A part of a sentence: like `phrase`, but it does not start with a capital."""
        skeleton = draw(self.rng.choice(self.patterns(frames)), self.rng)
        self.wording.append(skeleton)
        return skeleton.format(**slots)

    def patterns(self, frames: Frames) -> tuple[str, ...]:
        return frames.heldout if self.split == "heldout" else frames.train

    def request(self, *sentences: str) -> str:
        """The sentences, in this order, in some requests with a greeting, a sentence of context and a closing.

        The greeting has a line of its own. A sentence may end with a line break.
        """
        parts = [
            *([self.phrase(GREETINGS) + "\n"] if self.rng.random() < GREETED else []),
            *([self.phrase(CONTEXTS)] if self.rng.random() < EXPLAINED else []),
            *sentences,
            *([self.phrase(CLOSINGS)] if self.rng.random() < CLOSED else []),
        ]
        return " ".join(parts).replace("\n ", "\n").strip()

    def named(self, name: str) -> str:
        """A name as people write it: in quotation marks or not."""
        quoted = self.rng.random() < 0.5
        self.wording.append("quoted" if quoted else "plain")
        return f'"{name}"' if quoted else name

    def issue(self, condition: Callable[[Issue], bool] = lambda _: True) -> Issue:
        """An issue of the site that meets the condition. Raises IndexError if there is none."""
        return self.rng.choice([issue for issue in self.state.issues.values() if condition(issue)])

    def new_name(self, draw: Callable[[], str], old_names: set[str]) -> str:
        """A name from `draw` that is not in `old_names`."""
        while (name := draw()) in old_names:
            pass
        return name


@dataclass(frozen=True)
class AtlassianScenario:
    """One scenario: the functions that draw, check and demonstrate its tasks, and its tools."""

    name: str
    tools: tuple[str, ...]
    draft: Callable[[Draft], tuple[str, dict[str, Any]]]
    """Returns (request, goal without the request)."""
    check: Checker
    demonstrate: Callable[[Task], Demonstration]
    draw_as: str = ""
    """The name that seeds the tasks. Scenarios that differ only in their checker share it, and so their tasks."""
    _tasks: dict[tuple[int, Split], Task] = field(default_factory=dict, compare=False, repr=False)

    def task(self, seed: int, split: Split) -> Task:
        """Task `seed` of a split; a pure function of its arguments."""
        key = (seed, split)
        if key not in self._tasks:
            if len(self._tasks) > 256:
                self._tasks.clear()
            self._tasks[key] = self._draw(seed, split)
        return self._tasks[key]

    def _draw(self, seed: int, split: Split) -> Task:
        rng = random.Random(f"{self.draw_as or self.name}/{split}/{seed}")
        site_seed = rng.randrange(2**31)
        site = Site.from_seed(site_seed, split)
        draft = Draft(rng, Names(rng, split), split, site, difficulty=rng.choice(DIFFICULTIES))
        prompt, goal = self.draft(draft)
        goal = {"scenario": self.name, "request": prompt, "site": site_facts(site.state), **goal}
        wording, history = " / ".join(draft.wording), tuple(draft.history)
        return Task(self.name, split, seed, prompt, goal, draft.difficulty, site_seed, wording, history)

    def env(self, seed: int, split: Split) -> AtlassianEnv:
        return AtlassianEnv(self.task(seed, split), self.tools, self.check)


def reference(issue: Issue) -> dict[str, str]:
    """An issue as a goal refers to it."""
    return {"id": issue.id, "key": issue.key}


def act(name: str, arguments: dict[str, Any], content: str = "") -> Turn:
    """A turn of one call. `content` is the text before the call."""
    return Turn(content, (ToolCall(name, arguments),))


def quotation(response: Any, name: str, id_key: str) -> tuple[str, str]:
    """The id that follows `name` in a response, and the excerpt of the response from the name to the id.

    Demonstrators write the excerpt down before they use the id: copying from a list is easier to learn in two steps.
    """
    return excerpt(json.dumps(response), json.dumps(name), id_key)


def excerpt(text: str, start: str, id_key: str = "key") -> tuple[str, str]:
    """The id that follows `start` in a response's text, and the stretch from `start` to it."""
    begin = text.index(start)
    marker = f'"{id_key}": "'
    id_begin = text.index(marker, begin) + len(marker)
    end = text.index('"', id_begin)
    return text[id_begin:end], text[begin : end + 1]


def locate(task: Task, issue: Issue, note: str = "") -> Generator[Turn, list[Any], tuple[str, str]]:
    """The key of `issue`, from the request or by a search for its summary in its project.

    `note` is the text for the next turn. Returns the key and the note for the turn after this.
    """
    if re.search(rf"\b{issue.key}\b", task.prompt):
        return issue.key, note
    project = task.site().state.projects[issue.project_id]
    project_term = f'"{project.name}"' if project.name in task.prompt else project.key
    jql = f'project = {project_term} AND summary ~ "{issue.summary}"'
    (response,) = yield act("searchAndReconsileIssuesUsingJql", {"jql": jql, "fields": ["summary"]}, note)
    return quotation(response, issue.summary, "key")
