"""Fixtures of small sites written by hand, one of Jira and one of Confluence."""

from __future__ import annotations

import pytest

from envs.site.records import State
from tests.support.confluence_site import ConfluenceSite
from tests.support.site import small_state


@pytest.fixture
def state() -> State:
    return small_state()


@pytest.fixture
def site() -> ConfluenceSite:
    return ConfluenceSite()
