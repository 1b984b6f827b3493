"""Ingest's main loop turns, and publishes, whatever the broker's queues are like."""

from types import SimpleNamespace
from typing import Any

from ingest.worker import LONGEST_TURN_SECONDS, IngestWorker
from shared.clock import SimulatedClock
from shared.config import from_mapping
from shared.errors import QueueAway
from shared.health import Health
from shared.link import QueueState
from shared.log import get_logger
from shared.topology import ArchiveQueue, Queue, camera_queues, common_queues
from shared.worker import WorkerContext

CAMERAS = [f"camera-{number}" for number in range(30)]
SILENCE_SECONDS = 0.25


class AwayLink:
    """A broker that says nothing of any queue."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.asked: list[str] = []
        self._clock = clock

    def declare(self, queue: Queue) -> QueueState:
        self._clock.advance(SILENCE_SECONDS)
        self.asked.append(queue.name)
        raise QueueAway("a node of the broker is away")


def test_however_many_queues_say_nothing_declaring_them_takes_no_turn_for_long() -> None:
    clock = SimulatedClock()
    settings = from_mapping({"cameras": [{"id": each, "source": "test:"} for each in CAMERAS]})
    worker = IngestWorker(WorkerContext(settings, "test", clock, get_logger(), Health(clock)))
    link: Any = AwayLink(clock)
    seats: Any = SimpleNamespace(held=dict.fromkeys(CAMERAS))
    declarations, turns = worker._declarations(link, seats), 0
    wanted = [queue.name for queue in common_queues()]
    for camera in CAMERAS:
        wanted += [queue.name for queue in camera_queues(camera, ArchiveQueue.CLASSIC)]
    while len(link.asked) < len(wanted):
        turns, began = turns + 1, clock.monotonic()
        worker._go_on(declarations)
        assert clock.monotonic() - began < LONGEST_TURN_SECONDS + SILENCE_SECONDS
    assert link.asked == wanted, "each once, and none is forgotten"
    assert turns > 10
