"""The workflows of generated sites, and moves that require fields."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from envs.protocol import Split
from envs.site.adf import document
from envs.site.records import State
from envs.site.site import Site
from envs.site.workflows import PAUSES, STATUSES, WORKFLOWS, Workflow
from tests.support.site import APB, DONE, IN_PROGRESS, TO_DO, call, required_fields

ALL, TRAIN = WORKFLOWS["heldout"], WORKFLOWS["train"]
HELDOUT_ONLY = [workflow for workflow in ALL if workflow not in TRAIN]


def statuses(workflow: Workflow) -> set[str]:
    return {status for source, _, target in workflow for status in (source, target)}


def distances(workflow: Workflow, start: str) -> dict[str, int]:
    """The least number of moves from `start` to each status that can be reached."""
    found, level = {start: 0}, [start]
    while level:
        level = [to for source, _, to in workflow if source in level and to not in found]
        found |= dict.fromkeys(level, max(found.values()) + 1)
    return found


def words(workflows: Any) -> set[str]:
    """The words of statuses and transitions. Capitals matter, since they make different tokens."""
    return {word for moves in workflows for move in moves for text in move for word in re.findall(r"\w+", text)}


@pytest.mark.parametrize("workflow", ALL)
def test_a_workflow_can_always_be_moved_on(workflow: Workflow) -> None:
    assert 3 <= len(statuses(workflow)) <= 7
    assert statuses(workflow) == {source for source, _, _ in workflow}
    lengths = {length for status in statuses(workflow) for length in distances(workflow, status).values()}
    assert {1, 2} <= lengths
    assert set(distances(workflow, workflow[0][0])) == statuses(workflow), "a status that no issue can get"
    for source in statuses(workflow):
        offered = [(name, to) for start, name, to in workflow if start == source]
        assert len({name for name, _ in offered}) == len({to for _, to in offered}) == len(offered)
    assert {STATUSES[status] for status in statuses(workflow)} == {"new", "indeterminate", "done"}


def test_some_statuses_cannot_be_reached_again() -> None:
    one_way = [w for w in ALL if any(set(distances(w, status)) != statuses(w) for status in statuses(w))]
    assert len(one_way) >= 4
    assert any(workflow in TRAIN for workflow in one_way) and any(workflow in HELDOUT_ONLY for workflow in one_way)


def test_held_out_workflows_are_new_and_their_words_are_not() -> None:
    assert len(ALL) >= 10 and len(set(ALL)) == len(ALL)
    assert len(HELDOUT_ONLY) >= 2 and set(TRAIN) <= set(ALL)
    assert words(HELDOUT_ONLY) <= words(TRAIN)
    assert {status for w in HELDOUT_ONLY for status in statuses(w)} - {s for w in TRAIN for s in statuses(w)}
    assert words([(("Open", "start work", "Open"),)]) - words(TRAIN) == {"start"}


def test_no_status_is_a_part_of_another() -> None:
    assert {status for workflow in ALL for status in statuses(workflow)} == set(STATUSES)
    assert not [(a, b) for a in STATUSES for b in STATUSES if a != b and a.lower() in b.lower()]


def drawn(state: State) -> list[frozenset[tuple[str, str, str]]]:
    """The moves of each project, by names."""
    names = {id: status.name for id, status in state.statuses.items()}
    return [
        frozenset((names[id], move.name, names[move.to]) for id, moves in project.workflow.items() for move in moves)
        for project in state.projects.values()
    ]


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_projects_draw_the_workflows_of_the_split(split: Split) -> None:
    counts: Counter[frozenset[tuple[str, str, str]]] = Counter()
    for seed in range(80):
        state = Site.from_seed(seed, split).state
        workflows = drawn(state)
        assert len(set(workflows)) == len(workflows)
        used = {status for workflow in workflows for source, _, to in workflow for status in (source, to)}
        assert used == {status.name for status in state.statuses.values()}
        assert any(set(project.workflow) != set(state.statuses) for project in state.projects.values())
        counts.update(workflows)
    assert set(counts) == set(map(frozenset, WORKFLOWS[split]))


def test_a_third_of_the_moves_into_a_done_status_requires_a_resolution() -> None:
    done, pauses, others = [], [], []
    for state in (Site.from_seed(seed, "train").state for seed in range(80)):
        for project in state.projects.values():
            for source, moves in project.workflow.items():
                for move in moves:
                    to = state.statuses[move.to]
                    assert move.resolution == (to.category == "done")
                    if to.category == "done" and state.statuses[source].category != "done":
                        done.append(move.required == ("resolution",))
                    elif to.name in PAUSES:
                        pauses.append(move.required == ("comment",))
                    else:
                        others.append(move.required)
    assert sum(done) / len(done) == pytest.approx(1 / 3, abs=0.07)
    assert sum(pauses) / len(pauses) == pytest.approx(0.4, abs=0.1)
    assert set(others) == {()}


@pytest.fixture
def strict(state: State) -> State:
    """The small site; APB's moves from In Progress require a resolution, a comment, and both."""
    project = state.projects[APB]
    review, finish, stop = project.workflow[IN_PROGRESS]
    moves = (
        replace(review, required=("comment",)),
        replace(finish, required=("resolution",)),
        replace(stop, id="71", name="Give up", to=DONE, resolution=True, required=("resolution", "comment")),
    )
    state.projects[APB] = replace(project, workflow={**project.workflow, IN_PROGRESS: moves})
    return state


