"""What all tests share: a watch on the site, and a policy.

Each response of a handler is held to Atlassian's documents, where there are any.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

# Importing the site registers all its operations.
import envs.site.site  # noqa: F401
from envs.site.http import OPERATIONS, ApiError, Operation, Request, Response
from envs.site.records import State
from grpo.models.checkpoint import Checkpoint, save
from tests.support import bandit
from tests.support.faults import inject  # noqa: F401 (a fixture)
from tests.support.openapi import check_new_shape, reference_folder
from tests.support.tiers import FULL

# A process that has computed on several threads cannot be forked any more, which the warm start does.
torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the full tier's own tests out of a quick run; pytest counts them as deselected."""
    if FULL:
        return
    skipped = [item for item in items if item.get_closest_marker("full")]
    if skipped:
        config.hook.pytest_deselected(items=skipped)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


def watched(operation: Operation) -> Operation:
    """The operation with each of its responses checked."""

    def handler(state: State, request: Request) -> Response:
        try:
            response = operation.handler(state, request)
        except ApiError as error:
            check_new_shape(operation.id, Response(error.status, error.body))
            raise
        check_new_shape(operation.id, response)
        return response

    return replace(operation, handler=handler)


@pytest.fixture(scope="session", autouse=True)
def watch_responses() -> Iterator[None]:
    """Nothing is watched without the documents; the tests that need them skip visibly."""
    if reference_folder() is None:
        yield
        return
    plain = dict(OPERATIONS)
    OPERATIONS.update({id: watched(operation) for id, operation in plain.items()})
    yield
    OPERATIONS.update(plain)


@pytest.fixture(scope="session")
def bandit_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random policy of the bandit as a checkpoint directory."""
    folder = tmp_path_factory.mktemp("policy") / "bandit"
    model, chat = bandit.policy()
    save(Checkpoint(model, chat.tokenizer), folder)
    return folder
