"""The live stream of one camera with a real ffmpeg, real fragments and real time."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from encoder import generation as generation_file
from encoder.cursor import LIVE_BUDGET_SECONDS
from encoder.generation import Generation
from encoder.playlist import Segment
from shared.clock import SystemClock
from shared.messages import Batch
from tests.encoder_live import (
    Capture,
    Stand,
    counters_of,
    decode_errors,
    probe,
    settings_of,
    sound_aside_seconds,
    stand,
    stand_beside,
)
from tests.starving import starving
from tests.support import children_of, eventually
from tests.videos import Codec, Videos

MOST_DELAY_SECONDS = 1.8
"""For the first frame of a segment of 1 s: it waits for the next key frame and four frames."""
PATIENCE = 30.0
"""Seconds, on a machine that is busy with other things."""

Hole = tuple[tuple[int, int], tuple[int, int]]
"""Batches that get lost: from (fragment, part) to (fragment, part)."""


@pytest.fixture(autouse=True)
def _time_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """That who does not end in time is killed, is for `test_encoder_succession.py`."""
    monkeypatch.setattr(generation_file, "FLUSH_SECONDS", PATIENCE)


@pytest.fixture
def video(videos: Videos) -> Path:
    return videos(".mp4", seconds=30)


def until_listed(camera: Stand, segments: int, seconds: float = PATIENCE) -> list[Segment]:
    """Wait until so many segments are listed."""
    return eventually(
        lambda: listed if len(listed := camera.segments) >= segments else [],
        seconds,
        f"{segments} segments listed",
    )


def children() -> list[int]:
    """Process ids of the ffmpeg children of this process."""
    return children_of(os.getpid(), "ffmpeg")


def test_every_frame_is_in_exactly_one_segment_and_plays_with_its_sound(
    tmp_path: Path, video: Path
) -> None:
    settings = settings_of(tmp_path)
    with stand(settings) as camera:
        with starving() as machine, Capture(video, settings.frames.root, camera.deliver) as capture:
            until_listed(camera, 1)
            lost_seconds = machine.seconds()
            until_listed(camera, 4)
        delays = [each[1]["delay_seconds"] for each in camera.events if each[0] == "live"]
    fed = sum(batch.frames for batch in capture.batches)
    assert camera.counters() == list(range(fed))
    assert all(letter.acked for letter in camera.letters)
    assert decode_errors(camera.folder) == ""
    assert delays
    assert delays[0] - lost_seconds < MOST_DELAY_SECONDS
    first = camera.folder / camera.segments[0].uri
    assert probe(first)["video"] == ("h264", 30)
    assert probe(first)["audio"][0] == "aac"
    assert probe(first)["audio"][1] >= 40


def test_a_segment_says_when_its_first_frame_was_captured(tmp_path: Path, video: Path) -> None:
    settings = settings_of(tmp_path)
    with stand(settings) as camera:
        with Capture(video, settings.frames.root, camera.deliver) as capture:
            until_listed(camera, 3)
        captured = [batch.captured_at for batch in capture.batches if batch.part == 0]
        segments = camera.segments
    for segment in segments:
        number = counters_of(camera.folder / segment.uri)[0]
        off = segment.captured_at - captured[number // 30]
        assert abs(off.total_seconds()) <= 0.001


def test_hevc_is_shown_as_h264_unless_copies_are_asked_for(tmp_path: Path, videos: Videos) -> None:
    video = videos(".mp4", seconds=10, codec="hevc")
    settings = settings_of(tmp_path)
    with stand(settings) as camera, Capture(video, settings.frames.root, camera.deliver) as capture:
        until_listed(camera, 2)
    fed = sum(batch.frames for batch in capture.batches)
    assert camera.counters() == list(range(fed))
    assert probe(camera.folder / camera.segments[0].uri)["video"] == ("h264", 30)
    assert decode_errors(camera.folder) == ""


def test_a_copy_of_hevc_is_fragmented_mp4_with_the_tag_that_players_know(
    tmp_path: Path, videos: Videos
) -> None:
    video = videos(".mp4", seconds=10, codec="hevc", bframes=2)
    settings = settings_of(tmp_path, video="copy")
    with stand(settings) as camera, Capture(video, settings.frames.root, camera.deliver) as capture:
        until_listed(camera, 2)
    counters = camera.counters()
    assert len(set(counters)) == sum(batch.frames for batch in capture.batches)
    assert counters[:60] == list(range(60))  # the last GOP was cut between reordered frames
    first = camera.segments[0]
    assert first.map_uri == f"{first.generation}/init.mp4"
    found = probe(camera.folder / first.uri)
    assert found["video"] == ("hvc1", 30)
    assert found["audio"][0] == "mp4a"
    assert decode_errors(camera.folder) == ""


def test_a_killed_ffmpeg_is_a_discontinuity_and_not_a_stall(tmp_path: Path, video: Path) -> None:
    settings = settings_of(tmp_path, playlist_segments=20)
    with stand(settings) as camera, Capture(video, settings.frames.root, camera.deliver):
        before = until_listed(camera, 2)
        (child,) = children()
        os.kill(child, signal.SIGKILL)
        after = until_listed(camera, len(before) + 3, seconds=10)
        assert camera.camera.state == "live"
        listed = camera.segments
    assert after[: len(before)] == before
    counters = [number for each in listed for number in counters_of(camera.folder / each.uri)]
    assert counters == list(
        range(len(counters))
    )  # the new one went on where the last segment ended
    assert [each.discontinuity for each in after].count(True) == 2
    assert len({each.generation for each in after}) == 2
    assert decode_errors(camera.folder) == ""


@pytest.mark.parametrize(
    ("codec", "sound", "holes"),
    [
        ("h264", True, [((2, 1), (4, 9))]),
        ("h264", True, [((3, 1), (3, 9))]),  # the end of a fragment: its file tells
        ("h264", False, [((2, 1), (3, 9)), ((4, 1), (4, 9))]),
        ("hevc", True, [((2, 0), (3, 0))]),
    ],
)
def test_lost_batches_are_a_discontinuity_and_cost_no_new_ffmpeg(
    tmp_path: Path, videos: Videos, codec: Codec, sound: bool, holes: list[Hole]
) -> None:
    settings = settings_of(tmp_path, playlist_segments=20, video="copy")
    video = videos(".mp4", seconds=30, codec=codec, audio="aac" if sound else None)
    gap: list[Batch] = []
    fed: list[Batch] = []

    def deliver(batch: Batch) -> None:
        lost = any(begin <= (batch.fragment, batch.part) <= end for begin, end in holes)
        (gap if lost else fed).append(batch)
        if not lost:
            camera.deliver(batch)

    with stand(settings) as camera, Capture(video, settings.frames.root, deliver):
        eventually(lambda: fed and fed[-1].fragment > holes[-1][1][0] + 2, 30, "go on")
        assert len(children()) == 1
    shown = [(each, counters_of(camera.folder / each.uri)) for each in camera.segments]
    assert len({each.generation for each, _ in shown}) == 1
    assert [number for _, numbers in shown for number in numbers] == numbers_of(fed, gap)
    for each, numbers in shown[:-1]:
        assert each.duration_seconds == pytest.approx(len(numbers) / 30, abs=0.002)
    for (before, earlier), (each, later) in pairwise(shown):
        assert each.discontinuity == (later[0] != earlier[-1] + 1)
        missing = timedelta(seconds=(later[0] - earlier[-1] - 1) / 30)
        off = each.captured_at - before.ended_at - missing
        assert abs(off.total_seconds()) <= 0.003
    for each, _ in shown:
        assert sound_aside_seconds(camera.folder / each.uri) < 0.2
    assert sum(each.discontinuity for each, _ in shown) == 1 + len(holes)
    assert decode_errors(camera.folder) == ""


def numbers_of(fed: list[Batch], gap: list[Batch]) -> list[int]:
    """Frame numbers that are shown: of what was fed, except what follows a lost key frame."""
    shown: list[int] = []
    number, whole = 0, True
    for batch in sorted(fed + gap, key=lambda each: (each.fragment, each.part)):
        whole = batch not in gap and (whole or batch.part == 0)
        shown += range(number, number + batch.frames) if whole else []
        number += batch.frames
    return shown


def test_frozen_children_hold_up_no_other_camera(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five are frozen, found stuck, killed, replaced and frozen again, beside one that runs."""
    settings = settings_of(tmp_path, playlist_segments=60)
    frozen: set[int] = set()
    overdue = Generation.overdue

    def soon_overdue(run: Generation) -> str | None:
        """Those beside are found stuck soon; the one that runs has the time that all have."""
        with monkeypatch.context() as patch:
            if run.child.pid != child:
                patch.setattr(generation_file, "SEGMENT_PATIENCE_SECONDS", 1.0)
            return overdue(run)

    with stand(settings) as spared, starving() as machine, ExitStack() as stack:
        stands = [spared]

        def deliver(batch: Batch) -> None:
            for each in stands:
                each.deliver(batch)

        stack.enter_context(Capture(video, settings.frames.root, deliver))
        until_listed(spared, 1)
        (child,) = children()
        monkeypatch.setattr(Generation, "overdue", soon_overdue)
        for number in range(2, 7):
            name = f"camera-{number}"
            (settings.frames.root / name).symlink_to("camera-1")
            beside = stand_beside(settings, SystemClock(), spared.loop, name)
            stands.append(stack.enter_context(beside))

        def freeze_all() -> bool:
            for each in set(children()) - {child} - frozen:
                os.kill(each, signal.SIGSTOP)
                frozen.add(each)
            return len(frozen) >= 10

        eventually(freeze_all, 2 * PATIENCE, "all were replaced")
        until_listed(spared, len(spared.segments) + 2)
        delays = [facts["delay_seconds"] for event, facts in spared.events if event == "live"]
        lost_seconds = machine.seconds()
        assert children()
        for each in stands[1:]:
            each.loop.call(each.camera, partial(each.camera.abandon, "the test ends"))
    assert len({each.generation for each in spared.segments}) == 1
    assert spared.counters() == list(range(len(spared.counters())))
    assert max(delays) - lost_seconds < LIVE_BUDGET_SECONDS
    eventually(lambda: not children(), PATIENCE, "nobody is left behind")


