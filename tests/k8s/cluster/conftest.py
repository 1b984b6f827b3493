"""One cluster for all its tests: `make test-cluster`, not `make test`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.k8s.cluster.installed import Installed, installed
from tests.k8s.cluster.machine import Machine
from tests.videos import Videos

NODES = 2

collect_ignore_glob = [] if os.environ.get("CRADLE_TEST_KUBERNETES") else ["test_*.py"]


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A Kubernetes of two nodes."""
    kubernetes, images = map(
        Path, (os.environ["CRADLE_TEST_KUBERNETES"], os.environ["CRADLE_TEST_IMAGES"])
    )
    # Not in pytest's own folder: paths of sockets in it would be too long.
    folder = images.with_name("machine")
    folder.mkdir()
    running = Machine(folder, kubernetes, images, NODES)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def house(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Cradle on it, everything available, with one RTSP camera."""
    video = Videos(tmp_path_factory.mktemp("video"))(".mp4", seconds=20, audio="aac")
    with installed(machine, video) as here:
        yield here
