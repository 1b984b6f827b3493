"""Stages that share no disk: frames and live in buckets, each worker on a disk of its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.handover import HANDED_OVER
from shared.config import ArchiveSettings
from tests.line import Line, line
from tests.services import StoreService
from tests.support import eventually

CAMERA = "camera-1"
GENERATED = {"id": CAMERA, "source": "test:320x180@30"}
SECONDS = 40
Places = dict[str, dict[str, str]]


@pytest.fixture
def places(store_service: StoreService, archive_settings: ArchiveSettings) -> Iterator[Places]:
    """Sections with buckets of their own: the archive's, which is fresh, and one for live."""
    with store_service.bucket() as live:
        yield {
            "frames": {"url": f"s3://{archive_settings.bucket}/frames"},
            "live": {"url": f"s3://{live.bucket}"},
        }


def until_fragments(made: Line, count: int) -> None:
    eventually(lambda: len(made.fragments(CAMERA)) >= count, SECONDS, f"{count} fragments")


def test_every_frame_is_in_the_clips_exactly_once_though_all_change_hosts(
    tmp_path: Path,
    broker_url: str,
    archive_settings: ArchiveSettings,
    places: Places,
) -> None:
    with line(tmp_path, broker_url, archive_settings, [GENERATED], **places) as made:
        made.start("ingest-1", "encoder-1", "archiver-1", "analyzer-1")
        seen = made.until_live(CAMERA, SECONDS)
        until_fragments(made, 6)
        assert sorted(made.frames.glob("spool-ingest-1/frames/*/*/*.ts"))  # the open one only
        assert not made.live.exists()

        made.kill("ingest-1", "encoder-1", "archiver-1")  # the machine is gone; others go on
        before = made.fragments(CAMERA)
        made.start("ingest-2", "encoder-2", "archiver-2")
        made.until_live(CAMERA, SECONDS, beyond=seen + 4)
        until_fragments(made, len(before) + 4)

        made.start("ingest-1")  # the machine is back, and closes what it had begun
        first_epoch = before[-1][0]
        eventually(lambda: made.frame_store.closed(CAMERA, first_epoch).end is not None, SECONDS)
        saved = [place for place in made.fragments(CAMERA) if place[0] == first_epoch]
        assert saved[: len(before)] == before

        assert set(made.stop("ingest-1", "ingest-2").values()) == {0}
        made.until_archived(CAMERA, SECONDS)
        assert made.archived_counters(CAMERA) == made.stored_counters(CAMERA)
        for epoch in made.frame_store.epochs(CAMERA):
            index = made.frame_store.closed(CAMERA, epoch)
            assert index.end is not None
            assert index.end.fragments == len(index.fragments)
        eventually(lambda: list(made.store.list(f"analysis/{CAMERA}/")), SECONDS)
        assert set(made.stop("encoder-2", "archiver-2", "analyzer-1").values()) == {0}


def test_a_killed_ingest_costs_at_most_the_fragment_that_was_open(
    tmp_path: Path,
    broker_url: str,
    archive_settings: ArchiveSettings,
    places: Places,
) -> None:
    """Even if its disk never comes back: the generated picture counts its frames."""
    with line(tmp_path, broker_url, archive_settings, [GENERATED], **places) as made:
        made.start("ingest-1", "archiver-1")
        until_fragments(made, 5)
        sent = made.figure("ingest-1", "cradle_ingest_frames_total")
        made.kill("ingest-1")
        stored = made.stored_counters(CAMERA)
        assert stored == list(range(len(stored)))
        assert sent - len(stored) <= 2 * 30  # the open one, and one on its way
        made.start("ingest-2")
        (old_epoch,) = {epoch for epoch, _ in made.fragments(CAMERA)}
        until_fragments(made, len(made.fragments(CAMERA)) + 3)
        assert {epoch for epoch, _ in made.fragments(CAMERA)} > {old_epoch}
        assert made.stop("ingest-2") == {"ingest-2": 0}
        made.until_archived(CAMERA, SECONDS)


def test_who_hands_a_camera_to_another_host_still_says_all_that_it_closed(
    tmp_path: Path,
    broker_url: str,
    archive_settings: ArchiveSettings,
    places: Places,
) -> None:
    """The next holder does not see this disk; and it is noticed as soon as it records."""
    cameras = [{**GENERATED, "id": f"camera-{number}"} for number in (1, 2)]
    with line(tmp_path, broker_url, archive_settings, cameras, **places) as made:
        made.start("ingest-1")
        names = [str(camera["id"]) for camera in cameras]
        eventually(lambda: all(len(made.fragments(name)) >= 3 for name in names), SECONDS)
        made.start("ingest-2")

        def moved() -> str | None:
            return next((name for name in names if len(made.frame_store.epochs(name)) > 1), None)

        camera = eventually(lambda: moved() or "", SECONDS, "a camera has changed hands")
        left = made.frame_store.epochs(camera)[0]
        end = eventually(
            lambda: index.end if (index := made.frame_store.closed(camera, left)).end else None,
            SECONDS,
            "ended",
        )
        assert end is not None
        assert end.reason == HANDED_OVER
        cursor = made.frames / "spool-ingest-1" / "frames" / camera / "published.json"
        eventually(
            lambda: json.loads(cursor.read_text()) == {"epoch": left, "offset": -1},
            SECONDS,
            "all of it is published",
        )
