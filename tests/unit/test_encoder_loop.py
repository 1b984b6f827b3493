"""The loop: calls cross threads, faults stay with their camera, a frozen process drops all."""

import os
import selectors
import threading
from collections.abc import Iterator

import pytest

from encoder import loop as loop_file
from encoder.loop import Loop
from shared.clock import SimulatedClock, SystemClock
from shared.health import FRESH_SECONDS, Health
from shared.log import get_logger


class Work:
    def __init__(self) -> None:
        self.dropped: list[str] = []
        self.ticked = threading.Event()
        self.gone = threading.Event()
        self.fault: Exception | None = None

    def open(self) -> None:
        if self.fault is not None:
            raise self.fault

    def tick(self) -> None:
        self.ticked.set()

    def abandon(self, reason: str) -> None:
        self.dropped.append(reason)
        self.gone.set()


@pytest.fixture
def loop() -> Iterator[Loop]:
    running = Loop(SystemClock(), 10.0, get_logger())
    running.start()
    yield running
    running.stop()


def test_calls_run_in_order_on_one_thread(loop: Loop) -> None:
    seen: list[int] = []
    threads: set[str] = set()
    done = threading.Event()

    def note(number: int) -> None:
        seen.append(number)
        threads.add(threading.current_thread().name)

    for number in range(2000):
        loop.call(None, lambda number=number: note(number))  # type: ignore[misc]
    loop.call(None, done.set)
    assert done.wait(10)
    assert seen == list(range(2000))
    assert threads == {"live"}


def test_a_fault_ends_its_camera_and_no_other(loop: Loop) -> None:
    bad, good = Work(), Work()
    loop.call(None, lambda: loop.add(bad))
    loop.call(None, lambda: loop.add(good))

    def break_off() -> None:
        raise ZeroDivisionError("in this camera")

    loop.call(bad, break_off)
    assert bad.gone.wait(10)
    assert "in this camera" in bad.dropped[0]
    assert good.ticked.wait(10)
    assert good.dropped == []


def test_a_camera_that_cannot_begin_is_dropped(loop: Loop) -> None:
    work = Work()
    work.fault = PermissionError("the folder")
    loop.call(None, lambda: loop.add(work))
    assert work.gone.wait(10)


def test_a_pipe_is_told_of(loop: Loop) -> None:
    read, write = os.pipe()
    told = threading.Event()

    def ready() -> None:
        loop.unwatch(read)
        told.set()

    loop.call(None, lambda: loop.watch(read, selectors.EVENT_READ, Work(), ready))
    os.write(write, b"!")
    assert told.wait(10)
    os.close(read)
    os.close(write)


def test_a_process_that_was_frozen_drops_its_cameras_before_anything_else() -> None:
    clock = SimulatedClock()
    loop = Loop(clock, 10.0, get_logger())
    loop.start()
    work = Work()
    added = threading.Event()
    loop.call(None, lambda: loop.add(work))
    loop.call(None, added.set)
    assert added.wait(10)
    clock.advance(11)
    order: list[str] = []
    done = threading.Event()
    loop.call(work, lambda: order.append(f"after {len(work.dropped)} drops"))
    loop.call(None, done.set)
    assert done.wait(10)
    assert loop.froze.is_set()
    assert work.dropped == ["frozen"]
    assert order == ["after 1 drops"]
    loop.stop()


def test_a_loop_that_is_stuck_makes_its_worker_unwell_until_its_thread_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk of `live.url` hangs: the worker's other thread goes on turning."""
    clock = SimulatedClock()
    loop, health = Loop(clock, 10.0, get_logger()), Health(clock)
    health.follow(loop)
    loop.start()
    stuck, free = threading.Event(), threading.Event()

    def hang() -> None:
        stuck.set()
        free.wait(60)

    loop.call(None, hang)
    assert stuck.wait(10)
    clock.advance(FRESH_SECONDS + 1)
    health.beat()
    assert health.answer()[0] == 503
    with monkeypatch.context() as hasty:
        hasty.setattr(loop_file, "STOP_SECONDS", 0.1)
        assert not loop.stop()
    assert health.answer()[0] == 503
    free.set()
    assert loop.stop()
    assert health.answer()[0] == 200


def test_what_was_dropped_at_the_end_is_seen_off(loop: Loop) -> None:
    """A killed child is gone a moment later: somebody must reap it."""
    read, write = os.pipe()
    seen = threading.Event()

    class Dropped(Work):
        def abandon(self, reason: str) -> None:
            super().abandon(reason)
            loop.watch(read, selectors.EVENT_READ, self, self.see)
            threading.Timer(0.05, os.close, [write]).start()

        def see(self) -> None:
            loop.unwatch(read)
            os.close(read)
            seen.set()

    loop.call(None, lambda: loop.add(Dropped()))
    loop.stop()
    assert seen.is_set()


def test_what_is_left_at_the_end_is_dropped(loop: Loop) -> None:
    work = Work()
    loop.call(None, lambda: loop.add(work))
    loop.stop()
    assert work.dropped == ["the worker stops"]
