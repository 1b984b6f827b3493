"""The whole line on real parts: what the people who run the rooms would see."""

import hashlib
import subprocess
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest

from shared.config import ArchiveSettings
from shared.manifest import Manifest
from tests.gemini_server import GeminiServer, silence
from tests.line import Line, decode_counters, line, wait_seconds
from tests.starving import starving
from tests.support import eventually

CAMERA = "camera-1"
SEGMENTS = 12
"""Of live, in each half of a comparison."""
TOLERANCE_SECONDS = 0.5
WINDOW = timedelta(seconds=5)
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


def clip_delay(clips: list[Manifest]) -> float:
    """Median seconds from the end of a clip's last frame to its commit."""
    return median((each.created_at - each.ends_at).total_seconds() for each in clips)


@pytest.mark.parametrize("trouble", ["slow", "dead"])
def test_gemini_slow_or_dead_changes_neither_live_nor_the_archive(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, trouble: str
) -> None:
    """Against the same line a moment before, while Gemini answered well."""
    outcomes = f'cradle_analyzer_remote_outcomes_total{{{{camera="{CAMERA}",state="{{}}"}}}}'
    with GeminiServer() as gemini, ExitStack() as stack:
        analysis = {
            "provider": "gemini",
            "interval_seconds": 2,
            "heartbeat_seconds": 10,
            "gemini": {"endpoint": gemini.url, "paid_tier_confirmed": True},
        }
        camera = {**GENERATED, "remote_analysis": {"consent_date": "2026-03-01"}}
        with line(tmp_path, broker_url, archive_settings, [camera], analysis=analysis) as made:
            made.config["archive"]["clip_seconds"] = WINDOW.seconds
            made.environment["GEMINI_API_KEY"] = "test"
            made.start("ingest", "encoder", "archiver", "analyzer")
            made.until_live(CAMERA)
            eventually(lambda: made.figure("analyzer", outcomes.format("ok")), 30, "an answer")
            before = made.live_delays(SEGMENTS)
            machine = stack.enter_context(starving())
            trouble_began, asked = datetime.now(UTC), len(gemini.requests)
            if trouble == "slow":
                gemini.script(silence())
            else:
                gemini.close()
            after = made.live_delays(SEGMENTS)
            if trouble == "slow":
                eventually(lambda: len(gemini.requests) > asked, 30, "another question")
            else:
                unavailable = outcomes.format("unavailable")
                eventually(lambda: made.figure("analyzer", unavailable), 30, "no answer")
            lost_seconds = machine.seconds()  # which the time before may not have had
            assert median(after) - lost_seconds < median(before) + TOLERANCE_SECONDS
            assert made.figure("encoder", "cradle_encoder_skipped_batches_total") == 0
            made.stop("ingest")
            made.until_archived(CAMERA, 20)
            assert made.archived_counters(CAMERA) == made.stored_counters(CAMERA)
            clips = made.manifests(CAMERA)
            assert {each.container for each in clips} == {"mp4"}
            starts = [each.window_starts_at for each in clips]
            assert starts == [starts[0] + number * WINDOW for number in range(len(clips))]
            earlier = [each for each in clips if each.created_at < trouble_began]
            later = [each for each in clips if each.created_at >= trouble_began]
            lost_seconds = machine.seconds()
            assert clip_delay(later) - lost_seconds < clip_delay(earlier) + TOLERANCE_SECONDS


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
        other = "encoder-2" if first == "encoder" else "encoder"
        eventually(lambda: '"worker.started"' in made.log(other), 30, "the other is there")
        made.kill(first)
        again = made.until_live(CAMERA, seconds=8, beyond=sequence)
        assert again > sequence
        assert "#EXT-X-ENDLIST" not in made.playlist(CAMERA)
        newest = [each for each in made.playlist(CAMERA).splitlines() if each.endswith(".ts")][-1]
        assert decode_counters(made.live / CAMERA / newest)
