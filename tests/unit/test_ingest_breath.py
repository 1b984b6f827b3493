"""Pauses between reads end when the first frames of the next fragment are there."""

import pytest

from ingest.breath import AWAITED_FRAMES, LONGEST_SECONDS, UNSURE_SECONDS, Breath
from ingest.timeline import TICKS

RATE = 30
SOURCE_SECONDS = 5_000.0  # the source's clock has nothing to do with the machine's


class Camera:
    """Sends frames at its pace; they wait on the way until they are taken up."""

    def __init__(self, gop_frames: int, *, late_seconds: float = 0.0) -> None:
        self.breath = Breath(RATE)
        self.pauses: list[float] = []
        self.read_at: dict[int, float] = {}
        """When each frame was taken up."""
        self._gop_frames = gop_frames
        self._late_seconds = late_seconds
        self._next = 0

    def arrives_at(self, frame: int) -> float:
        return 100.0 + frame / RATE + self._late_seconds

    def play(self, seconds: float) -> None:
        """As `DemuxedFeed` does it: all that is there, then the next, then a pause."""
        now = 100.0
        while now < 100.0 + seconds:
            waited = False
            while not waited:
                waited = self.arrives_at(self._next) > now
                now = max(now, self.arrives_at(self._next))
                ticks = round((SOURCE_SECONDS + self._next / RATE) * TICKS)
                self.breath.took(ticks, self._next % self._gop_frames == 0, now)
                self.read_at[self._next] = now
                self._next += 1
            pause = self.breath.pause_seconds(now)
            self.pauses.append(pause)
            now += pause

    def waits_of_first_batches(self) -> list[float]:
        """How long the frame that lets out a fragment's first batch lay unread."""
        awaited = AWAITED_FRAMES - 1
        return [
            at - self.arrives_at(frame)
            for frame, at in self.read_at.items()
            if frame % self._gop_frames == awaited and frame > 2 * self._gop_frames
        ]


@pytest.mark.parametrize("gop_frames", [15, 30, 50, 120])
def test_the_first_batch_of_a_fragment_waits_for_less_than_a_frame(gop_frames: int) -> None:
    camera = Camera(gop_frames)
    camera.play(20)
    waits = camera.waits_of_first_batches()
    assert len(waits) >= 3
    assert max(waits) <= 1 / RATE


def test_a_second_of_a_camera_takes_few_reads() -> None:
    camera = Camera(30)
    camera.play(20)
    assert len(camera.pauses) <= 7 * 20


def test_no_pause_is_so_long_that_a_kill_would_cost_more_than_promised() -> None:
    for gop_frames in (10, 30, 300):
        camera = Camera(gop_frames)
        camera.play(30)
        assert 0 <= max(camera.pauses) <= LONGEST_SECONDS


def test_before_the_first_key_frame_there_is_no_pause() -> None:
    breath = Breath(RATE)
    breath.took(90_000, False, 10.0)
    assert breath.pause_seconds(10.0) == 0


def test_an_overdue_key_frame_is_looked_for_ten_times_a_second() -> None:
    camera = Camera(30)
    camera.play(5)
    assert camera.breath.pause_seconds(110.0) == UNSURE_SECONDS


def test_packets_without_times_are_looked_at_ten_times_a_second() -> None:
    breath = Breath(0)
    breath.took(None, True, 10.0)
    assert breath.pause_seconds(10.0) == 0
    breath.took(90_000, True, 10.1)
    for number in range(AWAITED_FRAMES):
        breath.took(None, False, 10.2 + number / 25)
    assert breath.pause_seconds(20.0) == UNSURE_SECONDS