def test_a_restart_goes_on_counting_after_a_discontinuity(tmp_path: Path, video: Path) -> None:
    settings = settings_of(tmp_path, playlist_segments=20)
    holders: list[Stand] = []

    def deliver(batch: Batch) -> None:
        for holder in holders[-1:]:
            holder.deliver(batch)

    with Capture(video, settings.frames.root, deliver):
        with stand(settings) as first:
            holders.append(first)
            before = until_listed(first, 2)
            old = first.playlist
        with stand(settings) as second:
            holders.append(second)
            until_listed(second, len(before) + 2)
            new = second.playlist
    assert old is not None
    assert new is not None
    assert new.media_sequence == old.media_sequence
    assert [each.discontinuity for each in new.segments].count(True) == 2
    assert list(new.segments[: len(before)]) == before


def test_a_frozen_ffmpeg_is_killed_and_replaced(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_file, "SEGMENT_PATIENCE_SECONDS", 2.0)
    settings = settings_of(tmp_path, playlist_segments=20)
    with stand(settings) as camera, Capture(video, settings.frames.root, camera.deliver):
        until_listed(camera, 1)
        (child,) = children()
        os.kill(child, signal.SIGSTOP)
        eventually(lambda: child not in children(), 10, "the frozen ffmpeg is gone")
        until_listed(camera, len(camera.segments) + 2)


