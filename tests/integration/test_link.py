"""The link on a real broker: seats, confirms, dead letters, and what is told when it all breaks."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from deploy.local.broker import Broker
from shared.errors import LinkLost, Misconfigured, QueueAway, SeatTaken, Unavailable
from shared.link import DROPPED, Delivery, Link, Subscription
from shared.messages import Stage
from shared.topology import (
    EVENTS,
    FRAMES,
    ArchiveQueue,
    Queue,
    archiver_queue,
    common_queues,
    fragment_key,
    ingest_seat_queue,
    lost_queue,
    presence_queue,
)
from tests.gate import Gate
from tests.services import BrokerService
from tests.starving import starving
from tests.support import connections_to, eventually, no_search_for_cycles

CAMERA = "camera-1"
SEAT = ingest_seat_queue(CAMERA)
WORK = archiver_queue(CAMERA, ArchiveQueue.CLASSIC)
KEY = fragment_key(CAMERA)
SECONDS = 30
"""Patience, on a machine that is busy with other things."""


class Inbox:
    """What a subscription was given, and why it ended."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.closed: list[str] = []

    @property
    def bodies(self) -> list[bytes]:
        return [each.body for each in self.deliveries]

    def subscribe(
        self, link: Link, queue: Queue, *, prefetch: int = 100, exclusive: bool = True
    ) -> Subscription:
        return link.consume(
            queue,
            prefetch=prefetch,
            exclusive=exclusive,
            on_delivery=self.deliveries.append,
            on_closed=self.closed.append,
        )


def connect(url: str, name: str = "test", heartbeat_seconds: int = 10) -> Link:
    return Link(SecretStr(url), name, heartbeat_seconds)


@pytest.fixture
def link(broker_url: str) -> Iterator[Link]:
    with connect(broker_url) as found:
        for queue in (WORK, *common_queues()):
            found.declare(queue)
        yield found


@pytest.fixture
def other(broker_url: str) -> Iterator[Link]:
    with connect(broker_url, "other") as found:
        yield found


def publish(link: Link, *bodies: bytes) -> None:
    for body in bodies:
        link.publish_and_wait(FRAMES, KEY, body)


# -- seats ------------------------------------------------------------------------------------


def test_a_seat_has_one_holder_and_the_second_is_refused(link: Link, other: Link) -> None:
    Inbox().subscribe(link, SEAT)
    with pytest.raises(SeatTaken):
        Inbox().subscribe(other, SEAT)
    link.check()
    other.check()
    assert other.declare(SEAT).consumers == 1


def test_a_seat_given_back_is_free_at_once(link: Link, other: Link) -> None:
    inbox = Inbox()
    subscription = inbox.subscribe(link, SEAT)
    subscription.close()
    assert subscription.closed
    assert inbox.closed == []
    Inbox().subscribe(other, SEAT)


def test_consumers_are_counted(link: Link, other: Link) -> None:
    queue = presence_queue(Stage.INGEST)
    assert link.declare(queue).consumers == 0
    Inbox().subscribe(link, queue, exclusive=False)
    Inbox().subscribe(other, queue, exclusive=False)
    assert link.declare(queue).consumers == 2


HOLDER = """
import sys, time
from pydantic import SecretStr
from shared.link import Link
from shared.topology import ArchiveQueue, archiver_queue, ingest_seat_queue
link = Link(SecretStr(sys.argv[1]), "holder", int(sys.argv[2]))
link.open()
for queue in (ingest_seat_queue("camera-1"), archiver_queue("camera-1", ArchiveQueue.CLASSIC)):
    link.consume(queue, prefetch=100, exclusive=True, on_delivery=lambda _: None,
                 on_closed=lambda _: print("told", flush=True))
print("seated", flush=True)
while True:
    time.sleep(1)
"""


