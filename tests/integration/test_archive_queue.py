"""What the archiver rests on, on a real broker: its queue gives everything back, in order.

Both kinds of `ArchiveQueue`, on whatever release: `make test-services-in-containers`.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest
from pydantic import SecretStr

from shared.errors import Misconfigured
from shared.link import Delivery, Link, Subscription
from shared.topology import (
    EVENTS,
    FRAMES,
    ArchiveQueue,
    Queue,
    archiver_queue,
    archiver_seat_queue,
    common_queues,
    fragment_key,
    lost_queue,
)
from tests.starving import starving
from tests.support import eventually

CAMERA = "camera-1"
PREFETCH = 1_500
PUBLISHED = 2_000
DEFAULT_LIMIT = 20
"""Of deliveries, in RabbitMQ 4, where a queue says nothing."""

HOLDER = """
import sys, time
from pydantic import SecretStr
from shared.link import Link
from shared.topology import ArchiveQueue, archiver_queue
got = 0
def take(delivery):
    global got
    got += 1
    if got == int(sys.argv[4]):
        print("full", flush=True)
kind = ArchiveQueue(sys.argv[2])
link = Link(SecretStr(sys.argv[1]), "holder")
link.open()
link.consume(archiver_queue(sys.argv[3], kind), prefetch=int(sys.argv[4]),
             exclusive=kind is ArchiveQueue.CLASSIC, on_delivery=take, on_closed=print)
time.sleep(600)
"""


@pytest.fixture(params=list(ArchiveQueue))
def kind(request: pytest.FixtureRequest) -> ArchiveQueue:
    return ArchiveQueue(request.param)


class Room:
    """One camera's queue, and who reads it."""

    def __init__(self, link: Link, kind: ArchiveQueue) -> None:
        self.link, self.kind = link, kind
        self.queue = archiver_queue(CAMERA, kind)
        for queue in (self.queue, *common_queues()):
            link.declare(queue)

    def publish(self, numbers: range) -> list[bytes]:
        """Returns once the broker has them all safe."""
        bodies = [b"%d" % number for number in numbers]
        confirmed: list[bool] = []
        for body in bodies:
            key = fragment_key(CAMERA)
            self.link.publish_confirmed(FRAMES, key, body, on_result=confirmed.append)
        eventually(lambda: len(confirmed) == len(bodies), 60)
        assert all(confirmed)
        return bodies

    def read(self, inbox: list[Delivery], prefetch: int = PREFETCH) -> Subscription:
        return self.link.consume(
            self.queue,
            prefetch=prefetch,
            exclusive=self.kind is ArchiveQueue.CLASSIC,
            on_delivery=inbox.append,
            on_closed=lambda _reason: None,
        )


@pytest.fixture
def link(broker_url: str) -> Iterator[Link]:
    with Link(SecretStr(broker_url), "test") as found:
        yield found


@pytest.fixture
def room(link: Link, kind: ArchiveQueue) -> Room:
    return Room(link, kind)


def holds(inbox: list[Delivery], count: int) -> bool:
    return len(inbox) == count


def bodies_of(inbox: list[Delivery]) -> list[bytes]:
    return [each.body for each in inbox]


def test_after_a_kill_the_next_reader_gets_everything_in_order(room: Room, broker_url: str) -> None:
    bodies = room.publish(range(PUBLISHED))
    arguments = [broker_url, room.kind.value, CAMERA, str(PREFETCH)]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "full\n"
        holder.kill()
    with starving() as machine:
        killed_at = time.monotonic()
        eventually(lambda: room.link.declare(room.queue).consumers == 0, 10)
        inbox: list[Delivery] = []
        room.read(inbox, prefetch=PUBLISHED)
        eventually(lambda: len(inbox) == PUBLISHED, 30)
        assert time.monotonic() - killed_at - machine.seconds() < 10
    assert bodies_of(inbox) == bodies
    assert [each.redelivered for each in inbox] == [True] * PREFETCH + [False] * 500


def test_what_many_readers_acknowledge_together_is_gone_and_the_rest_stays_in_order(
    room: Room,
) -> None:
    """As the archiver does: up to the last one before the first that is not committed."""
    chance = random.Random(20)
    left = room.publish(range(400))
    while left:
        inbox: list[Delivery] = []
        reader = room.read(inbox, prefetch=100)
        expected = left[:100]
        eventually(partial(holds, inbox, len(expected)), 20)
        assert bodies_of(inbox) == expected
        done = chance.randint(1, len(inbox))
        inbox[done - 1].ack_up_to()
        reader.close()
        left = left[done:]
        eventually(lambda: room.link.declare(room.queue).consumers == 0, 10)
    assert room.link.declare(room.queue).messages == 0


def test_what_is_given_back_again_and_again_is_never_given_up(room: Room) -> None:
    bodies = room.publish(range(3))
    for turn in range(DEFAULT_LIMIT + 5):
        inbox: list[Delivery] = []
        reader = room.read(inbox)
        eventually(partial(holds, inbox, 3), 10)
        assert bodies_of(inbox) == bodies, turn
        reader.close()
    assert room.link.declare(lost_queue()).messages == 0


def test_a_fuse_that_blows_drops_the_oldest_and_is_seen(room: Room) -> None:
    tiny = Queue("tiny", {**room.queue.arguments, "x-max-length": 1}, ((EVENTS, "tiny"),))
    room.link.declare(tiny)
    for body in (b"1", b"2"):
        room.link.publish_and_wait(EVENTS, "tiny", body)
    lost = eventually(lambda: room.link.get(lost_queue()), 10)
    assert lost is not None
    assert lost.body == b"1"


def test_the_other_kind_is_refused_in_one_sentence_with_the_way_out(room: Room) -> None:
    (other,) = set(ArchiveQueue) - {room.kind}
    with pytest.raises(Misconfigured, match=f"{room.queue.name}.*rabbitmqctl delete_queue"):
        room.link.declare(archiver_queue(CAMERA, other))


@pytest.mark.parametrize("kind", [ArchiveQueue.QUORUM])
def test_a_second_reader_of_a_quorum_queue_waits_for_the_end_of_the_first(room: Room) -> None:
    """It would not be refused, so the seat is elsewhere; but never do two read at a time."""
    bodies = room.publish(range(50))
    first: list[Delivery] = []
    reader = room.read(first, prefetch=10)
    eventually(lambda: len(first) == 10, 10)
    second: list[Delivery] = []
    room.read(second)
    first[4].ack_up_to()
    eventually(lambda: len(first) == 15, 10)
    assert second == []
    reader.close()
    eventually(lambda: len(second) == 45, 10)
    assert bodies_of(second) == bodies[5:]
    seat = room.link.declare(archiver_seat_queue(CAMERA, room.kind))
    assert (seat.messages, seat.consumers) == (0, 0)
