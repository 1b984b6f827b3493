"""An encoder is well only while the thread that feeds ffmpeg turns, too."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encoder import worker as stage
from encoder.worker import EncoderWorker
from shared.clock import SimulatedClock
from shared.config import from_mapping
from shared.errors import ChildFailed
from shared.health import FRESH_SECONDS, Health
from shared.log import get_logger
from shared.worker import WorkerContext


class NoLink:
    """A session without a broker."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> "NoLink":
        return self

    def __exit__(self, *_: object) -> None: ...

    def check(self) -> None: ...


def test_a_feeding_thread_that_is_stuck_outlives_its_run_in_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is given up and another begins; the process has a thread that hangs all the same."""
    clock = SimulatedClock()
    settings = from_mapping({"live": {"url": tmp_path.as_uri()}})
    context = WorkerContext(settings, "encoder", clock, get_logger(), Health(clock))
    stuck, free = threading.Event(), threading.Event()

    def hang() -> None:
        stuck.set()
        free.wait(60)

    def seats_that_hang(*arguments: Any, **_: object) -> SimpleNamespace:
        loop = arguments[4]("camera-1")
        loop.call(None, hang)
        assert stuck.wait(10)
        clock.advance(settings.broker.heartbeat_seconds)
        context.health.beat()
        clock.advance(1)
        return SimpleNamespace(held={}, scan=lambda: None, release_all=lambda _: None)

    monkeypatch.setattr(stage, "find_program", lambda name: name)
    monkeypatch.setattr(stage, "Link", NoLink)
    monkeypatch.setattr(stage, "CameraSeat", lambda *arguments: arguments[3])
    monkeypatch.setattr(stage, "Seats", seats_that_hang)
    monkeypatch.setattr("encoder.loop.STOP_SECONDS", 0.1)
    with pytest.raises(ChildFailed, match="stuck"):
        EncoderWorker(context).run_once(threading.Event())
    clock.advance(FRESH_SECONDS)
    context.health.beat()
    assert context.health.answer()[0] == 503
    free.set()