@pytest.fixture
def holder(broker_url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the seat."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, broker_url, "2"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "seated\n"
    yield process
    process.kill()
    process.wait(10)
    process.stdout.close()


def seat_taken_after(link: Link, inbox: Inbox, began: float) -> float:
    """Seconds from a moment (monotonic) until the seat could be taken."""

    def taken() -> bool:
        try:
            inbox.subscribe(link, WORK)
        except SeatTaken:
            return False
        return True

    eventually(taken, SECONDS)
    return time.monotonic() - began


def test_the_seat_of_a_killed_holder_is_free_and_its_work_comes_back_in_order(
    link: Link, holder: subprocess.Popen[str]
) -> None:
    bodies = [b"%d" % number for number in range(150)]
    publish(link, *bodies)
    inbox = Inbox()
    with starving() as machine:
        began = time.monotonic()
        holder.kill()
        assert seat_taken_after(link, inbox, began) - machine.seconds() < 3
    eventually(lambda: len(inbox.bodies) == 100, SECONDS)
    assert inbox.bodies == bodies[:100]
    assert all(each.redelivered for each in inbox.deliveries)


def test_a_frozen_holder_loses_its_seat_and_is_told_when_it_wakes(
    link: Link, holder: subprocess.Popen[str]
) -> None:
    with starving() as machine:
        began = time.monotonic()
        os.kill(holder.pid, signal.SIGSTOP)
        waited = seat_taken_after(link, Inbox(), began)
        assert waited > 1
        assert waited - machine.seconds() < 12
    os.kill(holder.pid, signal.SIGCONT)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "told\n"


# -- what goes back ---------------------------------------------------------------------------


def test_unacknowledged_work_goes_back_in_order_when_a_subscription_closes(link: Link) -> None:
    publish(link, b"1", b"2", b"3", b"4")
    first = Inbox()
    subscription = first.subscribe(link, WORK)
    eventually(lambda: len(first.deliveries) == 4, SECONDS)
    first.deliveries[1].ack_up_to()
    eventually(lambda: acked(link, subscription), SECONDS)
    second = Inbox()
    second.subscribe(link, WORK)
    eventually(lambda: len(second.deliveries) == 2, SECONDS)
    assert second.bodies == [b"3", b"4"]


def acked(link: Link, subscription: Subscription) -> bool:
    subscription.close()  # behind the acknowledgement, on the same thread
    return link.declare(WORK).consumers == 0


def test_an_acknowledgement_that_comes_too_late_is_dropped(link: Link) -> None:
    publish(link, b"1")
    inbox = Inbox()
    subscription = inbox.subscribe(link, WORK)
    eventually(lambda: inbox.deliveries, SECONDS)
    subscription.close()
    inbox.deliveries[0].ack()
    inbox.deliveries[0].ack_up_to()
    assert eventually(lambda: link.declare(WORK).messages, SECONDS) == 1
    link.check()


def test_prefetch_bounds_what_is_held(link: Link) -> None:
    publish(link, *[b"x"] * 10)
    inbox = Inbox()
    inbox.subscribe(link, WORK, prefetch=3)
    eventually(lambda: len(inbox.deliveries) == 3, SECONDS)
    assert link.declare(WORK).messages == 7


def test_a_deleted_queue_ends_its_subscription_and_nothing_else(
    link: Link, broker: BrokerService, broker_url: str
) -> None:
    deleted, kept = Inbox(), Inbox()
    gone = deleted.subscribe(link, SEAT)
    publish(link, b"1")
    kept.subscribe(link, WORK)
    broker.call("DELETE", f"/api/queues/{urlsplit(broker_url).path.strip('/')}/{SEAT.name}")
    assert eventually(lambda: deleted.closed, SECONDS)
    assert gone.closed
    assert kept.closed == []
    link.check()
    eventually(lambda: kept.bodies == [b"1"], SECONDS)


# -- publishing -------------------------------------------------------------------------------


def test_every_message_is_confirmed_and_arrives_in_order(link: Link) -> None:
    inbox = Inbox()
    inbox.subscribe(link, WORK, prefetch=1000)
    results: list[bool] = []
    bodies = [b"%d" % number for number in range(500)]
    for body in bodies:
        link.publish_confirmed(FRAMES, KEY, body, on_result=results.append)
    eventually(lambda: len(results) == 500 and len(inbox.bodies) == 500, 10)
    assert all(results)
    assert inbox.bodies == bodies


def test_headers_travel(link: Link) -> None:
    inbox = Inbox()
    inbox.subscribe(link, WORK)
    link.publish_and_wait(FRAMES, KEY, b"1", headers={"traceparent": "00-ab-cd-01"})
    eventually(lambda: inbox.deliveries, SECONDS)
    assert inbox.deliveries[0].headers == {"traceparent": "00-ab-cd-01"}
    assert inbox.deliveries[0].routing_key == KEY


def test_live_messages_arrive_in_order_from_many_threads(link: Link) -> None:
    inbox = Inbox()
    unlimited = Queue("unlimited", {"x-queue-type": "classic"}, ((EVENTS, "live"),))
    inbox.subscribe(link, unlimited, prefetch=1000)

    def send(name: int) -> None:
        for number in range(50):
            link.publish(EVENTS, "live", b"%d:%02d" % (name, number))

    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(inbox.bodies) == 200, SECONDS)
    for name in range(4):
        mine = [body for body in inbox.bodies if body.startswith(b"%d:" % name)]
        assert mine == sorted(mine)


