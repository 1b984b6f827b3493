"""A broker of three nodes that loses one: what waits for the archive goes on, the rest waits.

On the RabbitMQ that is installed, in containers or not: a cluster is not what testcontainers makes.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.clock import SystemClock
from shared.config import ArchiveSettings
from shared.errors import LinkLost, NotConfirmed, QueueAway, Unavailable
from shared.health import FRESH_SECONDS
from shared.link import CLOSE_TIMEOUT_SECONDS, IMPATIENT_SECONDS, Delivery, Link
from shared.messages import Event, Stage
from shared.topology import (
    EVENTS,
    FRAMES,
    ArchiveQueue,
    Queue,
    archiver_queue,
    archiver_seat_queue,
    fragment_key,
    ingest_seat_queue,
    presence_queue,
    viewer_queue,
)
from tests.archiver_fragments import CAMERA, footage
from tests.archiver_room import ProcessWorker, Room, eventually
from tests.cluster import START_SECONDS, Node, running_cluster
from tests.gate import Gate
from tests.starving import starving
from tests.support import connections_to, no_search_for_cycles
from tests.viewer_house import viewing

QUORUM = ArchiveQueue.QUORUM
Nodes = tuple[Node, Node, Node]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


def restart(node: Node) -> None:
    node.start()
    node.wait_ready(START_SECONDS)


def is_confirmed(link: Link, key: str, body: bytes) -> bool:
    """As ingest's outbox: what the broker does not confirm is sent again."""
    try:
        link.publish_and_wait(FRAMES, key, body)
    except LinkLost:
        raise
    except Unavailable:
        return False
    return True


def test_with_the_leader_of_a_quorum_queue_nothing_is_lost_and_the_order_stays(
    nodes: Nodes,
) -> None:
    one, two, _three = nodes
    queue = archiver_queue("camera-of-its-own", QUORUM)
    key = fragment_key("camera-of-its-own")
    bodies = [b"%d" % number for number in range(300)]
    with Link(SecretStr(one.url), "first") as link:
        link.declare(queue)  # here, so here is its leader
    with Link(SecretStr(two.url), "second") as link:
        # The first word must not fall into the loss of the leader: 3.10.8 then refuses all that a
        # channel says, until that node is back (its rabbit_fifo_client asks that node alone).
        for body in bodies[:150]:
            link.publish_and_wait(FRAMES, key, body)
        inbox: list[Delivery] = []
        link.consume(
            queue,
            prefetch=1000,
            exclusive=False,
            on_delivery=inbox.append,
            on_closed=lambda _reason: None,
        )
        eventually(lambda: len(inbox) == 150)
        inbox[99].ack_up_to()
        one.kill()
        try:
            for body in bodies[150:]:
                eventually(partial(is_confirmed, link, key, body), 60)
            eventually(lambda: len({each.body for each in inbox}) == len(bodies))
            link.check()
        finally:
            restart(one)
    assert list(dict.fromkeys(each.body for each in inbox)) == bodies, "some may come twice"


def answers(link: Link, queue: Queue) -> bool:
    try:
        link.declare(queue)
    except QueueAway:
        return False
    return True


