"""A seat passes on all that has come at once: who is behind must see the newest."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from encoder import seat as seat_file
from encoder.loop import Loop
from encoder.places import Stores
from encoder.seat import CameraSeat
from encoder.turns import Turns
from shared.clock import SimulatedClock
from shared.config import Settings
from shared.link import Link
from shared.log import get_logger
from shared.worker import WorkerContext


class BusyLoop:
    """It has no time until the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def call(self, _work: object, callback: Callable[[], None]) -> None:
        self.calls.append(callback)

    def add(self, work: object) -> None: ...

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class FakeCamera:
    def __init__(self, *_: object) -> None:
        self.ended = None
        self.state = "live"
        self.delivered: list[list[object]] = []

    def deliver(self, deliveries: list[object]) -> None:
        self.delivered.append(deliveries)


class Chair:
    """A seat, with nothing behind it."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.camera, self.loop = FakeCamera(), BusyLoop()
        self.taken: dict[str, Any] = {}
        self.seat = take(self.camera, self.loop, self.taken, tmp_path, monkeypatch)


@pytest.fixture
def chair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chair:
    return Chair(tmp_path, monkeypatch)


def take(
    camera: FakeCamera,
    loop: BusyLoop,
    taken: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> CameraSeat:
    clock = SimulatedClock()
    monkeypatch.setattr(seat_file, "Camera", lambda *_: camera)
    context = SimpleNamespace(
        settings=Settings.model_validate({"live": {"url": f"file://{tmp_path}"}}),
        clock=clock,
        log=get_logger(),
        name="encoder",
        tracer=None,
    )
    link = SimpleNamespace(
        consume=lambda _queue, **options: taken.update(options), send_to_lost=lambda *_: None
    )
    return CameraSeat(
        "camera-1",
        cast(WorkerContext, context),
        cast(Link, link),
        cast(Loop, loop),
        Turns(clock),
        Stores(context.settings, clock, get_logger()),
    )


def test_deliveries_that_come_while_the_loop_is_busy_are_passed_on_together(chair: Chair) -> None:
    loop = chair.loop
    loop.turn()
    for number in range(3):
        chair.taken["on_delivery"](number)
    assert len(loop.calls) == 1
    loop.turn()
    chair.taken["on_delivery"](3)
    loop.turn()
    assert chair.camera.delivered == [[0, 1, 2], [3]]


def test_a_seat_says_why_it_waits(chair: Chair) -> None:
    assert chair.seat.state == "live"
    chair.seat._places.folder.obstacle = "live.url: there is no bucket"
    assert chair.seat.state == "starting: live.url: there is no bucket"