def test_a_message_that_cannot_be_obeyed_goes_to_the_lost_with_its_reason(link: Link) -> None:
    publish(link, b"garbage", b"good")
    inbox = Inbox()
    inbox.subscribe(link, WORK)
    eventually(lambda: len(inbox.deliveries) == 2, SECONDS)
    inbox.deliveries[0].headers["traceparent"] = "no trace at all"
    link.send_to_lost(inbox.deliveries[0], "not JSON: rtsp://user:hush@host/ said so")
    lost = eventually(lambda: link.get(lost_queue()), SECONDS)
    assert lost is not None
    assert lost.body == b"garbage"
    lost_at = datetime.fromisoformat(lost.headers.pop("x-cradle-lost-at"))
    assert abs(datetime.now(UTC) - lost_at) < timedelta(minutes=1)
    assert lost.headers == {
        "x-cradle-reason": "not JSON: rtsp://***@host/ said so",
        "x-cradle-exchange": FRAMES,
        "x-cradle-routing-key": KEY,
        "x-cradle-worker": "test",
    }
    lost.ack()
    assert link.get(lost_queue()) is None


def test_a_lost_message_keeps_its_trace(link: Link) -> None:
    """`cradle lost republish` sends it again with that header."""
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    link.publish_and_wait(FRAMES, KEY, b"garbage", headers=headers)
    inbox = Inbox()
    inbox.subscribe(link, WORK)
    eventually(lambda: inbox.deliveries, SECONDS)
    link.send_to_lost(inbox.deliveries[0], "not JSON")
    lost = eventually(lambda: link.get(lost_queue()), SECONDS)
    assert lost is not None
    assert headers.items() <= lost.headers.items()


def test_the_broker_sends_its_own_dead_letters_to_the_lost_too(link: Link, broker_url: str) -> None:
    """A fuse that blows must be seen."""
    tiny = Queue("tiny", {**WORK.arguments, "x-max-length": 1}, ((EVENTS, "tiny"),))
    link.declare(tiny)
    for body in (b"1", b"2"):
        link.publish_and_wait(EVENTS, "tiny", body)
    lost = eventually(lambda: link.get(lost_queue()), SECONDS)
    assert lost is not None
    assert lost.body == b"1"


# -- faults -----------------------------------------------------------------------------------


def test_a_queue_made_with_other_arguments_is_one_clear_sentence(link: Link, other: Link) -> None:
    link.declare(Queue(SEAT.name, {"x-queue-type": "classic", "x-max-length": 5}))
    for ask in (other.declare, lambda queue: Inbox().subscribe(other, queue)):
        with pytest.raises(Misconfigured, match="rabbitmqctl delete_queue") as refused:
            ask(SEAT)
        assert SEAT.name in str(refused.value)
    other.check()
    assert other.declare(WORK).consumers == 0


def test_a_wrong_password_is_said_without_the_password(broker_url: str) -> None:
    parts = urlsplit(broker_url)
    wrong = broker_url.replace(f":{parts.password}@", ":hush@")
    with pytest.raises(Misconfigured, match="refuses the user or password") as refused:
        connect(wrong).open()
    assert "hush" not in str(refused.value)
    assert str(parts.hostname) in str(refused.value)


