"""The stack in containers, once for all its tests: `make test-containers`, not `make test`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.stack import Stack, running_stack
from tests.videos import Videos

collect_ignore_glob = [] if os.environ.get("CRADLE_TEST_STACK") else ["test_*.py"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything of compose.yaml, healthy, with one RTSP camera."""
    with running_stack(tmp_path_factory.mktemp("stack"), _video(tmp_path_factory)) as running:
        yield running


@pytest.fixture(scope="session")
def stack_with_buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same with frames and live output in buckets."""
    folder = tmp_path_factory.mktemp("buckets")
    with running_stack(folder, _video(tmp_path_factory), "compose.s3.yaml") as running:
        yield running


def _video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Videos(tmp_path_factory.mktemp("video"))(".mp4", seconds=20, audio="aac")
