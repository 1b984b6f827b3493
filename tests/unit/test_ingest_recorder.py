"""A recorder whose frame store is a bucket: how it begins, and what it says of what it gave up."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.camera import Capture
from ingest.recorder import GATHER_SECONDS, Recorder
from ingest.recovery import append_lines, begin_epoch
from ingest.spool import Spool
from ingest.uploads import Uploads
from ingest.worker import IngestWorker
from shared.clock import SimulatedClock
from shared.config import Settings, from_mapping
from shared.errors import Unavailable
from shared.framestore import INDEX_NAME, FrameReader
from shared.health import Health
from shared.identity import fragment_path, new_epoch
from shared.log import get_logger
from shared.messages import EpochEnd, Fragment, StreamParameters, read_archive_message
from shared.worker import WorkerContext
from tests.memory_store import MemoryStore
from tests.support import eventually

CAMERA = "camera-1"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STREAM = StreamParameters(
    video_codec="h264", width=64, height=64, frames_per_second=30, audio_codec=None
)
SECONDS = 10.0


class Stopped(Capture):
    """A capture that has nothing more to do."""

    def __init__(self) -> None:
        """It never ran."""

    def ask_to_stop(self, reason: str) -> None:
        """It has."""

    def join(self, timeout_seconds: float) -> bool:
        return True


class Link:
    """A broker that confirms everything at once."""

    def __init__(self) -> None:
        self.said: list[Fragment | EpochEnd] = []

    def publish_confirmed(
        self, _exchange: str, _key: str, body: bytes, *, headers: object, on_result: Any
    ) -> None:
        self.said.append(read_archive_message(body))
        on_result(True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return from_mapping(
        {
            "archive": {"secret_key": "x"},
            "frames": {"url": "s3://frames/nursery", "spool": tmp_path.as_uri()},
            "cameras": [{"id": CAMERA, "source": "test:"}],
        }
    )


@pytest.fixture
def context(settings: Settings) -> WorkerContext:
    clock = SimulatedClock(NOON)
    return WorkerContext(settings, "ingest-1", clock, get_logger(), Health(clock))


@pytest.fixture
def recorder(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Its store is one in memory."""
    store: Any = MemoryStore(context.clock)
    monkeypatch.setattr("shared.bucketframes.ObjectStore", lambda *_, **__: store)
    made = Recorder(context)
    yield made
    made.stop()


def write(root: Path) -> list[Fragment | EpochEnd]:
    """An epoch of one fragment, as its capture and the index have left it in the spool."""
    epoch = new_epoch(NOON)
    path = fragment_path(CAMERA, epoch, 0)
    begin_epoch(root / CAMERA / epoch, NOON, STREAM)
    (root / path).write_bytes(bytes(500))
    records: list[Fragment | EpochEnd] = [
        Fragment(
            camera=CAMERA,
            epoch=epoch,
            fragment=0,
            path=path,
            bytes=500,
            frames=30,
            captured_at=NOON - timedelta(minutes=1),
            duration_seconds=1,
            key_frame_bytes=100,
            stream=STREAM,
        ),
        EpochEnd(camera=CAMERA, epoch=epoch, fragments=1, ended_at=NOON, reason="x"),
    ]
    append_lines(root / CAMERA / epoch / INDEX_NAME, records, 0)
    return records


def test_what_a_capture_closes_after_its_seat_was_lost_is_said_all_the_same(
    recorder: Recorder, context: WorkerContext
) -> None:
    """It goes through the spool, which the next holder, on another host, does not see."""
    records = write(context.settings.frames.root)
    recorder.start()
    recorder.captures[CAMERA] = Stopped()
    recorder.stop_captures([CAMERA], "this worker was frozen")
    link: Any = Link()
    clock: Any = context.clock

    def all_said() -> bool:
        clock.advance(GATHER_SECONDS)
        recorder.pump(link)
        return len(link.said) == len(records)

    eventually(all_said, SECONDS)
    assert link.said == records


def test_a_start_that_fails_leaves_nothing_behind(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again and again, and must not add threads, or a hold on the spool, each time."""
    before = set(threading.enumerate())

    def broken(_: object) -> list[str]:
        raise Unavailable("a bad sector")

    for where in (Uploads, FrameReader):
        with monkeypatch.context() as disk:
            disk.setattr(where, "start" if where is Uploads else "cameras", broken)
            with pytest.raises(Unavailable):
                IngestWorker(context).run_once(threading.Event())

    def is_alone() -> bool:
        return set(threading.enumerate()) <= before

    eventually(is_alone, SECONDS)
    write(context.settings.frames.root)
    (index,) = (context.settings.frames.root / CAMERA).glob(f"*/{INDEX_NAME}")
    index.unlink()
    spool = Spool(context.settings.frames.root, get_logger())
    spool.take()
    spool.close()
    assert index.exists()  # who has the spool to himself closes what lay open
