"""The index: a line for each fragment, without holes, by nobody but the epoch's owner."""

import errno
import os
import queue
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest import index as index_module
from ingest.index import Index
from ingest.recording import BrokenEpoch, ClosedFragment
from ingest.recovery import begin_epoch, recover
from shared.clock import SystemClock
from shared.errors import SourceFailed
from shared.framestore import INDEX_NAME, FrameReader
from shared.identity import fragment_path, new_epoch
from shared.log import get_logger
from shared.messages import EpochEnd, Fragment, StreamParameters
from tests.support import eventually
from tests.unit.test_transport import transport_stream

PATIENCE = 60
"""Seconds; the index has a thread and the real disk."""
CAMERA = "camera-1"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = new_epoch(NOON)
STREAM = StreamParameters(
    video_codec="h264", width=64, height=64, frames_per_second=30, audio_codec=None
)
DATA = transport_stream([500] * 30)


class Desk:
    """A running index on one epoch."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / CAMERA / EPOCH
        self.told: list[Fragment | EpochEnd] = []
        self.index = Index(root, self.told.append, SystemClock(), get_logger())
        begin_epoch(self.folder, NOON, STREAM)

    def fragment(self, number: int) -> ClosedFragment:
        """A fragment that is written and not durable yet."""
        path = self.root / fragment_path(CAMERA, EPOCH, number)
        path.write_bytes(DATA)
        record = Fragment(
            camera=CAMERA,
            epoch=EPOCH,
            fragment=number,
            path=fragment_path(CAMERA, EPOCH, number),
            bytes=len(DATA),
            frames=30,
            captured_at=NOON + timedelta(seconds=number),
            duration_seconds=1,
            key_frame_bytes=940,
            stream=STREAM,
        )
        return ClosedFragment(os.open(path, os.O_RDWR), record)

    def end(self, fragments: int, reason: str = "it is over") -> EpochEnd:
        return EpochEnd(
            camera=CAMERA, epoch=EPOCH, fragments=fragments, ended_at=NOON, reason=reason
        )

    def closed(self) -> tuple[list[int], str | None]:
        """Numbers in the index, and the reason of the end."""
        index = FrameReader(self.root).closed(CAMERA, EPOCH)
        assert not index.torn
        numbers = [each.fragment for each in index.fragments]
        return numbers, None if index.end is None else index.end.reason

    @property
    def refuses(self) -> bool:
        """The epoch takes no more."""
        return (CAMERA, EPOCH) in self.index._refused

    @property
    def told_numbers(self) -> list[int | str]:
        return [each.fragment if isinstance(each, Fragment) else "end" for each in self.told]

    def finish(self) -> None:
        assert self.index.stop(PATIENCE)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(index_module, "RETRY_SECONDS", 0.02)
    found = Desk(tmp_path)
    found.index.start()
    yield found
    found.index.stop(PATIENCE)


class FullDisk:
    """Lets nothing be synced while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        self.asked = 0
        for name in ("fdatasync", "fsync"):
            monkeypatch.setattr(os, name, self._wrap(getattr(os, name)))

    def _wrap(self, real: object) -> object:
        def sync(file: int) -> None:
            self.asked += 1
            if self.is_full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(file)  # type: ignore[operator]

        return sync


def test_a_line_is_written_for_each_fragment_and_the_end_and_then_told(desk: Desk) -> None:
    for number in range(3):
        desk.index.put(desk.fragment(number))
    desk.index.put(desk.end(3))
    desk.finish()
    assert desk.closed() == ([0, 1, 2], "it is over")
    assert desk.told_numbers == [0, 1, 2, "end"]


def test_the_bytes_are_on_the_disk_before_the_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines_at_sync: list[int] = []
    real = os.fdatasync

    def sync(file: int) -> None:
        lines_at_sync.append(len(desk.closed()[0]))
        real(file)

    monkeypatch.setattr(os, "fdatasync", sync)
    for number in range(2):
        desk.index.put(desk.fragment(number))
    desk.finish()
    assert lines_at_sync == [0, 1]


def test_files_are_closed_whatever_becomes_of_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragments = [desk.fragment(number) for number in range(3)]
    FullDisk(monkeypatch)
    desk.index.put(fragments[0])
    eventually(lambda: desk.refuses, PATIENCE)
    for each in fragments[1:]:
        with pytest.raises(SourceFailed):
            desk.index.put(each)
    desk.finish()
    for each in fragments:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(each.file)


