"""Whatever ends `cradle up`, everything is stopped in order."""

import errno
import os
import signal
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.command import up
from deploy.local.house import House
from shared.clock import SystemClock
from shared.config import Settings, from_mapping
from tests.support import SIGNALS

pytestmark = pytest.mark.usefixtures("handlers")


class EmptyHouse(House):
    """A house in which nothing stands: it only notes what is asked of it."""

    def __init__(self, *_: object) -> None:
        self.settings: Settings = from_mapping({})
        self.pages = []
        self._clock = SystemClock()
        self._crew = None
        asked.clear()

    def start(self) -> None:
        asked.append("start")
        blows.pop()()

    def watch(self) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def stop(self) -> None:
        asked.append("stop")


asked: list[str] = []
blows: list[Callable[[], None]] = []


def _run(
    monkeypatch: pytest.MonkeyPatch, blow: Callable[[], None], watch_every_seconds: float
) -> int:
    monkeypatch.setattr(up, "House", EmptyHouse)
    monkeypatch.setattr(up, "LIVE_SECONDS", watch_every_seconds)
    blows.append(blow)
    path = Path("nothing")
    return up.run(Namespace(config=path, data=path, workers="", seconds=None, hung_seconds=60))


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_an_orderly_stop(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    assert _run(monkeypatch, lambda: os.kill(os.getpid(), number), 60.0) == 0
    assert asked == ["start", "stop"]


def test_a_terminal_that_is_gone_is_an_orderly_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "_fall_silent", lambda: asked.append("fall silent"))
    assert _run(monkeypatch, lambda: None, 0.01) == 0
    assert asked == ["start", "fall silent", "stop"]
