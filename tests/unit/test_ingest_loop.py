"""A looped file: one epoch whose seams cannot be seen, wherever it is stopped, however late."""

import threading
from itertools import pairwise
from pathlib import Path

import pytest

from ingest.demuxed import DemuxedFeed
from ingest.timeline import TICKS
from shared.clock import SimulatedClock
from shared.log import get_logger
from shared.messages import Fragment
from shared.transport import frame_offsets, frame_time
from tests.ingest_studio import Studio, camera_settings
from tests.videos import Videos

RATE = 30
FRAMES = 45
"""Of the file: a whole group of pictures and half a one."""
TURNS = 4


class Machine(threading.Event):
    """A stop whose waits turn the clock, and which is set after so many of them.

    With `late_seconds`, now and then it sleeps longer than it was asked to, as under load.
    """

    def __init__(self, clock: SimulatedClock, waits: int, late_seconds: float = 0.0) -> None:
        super().__init__()
        self._clock = clock
        self._late_seconds = late_seconds
        self._left = waits

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        self._clock.advance((timeout or 0.0) + (self._late_seconds if self._left % 10 == 0 else 0))
        if self._left <= 0:
            self.set()
        return self.is_set()


def loop(folder: Path, video: Path, waits: int, late_seconds: float = 0.0) -> Studio:
    """Record a looped file until so many frames were waited for."""
    clock = SimulatedClock()
    with Studio(folder, clock) as studio:
        camera = camera_settings(video.as_uri(), loop=True)
        machine = Machine(clock, waits, late_seconds)
        studio.carry(DemuxedFeed(camera, clock, machine, get_logger()))
        studio.check()
        return studio


def times(studio: Studio, fragment: Fragment) -> list[int]:
    data = studio.bytes_of([fragment])
    found = [frame_time(data, int(offset)) for offset in frame_offsets(data)]
    return [each for each in found if each is not None]


@pytest.mark.parametrize("late_seconds", [0.0, 2.5])
@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize(("codec", "bframes"), [("h264", 0), ("h264", 2), ("hevc", 2)])
def test_at_a_seam_the_next_frame_comes_one_frame_later(
    tmp_path: Path, videos: Videos, codec: str, bframes: int, suffix: str, late_seconds: float
) -> None:
    video = videos(suffix, seconds=FRAMES / RATE, size=(160, 90), codec=codec, bframes=bframes)
    studio = loop(tmp_path, video, 40 if late_seconds else TURNS * FRAMES, late_seconds)
    assert len(studio.ends) == 1
    whole = studio.fragments[:-1]  # the last one is cut where the machine stopped
    assert len(whole) > 2 * TURNS - 2
    shown = sorted(each for fragment in whole for each in times(studio, fragment))
    assert {b - a for a, b in pairwise(shown)} == {TICKS // RATE}
    numbers = [number for each in whole for number in studio.counters_of(each)]
    assert numbers == [number % FRAMES for number in range(len(numbers))]


@pytest.mark.parametrize("more", range(6))
def test_a_stop_in_mid_group_costs_at_most_the_b_frames_of_its_last_frame(
    tmp_path: Path, videos: Videos, more: int
) -> None:
    """They come after the frame that is shown after them: only the end may have a gap."""
    video = videos(seconds=FRAMES / RATE, size=(160, 90), bframes=2)
    studio = loop(tmp_path, video, FRAMES + 10 + more)
    shown = sorted(each for fragment in studio.fragments for each in times(studio, fragment))
    assert len(shown) == FRAMES + 10 + more
    assert {b - a for a, b in pairwise(shown[:-2])} == {TICKS // RATE}