def move(state: State, transition: str, **members: Any) -> Any:
    body = {"transition": {"id": transition}, **members}
    return call(state, "doTransition", body=body, issueIdOrKey="APB-4")


RESOLUTION, COMMENT = {"resolution": "Resolution is required."}, {"comment": "Comment is required."}
FIXED = {"resolution": {"name": "Fixed"}}
SAID = {"comment": [{"add": {"body": document("Said")}}]}


@pytest.mark.parametrize(
    ("transition", "members", "errors"),
    [
        ("21", {}, COMMENT),
        ("21", {"update": {"comment": []}}, COMMENT),
        (
            "21",
            {"update": {"comment": [{"add": {"body": document(" ")}}]}},
            {"comment": "Comment body can not be empty!"},
        ),
        ("31", {}, RESOLUTION),
        ("31", {"fields": {"resolution": None}}, RESOLUTION),
        ("31", {"update": SAID}, RESOLUTION),
        ("31", {"fields": {"resolution": {"name": "Odd"}}}, {"resolution": "The resolution selected is invalid."}),
        ("71", {}, RESOLUTION | COMMENT),
        ("71", {"fields": FIXED}, COMMENT),
        ("71", {"update": SAID}, RESOLUTION),
    ],
)
def test_a_move_without_its_required_fields_is_refused(
    strict: State, transition: str, members: Any, errors: dict[str, str]
) -> None:
    before = strict.copy()
    response = move(strict, transition, **members)
    assert (response.status, response.body) == (400, {"errorMessages": [], "errors": errors})
    assert strict == before


@pytest.mark.parametrize(
    ("transition", "members"),
    [
        ("21", {"update": SAID}),
        ("31", {"fields": FIXED}),
        ("31", {"update": {"resolution": [{"set": {"name": "Declined"}}]}}),
        ("71", {"fields": FIXED, "update": SAID}),
    ],
)
def test_a_move_with_its_required_fields_is_accepted(strict: State, transition: str, members: Any) -> None:
    assert move(strict, transition, **members).status == 204
    issue = strict.issues["20004"]
    assert issue.status_id != IN_PROGRESS
    assert len(issue.comments) == ("comment" in members.get("update", {}))


def test_a_list_of_moves_shows_which_have_a_screen(strict: State) -> None:
    moves = call(strict, "getTransitions", issueIdOrKey="APB-4").body["transitions"]
    assert [list(item) for item in moves] == [["name", "to", "id", "hasScreen"]] * 3
    (start,) = call(strict, "getTransitions", issueIdOrKey="APB-3").body["transitions"]
    assert list(start) == ["name", "to", "id"] and strict.issues["20003"].status_id == TO_DO
    moves = call(strict, "getTransitions", {"expand": "transitions.fields"}, issueIdOrKey="APB-4").body["transitions"]
    required = [{name: field["required"] for name, field in item["fields"].items()} for item in moves]
    assert required == [{"comment": True}, {"resolution": True}, {"resolution": True, "comment": True}]
    (optional,) = call(strict, "getTransitions", {"expand": "transitions.fields"}, issueIdOrKey="ORC-3").body[
        "transitions"
    ]
    assert optional["fields"] == {}


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_every_move_of_generated_sites_accepts_what_it_shows_as_required(split: Split) -> None:
    for seed in range(4):
        state = Site.from_seed(seed, split).state
        for issue in list(state.issues.values()):
            path = {"issueIdOrKey": issue.key}
            shown = call(state, "getTransitions", {"expand": "transitions.fields"}, **path).body["transitions"]
            for item, transition in zip(shown, state.projects[issue.project_id].workflow[issue.status_id], strict=True):
                needed = [name for name, field in item["fields"].items() if field["required"]]
                assert item.get("hasScreen", False) == (transition.resolution or bool(needed))
                body = {"transition": {"id": item["id"]}}
                bare = call(state.copy(), "doTransition", body=body, **path)
                assert bare.status == (400 if needed else 204)
                assert not needed or set(bare.body["errors"]) == set(needed)
                body |= required_fields(state, transition)
                assert call(state.copy(), "doTransition", body=body, **path).status == 204
