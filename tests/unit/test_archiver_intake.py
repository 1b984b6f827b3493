"""The seat's queue in simulated time: what is held too long goes back, what is stale is dropped."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from archiver.desk import Desk
from archiver.intake import LONGEST_HOLD_SECONDS, Intake
from shared.clock import SimulatedClock
from shared.errors import SeatTaken
from shared.link import Delivery, Link
from shared.log import get_logger
from shared.topology import Queue
from tests.archiver_fragments import CAMERA, START, reference

CLIP_SECONDS = 60


class Broker:
    """What the intake sees of a link: one queue, given to one consumer at a time."""

    def __init__(self) -> None:
        self.consumers: list[Callable[[Any], None]] = []
        self.open = 0
        self.taken = False
        self.lost: list[str] = []

    def consume(
        self,
        queue: Queue,
        *,
        prefetch: int,
        exclusive: bool,
        on_delivery: Callable[[Any], None],
        on_closed: Callable[[str], None],
    ) -> "Broker":
        assert exclusive
        if self.taken:
            raise SeatTaken("another worker has it")
        self.open += 1
        self.consumers.append(on_delivery)
        return self

    def close(self) -> None:
        self.open -= 1

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

    def __init__(self) -> None:
        self.broker, self.clock, self.desk = Broker(), SimulatedClock(), Desk(1)
        self.intake = Intake(
            CAMERA, cast(Link, self.broker), self.desk, self.clock, get_logger(), CLIP_SECONDS
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


def test_deliveries_held_too_long_go_back_and_are_fetched_again_later() -> None:
    seat = Seat()
    seat.deliver(reference(0).to_body())
    seat.after(CLIP_SECONDS + LONGEST_HOLD_SECONDS - 1)
    assert seat.broker.open == 1
    seat.after(2)
    assert seat.broker.open == 0
    assert len(seat.intake.held) == 0
    assert not seat.intake.waiting
    seat.after(0)
    assert seat.broker.open == 0, "not at once"
    seat.after(30)
    assert seat.broker.open == 1


def test_the_cap_is_under_the_brokers_own_of_30_minutes() -> None:
    assert 900 + LONGEST_HOLD_SECONDS < 30 * 60


def test_a_seat_that_another_took_meanwhile_is_lost() -> None:
    seat = Seat()
    seat.deliver(reference(0).to_body())
    seat.after(CLIP_SECONDS + LONGEST_HOLD_SECONDS + 1)
    seat.broker.taken = True
    seat.after(30)
    assert seat.intake.seat_lost is not None


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
