"""The one loop waits for no child, however a run ends. The children are fakes, the pipes real."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from encoder import generation as generation_file
from encoder.folder import LiveFolder
from encoder.generation import FLUSH_SECONDS, SEGMENT_PATIENCE_SECONDS
from encoder.loop import LoopWork
from encoder.succession import LEAVE_SECONDS, Succession
from shared.clock import SimulatedClock
from shared.config import LiveSettings
from shared.identity import fragment_path
from shared.log import get_logger
from shared.messages import Batch, StreamParameters

EPOCH = "0" * 20


class SlowChild:
    """It takes its time to go: whoever asks for more than it can say at once waits for it."""

    made: list["SlowChild"] = []

    def __init__(self, *_: Any, **__: Any) -> None:
        self._input, self.stdin_fd = os.pipe()
        self.stdout_fd, self._output = os.pipe()
        self.exit_fd, self._exit = os.pipe()
        self.closed = self.killed = self.gone = self.reaped = False
        self.words_so_far = "words"
        os.set_blocking(self.stdin_fd, False)
        os.set_blocking(self.stdout_fd, False)
        SlowChild.made.append(self)

    def enlarge_stdin(self, _size: int) -> bool:
        return False

    def close_stdin(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self.stdin_fd)

    def kill(self) -> None:
        self.killed = True

    def poll(self) -> int | None:
        return -9 if self.gone else None

    def stop(self, _patience: float) -> int:
        assert self.gone, "the loop would wait for it"
        self.close_stdin()
        self.reaped = True
        return -9

    def wait(self, _seconds: float) -> int | None:
        raise AssertionError("the loop waits for a child")

    @property
    def last_words(self) -> str:
        raise AssertionError("the loop waits for a child's last words")

    def end_output(self) -> None:
        os.close(self._output)

    def go(self) -> None:
        self.gone = True

    def close(self) -> None:
        for file in (self._input, self.stdout_fd, self._output, self.exit_fd, self._exit):
            with suppress(OSError):
                os.close(file)
        self.close_stdin()


class House:
    """One camera's succession; the test says which descriptors are ready."""

    def __init__(self, root: Path) -> None:
        self.clock = SimulatedClock()
        self.callbacks: dict[int, Callable[[], None]] = {}
        (root / "camera-1").mkdir()
        folder = LiveFolder(root, "camera-1", self.clock)
        settings = LiveSettings.model_validate({"url": f"file://{root}"})
        self.runs = Succession(
            "camera-1",
            self,
            settings,
            folder,
            self,
            lambda _segments: None,
            self.clock,
            get_logger(),
        )

    def open(self) -> None: ...

    def tick(self) -> None: ...

    def abandon(self, reason: str) -> None: ...

    def watch(
        self, descriptor: int, _event: int, _work: LoopWork, callback: Callable[[], None]
    ) -> None:
        assert descriptor not in self.callbacks
        self.callbacks[descriptor] = callback

    def unwatch(self, descriptor: int) -> None:
        self.callbacks.pop(descriptor, None)

    def start(self) -> SlowChild:
        now = datetime(2026, 3, 1, tzinfo=UTC)
        stream = StreamParameters(
            video_codec="h264", width=320, height=240, frames_per_second=30, audio_codec=None
        )
        batch = Batch(
            camera="camera-1",
            epoch=EPOCH,
            fragment=0,
            path=fragment_path("camera-1", EPOCH, 0),
            part=0,
            offset=0,
            bytes=188,
            frames=1,
            captured_at=now,
            written_at=now,
            stream=stream,
        )
        self.runs.start(batch, sound=False)
        return SlowChild.made[-1]

    def end_output(self, child: SlowChild) -> None:
        child.end_output()
        self.callbacks[child.stdout_fd]()

    def go(self, child: SlowChild) -> None:
        child.go()
        self.callbacks[child.exit_fd]()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(generation_file, "Child", SlowChild)
    monkeypatch.setattr(SlowChild, "made", [])
    yield House(tmp_path)
    for child in SlowChild.made:
        child.close()


def finish(house: House, child: SlowChild) -> None:
    house.runs.finish("epoch")
    house.end_output(child)


def finish_without_end(house: House, child: SlowChild) -> None:
    house.runs.finish("epoch")
    house.clock.advance(FLUSH_SECONDS + 0.1)
    house.runs.tick()
    assert child.killed
    house.end_output(child)


def die(house: House, child: SlowChild) -> None:
    house.end_output(child)
    assert child.killed


def be_abandoned(house: House, child: SlowChild) -> None:
    house.runs.abandon()
    assert child.killed


def be_abandoned_while_leaving(house: House, child: SlowChild) -> None:
    finish(house, child)
    house.runs.abandon()


@pytest.mark.parametrize(
    "end", [finish, finish_without_end, die, be_abandoned, be_abandoned_while_leaving]
)
def test_nobody_waits_for_a_child_that_takes_its_time(
    house: House, end: Callable[[House, SlowChild], None]
) -> None:
    child = house.start()
    end(house, child)
    assert not child.reaped
    assert not house.runs.idle
    second = house.start()  # and the next one does not wait either
    house.runs.abandon()
    for each in (child, second):
        house.go(each)
        assert each.reaped
    assert house.runs.idle
    assert house.callbacks == {}


def test_a_child_that_closed_its_output_and_stays_is_killed(house: House) -> None:
    child = house.start()
    finish(house, child)
    house.clock.advance(LEAVE_SECONDS + SEGMENT_PATIENCE_SECONDS)
    house.runs.tick()
    assert child.killed
