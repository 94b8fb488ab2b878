"""`rewards.world` follows writes as the site does: after any accepted writes, it has the same facts as the site."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.scenarios.goals import site_facts
from envs.site.adf import document
from envs.site.records import State
from envs.site.site import Site
from envs.tools import TOOLS, argument_error
from rewards.trace import Call, Kind
from rewards.world import World, flatten
from tests.support.tiers import examples

WRITES = 12
NOT_FOLLOWED = {"addWorklog", "linkIssues"}
"""Writes that the world counts without following them."""


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_world_has_the_facts_of_the_site(seed: int) -> None:
    random = Random(seed)
    site = Site.from_seed(seed % 7, random.choice(["train", "heldout"]))
    before = site_facts(site.state)
    trace = [call for _ in range(WRITES) if (call := play(site, *a_write(site.state, random)))]
    world, after = World(before, trace), site_facts(site.state)
    for kind in ("issues", "pages"):
        things = [id for id in (*before[kind], *world.created) if is_of(world, id, kind)]
        assert {id for id in things if world.value(id, "exists")} == set(after[kind])
        for id, facts in after[kind].items():
            expected = flatten(facts)
            items = set(expected) | {item for item in world.now[id] if item != "status" or kind == "issues"}
            for item in items:
                if item[0] != "comments" or kind == "issues":
                    assert world.value(id, item) == expected.get(item, default_of(item)), (item, trace)


def test_the_comparison_finds_a_write_that_the_world_missed() -> None:
    site = Site.from_seed(3, "train")
    before = site_facts(site.state)
    issue = next(iter(site.state.issues.values()))
    call = play(site, "editIssue", {"issueIdOrKey": issue.key, "fields": {"summary": "Other words"}})
    assert call is not None
    assert World(before, []).value(issue.id, "summary") != site_facts(site.state)["issues"][issue.id]["summary"]
    assert World(before, [call]).value(issue.id, "summary") == "Other words"


@pytest.mark.parametrize("name", sorted(NOT_FOLLOWED))
def test_other_writes_are_changes_without_a_description(name: str) -> None:
    facts = site_facts(Site.from_seed(3, "train").state)
    world = World(facts, [Call(name, {"issueIdOrKey": "X-1"}, 201, {}, Kind.WRITE)])
    assert [change.item for change in world.changes] == [("other", name)]


def is_of(world: World, id: str, kind: str) -> bool:
    return (id in world.site[kind]) or world.created.get(id) == kind.removesuffix("s")


def default_of(item: Any) -> Any:
    return (False if item[0] == "labels" else 0) if isinstance(item, tuple) else None


def play(site: Site, name: str, arguments: dict[str, Any]) -> Call | None:
    """The call with the site's answer; None if it was refused."""
    tool = TOOLS[name]
    if argument_error(tool.tool.parameters, arguments):
        return None
    response = tool.call(site, arguments)
    return Call(name, arguments, response.status, response.body, Kind.WRITE) if response.status < 300 else None


def a_write(state: State, random: Random) -> tuple[str, dict[str, Any]]:
    """A write that the site usually accepts."""
    issue = random.choice(list(state.issues.values()))
    page = random.choice(list(state.pages.values()))
    user = random.choice([*state.users, None, "-1"])
    label = random.choice([*issue.labels, "some-label", "other-label"])
    text = document(random.choice(["Some words", "Other  words", "Two\nlines"]))
    moves = state.projects[issue.project_id].workflow.get(issue.status_id, ())
    project = state.projects[issue.project_id]
    types = [kind for kind in state.issue_types.values() if kind.name in ("Story", "Task", "Bug", "Sub-task")]
    kind = random.choice(types)
    parents = [one for one in state.issues.values() if one.project_id == project.id]
    fields: dict[str, Any] = {
        "summary": random.choice(["Some words", "Other words"]),
        "priority": random.choice([{"name": "Low"}, {"id": "1"}, {"name": "Medium"}]),
        "labels": random.choice([[], [label], [label, "new-label"]]),
        "assignee": random.choice([None, {"accountId": user}, {"id": user}]),
        "description": random.choice([None, text]),
        "parent": random.choice([{"key": random.choice(parents).key}, {"id": random.choice(parents).id}]),
    }
    chosen = {name: fields[name] for name in random.sample(list(fields), random.randrange(1, 5))}
    steps = {
        "labels": [{random.choice(["add", "remove"]): label}, {"add": "new-label"}],
        "comment": [{"add": {"body": text}}],
        "summary": [{"set": "Set words"}],
    }
    update = {name: steps[name] for name in random.sample(list(steps), random.randrange(0, 3)) if name not in chosen}
    body = {"representation": "storage", "value": random.choice(["<p>Some words</p>", "<p>a</p><p>b</p>"])}
    move: dict[str, Any] = {"issueIdOrKey": issue.id, "transition": {"id": random.choice(moves).id if moves else "1"}}
    if random.random() < 0.3:
        move["fields"] = {"resolution": random.choice([{"name": "Declined"}, {"id": next(iter(state.resolutions))}])}
    if random.random() < 0.3:
        move["update"] = {"comment": steps["comment"]}
    spare = {name: value for name, value in update.items() if name != "comment"}
    create = {"project": {"key": project.key}, "issuetype": {"name": kind.name}, "summary": "New", **chosen}
    options: list[tuple[str, dict[str, Any]]] = [
        ("editIssue", {"issueIdOrKey": issue.key.lower(), "fields": chosen, "update": update}),
        ("editIssue", {"issueIdOrKey": issue.key, "update": update or steps}),
        ("createIssue", {"fields": create, "update": {n: v for n, v in spare.items() if n not in create}}),
        ("assignIssue", {"issueIdOrKey": issue.key, "accountId": user}),
        ("addComment", {"issueIdOrKey": issue.key, "body": text}),
        ("doTransition", move),
        ("doTransition", move),
        ("deleteIssue", {"issueIdOrKey": issue.key, "deleteSubtasks": True}),
        ("createPage", {"spaceId": page.space_id, "title": f"T{random.randrange(9)}", "body": body}),
        ("createPage", {"spaceId": page.space_id, "title": f"U{random.randrange(9)}", "parentId": page.id}),
        ("createPage", {"spaceId": int(page.space_id), "title": f"V{random.randrange(9)}", "root-level": True}),
        ("deletePage", {"id": page.id}),
        ("createFooterComment", {"pageId": page.id, "body": body}),
        ("addLabelsToContent", {"id": page.id, "labels": [{"prefix": "global", "name": "Some"}]}),
        (
            "updatePage",
            {
                "id": page.id,
                "status": "current",
                "title": random.choice([page.title, f"W{random.randrange(9)}"]),
                "body": body,
                "version": {"number": page.versions[-1].number + 1},
            },
        ),
    ]
    return random.choice(options)
