"""The whole line on real parts: what the people who run the rooms would see."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from shared.config import ArchiveSettings
from tests.gemini_server import GeminiServer, silence
from tests.line import Line, decode_counters, line, wait_seconds

CAMERA = "camera-1"
GENERATED = {"id": CAMERA, "source": "test:320x180@30"}


def segments_decode(made: Line, camera: str, folder: Path) -> str:
    """Decode everything in a playlist with ffmpeg; what it complains about."""
    playlist = folder / f"{camera}.m3u8"
    text = made.playlist(camera)
    root = made.live / camera
    lines = [str(root / each) if each.endswith(".ts") else each for each in text.splitlines()]
    playlist.write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]), encoding="utf-8")
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", str(playlist), "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stderr


def test_every_frame_that_was_stored_is_in_the_clips_exactly_once(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings
) -> None:
    with line(tmp_path, broker_url, archive_settings, [GENERATED]) as made:
        made.start("ingest", "encoder", "archiver", "analyzer")
        seen = made.until_live(CAMERA)
        assert segments_decode(made, CAMERA, tmp_path) == ""
        made.until_live(CAMERA, beyond=seen + 10)
        assert made.stop("ingest") == {"ingest": 0}
        made.until_archived(CAMERA, 20)
        stored = made.stored_counters(CAMERA)
        assert stored == list(range(len(stored)))
        assert made.archived_counters(CAMERA) == stored
        for manifest in made.manifests(CAMERA):
            assert manifest.container == "mp4"
            assert hashlib.sha256(made.clip(manifest)).hexdigest() == manifest.sha256
        assert len(made.manifests(CAMERA)) >= 2
        ended = made.stop("encoder", "archiver", "analyzer")
        assert set(ended.values()) == {0}
        assert list(made.store.list(f"analysis/{CAMERA}/"))


def test_a_restart_of_everything_in_mid_clip_collides_with_nothing_and_loses_nothing(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings
) -> None:
    with line(tmp_path, broker_url, archive_settings, [GENERATED]) as made:
        stages = ("ingest", "encoder", "archiver", "analyzer")
        made.start(*stages)
        sequence = made.until_live(CAMERA)
        before: dict[str, bytes] = {}
        for _ in range(2):
            wait_seconds(4)
            made.kill(*stages)
            before = {each.object_key: made.clip(each) for each in made.manifests(CAMERA)}
            made.start(*stages)
            sequence = made.until_live(CAMERA, beyond=sequence)
        made.stop("ingest")
        made.until_archived(CAMERA, 30)
        assert made.archived_counters(CAMERA) == made.stored_counters(CAMERA)
        after = {each.object_key: made.clip(each) for each in made.manifests(CAMERA)}
        assert before.items() <= after.items()
        assert "#EXT-X-DISCONTINUITY\n" in made.playlist(CAMERA)


@pytest.mark.parametrize("answer", ["slow", "dead"])
def test_gemini_slow_or_dead_changes_neither_live_nor_the_archive(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, answer: str
) -> None:
    with GeminiServer(silence()) as gemini:
        endpoint = gemini.url if answer == "slow" else "http://127.0.0.1:9"
        analysis = {
            "provider": "gemini",
            "interval_seconds": 2,
            "gemini": {"endpoint": endpoint, "paid_tier_confirmed": True},
        }
        camera = {**GENERATED, "remote_analysis": {"consent_date": "2026-03-01"}}
        with line(tmp_path, broker_url, archive_settings, [camera], analysis=analysis) as made:
            made.environment["GEMINI_API_KEY"] = "test"
            made.start("ingest", "encoder", "archiver", "analyzer")
            made.until_live(CAMERA, beyond=made.until_live(CAMERA) + 14)
            count = made.figure("encoder", "cradle_encoder_live_delay_seconds_count")
            total = made.figure("encoder", "cradle_encoder_live_delay_seconds_sum")
            assert total / count < 2.0
            assert made.figure("encoder", "cradle_encoder_skipped_batches_total") == 0
            made.stop("ingest")
            made.until_archived(CAMERA, 20)


def test_the_archiver_being_away_does_not_stop_live_and_it_catches_up(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings
) -> None:
    with line(tmp_path, broker_url, archive_settings, [GENERATED]) as made:
        made.start("ingest", "encoder", "archiver")
        sequence = made.until_live(CAMERA)
        made.kill("archiver")
        sequence = made.until_live(CAMERA, beyond=sequence + 12)
        made.start("archiver")
        made.until_live(CAMERA, beyond=sequence)
        made.stop("ingest")
        made.until_archived(CAMERA, 30)
        assert made.archived_counters(CAMERA) == made.stored_counters(CAMERA)


def test_an_encoder_that_is_killed_comes_back_as_a_discontinuity_with_a_rising_sequence(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings
) -> None:
    with line(tmp_path, broker_url, archive_settings, [GENERATED]) as made:
        made.start("ingest", "encoder", "encoder-2")
        sequence = made.until_live(CAMERA)
        first = next(
            name
            for name in ("encoder", "encoder-2")
            if made.figure(name, "cradle_encoder_segments_total")
        )
        made.kill(first)
        again = made.until_live(CAMERA, seconds=8, beyond=sequence)
        assert again > sequence
        assert "#EXT-X-ENDLIST" not in made.playlist(CAMERA)
        newest = [each for each in made.playlist(CAMERA).splitlines() if each.endswith(".ts")][-1]
        assert decode_counters(made.live / CAMERA / newest)
