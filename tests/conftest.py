"""Real parts for tests: one broker and one store a session, a fresh place in each for a test."""

import logging
import os
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from shared.config import ArchiveSettings
from tests.rtsp import RtspServer
from tests.services import BrokerService, StoreService, running_broker, running_store
from tests.support import SIGNALS
from tests.videos import Videos

# On a busy machine a slow example is no fault; and a build that fails must fail again.
settings.register_profile("here", deadline=None)
settings.register_profile("build", deadline=None, derandomize=True)
settings.load_profile("build" if os.environ.get("CI") else "here")


@pytest.fixture
def handlers() -> Iterator[None]:
    """What this process does on a signal is as before when the test ends."""
    kept = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    os.close(signal.set_wakeup_fd(-1))
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """A test may set up logging as a program does: onto its own standard output, soon closed."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerService]:
    """A running RabbitMQ."""
    with running_broker(tmp_path_factory.mktemp("broker")) as service:
        yield service


@pytest.fixture
def broker_url(broker: BrokerService) -> Iterator[str]:
    """AMQP address of a virtual host of this test's own."""
    with broker.virtual_host() as url:
        yield url


@pytest.fixture(scope="session")
def store_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreService]:
    """A running S3 server."""
    with running_store(tmp_path_factory.mktemp("store")) as service:
        yield service


@pytest.fixture
def archive_settings(store_service: StoreService) -> Iterator[ArchiveSettings]:
    """Settings of an archive whose bucket is this test's own, and empty."""
    with store_service.bucket() as settings:
        yield settings


@pytest.fixture
def rtsp_server() -> Iterator[RtspServer]:
    """An RTSP camera server without mounts and login; tests that want a login start their own."""
    with RtspServer() as server:
        yield server


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Videos:
    """Videos with a frame counter, each made once: `videos(".mp4", codec="hevc", seconds=3)`."""
    return Videos(tmp_path_factory.mktemp("videos"))
