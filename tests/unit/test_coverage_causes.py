"""The reasons that the stages really write are known by their cause."""

import threading
from pathlib import Path

import pytest

from archiver.reconcile import empty_windows
from ingest.open import open_feed
from ingest.recovery import begin_epoch, recover
from ingest.timeline import TICKS, EpochOver, Timeline
from shared.clock import SimulatedClock
from shared.config import from_mapping
from shared.coverage.causes import Cause, cause_of
from shared.errors import SourceFailed
from shared.identity import new_epoch
from shared.log import get_logger
from tests.archiver_fragments import STREAM


def timeline_reason(act: str) -> str:
    clock = SimulatedClock()
    timeline = Timeline(clock, 0, 3000)
    timeline.video(0, 0)
    with pytest.raises(EpochOver) as caught:
        if act == "step":
            clock.step(30)
            timeline.check_clock()
        elif act == "age":
            clock.advance(13 * 3600)
            timeline.check_clock()
        elif act == "backwards":
            timeline.video(-5 * TICKS, -5 * TICKS)
        else:
            timeline.video(60 * TICKS, 60 * TICKS)
    return str(caught.value)


@pytest.mark.parametrize(
    ("act", "cause"),
    [
        ("step", Cause.CLOCK_STEP),
        ("age", Cause.CAMERA_CLOCK),
        ("backwards", Cause.CAMERA_CLOCK),
        ("drift", Cause.CAMERA_CLOCK),
    ],
)
def test_faults_of_time_are_known(act: str, cause: Cause) -> None:
    assert cause_of(timeline_reason(act)) is cause


def test_a_source_that_cannot_be_opened_is_a_camera_offline(tmp_path: Path) -> None:
    camera = from_mapping(
        {"cameras": [{"id": "a", "source": (tmp_path / "nothing.mp4").as_uri()}]}
    ).cameras[0]
    with pytest.raises(SourceFailed) as caught:
        open_feed(camera, SimulatedClock(), threading.Event(), get_logger())
    assert cause_of(str(caught.value)) is Cause.CAMERA_OFFLINE


def test_an_interrupted_ingest_is_ingest_down(tmp_path: Path) -> None:
    begun = SimulatedClock().now()
    begin_epoch(tmp_path / "camera-1" / new_epoch(begun), begun, STREAM)
    (end,) = recover(tmp_path, "camera-1", get_logger()).ends
    assert cause_of(end.reason) is Cause.INGEST_DOWN


def test_an_empty_window_repeats_the_cause_of_the_epoch_s_end() -> None:
    now = SimulatedClock().now()
    since = int(now.timestamp()) - 7200
    records, _ = empty_windows(
        "camera-1", 600, since, now, (), "the last epoch ended: no video for 5 s"
    )
    assert {cause_of(record.reason) for record in records} == {Cause.CAMERA_OFFLINE}


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("broke off: Connection timed out", Cause.CAMERA_OFFLINE),
        ("no video for 5 s", Cause.CAMERA_OFFLINE),
        ("nothing came for 10 s", Cause.CAMERA_OFFLINE),
        ("there is no video in it", Cause.CAMERA_OFFLINE),
        ("the device gives no more pictures", Cause.CAMERA_OFFLINE),
        ("the server ended the stream", Cause.CAMERA_OFFLINE),
        ("the disk of the frame store does not keep up", Cause.FRAME_STORE),
        ("quota", Cause.DELETED),
        ("retention", Cause.DELETED),
        ("the frame store is full", Cause.FRAME_STORE),
        ("the frame store cannot be written: Read-only file system", Cause.FRAME_STORE),
        ("this worker was frozen", Cause.INGEST_DOWN),
        ("ingest was stopped", Cause.INGEST_DOWN),
        ("fair share is 2 of 3 workers", Cause.HANDED_OVER),
        ("another worker has the seat", Cause.HANDED_OVER),
        ("the stream's parameters changed", Cause.STREAM_CHANGED),
        ("it is another video now", Cause.STREAM_CHANGED),
        ("source ended", Cause.SOURCE_ENDED),
        ("gone from the frame store before they were archived", Cause.LOST),
        ("cannot be read in the frame store", Cause.UNREADABLE),
        ("neither delivered nor in the frame store", Cause.LOST),
        ("fragments 3-7 are missing", Cause.LOST),
        ("the source sent no frames", Cause.CAMERA_SILENT),
        ("no fragment was recorded", Cause.UNKNOWN),
        ("TypeError: something else", Cause.OTHER),
        ("", Cause.OTHER),
    ],
)
def test_each_sentence_has_its_cause(words: str, cause: Cause) -> None:
    assert cause_of(words) is cause
