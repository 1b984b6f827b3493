"""The seat's queue in simulated time: what is held too long goes back, what is stale is dropped."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from archiver.desk import Desk
from archiver.intake import LONGEST_HOLD_SECONDS, Intake
from shared.clock import SimulatedClock
from shared.errors import Misconfigured, SeatTaken
from shared.link import Delivery, Link
from shared.log import get_logger
from shared.topology import ArchiveQueue, Queue
from tests.archiver_fragments import CAMERA, START, reference

CLIP_SECONDS = 60
QUEUE = f"archiver.{CAMERA}"
SEAT = f"seat.{QUEUE}"
TAKEN = {ArchiveQueue.CLASSIC: [QUEUE], ArchiveQueue.QUORUM: [SEAT, QUEUE]}


class Consumer:
    """What the broker gives to who consumes."""

    def __init__(self, broker: "Broker", queue: Queue, on_closed: Callable[[str], None]) -> None:
        self.broker, self.queue, self.on_closed = broker, queue, on_closed

    def close(self) -> None:
        self.broker.consuming.remove(self)
        self.broker.left.append(self.queue.name)


class Broker:
    """What the intake sees of a link: queues, each given to one consumer at a time."""

    def __init__(self) -> None:
        self.consumers: list[Callable[[Any], None]] = []
        """Of the camera's queue, from the first on."""
        self.consuming: list[Consumer] = []
        self.left: list[str] = []
        """Queues in the order in which they were given back."""
        self.refused: dict[str, Exception] = {}
        self.lost: list[str] = []

    @property
    def open(self) -> list[str]:
        """Queues that are consumed, in the order in which they were taken."""
        return [each.queue.name for each in self.consuming]

    def consume(
        self,
        queue: Queue,
        *,
        prefetch: int,
        exclusive: bool,
        on_delivery: Callable[[Any], None],
        on_closed: Callable[[str], None],
    ) -> Consumer:
        if queue.name in self.refused:
            raise self.refused[queue.name]
        assert exclusive == (queue.arguments["x-queue-type"] == "classic")
        consumer = Consumer(self, queue, on_closed)
        self.consuming.append(consumer)
        if queue.name == QUEUE:
            self.consumers.append(on_delivery)
        return consumer

    def send_to_lost(self, delivery: Any, reason: str, *, then: Callable[[], None]) -> None:
        self.lost.append(reason)
        then()


