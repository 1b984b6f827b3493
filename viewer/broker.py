"""What the broker says of Cradle's queues, looked at when somebody asks."""

import threading
from typing import Final

from pydantic import BaseModel, Field

from shared.clock import Clock
from shared.errors import CradleError, QueueAway
from shared.link import Link, QueueState
from shared.messages import Stage
from shared.topology import (
    ArchiveQueue,
    Queue,
    analyzer_queue,
    archiver_queue,
    archiver_seat_queue,
    encoder_queue,
    ingest_seat_queue,
    lost_queue,
    presence_queue,
)
from viewer.states import States

FRESH_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 2.0
"""After so long a look asks no further queue: each one on a lost node costs a wait, and somebody
waits for the page."""
SEATED: Final = (Stage.INGEST, Stage.ENCODER, Stage.ARCHIVER)


class QueueFacts(BaseModel):
    """One queue."""

    name: str = Field(description="As on the broker's page.")
    messages: int = Field(description="Ready to be delivered.")
    consumers: int = Field(description="Who reads it.")
    age_seconds: float | None = Field(
        description="No message is older: what the queue throws away then, or what is archived"
        " since; null if nothing tells."
    )


NEVER_MADE: Final = QueueState(messages=0, consumers=0)
"""Of a queue that is not there: nothing waits, and nobody was ever at it."""


class Broker:
    """What the broker says of queues; remembered for `FRESH_SECONDS`. Safe for many threads."""

    def __init__(
        self, cameras: list[str], kind: ArchiveQueue, states: States, clock: Clock
    ) -> None:
        self._cameras = cameras
        self._kind = kind
        self._states = states
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._facts: dict[str, QueueFacts] = {}
        self.link: Link | None = None
        """While the feed is connected."""

    def look(self) -> dict[str, QueueFacts]:
        """Queues by name, but for those whose node is away; none while the broker is."""
        with self._lock:
            link = self.link
            if link is None:
                return {}
            if self._clock.monotonic() - self._looked_at > FRESH_SECONDS:
                try:
                    self._look_at_all(link)
                except CradleError as error:
                    self._states.broker_reason = str(error)
                    return {}
                self._looked_at = self._clock.monotonic()
            return self._facts

    def _look_at_all(self, link: Link) -> None:
        """Raises CradleError. What there was no time for stays as it was; the next look goes on."""
        until, facts = self._clock.monotonic() + LOOK_SECONDS, dict(self._facts)
        for queue in self._queues():
            if self._clock.monotonic() >= until:
                break
            try:
                facts[queue.name] = _facts(queue, link.look_at(queue) or NEVER_MADE)
            except QueueAway:
                facts.pop(queue.name, None)
        self._facts = facts

    def _queues(self) -> list[Queue]:
        found = [analyzer_queue(), lost_queue(), *(presence_queue(stage) for stage in SEATED)]
        for camera in self._cameras:
            found += [ingest_seat_queue(camera), encoder_queue(camera)]
            found += [archiver_queue(camera, self._kind), archiver_seat_queue(camera, self._kind)]
        return found


def _facts(queue: Queue, state: QueueState) -> QueueFacts:
    longest = queue.arguments.get("x-message-ttl")
    return QueueFacts(
        name=queue.name,
        messages=state.messages,
        consumers=state.consumers,
        age_seconds=None if longest is None else int(longest) / 1000,
    )
