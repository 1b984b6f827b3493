"""What the broker says of its queues, for a page that somebody waits for."""

from typing import Any

from shared.clock import SimulatedClock
from shared.errors import QueueAway
from shared.link import QueueState
from shared.topology import ArchiveQueue, Queue
from viewer.broker import FRESH_SECONDS, LOOK_SECONDS, Broker

CAMERAS = [f"camera-{number}" for number in range(40)]
SILENCE_SECONDS = 0.25


class HalfALink:
    """To a broker that says nothing of every other queue; a link waits for each of them once."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._silent: set[str] = set()
        self._asked: list[str] = []

    def look_at(self, queue: Queue) -> QueueState:
        if queue.name not in self._asked:
            self._asked.append(queue.name)
        if self._asked.index(queue.name) % 2:
            return QueueState(7, 1)
        if queue.name not in self._silent:
            self._silent.add(queue.name)
            self._clock.advance(SILENCE_SECONDS)
        raise QueueAway("a node of the broker is away")


def test_however_many_queues_say_nothing_a_look_is_soon_over_and_the_next_goes_on() -> None:
    clock = SimulatedClock()
    states: Any = None
    broker = Broker(CAMERAS, ArchiveQueue.QUORUM, states, clock)
    link: Any = HalfALink(clock)
    broker.link = link
    queues, known = len(broker._queues()), -1
    while len(broker.look()) > known:
        known = len(broker.look())
        clock.advance(FRESH_SECONDS + 0.1)
        began = clock.monotonic()
        broker.look()
        assert clock.monotonic() - began < LOOK_SECONDS + SILENCE_SECONDS
    assert known == queues // 2, "of those that answer everything is known"
