"""Watches the site in every test: each response of a handler is held to Atlassian's documents, where there are any."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

# Importing the site registers all its operations.
import envs.site.site  # noqa: F401
from envs.site.http import OPERATIONS, ApiError, Operation, Request, Response
from envs.site.records import State
from tests.support.openapi import check_new_shape, reference_folder


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