def test_sound_that_pauses_does_not_hold_back_the_picture(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silence stands in: a player that was promised sound would wait for it."""
    settings = settings_of(tmp_path, playlist_segments=30)
    listed_at: dict[str, float] = {}

    def all_listed() -> bool:
        segments, now = camera.segments, time.time()
        for each in segments:
            listed_at.setdefault(each.uri, now)
        return len(segments) >= 7

    with (
        stand(settings) as camera,
        starving() as machine,
        Capture(
            video, settings.frames.root, camera.deliver, sound=lambda at: at < 1.5 or at > 4.5
        ) as capture,
    ):
        eventually(all_listed, PATIENCE, "7 segments listed", every_seconds=0.01)
        listed = camera.segments[:7]
        lost_seconds = machine.seconds()
    for each in listed:
        age = listed_at[each.uri] - each.ended_at.timestamp()
        assert age - lost_seconds < 1, f"{each.uri} was held back"
    assert camera.counters() == list(range(sum(batch.frames for batch in capture.batches)))
    assert all(probe(camera.folder / each.uri)["audio"][1] >= 20 for each in camera.segments[:-1])
    assert "ffmpeg said" not in capsys.readouterr().out


def test_sound_that_is_announced_and_comes_later_joins_then(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stereo = tmp_path / "stereo.mp4"  # not what was invented for it
    command = ["ffmpeg", "-v", "error", "-i", str(video), "-c:v", "copy", "-ac", "2", str(stereo)]
    subprocess.run(command, check=True)
    settings = settings_of(tmp_path, playlist_segments=30)
    with stand(settings) as camera:
        with Capture(
            stereo, settings.frames.root, camera.deliver, sound=lambda at: at > 3.5
        ) as capture:
            until_listed(camera, 7)
        segments = camera.segments
    assert camera.counters() == list(range(sum(batch.frames for batch in capture.batches)))
    assert all(probe(camera.folder / each.uri)["audio"][1] >= 4 for each in segments)
    assert len({each.generation for each in segments}) == 2
    assert "ffmpeg said" not in capsys.readouterr().out


def test_a_new_epoch_is_a_new_generation_without_loss(tmp_path: Path, video: Path) -> None:
    settings = settings_of(tmp_path, playlist_segments=30)
    fed: list[int] = []
    with stand(settings) as camera:
        for segments in (2, 3):
            with Capture(video, settings.frames.root, camera.deliver) as capture:
                until_listed(camera, len(camera.segments) + segments)
            fed += range(sum(batch.frames for batch in capture.batches))
    assert camera.counters() == fed
    assert [each.discontinuity for each in camera.segments].count(True) == 2
    assert decode_errors(camera.folder) == ""