class Message:
    """A delivery."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.acknowledged = False

    def ack_up_to(self) -> None:
        self.acknowledged = True


class Seat:
    """An intake on a simulated clock."""

    def __init__(self, kind: ArchiveQueue = ArchiveQueue.CLASSIC) -> None:
        self.broker, self.clock, self.desk = Broker(), SimulatedClock(), Desk(1)
        self.intake = Intake(
            CAMERA, kind, cast(Link, self.broker), self.desk, self.clock, get_logger(), CLIP_SECONDS
        )
        self.intake.open()

    def deliver(self, body: bytes, generation: int = -1) -> Message:
        message = Message(body)
        self.broker.consumers[generation](cast(Delivery, message))
        self.desk.turn(0.01)
        return message

    def after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.intake.advance()


@pytest.mark.parametrize("kind", list(ArchiveQueue))
def test_deliveries_held_too_long_go_back_and_are_fetched_again_later(kind: ArchiveQueue) -> None:
    seat = Seat(kind)
    seat.deliver(reference(0).to_body())
    seat.after(CLIP_SECONDS + LONGEST_HOLD_SECONDS - 1)
    assert seat.broker.open == TAKEN[kind]
    seat.after(2)
    assert seat.broker.open == []
    assert len(seat.intake.held) == 0
    assert not seat.intake.waiting
    seat.after(0)
    assert seat.broker.open == [], "not at once"
    seat.after(30)
    assert seat.broker.open == TAKEN[kind]


def test_the_cap_is_under_the_brokers_own_of_30_minutes() -> None:
    assert 900 + LONGEST_HOLD_SECONDS < 30 * 60


def test_a_seat_that_another_took_meanwhile_is_lost() -> None:
    seat = Seat()
    seat.deliver(reference(0).to_body())
    seat.after(CLIP_SECONDS + LONGEST_HOLD_SECONDS + 1)
    seat.broker.refused[QUEUE] = SeatTaken("another worker has it")
    seat.after(30)
    assert seat.intake.seat_lost is not None


def test_where_the_seat_is_another_queue_who_does_not_get_it_does_not_consume() -> None:
    seat = Seat(ArchiveQueue.QUORUM)
    seat.intake.close()
    seat.broker.refused[SEAT] = SeatTaken("another worker has it")
    with pytest.raises(SeatTaken):
        seat.intake.open()
    assert seat.broker.open == []


def test_a_seat_is_given_back_after_its_queue_so_that_the_next_holder_finds_all() -> None:
    seat = Seat(ArchiveQueue.QUORUM)
    seat.intake.close()
    assert seat.broker.left == [QUEUE, SEAT]


def test_a_seat_whose_queue_is_refused_is_not_kept() -> None:
    seat = Seat(ArchiveQueue.QUORUM)
    seat.intake.close()
    seat.broker.refused[QUEUE] = Misconfigured("a queue was made with other arguments")
    with pytest.raises(Misconfigured):
        seat.intake.open()
    assert seat.broker.open == []


@pytest.mark.parametrize("gone", [QUEUE, SEAT])
def test_with_the_seat_the_queue_goes_and_with_the_queue_the_seat(gone: str) -> None:
    seat = Seat(ArchiveQueue.QUORUM)
    (consumer,) = [each for each in seat.broker.consuming if each.queue.name == gone]
    consumer.on_closed("the queue was deleted")
    seat.desk.turn(0.01)
    assert seat.intake.seat_lost == "the queue was deleted"
    seat.intake.close()
    assert seat.broker.open == []


def test_what_an_old_channel_still_brings_is_dropped() -> None:
    seat = Seat()
    seat.deliver(reference(0).to_body())
    seat.after(CLIP_SECONDS + LONGEST_HOLD_SECONDS + 1)
    seat.after(30)
    seat.deliver(reference(1).to_body(), generation=0)
    assert not seat.intake.waiting
    seat.deliver(reference(1).to_body(), generation=1)
    assert len(seat.intake.waiting) == 1


def test_a_refused_message_is_acknowledged_in_its_turn() -> None:
    seat = Seat()
    seat.deliver(reference(0).to_body())
    bad = seat.deliver(b"{")
    assert seat.broker.lost
    assert seat.intake.held.acknowledge(lambda _: False) == 0
    assert seat.intake.held.acknowledge(lambda held: held.number == 0) == 2
    assert bad.acknowledged


def test_a_fragment_from_another_time_than_its_epochs_is_refused() -> None:
    """Whoever judged it would read the bucket's folders of all the years between."""
    seat = Seat()
    seat.deliver(reference(0, captured_at=START + timedelta(days=900)).to_body())
    assert not seat.intake.waiting
    (reason,) = seat.broker.lost
    assert "900 days away" in reason


def test_the_queue_is_silent_only_while_it_could_speak() -> None:
    seat = Seat()
    seat.after(7)
    assert seat.intake.silent_seconds == 7
    seat.deliver(reference(0).to_body())
    seat.after(5)
    assert seat.intake.silent_seconds == 0, "something waits to be judged"
    seat.intake.waiting.clear()
    assert seat.intake.silent_seconds == 5
    for number in range(1, seat.intake.prefetch):
        seat.deliver(reference(number).to_body())
    seat.intake.waiting.clear()
    seat.after(5)
    assert seat.intake.silent_seconds == 0, "the broker may give no more"
    assert not seat.intake.caught_up
