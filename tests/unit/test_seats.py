"""Seats: every camera has one worker, the work is shared fairly, and nobody hoards."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from shared.clock import SimulatedClock
from shared.errors import LinkLost, Misconfigured, QueueAway, SeatTaken
from shared.link import QueueState
from shared.log import get_logger
from shared.messages import Stage
from shared.seats import (
    AWAY_SECONDS,
    LEAVING_SECONDS,
    REFUSED_SECONDS,
    SCAN_SECONDS,
    SETTLED_SECONDS,
    SURVEY_SECONDS,
    Seats,
    fair_share,
)
from shared.topology import ingest_seat_queue, presence_queue

CAMERAS = [f"camera-{number}" for number in range(7)]
PRESENCE = presence_queue(Stage.INGEST).name


class Broker:
    """Who consumes what: the part of a broker that seats rest on."""

    def __init__(self) -> None:
        self.consumers: dict[str, set[object]] = {}

    def consume(self, name: str, who: object, exclusive: bool) -> None:
        holders = self.consumers.setdefault(name, set())
        if exclusive and holders:
            raise SeatTaken(name)
        holders.add(who)


class Hold:
    """One consumer; for a seat, also the work."""

    def __init__(self, broker: Broker, name: str, exclusive: bool) -> None:
        broker.consume(name, self, exclusive)
        self.closed = False
        self.reason = ""
        self.is_slow = False
        self._holders = broker.consumers[name]

    def is_ready_to_close(self) -> bool:
        return not self.is_slow

    def close(self, reason: str = "") -> None:
        self.closed, self.reason = True, reason
        self._holders.discard(self)


class Worker:
    """A worker's seats on that broker."""

    def __init__(self, broker: Broker, most: int = 1000) -> None:
        self.broker = broker
        self.taken: list[Hold] = []
        self.link_is_lost = False
        self.clock = SimulatedClock()
        link: Any = self
        self.seats = Seats(
            link,
            Stage.INGEST,
            CAMERAS,
            ingest_seat_queue,
            self._take,
            max_cameras=most,
            clock=self.clock,
            log=get_logger(),
        )

    def check(self) -> None:
        if self.link_is_lost:
            raise LinkLost("the broker is gone")

    def declare(self, queue: Any) -> QueueState:
        return QueueState(0, len(self.broker.consumers.get(queue.name, ())))

    def consume(self, queue: Any, *, exclusive: bool, **_: Any) -> Hold:
        return Hold(self.broker, queue.name, exclusive)

    def _take(self, camera: str) -> Hold:
        hold = Hold(self.broker, ingest_seat_queue(camera).name, exclusive=True)
        self.taken.append(hold)
        return hold

    def settle(self) -> None:
        self.clock.advance(SETTLED_SECONDS)

    def die(self) -> None:
        for holders in self.broker.consumers.values():
            holders -= {*self.seats.held.values(), self.seats._presence}


@given(st.integers(min_value=0, max_value=500), st.integers(min_value=1, max_value=50))
def test_fair_shares_cover_all_cameras_and_no_share_is_larger_than_needed(
    cameras: int, workers: int
) -> None:
    share = fair_share(cameras, workers, 1000)
    assert share * workers >= cameras
    assert (share - 1) * workers < cameras or cameras == 0


def test_a_share_never_exceeds_what_a_worker_may_hold() -> None:
    assert fair_share(100, 1, 10) == 10
    assert fair_share(100, 0, 1000) == 100


@pytest.fixture
def broker() -> Iterator[Broker]:
    found = Broker()
    yield found
    assert all(len(holders) <= 1 for name, holders in found.consumers.items() if name != PRESENCE)


def test_one_worker_takes_every_camera(broker: Broker) -> None:
    worker = Worker(broker)
    worker.seats.scan()
    assert sorted(worker.seats.held) == CAMERAS


def test_a_worker_takes_no_more_than_it_may(broker: Broker) -> None:
    worker = Worker(broker, most=3)
    for _ in range(5):
        worker.seats.scan()
    assert len(worker.seats.held) == 3


