"""The archiver whole: real broker, real object store, real ffmpeg, and workers that die."""

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.bucketframes import BucketFrames
from shared.bucketplace import BucketPlace
from shared.config import ArchiveSettings, from_mapping
from shared.coverage.epochs import epochs_of
from shared.custody import EmptyWindow, EpochBegun, EpochEnded, FragmentsFound, FragmentsLost
from shared.link import Link
from shared.messages import EpochEnd
from shared.objectstore import ObjectStore
from shared.topology import (
    FRAMES,
    ArchiveQueue,
    archiver_queue,
    archiver_seat_queue,
    fragment_key,
    lost_queue,
)
from tests.archiver_fragments import CAMERA, Recorded, footage
from tests.archiver_room import (
    Door,
    ProcessWorker,
    Room,
    ThreadedWorker,
    clip_of,
    committing,
    eventually,
)
from tests.services import BrokerService, running_broker
from tests.starving import starving


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage(tmp_path_factory.mktemp("footage"), 12)


@pytest.fixture
def kind() -> ArchiveQueue:
    """What the room's queue is, unless a test is parametrized."""
    return ArchiveQueue.CLASSIC


on_either_queue = pytest.mark.parametrize("kind", list(ArchiveQueue))


@pytest.fixture
def room(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, kind: ArchiveQueue
) -> Iterator[Room]:
    with Link(SecretStr(broker_url), "test") as link:
        room = Room(tmp_path, broker_url, archive_settings, link, kind)
        room.frames.mkdir()
        room.start()
        yield room


@on_either_queue
def test_fragments_become_clips_by_window_and_are_acknowledged(room: Room, source: Path) -> None:
    recorded = room.record(source)
    room.publish(*recorded.fragments)
    with ThreadedWorker(room.settings()) as worker:
        eventually(lambda: len(room.ranges()) == 2)
        room.publish(recorded.end("the camera was unplugged"))
        eventually(lambda: len(room.events) == 3)
        eventually(lambda: "0 deliveries held" in worker.state)
    epoch = recorded.epoch
    assert room.ranges() == [(epoch, 0, 4), (epoch, 5, 9), (epoch, 10, 11)]
    assert room.waiting == 0
    assert sum(each.frames for each in room.manifests()) == recorded.frames == 360
    assert {each.container for each in room.manifests()} == {"mp4"}
    # On a slow machine the look for empty windows (those of an hour) comes before the end.
    told = [type(each) for each in room.custody() if not isinstance(each, EmptyWindow)]
    assert told == [EpochBegun, EpochEnded]
    event = next(each for each in room.events if each.detail["first"] == 5)
    manifest = next(each for each in room.manifests() if each.first == 5)
    assert event.routing_key == f"archiver.{CAMERA}.stored"
    assert event.detail["key"] == manifest.object_key
    assert event.detail["bytes"] == manifest.bytes


def test_what_only_the_frame_store_knows_is_archived(room: Room, source: Path) -> None:
    recorded = room.record(source)
    recorded.index(recorded.fragments, recorded.end())
    with ThreadedWorker(room.settings()):
        eventually(lambda: room.holds_exactly(recorded))
    assert room.ranges()[-1] == (recorded.epoch, 10, 11)


def ends_of(room: Room) -> list[EpochEnded]:
    return [each for each in room.custody() if isinstance(each, EpochEnded)]


def holds_the_truth(room: Room, true: EpochEnd, false: EpochEnd) -> bool:
    """Both ends are recorded, and whoever reads the records finds the true one."""
    epochs = epochs_of((), room.custody(), ())
    if not epochs or epochs[0].end is None:
        return False
    end = epochs[0].end
    facts = (end.fragments, end.ended_at, end.reason, end.corrects)
    return len(ends_of(room)) == 2 and facts == (
        *(true.fragments, true.ended_at, true.reason),
        false.ended_at,
    )


def false_end(recorded: Recorded, fragments: int) -> EpochEnd:
    said = {"fragments": fragments, "ended_at": recorded.fragments[3].ends_at}
    return recorded.end("said by nobody knows whom").model_copy(update=said)


@pytest.mark.parametrize("before", [8, 12])
def test_an_end_that_fragments_refute_is_corrected_in_the_custody_record(
    room: Room, source: Path, before: int
) -> None:
    recorded = room.record(source)
    false, true = false_end(recorded, 4), recorded.end()
    room.publish(*recorded.fragments[:before], false)
    with ThreadedWorker(room.settings()) as worker:
        eventually(lambda: ends_of(room))
        room.publish(*recorded.fragments[before:], true)
        eventually(lambda: holds_the_truth(room, true, false))
        eventually(lambda: room.holds_exactly(recorded))
        eventually(lambda: "0 deliveries held" in worker.state)
    assert room.waiting == 0


