"""The whole line on cameras as they are: RTSP with sound, sound that pauses, codecs not carried."""

import hashlib
import itertools
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import pytest

from deploy.local.status import fetch
from shared.config import ArchiveSettings
from tests.line import Line, decode_counters, line
from tests.rtsp import RtspServer
from tests.starving import starving
from tests.support import eventually
from tests.videos import make_video, read_counter

CAMERA = "camera-1"
ALL = ("ingest", "encoder", "archiver", "analyzer")


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    with RtspServer() as server:
        yield server


def segments(made: Line, camera: str) -> list[Path]:
    lines = made.playlist(camera).splitlines()
    return [made.live / camera / each for each in lines if each and not each.startswith("#")]


def runs_on(numbers: list[int], count: int) -> bool:
    """Whether frame numbers of a looped video of `count` frames follow one another."""
    return all((a + 1) % count == b for a, b in itertools.pairwise(numbers))


def test_an_rtsp_camera_with_sound_is_live_and_archived_frame_by_frame(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, rtsp: RtspServer
) -> None:
    video = tmp_path / "room.mp4"
    make_video(video, size=(1920, 1080), frames_per_second=30, seconds=12)
    camera = {"id": CAMERA, "source": rtsp.mount("room", video)}
    with line(tmp_path, broker_url, archive_settings, [camera]) as made:
        made.start(*ALL)
        sequence = made.until_live(CAMERA)
        for _ in range(9):
            newest = segments(made, CAMERA)[-1]
            with av.open(str(newest), "r") as container:
                assert [stream.type for stream in container.streams] == ["video", "audio"]
            numbers = decode_counters(newest, read_counter)
            assert numbers
            assert runs_on(numbers, 360)
            sequence = made.until_live(CAMERA, beyond=sequence + 1)
        dropped = made.figure("ingest", "cradle_ingest_dropped_packets_total")
        assert dropped == 0, "the first key frame of an RTSP connection has no time, and is kept"
        made.stop("ingest")
        made.until_archived(CAMERA, 30)
        stored = made.stored_counters(CAMERA, read_counter)
        assert runs_on(stored, 360)
        assert len(stored) > 25 * 30
        assert made.archived_counters(CAMERA, read_counter) == stored
        for manifest in made.manifests(CAMERA):
            clip = made.clip(manifest)
            assert manifest.container == "mp4"
            assert manifest.stream.audio_codec == "aac"
            assert hashlib.sha256(clip).hexdigest() == manifest.sha256


def test_sound_that_stops_for_ten_seconds_harms_no_picture(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, rtsp: RtspServer
) -> None:
    video = tmp_path / "room.mp4"
    make_video(video, size=(320, 180), frames_per_second=30, seconds=40)
    camera = {"id": CAMERA, "source": rtsp.mount("room", video)}
    with line(tmp_path, broker_url, archive_settings, [camera]) as made:
        made.start(*ALL)
        sequence = made.until_live(CAMERA)
        with starving() as machine:
            rtsp.stall("room", "audio")
            began = time.monotonic()
            made.until_live(CAMERA, beyond=sequence + 10)
            assert time.monotonic() - began - machine.seconds() < 14
            rtsp.resume("room")
            made.until_live(CAMERA, beyond=made.media_sequence(CAMERA) + 2)
        count = made.figure("encoder", "cradle_encoder_live_delay_seconds_count")
        total = made.figure("encoder", "cradle_encoder_live_delay_seconds_sum")
        assert total / count < 2.0  # left to itself a muxer waits for sound for ten seconds
        made.stop("ingest")
        made.until_archived(CAMERA, 20)
        stored = made.stored_counters(CAMERA, read_counter)
        assert runs_on(stored, 1200)
        assert made.archived_counters(CAMERA, read_counter) == stored


def test_mpeg4_part_2_and_hevc_are_both_live_and_archived(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings
) -> None:
    old, new = tmp_path / "old.avi", tmp_path / "new.mp4"
    make_video(old, size=(320, 240), frames_per_second=25, seconds=8, codec="mpeg4")
    make_video(new, size=(320, 240), frames_per_second=25, seconds=8, codec="hevc")
    cameras = [
        {"id": "old", "source": old.as_uri(), "loop": True},
        {"id": "new", "source": new.as_uri(), "loop": True},
    ]
    with line(tmp_path, broker_url, archive_settings, cameras) as made:
        made.start("ingest", "encoder", "archiver")
        for camera in ("old", "new"):
            made.until_live(camera, 30)
        made.until_live("new", 30, beyond=made.media_sequence("new") + 8)
        for camera in ("old", "new"):
            with av.open(str(segments(made, camera)[-1]), "r") as container:
                assert container.streams.video[0].codec_context.name == "h264"
        made.stop("ingest")
        for camera, codec in (("old", "h264"), ("new", "hevc")):
            made.until_archived(camera, 30)
            stored = made.stored_counters(camera, read_counter)
            assert len(stored) > 200
            assert runs_on(stored, 200)
            assert made.archived_counters(camera, read_counter) == stored
            assert {each.stream.video_codec for each in made.manifests(camera)} == {codec}


def test_workers_that_are_replaced_one_by_one_leave_no_gap_in_live_or_archive(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, rtsp: RtspServer
) -> None:
    video = tmp_path / "room.mp4"
    make_video(video, size=(320, 180), frames_per_second=15, seconds=120)
    camera = {"id": CAMERA, "source": rtsp.mount("room", video)}
    live = {"playlist_segments": 60}
    with (
        starving() as machine,
        line(tmp_path, broker_url, archive_settings, [camera], live=live) as made,
    ):
        made.start("ingest-1", "encoder-1", "archiver-1")
        sequence = made.until_live(CAMERA, beyond=3)
        for leaver, follower in (
            ("encoder-1", "encoder-2"),
            ("ingest-1", "ingest-2"),
            ("archiver-1", "archiver-2"),
            ("encoder-2", "encoder-1"),
        ):
            made.start(follower)
            eventually(partial(fetch, f"http://127.0.0.1:{made.ports[follower]}/healthz"), 60)
            sequence = made.until_live(CAMERA, beyond=sequence + 1)
            assert made.stop(leaver) == {leaver: 0}
            sequence = made.until_live(CAMERA, beyond=sequence + 2)
        shown = [decode_counters(each, read_counter) for each in segments(made, CAMERA)]
        made.stop("ingest-2")
        made.until_archived(CAMERA, 30)
        recorded = made.stored_counters(CAMERA)
        assert made.archived_counters(CAMERA, read_counter) == recorded
        stood_seconds = machine.longest_seconds
    stored = set(recorded)
    assert stored == set(range(min(stored), max(stored) + 1))
    assert all(runs_on(numbers, 120 * 15) for numbers in shown)
    seen = [number for numbers in shown for number in numbers]
    assert set(seen) == set(range(min(seen), max(seen) + 1))
    shown_twice, recorded_twice = len(seen) - len(set(seen)), len(recorded) - len(stored)
    print(f"{recorded_twice} frames were recorded twice, {shown_twice} shown twice")
    assert shown_twice <= recorded_twice, "only while both recorded is anything shown twice"
    assert shown_twice / 15 - stood_seconds < 2