@given(st.lists(st.integers(min_value=0, max_value=3), min_size=4, max_size=60))
def test_whatever_the_order_of_scans_the_cameras_end_up_fairly_shared(order: list[int]) -> None:
    broker = Broker()
    workers = [Worker(broker) for _ in range(4)]
    for index in order:
        workers[index].seats.scan()
    for _ in range(len(CAMERAS) + 2):
        for worker in workers:
            worker.settle()
            worker.seats.scan()
    held = [camera for worker in workers for camera in worker.seats.held]
    assert sorted(held) == CAMERAS
    assert max(len(worker.seats.held) for worker in workers) <= math.ceil(len(CAMERAS) / 4)


def test_a_newcomer_gets_its_part_one_camera_a_scan(broker: Broker) -> None:
    first, second = Worker(broker), Worker(broker)
    first.seats.scan()
    second.seats.scan()
    assert not second.seats.held
    first.settle()
    first.seats.scan()
    assert len(first.seats.held) == 6
    for _ in range(5):
        first.seats.scan()
        second.seats.scan()
    assert sorted([len(first.seats.held), len(second.seats.held)]) == [3, 4]


def test_who_has_just_taken_over_gives_nothing_back_to_one_that_is_started_again(
    broker: Broker,
) -> None:
    first, second = Worker(broker), Worker(broker)
    first.seats.scan()
    second.seats.scan()
    first.die()
    second.seats.scan()
    again = Worker(broker)
    again.seats.scan()
    second.clock.advance(SETTLED_SECONDS - 0.1)
    second.seats.scan()
    assert sorted(second.seats.held) == CAMERAS
    second.clock.advance(0.1)
    second.seats.scan()
    assert len(second.seats.held) == len(CAMERAS) - 1


def test_who_waits_for_the_end_of_its_work_takes_over_from_the_dead_meanwhile(
    broker: Broker,
) -> None:
    """ffmpeg may take seconds to write its last segment: nobody else's picture waits for that."""
    first, second = Worker(broker), Worker(broker)
    first.seats.scan()
    second.seats.scan()
    first.settle()
    for hold in first.taken:
        hold.is_slow = True
    for _ in range(3):
        first.seats.scan()
    assert sorted(first.seats.held) == CAMERAS, "one is to be given back, and is not at its end yet"
    assert first.seats.wait_seconds() == LEAVING_SECONDS
    for hold in first.taken:
        hold.is_slow = False
    first.seats.scan()
    assert len(first.seats.held) == len(CAMERAS) - 1
    second.seats.scan()
    (taken,) = second.seats.held
    for hold in first.taken:
        hold.is_slow = True
    first.seats.scan()
    second.die()
    first.seats.scan()
    assert taken in first.seats.held


def test_a_patient_worker_takes_nothing_before_its_time(broker: Broker) -> None:
    worker = Worker(broker)
    worker.seats.be_patient(6.0)
    worker.clock.advance(5.9)
    worker.seats.scan()
    assert not worker.seats.held
    worker.clock.advance(0.1)
    worker.seats.scan()
    assert sorted(worker.seats.held) == CAMERAS


def test_the_seats_of_a_dead_worker_are_taken_over_in_one_scan(broker: Broker) -> None:
    first, second = Worker(broker), Worker(broker)
    first.seats.scan()
    second.seats.scan()
    first.die()
    second.seats.scan()
    assert sorted(second.seats.held) == CAMERAS


def test_work_that_ended_by_itself_gives_its_seat_up_and_is_begun_again(broker: Broker) -> None:
    worker = Worker(broker)
    worker.seats.scan()
    ended = worker.taken[0]
    ended.closed = True  # and yet it still consumes the seat's queue
    worker.seats.scan()
    assert ended.reason
    assert sorted(worker.seats.held) == CAMERAS
    assert len(worker.taken) == len(CAMERAS) + 1