def test_a_virtual_host_that_is_not_there_is_said(broker_url: str) -> None:
    with pytest.raises(Misconfigured, match="virtual host"):
        connect(broker_url + "-not").open()


def test_a_broker_that_is_not_there_is_unavailable(unused_url: str) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="cannot be reached") as away:
        connect(unused_url).open()
    assert time.monotonic() - began < 8
    assert "hush" not in str(away.value)


@pytest.fixture
def unused_url() -> Iterator[str]:
    with Gate("amqp://user:hush@127.0.0.1:1/v") as gate:
        gate.shut()
        yield gate.url


def test_a_broker_that_never_answers_is_given_up(broker_url: str) -> None:
    with Gate(broker_url) as gate:
        gate.hold()
        began = time.monotonic()
        with pytest.raises(Unavailable):
            connect(gate.url).open(timeout_seconds=1)
        assert time.monotonic() - began < 8


def test_a_broker_that_is_slow_as_a_whole_is_waited_for(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlike a queue whose node is lost while the others answer (test_broker_cluster.py)."""
    monkeypatch.setattr("shared.link.QUEUE_TIMEOUT_SECONDS", 0.5)
    with Gate(broker_url) as gate, connect(gate.url) as link:
        link.declare(SEAT)
        for _ in range(2):
            gate.hold()
            threading.Timer(1.5, gate.open).start()
            assert link.declare(SEAT)


def test_a_broker_that_stays_silent_ends_the_session_and_is_no_lost_node(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.link.QUEUE_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr("shared.link.CALL_TIMEOUT_SECONDS", 1.5)
    with Gate(broker_url) as gate, connect(gate.url) as link:
        link.declare(SEAT)
        gate.hold()
        with pytest.raises(Unavailable) as away:
            link.declare(SEAT)
        assert not isinstance(away.value, QueueAway)


def test_a_session_with_a_silent_broker_ends_and_leaves_no_socket(broker_url: str) -> None:
    with Gate(broker_url) as gate, no_search_for_cycles():
        with connect(gate.url) as link:
            link.declare(SEAT)
            assert connections_to(gate.url) == 2
            gate.hold()
        assert connections_to(gate.url) == 0


def test_an_address_that_pika_cannot_read_is_said_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable) as failed:
        connect("amqp://user:hush@127.0.0.1:5672/v?heartbeat=often").open()
    assert time.monotonic() - began < 5
    assert "hush" not in str(failed.value)


@pytest.mark.parametrize("how", ["shut", "hold"])
def test_everybody_is_told_when_the_broker_goes(broker_url: str, how: str) -> None:
    with Gate(broker_url) as gate:
        link = connect(gate.url, heartbeat_seconds=2)
        link.open()
        inbox = Inbox()
        subscription = inbox.subscribe(link, WORK)
        link.publish_and_wait(FRAMES, KEY, b"1")
        eventually(lambda: inbox.deliveries, SECONDS)
        getattr(gate, how)()
        results: list[bool] = []
        for _ in range(50):
            link.publish_confirmed(FRAMES, KEY, b"x", on_result=results.append)
        eventually(lambda: len(results) == 50, 20)  # pika looks every heartbeat + 5 s
        assert not any(results)
        eventually(lambda: inbox.closed, SECONDS)
        assert subscription.closed
        with pytest.raises(LinkLost):
            link.check()
        dead_calls(link, inbox)
        link.close()


def dead_calls(link: Link, inbox: Inbox) -> None:
    """Nothing blocks or breaks on a link that is lost."""
    inbox.deliveries[0].ack()
    dropped = DROPPED._value.get()
    link.publish(FRAMES, KEY, b"x")
    assert DROPPED._value.get() == dropped + 1
    answers: list[bool] = []
    link.publish_confirmed(FRAMES, KEY, b"x", on_result=answers.append)
    eventually(lambda: answers == [False], SECONDS)
    calls: list[Callable[[], Any]] = [
        lambda: link.declare(WORK),
        lambda: inbox.subscribe(link, WORK),
        lambda: link.publish_and_wait(FRAMES, KEY, b"x"),
    ]
    for call in calls:
        with pytest.raises(LinkLost):
            call()


def test_a_closed_link_answers_everything_that_was_under_way(broker_url: str) -> None:
    link = connect(broker_url)
    link.open()
    link.declare(WORK)
    results: list[bool] = []
    stop = threading.Event()

    def keep_publishing() -> None:
        count = 0
        while not stop.is_set() or count < 100:
            link.publish_confirmed(FRAMES, KEY, b"x", on_result=results.append)
            count += 1
            if count % 100 == 0:
                time.sleep(0.001)
        results_wanted.append(count)

    results_wanted: list[int] = []
    thread = threading.Thread(target=keep_publishing)
    thread.start()
    eventually(lambda: len(results) > 100, SECONDS)
    link.close()
    stop.set()
    thread.join(5)
    eventually(lambda: len(results) == results_wanted[0], SECONDS)
    assert False in results


def test_a_new_link_goes_on_where_the_lost_one_was(broker_url: str) -> None:
    with Gate(broker_url) as gate:
        with connect(gate.url) as link:
            link.declare(WORK)
            publish(link, b"1")
            Inbox().subscribe(link, WORK)
            gate.shut()
            eventually(lambda: link._lost, SECONDS)
        gate.open()
        with connect(gate.url) as link:
            inbox = Inbox()
            seat_taken_after(link, inbox, time.monotonic())
            publish(link, b"2")
            eventually(lambda: inbox.bodies == [b"1", b"2"], SECONDS)


def test_closing_twice_or_unopened_is_no_error(broker_url: str) -> None:
    link = connect(broker_url)
    link.close()
    link.open()
    link.close()
    link.close()
    with pytest.raises(LinkLost):
        link.check()


def test_connections_are_named(link: Link, broker: BrokerService) -> None:
    def names() -> set[str]:
        connections = json.loads(broker.call("GET", "/api/connections"))
        return {each["client_properties"].get("connection_name") for each in connections}

    eventually(lambda: {"test publish", "test consume"} <= names(), 15)


def test_nothing_that_was_confirmed_is_lost_when_the_broker_is_killed(tmp_path: Path) -> None:
    """`running_broker` kills it at the end; here it is killed in between."""
    broker = Broker(tmp_path)
    broker.start()
    try:
        broker.wait_ready()
        link = connect(broker.url)
        link.open()
        link.declare(WORK)
        confirmed: list[int] = []
        refused: list[int] = []

        def heard(number: int, good: bool) -> None:
            (confirmed if good else refused).append(number)

        for number in range(3000):
            body = b"%d" % number
            link.publish_confirmed(FRAMES, KEY, body, on_result=partial(heard, number))
        eventually(lambda: len(confirmed) > 200, 10, every_seconds=0.001)
        broker.kill()
        eventually(lambda: len(confirmed) + len(refused) == 3000, 10)
        link.close()
        broker.start()
        broker.wait_ready()
        with connect(broker.url) as again:
            inbox = Inbox()
            inbox.subscribe(again, WORK, prefetch=5000)
            eventually(lambda: {*map(int, inbox.bodies)} >= {*confirmed}, 10)
            assert inbox.bodies == sorted(inbox.bodies, key=int)
    finally:
        broker.kill()


def test_a_caller_that_gave_up_waiting_leaves_no_seat_behind(
    broker_url: str, other: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gate(broker_url) as gate, connect(gate.url) as link:
        link.declare(SEAT)
        monkeypatch.setattr(link, "declare", lambda _queue: None)
        gate.hold()
        monkeypatch.setattr(Link.wait_for, "__defaults__", (0.5,))
        with pytest.raises(Unavailable):
            Inbox().subscribe(link, SEAT)
        gate.open()
        monkeypatch.undo()
        for _ in range(5):  # so many answers later the consumer would be there
            state = link.declare(SEAT)
        assert state.consumers == 0
        Inbox().subscribe(other, SEAT)