def test_an_end_behind_what_anybody_has_seen_is_told_by_the_frame_store_alone(
    room: Room, source: Path
) -> None:
    """Believed, it would make each fragment that follows a clip of its own."""
    recorded = room.record(source)
    false, true = false_end(recorded, 100), recorded.end()
    room.publish(*recorded.fragments[:8], false)
    recorded.index(recorded.fragments, true)
    with ThreadedWorker(room.settings()) as worker:
        eventually(lambda: room.holds_exactly(recorded))
        eventually(lambda: [end.fragments for end in ends_of(room)] == [true.fragments])
        eventually(lambda: "0 deliveries held" in worker.state)
    assert room.waiting == 0, "the message of the false end is not held for ever"
    assert len(room.ranges()) == 3


def test_the_end_of_an_epoch_that_an_earlier_run_committed_is_recorded(
    room: Room, source: Path
) -> None:
    """The frame store may have forgotten the epoch by then; the bucket knows its last fragment."""
    recorded = room.record(source)
    room.publish(*recorded.fragments)
    with ThreadedWorker(room.settings()):
        eventually(lambda: room.holds_exactly(recorded))
    shutil.rmtree(room.frames / recorded.camera / recorded.epoch)
    room.publish(recorded.end())
    with ThreadedWorker(room.settings()):
        eventually(lambda: [end.fragments for end in ends_of(room)] == [len(recorded.fragments)])
        eventually(lambda: room.waiting == 0)


def test_messages_that_come_twice_or_in_any_order_make_the_same_clips(
    room: Room, source: Path
) -> None:
    recorded = room.record(source)
    room.publish(*reversed(recorded.fragments), *recorded.fragments, recorded.end())
    with ThreadedWorker(room.settings()) as worker:
        eventually(lambda: room.holds_exactly(recorded))
        eventually(lambda: "0 deliveries held" in worker.state)
        room.publish(*recorded.fragments)
        eventually(lambda: room.waiting == 0 and "0 deliveries held" in worker.state)
    assert room.ranges() == [
        (recorded.epoch, first, last) for first, last in ((0, 4), (5, 9), (10, 11))
    ]


@on_either_queue
def test_an_open_window_is_not_stored_on_shutdown_and_an_ended_epoch_is(
    room: Room, source: Path
) -> None:
    settings = room.settings()
    ended = room.record(source, fragments=3)
    with ThreadedWorker(settings):
        room.publish(*ended.fragments, ended.end())
        eventually(lambda: room.waiting == 0)  # it has them
    assert room.ranges() == [(ended.epoch, 0, 2)]
    assert room.waiting == 0
    eventually(lambda: len(room.events) == 1)
    open_ = room.record(source, fragments=3)
    with ThreadedWorker(room.settings(grace_seconds=60)) as worker:
        room.publish(*open_.fragments)
        eventually(lambda: "3 fragments gathered" in worker.state)
    assert (open_.epoch, 0, 2) not in room.ranges()
    eventually(lambda: room.waiting == 3)  # the broker has them back in its own time


@on_either_queue
def test_a_restart_in_the_middle_of_a_clip_loses_nothing_and_collides_with_nothing(
    room: Room, source: Path
) -> None:
    recorded = room.record(source)
    with ProcessWorker(room, grace_seconds=60) as worker:
        room.publish(*recorded.fragments[:7])
        eventually(lambda: len(room.ranges()) == 1)
        worker.kill()
    leftover = room.folder / "archiver-work"
    assert len(list(leftover.iterdir())) == 1
    room.publish(*recorded.fragments[7:], recorded.end())
    with ProcessWorker(room) as worker:
        eventually(lambda: room.holds_exactly(recorded))
        assert len(list(leftover.iterdir())) == 1, "only its own"
        assert not worker.lines("worker.broke")
    assert [each[1:] for each in room.ranges()] == [(0, 4), (5, 9), (10, 11)]
    assert list(leftover.iterdir()) == []