def test_after_a_line_that_failed_the_epoch_takes_no_more_and_is_closed_from_its_bytes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.index.put(desk.fragment(0))
    eventually(lambda: desk.told, PATIENCE)
    disk = FullDisk(monkeypatch)
    desk.index.put(desk.fragment(1))
    eventually(lambda: desk.refuses, PATIENCE)
    with pytest.raises(SourceFailed, match="No space left"):
        desk.index.put(desk.fragment(2))
    with pytest.raises(SourceFailed):
        desk.index.put(desk.end(3))
    desk.index.put(BrokenEpoch(CAMERA, EPOCH, "the disk was full"))
    eventually(lambda: disk.asked > 4, PATIENCE)
    assert desk.closed() == ([0], None)

    disk.is_full = False
    eventually(lambda: desk.closed()[1], PATIENCE)
    assert desk.closed()[0] == [0, 1, 2]
    assert "No space left" in (desk.closed()[1] or "")
    eventually(lambda: desk.told_numbers == [0, "end"], PATIENCE)
    desk.finish()


def test_lines_that_waited_behind_a_failed_one_leave_no_hole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Index(desk.root, desk.told.append, SystemClock(), get_logger())
    failed = False

    def sync(_file: int) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", sync)
    for number in range(3):
        waiting.put(desk.fragment(number))
    waiting.put(desk.end(3))
    waiting.start()
    assert waiting.stop(PATIENCE)
    assert desk.closed()[0] == [0, 1, 2]
    assert "Input/output error" in (desk.closed()[1] or "")
    assert desk.told_numbers == ["end"]


def test_a_broken_epoch_is_closed_though_other_cameras_keep_the_index_busy(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "RETRY_SECONDS", 0.3)
    disk = FullDisk(monkeypatch)
    desk.index.put(desk.fragment(0))
    desk.index.put(BrokenEpoch(CAMERA, EPOCH, "the disk was full"))
    eventually(lambda: disk.asked > 1, PATIENCE)
    disk.is_full = False

    def busy() -> bool:
        epoch = new_epoch(NOON)
        begin_epoch(desk.root / "other" / epoch, NOON, STREAM)
        desk.index.put(desk.end(0).model_copy(update={"camera": "other", "epoch": epoch}))
        return desk.closed()[1] is not None

    eventually(busy, PATIENCE, every_seconds=0.001)
    assert desk.closed()[0] == [0]


def test_nothing_is_appended_to_an_epoch_that_a_successor_has_closed(desk: Desk) -> None:
    desk.index.put(desk.fragment(0))
    eventually(lambda: desk.told, PATIENCE)
    late = desk.fragment(1)
    recover(desk.root, CAMERA, get_logger())
    before = (desk.folder / INDEX_NAME).read_bytes()
    desk.index.put(late)

    def refused() -> bool:
        try:
            desk.index.put(desk.fragment(2))
        except SourceFailed as error:
            return "another worker" in str(error)
        return False

    eventually(refused, PATIENCE)
    desk.index.put(BrokenEpoch(CAMERA, EPOCH, "superseded"))
    desk.finish()
    assert (desk.folder / INDEX_NAME).read_bytes() == before
    assert desk.closed() == ([0, 1], "ingest was interrupted")


def test_an_epoch_that_was_never_begun_is_refused_and_others_go_on(desk: Desk) -> None:
    stranger = desk.end(0).model_copy(update={"epoch": new_epoch(NOON)})
    desk.index.put(stranger)
    desk.index.put(desk.fragment(0))
    eventually(lambda: desk.told_numbers == [0], PATIENCE)


def test_who_hears_of_a_line_cannot_stop_the_next(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    heard: list[object] = []

    def on_line(record: object) -> None:
        heard.append(record)
        raise ZeroDivisionError

    index = Index(tmp_path, on_line, SystemClock(), get_logger())
    index.start()
    for number in range(2):
        index.put(desk.fragment(number))
    index.put(desk.end(2))
    assert index.stop(PATIENCE)
    assert desk.closed() == ([0, 1], "it is over")
    assert len(heard) == 3


def test_a_disk_that_does_not_keep_up_ends_the_epoch_instead_of_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    desk.index._queue = queue.Queue(2)
    for number in range(2):
        desk.index.put(desk.fragment(number))
    with pytest.raises(SourceFailed, match="does not keep up"):
        desk.index.put(desk.fragment(2))
    desk.index.start()
    eventually(desk.index._queue.empty, PATIENCE)
    desk.index.put(BrokenEpoch(CAMERA, EPOCH, "the disk was slow"))
    desk.finish()
    assert desk.closed()[0] == [0, 1, 2]
    assert "keep up" in (desk.closed()[1] or "")
