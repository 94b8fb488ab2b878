"""Any sequence of calls, valid or broken, preserves the site's invariants. Faulty operations are negative controls."""

import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from envs.site import site as site_module
from envs.site.http import OPERATIONS, Handler, Request, Response
from envs.site.records import State
from envs.site.site import Site
from tests.support.shown_ids import unreadable
from tests.support.site_calls import READS, WRITES, Call, Draw, spoil
from tests.support.tiers import examples


def check_issues(state: State) -> None:
    """Keys are unique and belong to their projects, every sub-task has a parent, and links have two ends."""
    assert state.issue_keys == {issue.key: issue.id for issue in state.issues.values()}
    assert len(state.issue_keys) == len(state.issues)
    for id, issue in state.issues.items():
        assert issue.id == id
        project = state.projects[issue.project_id]
        prefix, _, number = issue.key.rpartition("-")
        assert prefix == project.key and 0 < int(number) < project.next_number
        assert issue.status_id in state.statuses and issue.priority_id in state.priorities
        assert issue.assignee is None or issue.assignee in state.users
        level = state.issue_types[issue.type_id].level
        assert level >= 0 or issue.parent_id is not None, f"{issue.key} is a sub-task without a parent"
        if issue.parent_id is not None:
            assert issue.parent_id in state.issues, f"the parent of {issue.key} does not exist"
            parent = state.issues[issue.parent_id]
            assert level >= 0 or parent.project_id == issue.project_id, "only epics reach across projects"
            assert state.issue_types[parent.type_id].level == level + 1
        for link in issue.links:
            partner = replace(link, outward=not link.outward, other=id)
            assert link.other in state.issues and partner in state.issues[link.other].links


def check_pages(state: State) -> None:
    """Each space's tree has no orphans or cycles, versions count from one, and published titles are unique."""
    titles = set()
    for id, page in state.pages.items():
        assert page.id == id
        path, ancestor = {id}, page.parent_id
        while ancestor is not None:
            assert ancestor in state.pages, f"{ancestor}, an ancestor of {id}, does not exist"
            assert ancestor not in path, f"{id} is in a cycle"
            assert state.pages[ancestor].space_id == page.space_id
            assert state.pages[ancestor].status == "current"
            path.add(ancestor)
            ancestor = state.pages[ancestor].parent_id
        assert [version.number for version in page.versions] == list(range(1, len(page.versions) + 1))
        latest = page.versions[-1]
        assert (page.title, page.body, page.representation) == (latest.title, latest.body, latest.representation)
        if page.status == "current":
            assert (page.space_id, page.title.lower()) not in titles
            titles.add((page.space_id, page.title.lower()))
        assert {label if prefix == "global" else f"{prefix}:{label}" for prefix, label in page.labels} <= set(
            state.label_ids
        )
    for space in state.spaces.values():
        home = state.pages[space.homepage_id]
        assert (home.space_id, home.parent_id, home.status) == (space.id, None, "current")
    for comment in state.footer_comments.values():
        assert comment.page_id in state.pages
        assert comment.parent_comment_id is None or comment.parent_comment_id in state.footer_comments


def check_ids(state: State) -> None:
    """No id occurs twice."""
    comments = [comment.id for issue in state.issues.values() for comment in issue.comments]
    groups = (
        state.issues,
        state.projects,
        state.spaces,
        state.pages,
        state.footer_comments,
        state.label_ids.values(),
        comments,
    )
    ids = [id for group in groups for id in group]
    assert len(ids) == len(set(ids))
    assert all(int(id) <= state.next_id for id in ids)


def check_step(before: State, after: State) -> None:
    """A write advances the clock, adds at most one version to a page, and reuses no issue key."""
    assert before.clock < after.clock
    for id, page in before.pages.items():
        if id in after.pages and page.status != "draft":
            versions = after.pages[id].versions
            assert versions[: len(page.versions)] == page.versions
            assert len(versions) <= len(page.versions) + 1
    for id, project in before.projects.items():
        new = [issue for issue in after.issues.values() if issue.project_id == id and issue.id not in before.issues]
        assert all(int(issue.key.rpartition("-")[2]) >= project.next_number for issue in new)


RANDOM = st.randoms(use_true_random=False)


