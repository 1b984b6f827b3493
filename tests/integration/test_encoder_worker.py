"""Encoder workers on a real broker: seats, hand-over, death and freezing."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from encoder.playlist import Playlist, parse
from shared.config import ArchiveSettings
from shared.link import Link
from shared.messages import Stage
from shared.topology import FRAMES, batch_key, encoder_queue, lost_queue, presence_queue
from tests.line import Line, decode_counters, line, wait_seconds
from tests.starving import starving
from tests.support import children_of, eventually

CAMERAS = ["camera-1", "camera-2"]
SOURCE = "test:320x240@15"
MOST_GAP_SECONDS = 8.0


@pytest.fixture
def house(tmp_path: Path, broker_url: str) -> Iterator[Line]:
    """Two cameras; their playlists hold on to everything."""
    cameras = [{"id": camera, "source": SOURCE} for camera in CAMERAS]
    live = {"playlist_segments": 60}
    archive = ArchiveSettings(secret_key=SecretStr("unused"))  # nothing is archived here
    with line(tmp_path, broker_url, archive, cameras, live=live) as made:
        made.config["broker"]["heartbeat_seconds"] = 3
        yield made


def playlist(house: Line, camera: str) -> Playlist:
    found = parse(house.playlist(camera))
    assert found is not None
    return found


def counters(house: Line, camera: str) -> list[int]:
    """Frame numbers in what is listed."""
    files = [house.live / camera / each.uri for each in playlist(house, camera).segments]
    return [number for file in files for number in decode_counters(file)]


def ffmpeg_of(pid: int) -> list[int]:
    """Process ids of a worker's ffmpeg children."""
    return children_of(pid, "ffmpeg")


def runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_batches_become_live_and_are_acknowledged(house: Line, broker_url: str) -> None:
    house.start("ingest", "encoder")
    for camera in CAMERAS:
        house.until_live(camera)
    assert house.figure("encoder", "cradle_encoder_skipped_batches_total") == 0
    assert house.stop("encoder") == {"encoder": 0}
    with Link(SecretStr(broker_url), "test") as link:
        for camera in CAMERAS:
            link.consume(
                encoder_queue(camera),
                prefetch=1,
                exclusive=True,
                on_delivery=lambda _delivery: None,
                on_closed=lambda _reason: None,
            )  # the seat is free


def test_a_bad_message_goes_to_the_lost_and_stops_nobody(house: Line, broker_url: str) -> None:
    house.start("ingest", "encoder")
    before = house.until_live("camera-1")
    with Link(SecretStr(broker_url), "test") as link:
        link.declare(lost_queue())
        link.publish_and_wait(FRAMES, batch_key("camera-1"), b"\xffnonsense")
        letter = eventually(lambda: link.get(lost_queue()), 10, "the bad message")
        assert letter is not None
        assert letter.body == b"\xffnonsense"
        assert "x-cradle-reason" in letter.headers
        letter.ack()
        house.until_live("camera-1", beyond=before)
        eventually(lambda: link.declare(encoder_queue("camera-1")).messages == 0, 20)
    assert len({each.generation for each in playlist(house, "camera-1").segments}) == 1


def test_a_seat_is_handed_over_in_order(house: Line) -> None:
    house.start("ingest", "encoder")
    for camera in CAMERAS:
        house.until_live(camera)
    first = house.workers["encoder"].pid
    house.start("encoder-2")
    eventually(lambda: len(ffmpeg_of(house.workers["encoder-2"].pid)) == 1, 30, "a fair share")
    eventually(lambda: len(ffmpeg_of(first)) == 1, 30)
    moved = [camera for camera in CAMERAS if "given back" in house.log("encoder")]
    assert moved
    numbers = {camera: house.media_sequence(camera) for camera in CAMERAS}
    for camera in CAMERAS:
        house.until_live(camera, beyond=numbers[camera])
    discontinuities = [
        sum(each.discontinuity for each in playlist(house, camera).segments) for camera in CAMERAS
    ]
    assert sorted(discontinuities) == [1, 2]
    house.stop("encoder", "encoder-2")


def test_a_killed_worker_takes_its_ffmpeg_with_it_and_is_replaced(house: Line) -> None:
    house.start("ingest", "encoder")
    for camera in CAMERAS:
        house.until_live(camera)
    children = ffmpeg_of(house.workers["encoder"].pid)
    assert len(children) == 2
    with starving() as machine:
        house.kill("encoder")
        began = time.monotonic()
        before = {camera: playlist(house, camera) for camera in CAMERAS}
        house.start("encoder-2")
        for camera, old in before.items():
            house.until_live(camera, beyond=old.media_sequence + len(old.segments) - 1)
            new = playlist(house, camera)
            assert new.media_sequence == old.media_sequence
            assert new.segments[: len(old.segments)] == old.segments
            assert new.segments[len(old.segments)].discontinuity
        gap_seconds = time.monotonic() - began
        lost_seconds = machine.seconds(house.workers["encoder-2"].pid)
        assert gap_seconds - lost_seconds < MOST_GAP_SECONDS
    for camera in CAMERAS:
        shown = counters(house, camera)
        assert shown == sorted(set(shown))
    assert not any(runs(child) for child in children)
    leftovers = [each for each in (house.live / "camera-1").iterdir() if each.suffix == ".tmp"]
    assert leftovers == []


def test_a_frozen_worker_wakes_up_without_harm(house: Line, broker_url: str) -> None:
    house.start("ingest", "encoder")
    for camera in CAMERAS:
        house.until_live(camera)
    frozen = house.workers["encoder"].pid
    os.kill(frozen, signal.SIGSTOP)
    house.start("encoder-2")
    for camera in CAMERAS:
        before = playlist(house, camera)
        house.until_live(camera, seconds=30, beyond=before.media_sequence + len(before.segments))
    os.kill(frozen, signal.SIGCONT)
    with Link(SecretStr(broker_url), "test") as link:
        eventually(
            lambda: link.declare(presence_queue(Stage.ENCODER)).consumers == 2, 20, "it is back"
        )
    seen = {camera: playlist(house, camera) for camera in CAMERAS}
    wait_seconds(3)
    for camera, old in seen.items():
        house.until_live(camera, beyond=old.media_sequence + len(old.segments) - 1)
        new = playlist(house, camera)
        assert new.media_sequence == old.media_sequence
        assert new.segments[: len(old.segments)] == old.segments
    eventually(lambda: "frozen" in house.log("encoder"), 20)


def test_a_live_folder_that_cannot_be_is_said_in_one_sentence(house: Line) -> None:
    house.config["live"]["url"] = "file:///dev/null/live"
    house.start("encoder")
    assert house.workers["encoder"].wait(60) == 2
    (line,) = [each for each in house.log("encoder").splitlines() if not each.startswith("{")]
    assert line.startswith("encoder: live.url: /dev/null/live")
