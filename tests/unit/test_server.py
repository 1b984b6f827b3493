"""A private broker or store that dies: the pauses, and what is said."""

import pytest
import structlog
from structlog.testing import capture_logs

from deploy.local.server import HELD_SECONDS, Server
from shared.backoff import LONGEST_SECONDS
from shared.clock import SimulatedClock
from shared.errors import ChildFailed


class Service:
    """A server that runs and serves when the test says so."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.is_running = True
        self.serves = False
        self.can_start = True
        self.starts: list[float] = []
        self.server = Server("broker", self, self.clock.monotonic())

    def start(self) -> None:
        self.starts.append(self.clock.monotonic())
        if not self.can_start:
            raise ChildFailed("no memory")
        self.is_running = True

    def is_ready(self) -> bool:
        return self.serves

    def pass_by(self, seconds: int, *, dies: bool = False) -> list[str]:
        """The actions that are logged while a house looks at it every second."""
        with capture_logs() as told:
            for _ in range(seconds):
                self.is_running = self.is_running and not dies
                self.server.watch(self.clock.monotonic(), structlog.get_logger())
                self.clock.advance(1)
        return [line["action"] for line in told]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.mark.parametrize("can_start", [True, False])
def test_a_server_that_keeps_dying_is_started_ever_more_seldom(
    service: Service, can_start: bool
) -> None:
    service.can_start = can_start
    told = service.pass_by(600, dies=True)
    assert 600 / LONGEST_SECONDS - 2 <= len(service.starts) <= 60
    assert service.starts[-1] - service.starts[-2] >= LONGEST_SECONDS / 2
    assert set(told) == {"house.server_down"}
    assert len(told) - len(service.starts) in {0, 1}


def test_it_is_said_to_run_only_once_it_serves(service: Service) -> None:
    service.pass_by(1, dies=True)
    assert service.pass_by(20) == []
    service.serves = True
    assert service.pass_by(20) == ["house.server_back"]


def test_after_a_good_life_it_is_started_at_once(service: Service) -> None:
    service.pass_by(300, dies=True)
    service.pass_by(int(LONGEST_SECONDS + HELD_SECONDS) + 2)
    service.starts.clear()
    service.pass_by(3, dies=True)
    assert len(service.starts) == 1