@pytest.mark.parametrize("step", ["after-convert", "after-upload", "after-manifest"])
def test_a_worker_killed_at_a_step_of_the_commit_stores_no_frame_twice(
    room: Room, source: Path, step: str
) -> None:
    recorded = room.record(source)
    room.publish(*recorded.fragments, recorded.end())
    with ProcessWorker(room, fault=f"archiver.{step}", conversions=1) as worker:
        eventually(lambda: worker.process.poll() is not None)
        assert worker.process.returncode == -9
    uploaded = {each.key for each in room.store.list("clips/") if each.key.endswith(".mp4")}
    assert len(uploaded) == (0 if step == "after-convert" else 1)
    assert bool(room.ranges()) == (step == "after-manifest")
    with ProcessWorker(room) as worker:
        eventually(lambda: room.holds_exactly(recorded))
        eventually(lambda: len({each.detail["first"] for each in room.events}) == 3)
    # It says so when the broker has confirmed the event, which we may have heard before.
    outcomes = Counter(line["outcome"] for line in worker.lines("clip.stored"))
    assert (
        outcomes
        == {
            "after-convert": {"created": 3},
            "after-upload": {"created": 2, "adopted": 1},
            "after-manifest": {"created": 2},
        }[step]
    )
    objects = {each.key for each in room.store.list("clips/") if each.key.endswith(".mp4")}
    assert objects == {each.object_key for each in room.manifests()}
    assert uploaded <= objects
    assert room.waiting == 0


def test_the_log_says_what_became_of_a_clip(room: Room, source: Path) -> None:
    recorded = room.record(source, fragments=5)
    room.publish(*recorded.fragments, recorded.end())
    with ProcessWorker(room) as worker:
        eventually(lambda: worker.lines("clip.stored"))
    (line,) = worker.lines("clip.stored")
    (manifest,) = room.manifests()
    wanted = {
        "camera": CAMERA,
        "epoch": recorded.epoch,
        "first": 0,
        "last": 4,
        "key": manifest.object_key,
        "bytes": manifest.bytes,
        "frames": 150,
        "outcome": "created",
    }
    assert {key: line[key] for key in wanted} == wanted
    assert line["seconds"] >= 0