def test_queues_that_say_nothing_are_away_and_hold_up_nobody_for_long(nodes: Nodes) -> None:
    """RabbitMQ 4.3 says nothing for 65 s of each queue on a lost node; here the node is frozen."""
    one, _two, three = nodes
    silent = [ingest_seat_queue(f"silent-{number}") for number in range(24)]
    other = ingest_seat_queue("answers")
    with Link(SecretStr(three.url), "there") as link:
        for queue in silent:
            link.declare(queue)
    with Link(SecretStr(one.url), "here") as link:
        link.declare(other)
        with starving() as machine:
            os.kill(three.pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                assert {answers(link, queue) for queue in silent} == {False}
                assert answers(link, other)
                first = time.monotonic() - began - machine.seconds()
                began, lost = time.monotonic(), machine.seconds()
                assert {answers(link, queue) for queue in silent} == {False}
                second = time.monotonic() - began - (machine.seconds() - lost)
                link.check()
            finally:
                os.kill(three.pid, signal.SIGCONT)
        assert first < FRESH_SECONDS, "a worker's loop has hung when it has not turned for so long"
        assert second < 1, "they are not asked again before they have answered"
        eventually(lambda: {answers(link, queue) for queue in silent} == {True}, 60)
        os.kill(three.pid, signal.SIGSTOP)
        threading.Timer(0.8, os.kill, (three.pid, signal.SIGCONT)).start()
        assert answers(link, silent[0]), "it has its time again"


def test_a_queue_that_owes_an_answer_holds_up_no_farewell(nodes: Nodes) -> None:
    """Its channel cannot be closed before; what others hold is given back all the same."""
    one, two, three = nodes
    silent, seat = ingest_seat_queue("owes"), ingest_seat_queue("held")
    with Link(SecretStr(three.url), "there") as there:
        there.declare(silent)
    with (
        Link(SecretStr(two.url), "next") as other,
        no_search_for_cycles(),
        Link(SecretStr(one.url), "here") as link,
    ):
        take(link, seat)
        os.kill(three.pid, signal.SIGSTOP)
        try:
            assert not answers(link, silent)
            began = time.monotonic()
            link.close()
            assert time.monotonic() - began < CLOSE_TIMEOUT_SECONDS / 2
            assert connections_to(one.url) == 0
            take(other, seat)
        finally:
            os.kill(three.pid, signal.SIGCONT)


def take(link: Link, seat: Queue) -> None:
    link.consume(
        seat, prefetch=1, exclusive=True, on_delivery=Delivery.ack, on_closed=lambda _reason: None
    )


def test_a_broker_that_grows_slow_when_a_node_is_lost_gets_its_whole_time(nodes: Nodes) -> None:
    one, _two, three = nodes
    silent, other = ingest_seat_queue("silent"), ingest_seat_queue("late")
    with Link(SecretStr(three.url), "there") as link:
        link.declare(silent)
    with Gate(one.url) as gate, Link(SecretStr(gate.url), "here") as link:
        link.declare(other)
        os.kill(three.pid, signal.SIGSTOP)
        try:
            assert not answers(link, silent)
            open_before = channels(link)
            gate.delay_seconds = IMPATIENT_SECONDS / 3
            for _ in range(3):  # the answer comes in time, and is read too late: a starved machine
                hold = partial(threading.Event().wait, 2 * IMPATIENT_SECONDS)
                threading.Timer(gate.delay_seconds, link.call_soon, (hold,)).start()
                assert answers(link, other)
            assert channels(link) == open_before
            gate.delay_seconds = IMPATIENT_SECONDS
            assert answers(link, other), "neither its queue nor the broker is away"
        finally:
            os.kill(three.pid, signal.SIGCONT)


def channels(link: Link) -> int:
    return len(link._connections["consume"]._channels)


def test_what_a_queue_on_a_lost_node_should_have_is_told_from_a_lost_broker(nodes: Nodes) -> None:
    """3.10 soon routes past such a queue and confirms, 4.3 does not."""
    one, _two, three = nodes
    with Link(SecretStr(three.url), "there") as link:
        link.declare(viewer_queue("there"))
    with Link(SecretStr(one.url), "here") as link:
        three.kill()
        try:
            with suppress(NotConfirmed):
                link.publish_and_wait(EVENTS, "archiver.any.stored", b"{}")
            link.check()
        finally:
            restart(three)


def test_a_page_whose_queue_is_on_a_lost_node_hears_of_everything_from_another(
    nodes: Nodes, tmp_path: Path, archive_settings: ArchiveSettings
) -> None:
    one, _two, three = nodes
    with Link(SecretStr(three.url), "elsewhere") as link:
        link.declare(viewer_queue("page"))
    event = Event(
        stage=Stage.INGEST,
        worker="ingest-1",
        camera=CAMERA,
        event="offline",
        at=SystemClock().now(),
        detail={"reason": "it was unplugged"},
    )

    def last_error() -> bool:
        with suppress(NotConfirmed):
            link.publish_and_wait(EVENTS, event.routing_key, event.to_body())
        return bool(boss.get("/api/system")["cameras"][0]["last_error"] == "it was unplugged")

    three.kill()
    try:
        with (
            viewing(tmp_path, one.url, archive_settings, name="page") as viewer,
            Link(SecretStr(one.url), "test") as link,
        ):
            boss = viewer.person("boss")
            eventually(last_error, 30)
    finally:
        restart(three)


def have_grown(now: list[int], before: list[int]) -> bool:
    return all(later > earlier + 5 for later, earlier in zip(now, before, strict=True))


def test_with_the_node_of_a_seat_gone_the_camera_is_recorded_on_and_every_reference_arrives(
    nodes: Nodes, tmp_path: Path, archive_settings: ArchiveSettings
) -> None:
    one, _two, three = nodes
    secret = archive_settings.secret_key.get_secret_value()
    cameras = ["lives-elsewhere", "lives-here"]
    queues = [archiver_queue(camera, QUORUM) for camera in cameras]
    seat = ingest_seat_queue(cameras[0])
    with Link(SecretStr(three.url), "elsewhere") as link:
        for queue in (seat, presence_queue(Stage.INGEST)):
            link.declare(queue)
    config = {
        "broker": {"url": one.url, "archive_queue": QUORUM.value},
        "frames": {"url": (tmp_path / "frames").as_uri()},
        "archive": {**archive_settings.model_dump(exclude_unset=True), "secret_key": secret},
        "metrics": {"port": 0},
        "cameras": [{"id": camera, "source": "test:160x90@10"} for camera in cameras],
    }
    file = tmp_path / "cradle.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    log = tmp_path / "ingest.log"
    with Link(SecretStr(one.url), "test") as link, log.open("wb") as output:

        def told() -> list[int]:
            return [link.declare(queue).messages for queue in queues]

        ingest = subprocess.Popen(
            [sys.executable, "-m", "ingest", "--config", str(file)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually(lambda: min(told()) > 0, 60)
            three.kill()
            try:
                eventually(lambda: b"seat.away" in log.read_bytes(), 60)
                before = told()
                eventually(lambda: have_grown(told(), before), 60)
            finally:
                restart(three)
            eventually(lambda: link.declare(seat).consumers == 1, 60)
        finally:
            ingest.terminate()
            assert ingest.wait(60) == 0
    said = log.read_bytes()
    assert b"ingest.session" not in said, "one queue is not the broker"
    epochs = [sorted((tmp_path / "frames" / camera).glob("*/index.jsonl")) for camera in cameras]
    assert [len(each) for each in epochs] == [1, 1], "no recording was interrupted"


def test_a_seat_on_a_lost_node_is_waited_out_and_what_came_meanwhile_is_archived(
    nodes: Nodes, tmp_path: Path, archive_settings: ArchiveSettings
) -> None:
    one, _two, three = nodes
    source = footage(tmp_path, 12)
    seat = archiver_seat_queue(CAMERA, QUORUM)
    with Link(SecretStr(three.url), "elsewhere") as link:
        link.declare(seat)
    with Link(SecretStr(one.url), "test") as link:
        room = Room(tmp_path, one.url, archive_settings, link, QUORUM)
        room.frames.mkdir()
        room.start()
        recorded = room.record(source)
        other = ingest_seat_queue(CAMERA)
        link.declare(other)
        with ProcessWorker(room) as worker:
            eventually(lambda: worker.lines("seat.taken"))
            room.publish(*recorded.fragments[:8])
            eventually(lambda: len(room.ranges()) == 1)
            three.kill()
            eventually(lambda: worker.lines("seat.away"))
            with pytest.raises(QueueAway):
                link.declare(seat)
            link.declare(other)
            room.publish(*recorded.fragments[8:], recorded.end())
            restart(three)
            eventually(lambda: room.holds_exactly(recorded), 60)
            eventually(lambda: room.waiting == 0)
            assert not worker.lines("worker.interrupted"), "one queue is not the broker"
