"""Uploads: what is closed reaches the bucket in order, its file goes, and only then it is told."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ingest import upload as upload_file
from ingest.lines import ALL, PATIENCE_SECONDS, Cursor, write_cursor
from ingest.outbox import Outbox
from ingest.recovery import append_lines, begin_epoch
from ingest.spool import Spool
from ingest.upload import AT_ONCE, CURSOR_NAME, TRIES
from ingest.uploads import LONGEST_PAUSE_SECONDS, Uploads
from shared.bucketframes import BucketFrames
from shared.bucketplace import BucketPlace
from shared.clock import SimulatedClock
from shared.config import ArchiveSettings
from shared.errors import StoreUnavailable, Unavailable
from shared.framestore import INDEX_NAME, FrameReader
from shared.identity import fragment_path, new_epoch
from shared.log import get_logger
from shared.messages import EpochEnd, Fragment, StreamParameters
from tests.memory_store import MemoryStore
from tests.support import eventually

CAMERA = "camera-1"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STREAM = StreamParameters(
    video_codec="h264", width=64, height=64, frames_per_second=30, audio_codec=None
)
SECONDS = 10.0


class Host:
    """A spool, and what carries it into the bucket; it can die and start again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = SimulatedClock(NOON)
        self.store = MemoryStore(self.clock)
        self.frames = BucketFrames(
            ArchiveSettings.model_validate({"secret_key": "x"}), BucketPlace("frames", "")
        )
        store: Any = self.store
        self.frames.store = store
        self.told: list[Fragment | EpochEnd] = []
        self.records: list[Fragment | EpochEnd] = []
        self.epoch = new_epoch(NOON)
        begin_epoch(root / CAMERA / self.epoch, NOON, STREAM)
        self.uploads = self.new_uploads()

    def new_uploads(self) -> Uploads:
        return Uploads(self.root, self.frames, self.told.append, self.clock, get_logger())

    def restart(self) -> None:
        self.uploads.finish(SECONDS)
        self.told.clear()
        self.uploads = self.new_uploads()

    def path(self, number: int) -> str:
        return fragment_path(CAMERA, self.epoch, number)

    def close(self, count: int = 1, *, add: bool = True) -> None:
        """Close fragments, as the index does."""
        for _ in range(count):
            number = len(self.records)
            data = os.urandom(500)
            (self.root / self.path(number)).write_bytes(data)
            self._append(
                Fragment(
                    camera=CAMERA,
                    epoch=self.epoch,
                    fragment=number,
                    path=self.path(number),
                    bytes=len(data),
                    frames=30,
                    captured_at=NOON + timedelta(seconds=number),
                    duration_seconds=1,
                    key_frame_bytes=100,
                    stream=STREAM,
                ),
                add=add,
            )

    def end(self) -> None:
        count = len(self.records)
        self._append(
            EpochEnd(camera=CAMERA, epoch=self.epoch, fragments=count, ended_at=NOON, reason="x"),
            add=True,
        )

    def _append(self, record: Fragment | EpochEnd, *, add: bool) -> None:
        index = self.root / CAMERA / self.epoch / INDEX_NAME
        append_lines(index, [record], index.stat().st_size if index.exists() else 0)
        self.records.append(record)
        if add:
            self.uploads.add(record)

    def until_told(self, count: int) -> None:
        def all_told() -> bool:
            self.clock.advance(1)  # pauses after failures pass
            self.uploads.wake(CAMERA)
            return len(self.told) >= count

        eventually(all_told, SECONDS, f"{count} told")

    def until_left(self, *names: str) -> None:
        """Files go a little after they were uploaded."""

        def all_gone() -> bool:
            self.clock.advance(1)
            self.uploads.wake(CAMERA)
            return self.left == list(names)

        eventually(all_gone, SECONDS, f"only {names} left")

    @property
    def left(self) -> list[str]:
        return sorted(path.name for path in (self.root / CAMERA / self.epoch).glob("*.ts"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.uploads.finish(0.1)


def test_what_is_closed_is_uploaded_its_file_goes_and_then_it_is_told(host: Host) -> None:
    host.uploads.start()
    host.close(3)
    host.end()
    host.until_told(4)
    assert host.told == host.records
    index = host.frames.closed(CAMERA, host.epoch)
    assert [*index.fragments, index.end] == host.records
    host.until_left()


class Link:
    """A broker that confirms everything at once."""

    sent = 0

    def publish_confirmed(self, *_: object, headers: object, on_result: Any) -> None:
        self.sent += 1
        on_result(True)


def outbox_of(host: Host) -> Outbox:
    reaches = partial(host.uploads.reaches, CAMERA)
    return Outbox(host.root, CAMERA, host.clock, get_logger(), reaches)


def test_nothing_is_published_before_it_can_be_read(host: Host) -> None:
    link: Any = Link()
    outbox = outbox_of(host)
    host.store.is_away = True
    host.uploads.start()
    host.close(3)
    eventually(lambda: host.uploads.trouble, SECONDS)
    assert outbox.pump(link) == 0
    host.store.is_away = False
    host.until_told(3)
    eventually(lambda: outbox.pump(link) + link.sent >= 3, SECONDS)
    assert link.sent == 3


def test_a_store_that_is_away_costs_nothing_and_what_is_new_goes_first(host: Host) -> None:
    host.close(30, add=False)  # gathered while the store was away
    host.close(1)
    host.uploads.start()
    host.until_told(31)
    assert host.told[0] == host.records[30]
    assert host.told[1:] == host.records[:30]
    assert host.uploads.trouble is None
    created = [key for what, key in host.store.asked if what == "create"]
    assert len(created) == len(set(created)) == 31


@pytest.mark.parametrize(("late_seconds", "first"), [(0.0, [20, 21, 0, 1]), (60.0, [0, 1, 2, 3])])
def test_what_failed_goes_first_again_as_long_as_live_waits_for_it(
    host: Host, late_seconds: float, first: list[int]
) -> None:
    host.store.refuses = StoreUnavailable("busy"), {"create"}
    host.close(20, add=False)
    host.close(2)
    host.uploads.start()
    eventually(lambda: host.uploads.trouble, SECONDS)
    host.clock.advance(late_seconds)
    host.store.refuses = None
    host.until_told(22)
    assert [each.fragment for each in host.told if isinstance(each, Fragment)][:4] == first


def test_neither_live_nor_the_archive_waits_for_the_other(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store takes as long for a fragment as the camera does, and some have gathered."""
    host.close(4, add=False)
    put = host.frames.put

    def slow(record: Fragment, data: bytes, early_from: int | None = None) -> None:
        put(record, data, early_from)
        if record.fragment >= 4 and len(host.records) < 30:
            host.close(1)

    monkeypatch.setattr(host.frames, "put", slow)
    host.close(1)
    host.uploads.start()
    host.until_told(30)
    numbers = [each.fragment for each in host.told if isinstance(each, Fragment)]
    assert numbers[:9] == [4, 5, 0, 6, 1, 7, 2, 8, 3]


def test_what_went_before_its_turn_is_no_hole_in_the_archive(host: Host) -> None:
    """Until those before it are there, it can be read, and stands in no index."""
    host.uploads.start()
    host.close(2)
    host.until_told(2)
    host.store.is_away = True
    host.close(3)
    eventually(lambda: host.uploads.trouble, SECONDS)
    host.close(1, add=False)
    early = host.records[-1]
    assert isinstance(early, Fragment)
    host.store.is_away = False
    host.frames.put(early, (host.root / early.path).read_bytes(), early_from=2)
    assert host.frames.closed(CAMERA, host.epoch).fragments == (*host.records[:2],)
    assert host.frames.closed(CAMERA, host.epoch, {2, 3, 4}).fragments == (
        *host.records[:2],
        early,
    )
    host.until_told(5)
    eventually(lambda: len(host.frames.closed(CAMERA, host.epoch).fragments) == 6, SECONDS)


def test_what_went_before_its_turn_is_archived_though_its_host_never_comes_back(host: Host) -> None:
    """It died for good with those before it in its spool; another host closed the epoch."""
    host.uploads.start()
    host.close(2)
    host.until_told(2)
    host.uploads.finish(SECONDS)
    host.close(4, add=False)
    early = host.records[-1]
    assert isinstance(early, Fragment)
    host.frames.put(early, (host.root / early.path).read_bytes(), early_from=2)
    host.frames.put_end(
        EpochEnd(camera=CAMERA, epoch=host.epoch, fragments=5, ended_at=NOON, reason="x")
    )
    assert host.frames.closed(CAMERA, host.epoch).fragments == (*host.records[:2],)
    host.frames.put_end(
        EpochEnd(camera=CAMERA, epoch=host.epoch, fragments=6, ended_at=NOON, reason="x")
    )
    assert host.frames.closed(CAMERA, host.epoch).fragments == (*host.records[:2], early)


def pass_over(host: Host) -> str:
    """Upload two fragments of an epoch that does not end, and two of the next, which it returns."""
    host.uploads.start()
    host.close(2)
    host.until_told(2)
    first, told = host.epoch, list(host.records)
    later = host.epoch = new_epoch(NOON, after=first)
    begin_epoch(host.root / CAMERA / later, NOON, STREAM)
    host.records.clear()
    host.close(2, add=False)
    for _ in range(2):
        host.clock.advance(PATIENCE_SECONDS + 1)
        host.until_told(2)
    host.until_told(4)
    host.epoch, host.records = first, told
    return later


def test_an_epoch_that_could_not_be_closed_holds_up_no_other_and_comes_later(host: Host) -> None:
    later = pass_over(host)
    host.close(1, add=False)
    host.end()
    host.until_told(6)
    index = host.frames.closed(CAMERA, host.epoch)
    assert len(index.fragments) == 3
    assert index.end is not None
    assert len(host.frames.closed(CAMERA, later).fragments) == 2


def test_what_comes_of_an_epoch_that_was_passed_over_is_published_once_it_can_be_read(
    host: Host,
) -> None:
    link: Any = Link()
    outbox = outbox_of(host)
    pass_over(host)
    assert outbox.pump(link) == 2
    host.store.is_away = True
    host.close(1)
    host.end()
    eventually(lambda: host.uploads.trouble, SECONDS)
    assert outbox.pump(link) == 0
    host.store.is_away = False
    host.until_told(6)
    eventually(lambda: outbox.pump(link) + link.sent >= 6, SECONDS)
    assert link.sent == 6


def test_what_a_run_passed_over_is_carried_by_the_next(host: Host) -> None:
    first = host.epoch
    host.epoch = new_epoch(NOON, after=first)
    begin_epoch(host.root / CAMERA / host.epoch, NOON, STREAM)
    host.close(2, add=False)
    host.end()
    write_cursor(host.root / CAMERA / CURSOR_NAME, Cursor(host.epoch, 0))
    host.epoch, host.records = first, []
    host.close(2, add=False)
    host.uploads = host.new_uploads()
    host.uploads.start()
    host.until_told(5)
    assert len(host.frames.closed(CAMERA, first).fragments) == 2


def test_what_was_passed_over_is_carried_to_its_end_though_nothing_new_comes(host: Host) -> None:
    """Of a camera that others record by now: nobody writes a line that would wake it."""
    first = host.epoch
    host.epoch = new_epoch(NOON, after=first)
    begin_epoch(host.root / CAMERA / host.epoch, NOON, STREAM)
    host.end()
    write_cursor(host.root / CAMERA / CURSOR_NAME, Cursor(host.epoch, ALL))
    host.epoch, host.records = first, []
    host.close(3 * AT_ONCE, add=False)
    host.uploads = host.new_uploads()
    host.uploads.start()
    eventually(lambda: len(host.told) == 3 * AT_ONCE, SECONDS)


def test_a_camera_whose_folder_cannot_be_read_waits_and_keeps_no_other_waiting(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host.root / "camera-0").mkdir()
    epochs = FrameReader.epochs

    def broken(reader: FrameReader, camera: str) -> list[str]:
        if camera == "camera-0":
            raise Unavailable("a bad sector")
        return epochs(reader, camera)

    with monkeypatch.context() as disk:
        disk.setattr(FrameReader, "epochs", broken)
        host.uploads = host.new_uploads()
        host.uploads.start()
        host.close(2)
        host.until_told(2)
        eventually(lambda: "a bad sector" in (host.uploads.trouble or ""), SECONDS)
        assert not host.uploads.reaches("camera-0", Cursor("", 0))

    def is_well() -> bool:
        host.clock.advance(LONGEST_PAUSE_SECONDS)
        return host.uploads.trouble is None

    eventually(is_well, SECONDS)


def test_a_file_that_cannot_be_read_is_left_alone_after_some_tries(host: Host) -> None:
    host.close(3, add=False)
    (host.root / host.path(1)).unlink()
    (host.root / host.path(1)).mkdir()  # as a bad sector would, it gives an error
    host.uploads.start()
    host.until_told(2)
    assert host.told == [host.records[0], host.records[2]]
    assert TRIES > 1


def refused(reason: str) -> float | None:
    return REGISTRY.get_sample_value(
        "cradle_ingest_uploads_refused_total", {"camera": CAMERA, "reason": reason}
    )


def test_what_is_refused_is_counted_from_the_start(host: Host) -> None:
    """A series that is only there once something went wrong has no increase at that moment."""
    host.uploads.start()
    host.close(1)
    host.until_told(1)
    assert None not in {refused(reason) for reason in ("unreadable", "short", "other-bytes")}
    labels = {"camera": CAMERA}
    assert REGISTRY.get_sample_value("cradle_ingest_upload_failures_total", labels) is not None
    for loop in ("uploads", "bucket janitor", "elsewhere"):
        name = "cradle_ingest_survived_faults_total"
        assert REGISTRY.get_sample_value(name, {"loop": loop}) is not None


@pytest.mark.parametrize("fresh", [True, False])
def test_a_file_that_is_shorter_than_its_line_says_is_left_where_it_is_and_counted_once(
    host: Host, fresh: bool
) -> None:
    host.close(3, add=fresh)
    before = refused("short") or 0
    os.truncate(host.root / host.path(1), 499)
    host.uploads.start()
    host.until_told(2)
    host.until_left("000001.ts")
    end = Cursor(host.epoch, (host.root / CAMERA / host.epoch / INDEX_NAME).stat().st_size)
    eventually(lambda: host.uploads.reaches(CAMERA, end), SECONDS, "all lines gone through")
    assert host.told == [host.records[0], host.records[2]]
    assert refused("short") == before + 1
    assert host.path(1) not in host.store.objects


def test_a_file_goes_when_its_line_is_on_the_disk(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut takes lines that were not synced; what they name must then still be there."""
    order: list[str] = []
    sync, unlink = upload_file._sync, Path.unlink

    def synced(path: Path) -> None:
        order.append(path.name)
        sync(path)

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".ts":
            order.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(upload_file, "_sync", synced)
    monkeypatch.setattr(Path, "unlink", unlinked)
    host.uploads.start()
    host.close(2)
    host.until_told(2)
    host.until_left()
    assert order == [INDEX_NAME, "000000.ts", "000001.ts"]


def test_a_restart_goes_on_where_it_was(host: Host) -> None:
    host.uploads.start()
    host.close(3)
    host.until_told(3)
    host.restart()
    assert (host.root / CAMERA / CURSOR_NAME).exists()
    host.close(2, add=False)
    asked = len(host.store.asked)
    host.uploads.start()
    host.until_told(2)
    assert host.told == host.records[3:]
    assert [what for what, _ in host.store.asked[asked:]] == ["create", "create"]


def test_a_lost_cursor_uploads_nothing_twice(host: Host) -> None:
    """A file that is not there was uploaded; one that was uploaded and is there is the same."""
    host.uploads.start()
    host.close(3)
    host.until_told(3)
    host.restart()
    assert host.left == []
    (host.root / CAMERA / CURSOR_NAME).unlink()
    (host.root / host.path(1)).write_bytes(host.store.objects[host.path(1)])  # killed in between
    host.close(1, add=False)
    host.uploads = host.new_uploads()
    host.uploads.start()
    host.until_told(2)
    assert host.told == [host.records[1], host.records[3]]
    host.until_left()


def test_other_bytes_under_the_key_stop_nothing_and_stay_on_the_disk(host: Host) -> None:
    host.store.create_bytes(host.path(1), b"somebody else's", content_type="video/mp2t")
    host.uploads.start()
    host.close(3)
    host.until_told(2)
    assert host.store.objects[host.path(1)] == b"somebody else's"
    host.until_left("000001.ts")


def test_who_has_the_spool_to_himself_closes_what_a_dead_one_left(host: Host) -> None:
    host.close(2)
    alone = Spool(host.root, get_logger())
    alone.take()
    end = FrameReader(host.root).closed(CAMERA, host.epoch).end
    assert end is not None
    assert end.fragments == 2
    alone.close()


def test_taking_a_spool_writes_nothing_into_it(host: Host) -> None:
    """Its disk may be read-only for now; the worker starts, and its cameras wait."""
    host.end()
    before = sorted(host.root.rglob("*"))
    spool = Spool(host.root, get_logger())
    spool.take()
    spool.close()
    assert sorted(host.root.rglob("*")) == before


def test_who_shares_the_spool_closes_nothing_of_the_others(host: Host) -> None:
    other = Spool(host.root, get_logger())
    other.take()
    host.records.clear()
    host.epoch = new_epoch(NOON, after=host.epoch)
    begin_epoch(host.root / CAMERA / host.epoch, NOON, STREAM)
    host.close(2)
    second = Spool(host.root, get_logger())
    second.take()
    other.close()
    third = Spool(host.root, get_logger())  # the first is back, and the second still writes
    third.take()
    assert FrameReader(host.root).closed(CAMERA, host.epoch).end is None
    second.close()
    third.close()


@pytest.mark.parametrize(
    ("one", "other", "reaches"),
    [
        (Cursor("a", 10), Cursor("a", 10), True),
        (Cursor("a", 10), Cursor("a", 11), False),
        (Cursor("a", -1), Cursor("a", 11), True),
        (Cursor("a", 11), Cursor("a", -1), False),
        (Cursor("b", 0), Cursor("a", -1), True),
        (Cursor("a", -1), Cursor("b", 1), False),
    ],
)
def test_a_cursor_reaches_what_lies_before_it(one: Cursor, other: Cursor, reaches: bool) -> None:
    assert one.reaches(other) is reaches
