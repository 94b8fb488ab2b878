"""Shared by the scenarios: drawing a task from a seed and phrasing its request.

Requests come from lists of templates. Held-out requests use only the last template of each list, training requests only
the others. All words of a held-out template, with the same capitals, also occur in training templates of the scenario.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from envs.episode import AtlassianEnv, Checker, Task
from envs.protocol import Split, ToolCall, Turn
from envs.site.records import Issue, State
from envs.site.site import Site
from envs.words import Names

Demonstration = Generator[Turn, list[Any], None]
"""A demonstrator. It yields turns and receives the responses as a model sees them, parsed from JSON."""


@dataclass
class Draft:
    """What a scenario draws a task from: a random stream, unused names of the split, and the site's initial state."""

    rng: random.Random
    names: Names
    split: Split
    state: State
    difficulty: int

    def phrase(self, templates: Sequence[str], **values: str) -> str:
        """One of `templates` with `values`. The last template belongs to the held-out split."""
        pool = templates[-1:] if self.split == "heldout" else templates[:-1]
        return self.rng.choice(pool).format(**values)

    def project_phrase(self, project_id: str) -> str:
        """A project, named by its key or its name."""
        project = self.state.projects[project_id]
        return self.rng.choice((f"project {project.key}", f'project "{project.name}"'))

    def issue(self, condition: Callable[[Issue], bool] = lambda _: True) -> Issue:
        """An issue of the site that meets the condition."""
        return self.rng.choice([issue for issue in self.state.issues.values() if condition(issue)])

    def issue_phrase(self, issue: Issue, by_key: bool) -> str:
        """An issue, named by its key, or by its summary and project."""
        if by_key:
            return issue.key
        return f'the issue "{issue.summary}" in {self.project_phrase(issue.project_id)}'

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
            if len(self._tasks) > 2_000:
                self._tasks.clear()
            self._tasks[key] = self._draw(seed, split)
        return self._tasks[key]

    def _draw(self, seed: int, split: Split) -> Task:
        rng = random.Random(f"{self.draw_as or self.name}/{split}/{seed}")
        site_seed = rng.randrange(2**31)
        state = Site.from_seed(site_seed, split).state
        difficulty = rng.randrange(1, 4)
        prompt, goal = self.draft(Draft(rng, Names(rng, split), split, state, difficulty))
        goal = {"scenario": self.name, "request": prompt, **goal}
        return Task(self.name, split, seed, prompt, goal, difficulty, site_seed)

    def env(self, seed: int, split: Split) -> AtlassianEnv:
        return AtlassianEnv(self.task(seed, split), self.tools, self.check)


def quoted(names: Sequence[str]) -> str:
    """`"one" and "another"`."""
    return " and ".join(f'"{name}"' for name in names)


def labels_phrase(labels: Sequence[str]) -> str:
    """`the label "one"` or `the labels "one" and "another"`."""
    return f"the {'label' if len(labels) == 1 else 'labels'} {quoted(labels)}"


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
    text = json.dumps(response)
    start = text.index(json.dumps(name))
    marker = f'"{id_key}": "'
    begin = text.index(marker, start) + len(marker)
    end = text.index('"', begin)
    return text[begin:end], text[start : end + 1]


def locate(task: Task, issue: Issue, note: str = "") -> Generator[Turn, list[Any], tuple[str, str]]:
    """The key of `issue`, from the request or by a search for its summary in its project.

    `note` is the text for the next turn. Returns the key and the note for the turn after this.
    """
    if issue.key in task.prompt:
        return issue.key, note
    project = task.site().state.projects[issue.project_id]
    project_term = f'"{project.name}"' if project.name in task.prompt else project.key
    jql = f'project = {project_term} AND summary ~ "{issue.summary}"'
    (response,) = yield act("searchAndReconsileIssuesUsingJql", {"jql": jql, "fields": ["summary"]}, note)
    return quotation(response, issue.summary, "key")
