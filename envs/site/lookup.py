"""Looking up Jira's records. The Jira operations, JQL and the scenarios share these functions."""

from __future__ import annotations

from typing import Any

from envs.site.records import Issue, Project, State, Transition


def identifier(value: Any) -> str | None:
    """The text of an id that is a string or an integer; None for anything else."""
    if isinstance(value, str):
        return value
    if type(value) is int and abs(value) < 10**18:
        return str(value)
    return None


def find_issue(state: State, id_or_key: Any) -> Issue | None:
    """The issue with an id, or with a key in any letter case."""
    name = identifier(id_or_key)
    if name is None:
        return None
    return state.issues.get(name) or state.issues.get(state.issue_keys.get(name.upper(), ""))


def find_project(state: State, id_or_key: Any) -> Project | None:
    """The project with an id, or with a key in any letter case."""
    name = identifier(id_or_key)
    if name is None:
        return None
    upper = name.upper()
    return state.projects.get(name) or next((p for p in state.projects.values() if p.key == upper), None)


def available_transitions(state: State, issue: Issue) -> tuple[Transition, ...]:
    """The transitions that `issue` offers in its current status."""
    return state.projects[issue.project_id].workflow.get(issue.status_id, ())


def default_priority(state: State) -> str:
    """The id of the middle priority, which a new issue gets."""
    return list(state.priorities)[len(state.priorities) // 2]