def test_a_seat_lost_in_a_race_is_left_alone(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival, worker = Worker(broker), Worker(broker)
    rival.seats.scan()
    monkeypatch.setattr(worker, "declare", lambda _queue: QueueState(0, 0))
    worker.seats.scan()
    assert not worker.seats.held


def refuse(worker: Worker, monkeypatch: pytest.MonkeyPatch, *cameras: str) -> None:
    """Their queues were made with other arguments."""
    queues = [ingest_seat_queue(camera).name for camera in cameras]
    answer(worker, monkeypatch, Misconfigured("it was made with other arguments"), *queues)


def answer(worker: Worker, monkeypatch: pytest.MonkeyPatch, error: Exception, *queues: str) -> None:
    """What the broker says of these queues."""
    real = worker.declare

    def declare(queue: Any) -> QueueState:
        if queue.name in queues:
            raise error
        return real(queue)

    monkeypatch.setattr(worker, "declare", declare)


def test_a_camera_that_the_broker_refuses_keeps_nobody_from_the_others(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(broker)
    with monkeypatch.context() as patch:
        refuse(worker, patch, CAMERAS[3])
        worker.seats.scan()
        assert worker.seats.held.keys() == {*CAMERAS} - {CAMERAS[3]}
    worker.seats.scan()
    assert CAMERAS[3] not in worker.seats.held, "it is left alone for a while"
    worker.clock.advance(REFUSED_SECONDS)
    worker.seats.scan()
    assert worker.seats.held.keys() == {*CAMERAS}


def test_where_the_broker_refuses_every_camera_a_person_must_act(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(broker)
    refuse(worker, monkeypatch, *CAMERAS)
    with pytest.raises(Misconfigured, match="other arguments"):
        worker.seats.scan()


def test_cameras_whose_queues_are_on_a_node_that_is_away_are_waited_for_and_no_others(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(broker)
    away = [*CAMERAS[:3]]
    with monkeypatch.context() as patch:
        queues = [ingest_seat_queue(camera).name for camera in away]
        answer(worker, patch, QueueAway("a node of the broker is away"), *queues)
        worker.seats.scan()
        assert worker.seats.held.keys() == {*CAMERAS} - {*away}
        assert figure("unowned_cameras") == len(away)
    worker.clock.advance(AWAY_SECONDS)
    worker.seats.scan()
    assert worker.seats.held.keys() == {*CAMERAS}


def test_with_every_queue_away_nobody_has_to_act(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(broker)
    queues = [ingest_seat_queue(camera).name for camera in CAMERAS]
    answer(worker, monkeypatch, QueueAway("a node of the broker is away"), *queues)
    worker.seats.scan()
    assert not worker.seats.held


@pytest.mark.parametrize("most", [1000, 1], ids=["wants all", "has enough"])
def test_however_many_queues_say_nothing_a_scan_is_soon_over_and_the_next_goes_on(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Or the worker's loop stands still, and takes its own process for frozen."""
    worker, silence_seconds = Worker(broker, most), 0.75
    if most == 1:
        worker.seats.scan()
    away = QueueAway("a node of the broker is away")
    asked: set[str] = set()

    def declare(queue: Any) -> QueueState:
        if queue.name == PRESENCE:
            return QueueState(0, 1)
        if queue.name not in asked:  # then the link knows it
            worker.clock.advance(silence_seconds)
        asked.add(queue.name)
        raise away

    monkeypatch.setattr(worker, "declare", declare)
    worker.clock.advance(SURVEY_SECONDS)
    free = {ingest_seat_queue(camera).name for camera in CAMERAS if camera not in worker.seats.held}
    scans = 0
    while asked != free:
        scans, began = scans + 1, worker.clock.monotonic()
        worker.seats.scan()
        assert worker.clock.monotonic() - began < SCAN_SECONDS + silence_seconds
    assert scans == math.ceil(len(free) / math.ceil(SCAN_SECONDS / silence_seconds))


def test_while_nobody_can_be_counted_the_shares_stay_as_they_were(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, other = Worker(broker), Worker(broker)
    other.seats.scan()
    for each in (worker, other, worker, other, worker, other, worker):
        each.settle()
        each.seats.scan()
    share = len(worker.seats.held)
    assert 0 < share < len(CAMERAS)
    other.die()
    answer(worker, monkeypatch, QueueAway("a node of the broker is away"), PRESENCE)
    worker.settle()
    worker.seats.scan()
    assert len(worker.seats.held) == fair_share(len(CAMERAS), 2, 1000)


def test_giving_everything_back_leaves_no_presence(broker: Broker) -> None:
    worker = Worker(broker)
    worker.seats.scan()
    worker.seats.release_all("it is over")
    assert not worker.seats.held
    assert {hold.reason for hold in worker.taken} == {"it is over"}
    assert not any(broker.consumers.values())


def test_a_lost_link_ends_nobodys_work(broker: Broker) -> None:
    worker = Worker(broker)
    worker.seats.scan()
    worker.link_is_lost = True
    for hold in worker.taken:
        hold.closed = True  # a subscription is closed with its link
    with pytest.raises(LinkLost):
        worker.seats.scan()
    assert sorted(worker.seats.held) == CAMERAS
    assert {hold.reason for hold in worker.taken} == {""}


def test_a_lost_presence_is_renewed(broker: Broker) -> None:
    worker = Worker(broker)
    worker.seats.scan()
    (presence,) = broker.consumers[PRESENCE]
    assert isinstance(presence, Hold)
    presence.close()
    worker.seats.scan()
    assert len(broker.consumers[PRESENCE]) == 1


def figure(name: str) -> float | None:
    return REGISTRY.get_sample_value(f"cradle_seats_{name}", {"stage": "ingest"})


def test_cameras_beyond_what_a_worker_may_hold_are_counted_and_their_time_without_anybody(
    broker: Broker,
) -> None:
    worker = Worker(broker, most=3)
    worker.seats.scan()
    assert (figure("held_cameras"), figure("unowned_cameras")) == (3, 4)
    assert figure("unowned_oldest_seconds") == 0
    worker.clock.advance(31)
    worker.seats.scan()
    assert figure("unowned_oldest_seconds") == 31
    other = Worker(broker)
    other.seats.scan()
    assert figure("held_cameras") == 4
    worker.clock.advance(SURVEY_SECONDS)
    worker.seats.scan()
    assert figure("unowned_cameras") == 0, "somebody else has them"
    assert figure("unowned_oldest_seconds") == 0


def test_who_wants_no_camera_looks_at_the_others_only_now_and_then(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(broker, most=3)
    worker.seats.scan()
    looked: list[str] = []
    real = worker.declare

    def declare(queue: Any) -> QueueState:
        looked.append(queue.name)
        return real(queue)

    monkeypatch.setattr(worker, "declare", declare)
    worker.clock.advance(SURVEY_SECONDS - 0.1)
    worker.seats.scan()
    assert looked == [PRESENCE]
    worker.clock.advance(0.1)
    worker.seats.scan()
    assert len(looked) == 2 + len(CAMERAS) - 3


def test_a_camera_that_the_broker_refuses_has_nobody_until_it_is_mended(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(broker)
    with monkeypatch.context() as patch:
        refuse(worker, patch, CAMERAS[3])
        worker.seats.scan()
        worker.clock.advance(12)
        worker.seats.scan()
        assert (figure("unowned_cameras"), figure("unowned_oldest_seconds")) == (1, 12)
    worker.clock.advance(REFUSED_SECONDS)
    worker.seats.scan()
    assert (figure("unowned_cameras"), figure("unowned_oldest_seconds")) == (0, 0)


def test_who_has_given_everything_back_says_nothing_of_any_camera(broker: Broker) -> None:
    worker = Worker(broker, most=3)
    worker.seats.scan()
    worker.seats.release_all("it is over")
    assert (figure("held_cameras"), figure("unowned_cameras")) == (0, 0)
    assert figure("configured_cameras") == len(CAMERAS), "by which workers are counted"


def test_scans_are_jittered_about_a_second() -> None:
    waits = {Worker(Broker()).seats.wait_seconds() for _ in range(50)}
    assert min(waits) >= 0.8
    assert max(waits) <= 1.2
    assert len(waits) > 40