class SiteMachine(RuleBasedStateMachine):
    """A site and random calls to it."""

    @initialize(seed=st.integers(0, 30), split=st.sampled_from(["train", "heldout"]))
    def start(self, seed: int, split: str) -> None:
        self.origin = (seed, split)
        self.site = Site.from_seed(seed, split)
        self.initial = self.current = repr(self.site.state)
        """The state, initially and after the latest call, as text: comparing texts is cheap and sees every change."""

    @rule(name=st.sampled_from(sorted(WRITES)), random=RANDOM)
    def write(self, name: str, random: Random) -> None:
        self.call(WRITES[name](Draw(random, self.site.state)))

    @rule(name=st.sampled_from(sorted(READS)), random=RANDOM)
    def read(self, name: str, random: Random) -> None:
        self.call(READS[name](Draw(random, self.site.state)))

    @rule(name=st.sampled_from(sorted({**READS, **WRITES})), random=RANDOM)
    def fail(self, name: str, random: Random) -> None:
        draw = Draw(random, self.site.state)
        self.call(spoil(draw, {**READS, **WRITES}[name](draw)))

    def call(self, call: Call) -> None:
        """Sends the call to a copy and to the site. Both must answer alike, and neither may change the other."""
        before, text_before = self.site.state.copy(), self.current
        copy = self.site.copy()
        copy_response = call.send(copy)
        assert repr(self.site.state) == text_before, f"{call.operation} on a copy changed the site"
        copy_text = repr(copy.state)
        response = call.send(self.site)
        assert repr(copy.state) == copy_text, f"{call.operation} on the site changed a copy"
        self.current = repr(self.site.state)
        assert self.current == copy_text
        assert copy_response == response
        assert 200 <= response.status < 300 or 400 <= response.status < 500
        json.dumps(response.body)
        if response.status >= 400 or call.reads:
            assert self.current == text_before, f"{call.operation} answered {response.status} and changed the site"
        elif self.current != text_before:
            check_step(before, self.site.state)
        if response.status < 400:
            assert not unreadable(self.site, call.operation, response.body)

    @invariant()
    def holds(self) -> None:
        check_issues(self.site.state)
        check_pages(self.site.state)
        check_ids(self.site.state)

    def teardown(self) -> None:
        if hasattr(self, "origin"):
            assert repr(Site.from_seed(*self.origin).state) == self.initial, "an episode changed the seeded site"


SETTINGS = settings(
    max_examples=examples(20),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
TestSite = SiteMachine.TestCase
TestSite.settings = SETTINGS


# Negative controls: operations with one fault each, which the machine must find.


def orphaning_delete(state: State, request: Request) -> Response:
    """A deletePage that leaves the children behind."""
    page = state.pages.pop(request.path["id"], None)
    state.tick()
    return Response(204 if page else 404)


def careless_delete(state: State, request: Request) -> Response:
    """A deleteIssue that leaves the sub-tasks behind."""
    issue = state.issues.pop(request.path["issueIdOrKey"], None)
    if issue is None:
        return Response(404)
    del state.issue_keys[issue.key]
    state.tick()
    return Response(204)


def hasty_comment(state: State, request: Request) -> Response:
    """A createFooterComment that advances the clock before it refuses."""
    state.tick()
    return Response(404)


def skipping_update(state: State, request: Request) -> Response:
    """An updatePage that counts versions in twos."""
    page = state.pages.get(request.path["id"])
    if page is None:
        return Response(404)
    state.tick()
    version = replace(page.versions[-1], number=page.versions[-1].number + 2)
    state.pages[page.id] = replace(page, versions=(*page.versions, version))
    return Response(200, {})


def wrong_ids(state: State, request: Request) -> Response:
    """A getSpaces that shows keys as ids."""
    return Response(200, {"results": [{"id": space.key} for space in state.spaces.values()]})


def leaking_transition(state: State, request: Request) -> Response:
    """A doTransition that modifies a record that all copies share."""
    for issue in state.issues.values():
        if isinstance(issue.description, dict):
            issue.description["touched"] = issue.description.get("touched", 0) + 1
    return Response(204)


def repeating_create(state: State, request: Request) -> Response:
    """A createIssue that assigns the same key twice."""
    issue = next(iter(state.issues.values()), None)
    if issue is None:
        return Response(404)
    state.tick()
    twin = replace(issue, id=state.new_id())
    state.issues[twin.id] = twin
    return Response(201, {"id": twin.id})


@pytest.mark.parametrize(
    ("operation", "handler"),
    [
        ("deletePage", orphaning_delete),
        ("deleteIssue", careless_delete),
        ("createFooterComment", hasty_comment),
        ("updatePage", skipping_update),
        ("getSpaces", wrong_ids),
        ("doTransition", leaking_transition),
        ("createIssue", repeating_create),
    ],
)
def test_machine_finds_a_faulty_operation(operation: str, handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    class Focused(SiteMachine):
        """A machine that writes only with that operation, so that few runs suffice."""

        @rule(random=RANDOM)
        def write(self, random: Random) -> None:
            self.call({**READS, **WRITES}[operation](Draw(random, self.site.state)))

    monkeypatch.setitem(OPERATIONS, operation, replace(OPERATIONS[operation], handler=handler))
    generate_only = settings(SETTINGS, max_examples=20, phases=[Phase.generate], derandomize=True)
    try:
        with pytest.raises(AssertionError):
            run_state_machine_as_test(Focused, settings=generate_only)
    finally:
        # One of the faults modifies the seeded states that all tests share.
        site_module._seeded.cache_clear()
