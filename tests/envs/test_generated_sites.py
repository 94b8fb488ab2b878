"""Generated sites: their sizes, what every size guarantees, and that a seed decides everything."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import combinations, pairwise, product
from zlib import crc32

import pytest

from envs import words
from envs.protocol import Split
from envs.site.generate import SIZES, draw_size, generate
from envs.site.records import State
from envs.site.site import Site
from envs.words import split_of
from tests.docs.pages import read_page, table_rows
from tests.support.site import call

SPLITS: tuple[Split, ...] = ("train", "heldout")


def size_of(seed: int, split: Split) -> str:
    return draw_size(random.Random(f"site/{split}/{seed}"))


SEEDS = {
    (size, split): [seed for seed in range(200) if size_of(seed, split) == size][: 12 if size == "small" else 4]
    for size in SIZES
    for split in SPLITS
}
SITES = [(size, split, seed) for (size, split), seeds in SEEDS.items() for seed in seeds]
sites = pytest.mark.parametrize(("size", "split", "seed"), SITES)


def repeated(values: Iterable[Hashable]) -> set[Hashable]:
    return {value for value, count in Counter(values).items() if count > 1}


@pytest.mark.parametrize("split", SPLITS)
def test_sizes_have_their_shares(split: Split) -> None:
    counts = Counter(size_of(seed, split) for seed in range(4_000))
    assert sum(size.share for size in SIZES.values()) == pytest.approx(1)
    for name, size in SIZES.items():
        assert counts[name] / 4_000 == pytest.approx(size.share, abs=0.03)


@sites
def test_a_site_has_the_counts_of_its_size(size: str, split: Split, seed: int) -> None:
    state, limits = Site.from_seed(seed, split).state, SIZES[size]
    issues = Counter(issue.project_id for issue in state.issues.values())
    pages = Counter(page.space_id for page in state.pages.values())
    assert (len(state.users), len(state.spaces)) == (limits.people, limits.spaces)
    assert limits.projects[0] <= len(state.projects) <= limits.projects[1]
    assert all(limits.issues[0] <= issues[id] <= limits.issues[1] for id in state.projects)
    assert all(limits.pages[0] <= pages[id] <= limits.pages[1] for id in state.spaces)
    if size == "large":
        assert 160 <= len(state.issues) <= 240


@sites
def test_names_repeat_only_where_guessing_should_fail(size: str, split: Split, seed: int) -> None:
    state = Site.from_seed(seed, split).state
    users, projects, spaces = state.users.values(), state.projects.values(), state.spaces.values()
    unique = [user.display_name for user in users] + [project.name for project in projects]
    unique += [space.name for space in spaces] + [project.key for project in projects] + [space.key for space in spaces]
    assert not repeated(unique)
    assert {split_of(name) for name in unique} == {split}
    assert repeated(user.display_name.split()[0] for user in users)
    for before, after in pairwise(state.projects):
        first, second = (
            [issue.summary for issue in state.issues.values() if issue.project_id == id] for id in (before, after)
        )
        assert set(first) & set(second) and not repeated(first) and not repeated(second)
    for before, after in pairwise(state.spaces):
        first, second = ([page.title for page in state.pages.values() if page.space_id == id] for id in (before, after))
        assert set(first) & set(second) and not repeated(first) and not repeated(second)


@sites
def test_every_project_has_links_parents_and_sub_tasks(size: str, split: Split, seed: int) -> None:
    state = Site.from_seed(seed, split).state
    for project_id in state.projects:
        issues = [issue for issue in state.issues.values() if issue.project_id == project_id]
        levels = Counter(state.issue_types[issue.type_id].level for issue in issues)
        assert levels[1] >= len(issues) // 7 and levels[-1] >= 2 * (len(issues) // 7) and levels[0] >= 4
        assert {"Story", "Task", "Bug"} <= {state.issue_types[issue.type_id].name for issue in issues}
        assert sum(bool(issue.links) for issue in issues) == 2 * (len(issues) // 7)
        for issue in issues:
            parent = state.issues[issue.parent_id] if issue.parent_id else None
            level = state.issue_types[issue.type_id].level
            assert (parent is not None or level >= 0) and (parent is None or parent.project_id == project_id)
            assert parent is None or state.issue_types[parent.type_id].level == level + 1
            assert (issue.resolution is not None) == (state.statuses[issue.status_id].category == "done")
    assert any(issue.comments for issue in state.issues.values())
    assert any(issue.parent_id for issue in state.issues.values())
    ids = sorted(int(id) for id in (*state.issues, *state.pages))
    assert all(after - before >= 3 for before, after in pairwise(ids))


def draws_of(lists: tuple[list[str], ...], join: str) -> Counter[Split]:
    """How many names there are in each split."""
    return Counter(split_of(join.join(parts)) for parts in product(*lists))


KINDS = {
    "person": ((words.FIRST, words.LAST), " ", 16),
    "project": ((words.CODENAMES, words.AREAS), " ", 8),
    "label": ((words.LABEL_TOPICS, words.LABEL_KINDS), "-", 16),
    "space": ((words.SPACE_TOPICS, words.SPACE_FORMS), " ", 30),
    "title": ((words.TITLE_KINDS, words.TITLE_TOPICS, words.TITLE_FORMS), " ", 180),
    "summary": (words.SUMMARY, " ", 240),
}
"""Kind of name -> (its words, what joins them, the most that a site has)."""


@pytest.mark.parametrize("kind", KINDS)
def test_both_splits_have_three_times_the_names_of_a_large_site_and_all_words(kind: str) -> None:
    lists, join, most = KINDS[kind]
    counts = draws_of(lists, join)
    assert min(counts[split] for split in SPLITS) >= 3 * most
    for place, entries in enumerate(lists):
        for word in entries:
            assert set(draws_of((*lists[:place], [word], *lists[place + 1 :]), join)) == set(SPLITS), word


def shares_words(first: str, second: str) -> bool:
    return len(set(first.split()) & set(second.split())) >= 2


@pytest.mark.parametrize("split", SPLITS)
def test_most_projects_have_issues_whose_summaries_share_words(split: Split) -> None:
    found = []
    for state in (Site.from_seed(seed, split).state for seed in range(30)):
        for id in state.projects:
            summaries = [issue.summary for issue in state.issues.values() if issue.project_id == id]
            found.append(any(shares_words(*pair) for pair in combinations(summaries, 2)))
    assert sum(found) / len(found) > 0.75


@pytest.mark.parametrize("split", SPLITS)
def test_a_list_of_spaces_of_a_large_site_has_a_second_page(split: Split) -> None:
    site = Site.from_seed(SEEDS["large", split][0], split)
    first = call(site.state, "getSpaces").body
    assert len(first["results"]) == 25
    second = site.request("GET", first["_links"]["next"]).body
    assert "next" not in second["_links"]
    assert [space["id"] for space in first["results"] + second["results"]] == sorted(site.state.spaces, key=int)


def test_a_search_of_a_large_site_has_further_pages() -> None:
    state = generate(SEEDS["large", "train"][0], "train")
    query = {"jql": "created IS NOT EMPTY ORDER BY key", "fields": "key"}
    found: list[str] = []
    token = None
    while token or not found:
        body = call(
            state, "searchAndReconsileIssuesUsingJql", {**query, "nextPageToken": token} if token else query
        ).body
        found += [issue["id"] for issue in body["issues"]]
        assert len(body["issues"]) <= 50
        token = body.get("nextPageToken")
    assert sorted(found) == sorted(state.issues)


def digest(state: State) -> int:
    return crc32(repr(state).encode())


def test_a_site_is_the_same_in_another_process() -> None:
    chosen = [(seeds[0], split) for (_, split), seeds in SEEDS.items()]
    code = "from zlib import crc32; from envs.site.generate import generate\n"
    code += f"print([crc32(repr(generate(*site)).encode()) for site in {chosen!r}])"
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert output.stdout.strip() == str([digest(generate(*site)) for site in chosen])


def test_splits_and_seeds_make_different_sites() -> None:
    digests = [digest(generate(seed, split)) for seed in range(5) for split in SPLITS]
    assert len(set(digests)) == len(digests)


def as_printed(count: int | tuple[int, int]) -> str:
    low, high = count if isinstance(count, tuple) else (count, count)
    return f"{low} to {high}" if low < high else str(low)


def test_the_documents_state_the_sizes() -> None:
    for name, share, *counts in table_rows(read_page("environments.md"), "sizes"):
        size = SIZES[name]
        assert float(share) == size.share
        assert counts == [as_printed(n) for n in (size.people, size.projects, size.issues, size.spaces, size.pages)]
