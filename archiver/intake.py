"""One camera's seat, its queue, and what that has brought.

The seat is an exclusive consumer: of the queue itself, or, where that is a quorum queue, of a
classic one beside it (`shared/topology.py`). Then the seat is taken first and given back last, and
with either consumer the other goes.

What is delivered waits here until the camera judges it, and is held unacknowledged until its clip
is committed. The broker closes a channel that holds a delivery for 30 minutes; before that, at
`clip_seconds` + 10 minutes, the channel is closed and opened again after a pause, with everything
still in the queue. A message that cannot be read goes to `cradle.lost` with the reason.
"""

import math
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from archiver import figures
from archiver.desk import Desk
from archiver.held import Held, HeldDeliveries
from shared.backoff import pause_seconds
from shared.clock import Clock
from shared.errors import BadMessage, QueueAway, SeatTaken
from shared.identity import epoch_started_at
from shared.link import Delivery, Link, Subscription
from shared.log import Log
from shared.messages import EpochEnd, Fragment, read_archive_message
from shared.topology import ArchiveQueue, archiver_queue, archiver_seat_queue

LONGEST_HOLD_SECONDS: Final = 600.0
"""Beyond the length of a clip."""
LEAST_PREFETCH: Final = 64
LONGEST_AWAY: Final = timedelta(days=2)
"""An epoch is at most 12 hours long, and its id says when it began."""


def prefetch_of(clip_seconds: int) -> int:
    """Three clips of fragments of one second; still more than one of the shortest, 0.4 s: a window
    is over when the first fragment of the next has come, which must fit."""
    return max(LEAST_PREFETCH, math.ceil(3 * clip_seconds))


@dataclass(frozen=True)
class Received:
    """A message, or a line of the frame store's index that no message brought."""

    message: Fragment | EpochEnd
    delivery: Delivery | None = None


class Intake:
    """The seat of one camera. Main thread only; deliveries come through the desk."""

    def __init__(
        self,
        camera: str,
        kind: ArchiveQueue,
        link: Link,
        desk: Desk,
        clock: Clock,
        log: Log,
        clip_seconds: int,
    ) -> None:
        self._camera = camera
        self._queue = archiver_queue(camera, kind)
        self._seat_queue = archiver_seat_queue(camera, kind)
        self._link = link
        self._desk = desk
        self._clock = clock
        self._log = log
        self._longest_hold_seconds = clip_seconds + LONGEST_HOLD_SECONDS
        self._generation = 0
        self._seat: Subscription | None = None
        """Where the seat is another queue."""
        self._subscription: Subscription | None = None
        self._heard_at = clock.monotonic()
        self._reopen_at = 0.0
        self._reopened = 0
        self.prefetch = prefetch_of(clip_seconds)
        self.waiting: deque[Received] = deque()
        self.held = HeldDeliveries()
        self.seat_lost: str | None = None
        """Why the seat is gone, once it is."""

    def open(self) -> None:
        """Take the seat, and the queue with it. Raises SeatTaken, Misconfigured, Unavailable."""
        self._generation += 1
        generation = self._generation
        self._heard_at = self._clock.monotonic()

        def delivered(delivery: Delivery) -> None:
            self._desk.call(partial(self._receive, generation, delivery))

        def closed(reason: str) -> None:
            self._desk.call(partial(self._channel_closed, generation, reason))

        has_own_seat = self._seat_queue != self._queue
        try:
            if has_own_seat:
                self._seat = self._link.consume(
                    self._seat_queue,
                    prefetch=1,
                    exclusive=True,
                    on_delivery=lambda delivery: delivery.ack(),  # nothing arrives
                    on_closed=closed,
                )
            self._subscription = self._link.consume(
                self._queue,
                prefetch=self.prefetch,
                exclusive=not has_own_seat,
                on_delivery=delivered,
                on_closed=closed,
            )
        except BaseException:
            self._leave()  # a seat without its queue keeps everybody else from it
            raise

    def close(self) -> None:
        """Give the seat back, and everything that is held."""
        self._generation += 1  # what is still on its way from the old channel is the queue's again
        self.waiting = deque(each for each in self.waiting if each.delivery is None)
        self.held.clear()
        self._leave()

    def _leave(self) -> None:
        """First the queue: whoever finds the seat free finds what was held as well."""
        for subscription in (self._subscription, self._seat):
            if subscription is not None:
                subscription.close()
        self._subscription = self._seat = None

    def _receive(self, generation: int, delivery: Delivery) -> None:
        if generation != self._generation:
            return
        self._heard_at = self._clock.monotonic()
        try:
            message = self._read(delivery.body)
        except BadMessage as error:
            figures.BAD_MESSAGES.labels(self._camera).inc()
            self._log.warning(
                "message sent to cradle.lost", action="message.lost", reason=str(error)
            )
            self._lose(delivery, str(error))
            return
        number = message.fragment if isinstance(message, Fragment) else None
        self.held.add(Held(delivery, self._heard_at, message.epoch, number))
        self.waiting.append(Received(message, delivery))

    def _lose(self, delivery: Delivery, reason: str) -> None:
        held = Held(delivery, self._heard_at)
        self.held.add(held)  # its turn to be acknowledged comes in order, like everybody's
        done = partial(setattr, held, "done", True)
        self._link.send_to_lost(delivery, reason, then=partial(self._desk.call, done))

    def _read(self, body: bytes) -> Fragment | EpochEnd:
        message = read_archive_message(body)
        if message.camera != self._camera:
            raise BadMessage(f"camera: {message.camera} is not the camera of this queue")
        moment = message.captured_at if isinstance(message, Fragment) else message.ended_at
        away = abs(moment - epoch_started_at(message.epoch))
        if away > LONGEST_AWAY:
            raise BadMessage(f"it is {away.days} days away from its epoch's beginning")
        return message

    def _channel_closed(self, generation: int, reason: str) -> None:
        if generation == self._generation:
            self.seat_lost = reason

    def advance(self) -> None:
        """Give deliveries back that were held too long, and come for them again later."""
        now = self._clock.monotonic()
        if self._subscription is None:
            if now >= self._reopen_at and self.seat_lost is None:
                self._reopen()
        elif self.held.oldest_seconds(now) > self._longest_hold_seconds:
            self._reopened += 1
            self._reopen_at = now + pause_seconds(self._reopened)
            self._log.warning(
                "deliveries given back",
                action="deliveries.given_back",
                held=len(self.held),
                reason="they were held too long without a commit",
            )
            self.close()

    def _reopen(self) -> None:
        try:
            self.open()
        except (SeatTaken, QueueAway) as error:
            self.seat_lost = str(error)

    @property
    def held_seconds(self) -> float:
        """Age of the oldest delivery that is not acknowledged."""
        return self.held.oldest_seconds(self._clock.monotonic())

    @property
    def silent_seconds(self) -> float:
        """Since the queue's last word; 0.0 while it cannot speak."""
        if self._subscription is None or self.waiting or len(self.held) >= self.prefetch:
            return 0.0
        return self._clock.monotonic() - self._heard_at

    @property
    def caught_up(self) -> bool:
        """The broker has nothing more for us, as far as we can see."""
        return (
            self._subscription is not None and not self.waiting and len(self.held) < self.prefetch
        )