def test_without_ffmpeg_the_original_bytes_are_stored(
    room: Room, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = room.record(source)
    room.publish(*recorded.fragments, recorded.end())
    monkeypatch.setattr("shared.child.shutil.which", lambda *_, **__: None)
    with ThreadedWorker(room.settings()):
        eventually(lambda: room.holds_exactly(recorded))
    for manifest in room.manifests():
        assert manifest.object_key.endswith(".ts")
        assert manifest.probed_frames == manifest.frames
        assert "not installed" in (manifest.reason or "")


def test_another_range_makes_the_worker_reload_and_store_only_the_rest(
    room: Room, source: Path
) -> None:
    recorded = room.record(source)
    room.publish(*recorded.fragments[:3])
    with ThreadedWorker(room.settings(grace_seconds=60)) as worker:
        eventually(lambda: "3 fragments gathered" in worker.state)
        with committing(room.frames, room.store) as other:
            other.commit(clip_of(recorded, 0, 1))
        room.publish(*recorded.fragments[3:], recorded.end())
        eventually(lambda: room.holds_exactly(recorded))
        eventually(lambda: "0 deliveries held" in worker.state)
    assert [each[1:] for each in room.ranges()] == [(0, 1), (2, 4), (5, 9), (10, 11)]


def test_fragments_gone_from_the_store_are_in_the_custody_record_and_the_rest_is_stored(
    room: Room, source: Path
) -> None:
    recorded = room.record(source)
    for number in (2, 3):
        recorded.path(number).unlink()
    room.publish(*recorded.fragments, recorded.end())
    with ThreadedWorker(room.settings()) as worker:
        eventually(lambda: len(room.ranges()) == 4)
        eventually(lambda: room.waiting == 0 and "0 deliveries held" in worker.state)
    assert [each[1:] for each in room.ranges()] == [(0, 1), (4, 4), (5, 9), (10, 11)]
    (lost,) = [each for each in room.custody() if isinstance(each, FragmentsLost)]
    assert (lost.first, lost.last) == (2, 3)
    assert lost.starts_at == recorded.fragments[2].captured_at
    after = next(each for each in room.manifests() if each.first == 4)
    assert [gap.reason for gap in after.gaps] == ["fragments 2-3 are missing"]


def test_a_frame_store_that_is_away_for_a_moment_costs_nothing(room: Room, source: Path) -> None:
    recorded = room.record(source)
    room.publish(*recorded.fragments)
    aside = room.frames.with_name("aside")
    room.frames.rename(aside)
    room.link.publish_and_wait(FRAMES, fragment_key(CAMERA), recorded.end().to_body())
    with ProcessWorker(room) as worker:
        eventually(lambda: worker.lines("clip.waits"))
        aside.rename(room.frames)
        eventually(lambda: room.holds_exactly(recorded))
        eventually(lambda: room.waiting == 0)
    assert not [each for each in room.custody() if isinstance(each, FragmentsLost)]


@pytest.mark.parametrize("fault", ["a folder in its place", "the store is away"])
def test_a_hole_is_no_loss_while_the_index_cannot_be_read(
    room: Room, source: Path, fault: str
) -> None:
    recorded = room.record(source)
    room.publish(*(recorded.fragments[number] for number in (0, 1, 3, 4)))
    index = recorded.path(0).with_name("index.jsonl")
    there = index if fault.startswith("a folder") else room.frames
    aside = room.folder / "aside"
    there.rename(aside)
    if there == index:
        index.mkdir()
    room.link.publish_and_wait(FRAMES, fragment_key(CAMERA), recorded.fragments[5].to_body())
    with ProcessWorker(room) as worker:
        eventually(lambda: worker.lines("archive.no_index"))
        assert not worker.lines("fragments.lost")
        if there == index:
            index.rmdir()
        aside.rename(there)
        recorded.index(recorded.fragments, recorded.end())
        eventually(lambda: room.holds_exactly(recorded))
    assert not [each for each in room.custody() if isinstance(each, FragmentsLost)]


def test_fragments_that_were_written_off_and_turn_up_are_stored(
    room: Room, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archiver.housekeeping.RECONCILE_SECONDS", 1.0)
    recorded = room.record(source)
    aside = room.folder / "aside"
    recorded.path(2).rename(aside)
    room.publish(*recorded.fragments, recorded.end())
    with ThreadedWorker(room.settings()):
        eventually(lambda: any(isinstance(each, FragmentsLost) for each in room.custody()))
        aside.rename(recorded.path(2))
        eventually(lambda: room.holds_exactly(recorded))


def test_what_a_host_that_is_away_may_hold_is_lost_only_once_nobody_can_bring_it(
    room: Room, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when it comes after all, the record of the loss is corrected, whoever holds the seat."""
    monkeypatch.setattr("archiver.housekeeping.RECONCILE_SECONDS", 1.0)
    monkeypatch.setattr("archiver.reconcile.LONGEST_LOOK_BACK", timedelta())  # no empty windows
    place = BucketPlace(f"{room.archive.bucket}-frames", "")
    ObjectStore(room.archive, place.bucket).ensure_bucket()
    store = {"url": f"s3://{place.bucket}", "spool": (room.folder / "spool").as_uri()}
    settings = from_mapping({**room.mapping(), "frames": store})
    frames = BucketFrames(room.archive, place)
    recorded = room.record(source, datetime.now(UTC) - timedelta(hours=25, minutes=10))
    there = [each for each in recorded.fragments if each.fragment not in {2, 3}]
    for each in there:
        frames.put(each, (room.frames / each.path).read_bytes())
    frames.put_end(recorded.end())
    room.publish(*there, recorded.end())
    with ThreadedWorker(settings) as worker:
        eventually(lambda: room.archived().total() == len(there))
        eventually(lambda: room.waiting == 0 and "0 deliveries held" in worker.state)
    assert not [each for each in room.custody() if isinstance(each, FragmentsLost)]
    monkeypatch.setattr("archiver.housekeeping.ABSENCES_SECONDS", 1.0)
    with ThreadedWorker(settings):
        eventually(lambda: any(isinstance(each, FragmentsLost) for each in room.custody()))
        (lost,) = [each for each in room.custody() if isinstance(each, FragmentsLost)]
        assert (lost.first, lost.last) == (2, 3)
        for each in recorded.fragments[2:4]:
            frames.put(each, (room.frames / each.path).read_bytes())
        eventually(lambda: room.holds_exactly(recorded))
        eventually(lambda: any(isinstance(each, FragmentsFound) for each in room.custody()))
    (found,) = [each for each in room.custody() if isinstance(each, FragmentsFound)]
    assert (found.first, found.last, found.corrects) == (2, 3, lost.key)


@on_either_queue
def test_a_message_that_cannot_be_read_goes_to_lost_and_stops_nobody(
    room: Room, source: Path
) -> None:
    recorded = room.record(source)
    good = recorded.fragments[0].to_body()
    bad = [b"{", good.replace(b"camera-1/", b"../../x/"), good.replace(b"camera-1", b"camera-2")]
    for body in bad:
        room.link.publish_and_wait(FRAMES, fragment_key(CAMERA), body)
    room.publish(*recorded.fragments, recorded.end())
    with ThreadedWorker(room.settings()) as worker:
        eventually(lambda: room.holds_exactly(recorded))
        eventually(lambda: room.link.declare(lost_queue()).messages == len(bad))
        eventually(lambda: room.waiting == 0 and "0 deliveries held" in worker.state)
    lost = [room.link.get(lost_queue()) for _ in bad]
    assert [each.body for each in lost if each] == bad
    assert all(each and each.headers["x-cradle-reason"] for each in lost)


@on_either_queue
def test_a_killed_worker_is_replaced_and_no_fragment_is_lost_or_stored_twice(
    room: Room, source: Path
) -> None:
    recorded = room.record(source)
    with ProcessWorker(room) as first, ProcessWorker(room) as second:
        eventually(lambda: first.lines("seat.taken") or second.lines("seat.taken"))
        holder, other = (first, second) if first.lines("seat.taken") else (second, first)
        room.publish(*recorded.fragments[:8])
        eventually(lambda: len(room.ranges()) == 1)
        eventually(lambda: other.lines("worker.started"))
        with starving() as machine:
            holder.kill()
            began = time.monotonic()
            eventually(lambda: other.lines("seat.taken"))
            taken_seconds = time.monotonic() - began
            assert taken_seconds - machine.seconds(other.process.pid) < 5
        room.publish(*recorded.fragments[8:], recorded.end())
        eventually(lambda: room.holds_exactly(recorded))
    assert room.waiting == 0


def test_a_worker_told_to_stop_while_the_broker_is_away_ends_at_once(
    tmp_path: Path, archive_settings: ArchiveSettings, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "ffmpeg"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 120\n", encoding="utf-8")
    slow.chmod(0o755)
    with running_broker(tmp_path / "broker") as broker, broker.virtual_host() as url:
        with Link(SecretStr(url), "test") as link:
            room = Room(tmp_path, url, archive_settings, link)
            room.frames.mkdir()
            room.start()
            recorded = room.record(source)
            monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
            worker = ProcessWorker(room)
            room.publish(*recorded.fragments, recorded.end())
            eventually(lambda: list(tmp_path.glob("archiver-work/*/")))
            children = Path(f"/proc/{worker.process.pid}/task")
            eventually(lambda: any(each.read_text() for each in children.glob("*/children")))
        broker.call("DELETE", f"/api/vhosts/{url.rpartition('/')[2]}")
        with worker:
            eventually(lambda: worker.lines("worker.interrupted"))
            worker.process.terminate()
            assert worker.process.wait(30) == 0
            assert not list(tmp_path.glob("archiver-work/*/"))
        broker.call("PUT", f"/api/vhosts/{url.rpartition('/')[2]}")


@on_either_queue
def test_a_frozen_worker_that_wakes_up_does_no_harm(room: Room, source: Path) -> None:
    recorded = room.record(source)
    with ProcessWorker(room) as first:
        eventually(lambda: first.lines("seat.taken"))
        room.publish(*recorded.fragments[:8])
        eventually(lambda: len(room.ranges()) == 1)
        first.process.send_signal(signal.SIGSTOP)
        try:
            with ProcessWorker(room) as second:
                eventually(lambda: second.lines("seat.taken"), seconds=60)
                room.publish(*recorded.fragments[8:])
                eventually(lambda: len(room.ranges()) == 2)
                first.process.send_signal(signal.SIGCONT)
                eventually(lambda: first.lines("worker.interrupted"))
                room.publish(recorded.end())
                eventually(lambda: room.holds_exactly(recorded))
        finally:
            first.process.send_signal(signal.SIGCONT)
    assert [each[1:] for each in room.ranges()] == [(0, 4), (5, 9), (10, 11)]


on_a_quorum_queue = pytest.mark.parametrize("kind", [ArchiveQueue.QUORUM])


@on_a_quorum_queue
def test_of_two_workers_only_who_holds_the_seat_consumes_and_with_the_seat_all_goes(
    room: Room, source: Path, broker: BrokerService
) -> None:
    recorded = room.record(source)
    queues = [make(CAMERA, room.kind) for make in (archiver_queue, archiver_seat_queue)]
    with ProcessWorker(room) as first, ProcessWorker(room) as second:
        workers = (first, second)
        eventually(lambda: all(each.lines("worker.started") for each in workers))
        eventually(lambda: any(each.lines("seat.taken") for each in workers))
        room.publish(*recorded.fragments[:8])
        eventually(lambda: len(room.ranges()) == 1)
        assert [room.link.declare(queue).consumers for queue in queues] == [1, 1]
        host = room.broker_url.rpartition("/")[2]
        broker.call("DELETE", f"/api/queues/{host}/{queues[1].name}")
        eventually(lambda: any(each.lines("seat.lost") for each in workers))
        eventually(lambda: sum(len(each.lines("seat.taken")) for each in workers) == 2)
        assert [room.link.declare(queue).consumers for queue in queues] == [1, 1]
        room.publish(*recorded.fragments[8:], recorded.end())
        eventually(lambda: room.holds_exactly(recorded))
    assert room.waiting == 0


@on_either_queue
def test_a_queue_of_the_other_kind_is_refused_and_once_deleted_has_cost_nothing(
    room: Room, source: Path, broker: BrokerService
) -> None:
    recorded = room.record(source)
    room.publish(*recorded.fragments, recorded.end())
    name = archiver_queue(CAMERA, room.kind).name
    (room.kind,) = set(ArchiveQueue) - {room.kind}
    with ProcessWorker(room) as worker:
        eventually(lambda: worker.lines("worker.interrupted"))
        said = worker.lines("worker.interrupted")[0]["reason"]
        assert name in said
        assert "rabbitmqctl delete_queue" in said
        assert not worker.lines("seat.taken")
        broker.call("DELETE", f"/api/queues/{room.broker_url.rpartition('/')[2]}/{name}")
        eventually(lambda: room.holds_exactly(recorded))


def test_while_the_store_is_away_nothing_is_lost_and_nobody_hammers(
    room: Room, source: Path
) -> None:
    recorded = room.record(source)
    with (
        Door(room.archive.endpoint) as door,
        ThreadedWorker(room.settings(endpoint=door.endpoint)) as worker,
    ):
        door.shut()
        room.publish(*recorded.fragments, recorded.end())
        eventually(lambda: door.refused >= 3)
        knocks, began = door.refused, time.monotonic()
        eventually(lambda: door.refused >= knocks + 10)
        assert time.monotonic() - began > 1, "under ten knocks a second"
        assert "13 deliveries held" in worker.state
        door.open()
        eventually(lambda: room.holds_exactly(recorded))
        eventually(lambda: "0 deliveries held" in worker.state)


def test_a_window_ends_at_midnight_and_the_next_run_knows_both_days(
    room: Room, source: Path
) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    recorded = room.record(source, today - timedelta(seconds=4))
    for _ in range(2):
        room.publish(*recorded.fragments, recorded.end())
        with ThreadedWorker(room.settings(clip_seconds=600)) as worker:
            eventually(lambda: room.holds_exactly(recorded))
            eventually(lambda: room.waiting == 0 and "0 deliveries held" in worker.state)
    assert [each[1:] for each in room.ranges()] == [(0, 3), (4, 11)]
    folders = [each.object_key.split("/")[2:5] for each in room.manifests()]
    assert ["/".join(each) for each in folders] == [
        f"{day:%Y/%m/%d}" for day in (today - timedelta(days=1), today)
    ]


def test_windows_without_footage_are_in_the_custody_record(room: Room, source: Path) -> None:
    """The last clip is an hour old, and nothing came since."""
    recorded = room.record(source)
    with committing(room.frames, room.store) as other:
        other.commit(clip_of(recorded, 0, 11))
    with ThreadedWorker(room.settings(clip_seconds=600)):
        eventually(lambda: len(room.custody()) >= 3)
    empty = [each for each in room.custody() if isinstance(each, EmptyWindow)]
    assert len(empty) == len(room.custody())
    window = recorded.fragments[0].captured_at.timestamp() // 600 * 600
    assert [each.starts_at.timestamp() - window for each in empty[:3]] == [600, 1200, 1800]
    assert empty[-1].ends_at < datetime.now(UTC) - timedelta(minutes=15)


def test_a_clip_of_an_earlier_run_is_announced_again_while_its_fragments_remain(
    room: Room, source: Path
) -> None:
    recorded = room.record(source)
    recorded.index(recorded.fragments[:5])
    with committing(room.frames, room.store) as other:
        other.commit(clip_of(recorded, 0, 4))
    with ThreadedWorker(room.settings()):
        eventually(lambda: room.events)
    assert [(each.event, each.detail["first"]) for each in room.events] == [("stored", 0)]
