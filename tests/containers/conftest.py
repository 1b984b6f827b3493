"""The stack in containers, once for all its tests: `make test-containers`, not `make test`."""

import os
from collections.abc import Iterator

import pytest

from tests.containers.stack import Stack, running_stack
from tests.videos import Videos

collect_ignore_glob = [] if os.environ.get("CRADLE_TEST_STACK") else ["test_*.py"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything of compose.yaml, healthy, with one RTSP camera."""
    folder = tmp_path_factory.mktemp("stack")
    video = Videos(tmp_path_factory.mktemp("video"))(".mp4", seconds=20, audio="aac")
    with running_stack(folder, video) as running:
        yield running
