"""The bench's own yardstick on real parts: every frame that its cameras send is found and timed."""

import subprocess
from pathlib import Path

import pytest

from shared.child import find_program
from tests.bench import footage
from tests.bench.mark import marks_in
from tests.bench.measure import Cameras, Plan, measure
from tests.bench.plain_ffmpeg import PlainFfmpeg


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("footage") / "footage.mp4"
    footage.encode(path, 2)
    return path


def test_footage_is_what_the_page_says(film: Path) -> None:
    made = footage.load(film)
    assert made.key_frames == {0, 30}
    assert 3.5e6 < made.bits_per_second < 5e6
    assert all(len(units) == 1 for units in made.frames[1:])


def test_marks_are_read_alike_from_segments_and_recordings(film: Path, tmp_path: Path) -> None:
    """Out of a transport stream by hand, key frames with their parameter sets included."""
    plan = Plan(1, 2, 2, 0.0, film, tmp_path)
    cameras = Cameras(plan)
    cameras.start()
    try:
        names = [str(tmp_path / name) for name in ("o.ts", "o.mp4")]
        command = [find_program("ffmpeg"), "-v", "error", "-rtsp_transport", "tcp", "-t", "3"]
        command += ["-i", cameras.sources[0], "-map", "0", "-c", "copy", names[0]]
        subprocess.run([*command, "-map", "0", "-c", "copy", names[1]], check=True)
    finally:
        cameras.kill()
    segment, recording = (list(marks_in(Path(name))) for name in names)
    assert segment == recording
    assert len(segment) == 90
    assert [mark.number for mark in segment] == list(
        range(segment[0].number, segment[-1].number + 1)
    )


def test_every_frame_is_found_once_in_live_and_recordings(film: Path, tmp_path: Path) -> None:
    """The footage is played more than once, and recordings are cut in the measured time."""
    folder = tmp_path / "round"
    plan = Plan(2, 4, 2, 0.0, film, folder)
    done = measure(plan, [PlainFfmpeg(folder / "ffmpeg", 2)], lambda _: None)
    (result,) = done.results
    for each in (result.live, result.recorded):
        assert (each.lost, each.repeated) == (0, 0)
        assert each.expected == pytest.approx(2 * 30 * result.seconds, abs=10)
    assert result.seconds >= plan.seconds
    assert 0.9 < result.segment_seconds < 1.1
    # A frame waits for the end of its segment, so half a second in the mean and more than none.
    assert 0.3 < result.delay.median < 5
    assert result.delay.p95 > 0.8
    assert result.cpu["ffmpeg"].total > 0
    assert result.memory_bytes > 2**20
    assert done.conditions.cameras_cpu > 0
