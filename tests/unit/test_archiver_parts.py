"""The archiver's small parts: ranges, acknowledgement, names, gaps, empty windows, expiry, work."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from archiver.book import Book
from archiver.clip import SOFTWARE, Clip, Made
from archiver.completion import read_index
from archiver.continuity import KEPT_EPOCHS, Continuity, holes
from archiver.expiry import day_of, last_day_to_keep
from archiver.held import Held, HeldDeliveries
from archiver.intake import prefetch_of
from archiver.ledger import Ledger
from archiver.reconcile import empty_windows, look, settled_epochs, untold
from archiver.windows import window_of
from archiver.workfolder import WorkFolder, remove_leftovers
from shared.bucketframes import PORTION
from shared.clipfolder import read_listing
from shared.clock import SimulatedClock
from shared.custody import (
    EmptyWindow,
    EpochBegun,
    EpochEnded,
    FragmentsFound,
    FragmentsLost,
    read_custody,
)
from shared.errors import BadMessage
from shared.framestore import INDEX_NAME, EpochIndex, FrameReader
from shared.identity import new_epoch
from shared.manifest import Manifest, read_manifest
from shared.messages import EpochEnd, Fragment, Stage
from shared.objectstore import StoredObject
from shared.ranges import Ranges
from tests.archiver_fragments import CAMERA, START, STREAM, empty_bucket, put, reference
from tests.memory_store import MemoryStore

EPOCH = new_epoch(START)


# -- ranges ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8))))
def test_ranges_are_a_set_of_numbers(added: list[tuple[int, int]]) -> None:
    ranges, numbers = Ranges(), set[int]()
    for first, more in added:
        ranges.add(first, first + more)
        numbers.update(range(first, first + more + 1))
    assert {n for n in range(80) if n in ranges} == numbers
    intervals = list(ranges)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(intervals))
    for first in range(0, 70, 3):
        wanted = set(range(first, first + 4))
        assert ranges.covers(first, first + 3) == (wanted <= numbers)
        assert ranges.overlaps(first, first + 3) == bool(wanted & numbers)


# -- acknowledgement -------------------------------------------------------------------------------


@dataclass
class Tag:
    """A delivery that notes what was acknowledged with it."""

    number: int
    acknowledged: list[int]

    def ack_up_to(self) -> None:
        self.acknowledged.append(self.number)


@given(st.lists(st.booleans(), max_size=20))
def test_nothing_is_acknowledged_above_the_first_that_is_not_done(done: list[bool]) -> None:
    acknowledged: list[int] = []
    held = HeldDeliveries()
    for number in range(len(done)):
        held.add(Held(Tag(number, acknowledged), 0, EPOCH, number))
    prefix = done.index(False) if False in done else len(done)
    assert held.acknowledge(lambda each: done[each.number or 0]) == prefix
    assert acknowledged == ([prefix - 1] if prefix else [])
    assert len(held) == len(done) - prefix


def test_the_prefetch_holds_more_than_one_clip_of_half_second_fragments() -> None:
    assert all(prefetch_of(seconds) > seconds / 0.4 + 1 for seconds in range(5, 901))


# -- names in the bucket ---------------------------------------------------------------------------


def clip_of(first: int, last: int, epoch: str = EPOCH) -> Clip:
    run = tuple(reference(number, epoch=epoch) for number in range(first, last + 1))
    return Clip(run, window_of(run[0], 600), 600)


MADE = Made("mp4", None, 1000, "0" * 64, 30)


def names(*keys: str) -> list[StoredObject]:
    return [StoredObject(key, 1, START) for key in sorted(keys)]


def no_manifest(key: str) -> Manifest:
    raise AssertionError(f"{key} need not be read")


def test_names_alone_say_what_is_committed() -> None:
    one, two, leftover = (
        clip_of(0, 9).identity,
        clip_of(10, 19).identity,
        clip_of(20, 29).identity,
    )
    listing = read_listing(
        names(
            *(one.object_key("mp4"), one.object_key("jpg"), one.manifest_key),
            *(two.object_key("ts"), two.manifest_key),
            leftover.object_key("mp4"),
            f"clips/{CAMERA}/2026/03/01/readme.txt",
        ),
        no_manifest,
    )
    assert [(each.identity.first, each.identity.last) for each in listing.clips] == [
        (0, 9),
        (10, 19),
    ]
    assert [each.suffix for each in listing.clips] == ["mp4", "ts"]
    assert [each.key for each in listing.leftovers] == [leftover.object_key("mp4")]


def test_a_leftover_with_the_same_beginning_has_the_manifest_read() -> None:
    clip, leftover = clip_of(0, 9), clip_of(0, 14).identity
    manifest = clip.manifest(MADE, None, START)
    listing = read_listing(
        names(
            clip.identity.object_key("mp4"),
            leftover.object_key("mp4"),
            leftover.object_key("jpg"),
            clip.identity.manifest_key,
        ),
        lambda key: manifest if key == clip.identity.manifest_key else no_manifest(key),
    )
    assert [(each.identity.first, each.identity.last) for each in listing.clips] == [(0, 9)]
    assert {each.key for each in listing.leftovers} == {
        leftover.object_key("mp4"),
        leftover.object_key("jpg"),
    }


def unreadable(key: str) -> Manifest:
    raise BadMessage("schema: should be 1")


@pytest.mark.parametrize(
    ("beside", "known"),
    [([], False), ([(9, "mp4"), (9, "ts")], True), ([(9, "mp4"), (14, "mp4")], False)],
)
def test_a_manifest_that_cannot_be_read_stops_nobody(
    beside: list[tuple[int, str]], known: bool
) -> None:
    bad, good = clip_of(0, 9).identity, clip_of(20, 29).identity
    objects = [clip_of(0, last).identity.object_key(suffix) for last, suffix in beside]
    listing = read_listing(
        names(bad.manifest_key, *objects, good.object_key("mp4"), good.manifest_key), unreadable
    )
    clips = [(each.identity.first, each.identity.last) for each in listing.clips]
    assert clips == [*([(0, 9)] if known else []), (20, 29)]
    assert list(listing.unreadable) == [bad.manifest_key]
    assert not listing.leftovers, "what such a manifest may speak of is not removed"


def test_folders_of_every_day_of_an_epoch_are_read_before_a_fragment_is_judged() -> None:
    begun = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    ledger = Ledger(600)
    days = ledger.missing_days(new_epoch(begun), begun + timedelta(hours=2))
    assert days == [date(2026, 3, 1), date(2026, 3, 2)]
    ledger.read(days, [])
    assert ledger.missing_days(new_epoch(begun), begun + timedelta(hours=3)) == []


def test_an_epoch_with_an_impossible_start_has_the_whole_folder_read_once() -> None:
    ledger = Ledger(600)
    assert ledger.missing_days("0" * 20, START) is None
    ledger.read(None, [])
    assert ledger.missing_days("0" * 20, START) == []


def test_what_was_forgotten_is_read_again() -> None:
    ledger = Ledger(600)
    ledger.read(ledger.missing_days(EPOCH, START), [])
    ledger.commit(EPOCH, 0, 9, START)
    ledger.forget(date(2026, 3, 1))
    assert ledger.has_committed(EPOCH, 5)
    assert ledger.missing_days(EPOCH, START) == []
    ledger.forget(date(2026, 3, 6))
    assert not ledger.has_committed(EPOCH, 5)
    assert ledger.missing_days(EPOCH, START) == [date(2026, 3, 1)]


# -- manifests and custody -------------------------------------------------------------------------


def test_a_manifest_reads_back_and_agrees_with_itself() -> None:
    clip = clip_of(3, 5)
    manifest = clip.manifest(MADE, None, START)
    assert read_manifest(manifest.to_body()) == manifest
    assert manifest.identity == clip.identity
    assert manifest.software == SOFTWARE
    for change in ({"last": 6}, {"frames": 1}, {"object_key": "clips/other.mp4"}):
        body = manifest.model_copy(update=change).to_body()
        with pytest.raises(BadMessage):
            read_manifest(body)
    with pytest.raises(ValidationError):
        Manifest.model_validate({})


def test_custody_records_read_back_and_have_keys_of_their_own() -> None:
    later = START + timedelta(hours=1)
    records = [
        EpochBegun(camera=CAMERA, epoch=EPOCH, stream=STREAM),
        *(
            EpochEnded(
                camera=CAMERA,
                epoch=EPOCH,
                fragments=fragments,
                ended_at=later,
                reason="unplugged",
                corrects=corrects,
            )
            for fragments, corrects in ((9, None), (9, START), (9, later), (10, later))
        ),
        FragmentsLost(
            camera=CAMERA,
            epoch=EPOCH,
            first=3,
            last=4,
            starts_at=START,
            ends_at=later,
            by=Stage.INGEST,
            reason="quota",
        ),
        FragmentsFound(
            camera=CAMERA, epoch=EPOCH, first=3, last=4, starts_at=START, corrects="custody/x.json"
        ),
        EmptyWindow(camera=CAMERA, starts_at=START, ends_at=later, reason="offline"),
    ]
    assert [read_custody(each.to_body()) for each in records] == records
    assert len({each.key for each in records}) == len(records)
    assert all(each.key.startswith(f"custody/{CAMERA}/2026/03/01/") for each in records)


# -- gaps ------------------------------------------------------------------------------------------


def ended(epoch: str, at: datetime, reason: str = "unplugged") -> EpochEnd:
    return EpochEnd(camera=CAMERA, epoch=epoch, fragments=2, ended_at=at, reason=reason)


def test_the_gap_between_epochs_has_the_reason_of_the_end() -> None:
    continuity = Continuity()
    assert continuity.gap_before((reference(0), reference(1))) is None
    continuity.end(ended(reference(0).epoch, START + timedelta(seconds=2)), last_is_known=True)
    after = reference(0, epoch=EPOCH, captured_at=START + timedelta(seconds=60))
    gap = continuity.gap_before((after,))
    assert gap is not None
    assert (gap.starts_at, gap.ends_at) == (START + timedelta(seconds=2), after.captured_at)
    assert gap.reason == "unplugged"


def test_an_end_whose_last_fragment_lies_behind_another_end_is_believed_instead() -> None:
    continuity = Continuity()
    said = ended(EPOCH, START)
    true = said.model_copy(update={"fragments": 9, "reason": "in truth"})
    assert continuity.end(said, last_is_known=True)
    assert not continuity.end(true)
    assert continuity.end(true, last_is_known=True)
    assert (continuity.ends, continuity.untrue_end(EPOCH)) == ({EPOCH: true}, said)
    assert not continuity.end(said, last_is_known=True)  # once more: it is no truer for that


def test_an_end_behind_fragments_that_nobody_has_seen_is_not_believed() -> None:
    """Else every fragment that follows would be a clip of its own."""
    continuity = Continuity()
    said = ended(EPOCH, START).model_copy(update={"fragments": 50_000})
    assert not continuity.end(said)
    assert continuity.ends == {}
    assert continuity.has_doubted(EPOCH), "its message is not held for ever"
    assert continuity.end(said, certain=True)


def test_the_frame_store_has_the_last_word_about_an_end() -> None:
    continuity = Continuity()
    true = ended(EPOCH, START, "in truth")
    said = true.model_copy(update={"fragments": 9, "reason": "somebody said so"})
    assert continuity.end(said, last_is_known=True)
    assert continuity.end(true, certain=True)
    assert continuity.untrue_end(EPOCH) == said
    assert not continuity.end(said, last_is_known=True)
    assert not continuity.end(true, certain=True)
    assert continuity.ends == {EPOCH: true}


def test_missing_fragments_are_a_gap_and_following_ones_are_not() -> None:
    continuity = Continuity()
    continuity.gap_before((reference(0),))
    assert continuity.gap_before((reference(1),)) is None
    gap = continuity.gap_before((reference(5),))
    assert gap is not None
    assert gap.reason == "fragments 2-4 are missing"
    assert [numbers for numbers, _ in holes([(reference(0),), (reference(4),)])] == [range(1, 4)]


def test_a_clip_names_the_times_inside_it_when_the_source_was_silent() -> None:
    run = (reference(0), reference(1), reference(2, captured_at=START + timedelta(seconds=9)))
    (gap,) = Clip(run, window_of(run[0], 600), 600).gaps()
    assert gap.starts_at == START + timedelta(seconds=2)
    assert gap.ends_at == START + timedelta(seconds=9)


def test_a_camera_that_reconnects_all_the_time_does_not_fill_the_memory() -> None:
    continuity = Continuity()
    for number in range(KEPT_EPOCHS + 10):
        continuity.begin(f"{number:020x}")
        continuity.end(ended(f"{number:020x}", START + timedelta(seconds=number)), certain=True)
    assert len(continuity.ends) == KEPT_EPOCHS
    assert continuity.last_reason == "unplugged"


# -- the frame store against what is committed -----------------------------------------------------


def index_of(*fragments: Fragment, end: EpochEnd | None = None) -> EpochIndex:
    return EpochIndex(fragments, end, 0, torn=False)


LONG_AGO = START - timedelta(days=60)


def test_the_store_brings_what_no_message_brought_and_no_more() -> None:
    book = Book(600, 10)
    book.ledger.commit(EPOCH, 0, 1, START)
    book.offer(reference(2, epoch=EPOCH), 0)
    end = ended(EPOCH, START)
    indices = {EPOCH: index_of(*(reference(n, epoch=EPOCH) for n in range(6)), end=end)}
    found = untold(indices, book, {}, LONG_AGO, 100)
    assert [each.fragment for each in found if isinstance(each, Fragment)] == [3, 4, 5]
    assert found[-1] == end
    assert len(untold(indices, book, {}, LONG_AGO, 2)) == 2
    assert untold(indices, book, {EPOCH: end}, START + timedelta(hours=1), 100) == []
    other = {EPOCH: ended(EPOCH, START, "somebody said so")}
    assert untold(indices, book, other, START + timedelta(hours=1), 100) == [end]


def test_what_was_written_off_and_lies_in_the_store_is_taken_up_again(tmp_path: Path) -> None:
    book, fragments = Book(600, 5), [reference(number, epoch=EPOCH) for number in range(4)]
    folder = tmp_path / CAMERA / EPOCH
    folder.mkdir(parents=True)
    (folder / INDEX_NAME).write_bytes(b"".join(each.to_body() + b"\n" for each in fragments))
    (tmp_path / fragments[1].path).write_bytes(b"it is here")
    book.ledger.lose(EPOCH, 0, 3)
    found = look(FrameReader(tmp_path), CAMERA, {EPOCH}, book.ledger.lost, {}, LONG_AGO, 100)
    for epoch, numbers in found.again.items():
        book.ledger.find(epoch, numbers)
    assert untold(found.indices, book, {}, LONG_AGO, 100) == [fragments[1]]
    assert book.ledger.lost == {EPOCH: {0, 2, 3}}
    assert look(FrameReader(tmp_path), CAMERA, {EPOCH}, {}, {}, LONG_AGO, 100).indices == {}


def test_an_index_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    bad, good = reference(0).epoch, new_epoch(START + timedelta(hours=1))
    (tmp_path / CAMERA / bad / INDEX_NAME).mkdir(parents=True)
    (tmp_path / CAMERA / good).mkdir()
    line = reference(0, epoch=good).to_body() + b"\n"
    (tmp_path / CAMERA / good / INDEX_NAME).write_bytes(line)
    found = look(FrameReader(tmp_path), CAMERA, set(), {}, {}, LONG_AGO, 100)
    assert list(found.indices) == [good]
    assert list(found.unread) == [bad]


def test_an_epoch_is_settled_when_it_has_ended_and_every_fragment_is(tmp_path: Path) -> None:
    book, frames = Book(600, 10), FrameReader(tmp_path)
    fragments = [reference(n, epoch=EPOCH) for n in range(3)]
    book.ledger.commit(EPOCH, 0, 1, START)
    closed = {EPOCH: index_of(*fragments, end=ended(EPOCH, START))}
    assert settled_epochs(frames, closed, book, LONG_AGO) == set()
    book.ledger.lose(EPOCH, 2, 2)
    assert settled_epochs(frames, closed, book, LONG_AGO) == {EPOCH}
    assert settled_epochs(frames, {EPOCH: index_of(*fragments)}, book, LONG_AGO) == set()


def heads(store: MemoryStore) -> int:
    return sum(what == "stat" for what, _ in store.asked)


def test_in_a_bucket_what_came_after_an_epochs_end_is_archived_too() -> None:
    """A host died with a part in its spool, what was fresh was uploaded first, and it came back."""
    frames, _ = empty_bucket()
    book, fragments = Book(600, 10), [reference(n, epoch=EPOCH) for n in range(11)]
    put(frames, *fragments[:5], fragments[10])
    end = ended(EPOCH, START).model_copy(update={"fragments": 11})
    frames.put_end(end)
    book.ledger.commit(EPOCH, 0, 4, START)
    book.ledger.commit(EPOCH, 10, 10, START)
    found = look(frames, CAMERA, (), {}, book.under_way_or_committed(), LONG_AGO, 100)
    assert untold(found.indices, book, {EPOCH: end}, LONG_AGO, 100) == []
    settled = settled_epochs(frames, found.indices, book, LONG_AGO)
    put(frames, *fragments[5:10])
    found = look(frames, CAMERA, settled, {}, book.under_way_or_committed(), LONG_AGO, 100)
    assert untold(found.indices, book, {EPOCH: end}, LONG_AGO, 100) == fragments[5:10]


def test_what_the_book_knows_costs_a_bucket_no_request() -> None:
    frames, store = empty_bucket()
    book, fragments = Book(600, 10), [reference(n, epoch=EPOCH) for n in range(1300)]
    put(frames, *fragments)
    book.ledger.commit(EPOCH, 0, 599, START)
    for each in fragments[600:1298]:
        book.offer(each, 0.0)
    (closing,) = book.take_over(fragments[1297].ends_at, 0.0, 0.0)  # in hand; 1200.. gathered
    assert (closing.window.start - int(START.timestamp()), len(closing.fragments)) == (600, 600)
    store.asked.clear()
    found = look(frames, CAMERA, (), {}, book.under_way_or_committed(), LONG_AGO, 100)
    assert untold(found.indices, book, {}, LONG_AGO, 100) == fragments[1298:]
    assert heads(store) == 2
    assert len(store.asked) == 4, "and a listing of the epochs, and one of this one"
    store.asked.clear()
    known = book.under_way_or_committed()[EPOCH]
    assert list(read_index(frames, CAMERA, EPOCH, known)) == fragments[1298:]
    assert [what for what, _ in store.asked] == ["list", "stat", "stat"]


def test_what_a_queue_lost_costs_a_bucket_about_one_request_each() -> None:
    """However many there are: each round asks for what it takes up, and no more."""
    frames, store = empty_bucket()
    book, clock, prefetch = Book(10, 10), SimulatedClock(START), 64
    later = new_epoch(START + timedelta(hours=1))
    fragments = [reference(n, epoch=EPOCH) for n in range(400)]
    others = [
        reference(n, epoch=later, captured_at=START + timedelta(hours=1, seconds=n))
        for n in range(100)
    ]
    put(frames, *fragments, *others)
    frames.put_end(end := ended(EPOCH, START).model_copy(update={"fragments": 400}))
    store.asked.clear()
    taken: list[Fragment | EpochEnd] = []
    while found := untold(
        look(frames, CAMERA, (), {}, book.under_way_or_committed(), LONG_AGO, prefetch).indices,
        *(book, {EPOCH: end} if end in taken else {}, LONG_AGO, prefetch),
    ):
        taken += found
        for each in found:
            if isinstance(each, Fragment):
                book.offer(each, clock.monotonic())
    assert taken == [*fragments, end, *others]
    assert heads(store) <= 500 + 8 * PORTION


def test_what_is_too_old_hides_nothing_in_a_bucket() -> None:
    frames, _ = empty_bucket()
    fragments = [reference(n, epoch=EPOCH) for n in range(100)]
    put(frames, *fragments)
    oldest = fragments[80].captured_at + timedelta(seconds=0.5)
    found = look(frames, CAMERA, (), {}, {}, oldest, 10)
    assert untold(found.indices, Book(600, 10), {}, oldest, 10) == fragments[80:90]


def test_a_window_is_completed_by_what_lies_beside_it_alone() -> None:
    """What a queue lost may be half a day behind it."""
    frames, store = empty_bucket()
    book, fragments = Book(10, 10), [reference(n, epoch=EPOCH) for n in range(300)]
    put(frames, *fragments)
    for each in (fragments[105], fragments[107], fragments[110]):
        book.offer(each, 0.0)
    (closing,) = book.take_over(START, 0.0, 0.0)
    store.asked.clear()
    known = book.known_to(closing, 25)
    found = read_index(frames, CAMERA, EPOCH, known)
    (made,) = book.complete(closing, found)
    assert made == tuple(fragments[100:110])
    assert heads(store) <= 2 * 25 + 3


def test_a_window_of_which_all_is_known_costs_a_bucket_one_listing() -> None:
    frames, store = empty_bucket()
    put(frames, *(reference(n, epoch=EPOCH) for n in range(3)))
    store.asked.clear()
    assert list(read_index(frames, CAMERA, EPOCH, {0, 1, 2})) == []
    assert [what for what, _ in store.asked] == ["list"]


def test_what_was_written_off_and_lies_in_a_bucket_is_taken_up_again() -> None:
    frames, _ = empty_bucket()
    book, fragments = Book(600, 10), [reference(n, epoch=EPOCH) for n in range(4)]
    put(frames, fragments[1])
    book.ledger.lose(EPOCH, 0, 3)
    found = look(frames, CAMERA, (), book.ledger.lost, book.under_way_or_committed(), LONG_AGO, 100)
    assert found.again == {EPOCH: {1}}
    for epoch, numbers in found.again.items():
        book.ledger.find(epoch, numbers)
    assert untold(found.indices, book, {}, LONG_AGO, 100) == [fragments[1]]


def test_windows_without_footage_are_recorded_once_and_only_when_they_are_long_over() -> None:
    first = int(START.timestamp())
    now = START + timedelta(minutes=45)
    records, again = empty_windows(CAMERA, 600, first, now, {first + 600}, "offline")
    assert [each.starts_at for each in records] == [START, START + timedelta(minutes=20)]
    assert empty_windows(CAMERA, 600, again, now, (), "offline") == ([], again)


# -- expiry ----------------------------------------------------------------------------------------


@given(st.integers(0, 365 * 86400), st.integers(60, 400))
def test_no_second_of_an_expired_day_is_younger_than_the_retention(second: int, days: int) -> None:
    now = START + timedelta(seconds=second)
    newest_expired = last_day_to_keep(now, days) - timedelta(days=1)
    end = datetime(newest_expired.year, newest_expired.month, newest_expired.day, tzinfo=UTC)
    end += timedelta(days=1)
    assert timedelta(days=days) <= now - end < timedelta(days=days + 1)


@pytest.mark.parametrize(
    ("key", "day"),
    [
        ("clips/camera-1/2026/03/01/x.mp4", date(2026, 3, 1)),
        ("clips/camera-1/2026/13/01/x.mp4", None),
        ("clips/camera-1/x.mp4", None),
    ],
)
def test_the_day_of_a_key(key: str, day: date | None) -> None:
    assert day_of(key) == day


# -- the work folder -------------------------------------------------------------------------------


def test_what_a_dead_process_left_is_removed_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    script = f"""
import os, signal
from pathlib import Path
from archiver.workfolder import WorkFolder
work = WorkFolder.open(Path({str(frames)!r}))
with work.file("mp4") as path:
    path.write_bytes(b"half a clip")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    parent = tmp_path / "archiver-work"
    (left,) = parent.iterdir()
    assert list(left.iterdir())
    living = WorkFolder.open(frames)
    assert not left.exists()
    assert remove_leftovers(parent) == 0
    assert living.path.exists()
    living.close()
    assert not living.path.exists()


def test_work_files_never_share_a_name_and_are_removed(tmp_path: Path) -> None:
    work = WorkFolder.open(tmp_path / "frames")
    with work.file("mp4") as one, work.file("mp4") as two:
        assert one != two
        one.write_bytes(b"1")
        one.with_suffix(".ts").write_bytes(b"2")
        two.write_bytes(b"3")
    assert list(work.path.iterdir()) == []
    work.close()


def test_a_work_folder_that_cannot_be_beside_the_frames_is_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "archiver-work").write_bytes(b"a file is in the way")
    work = WorkFolder.open(tmp_path / "frames")
    try:
        assert os.access(work.path, os.W_OK)
        assert tmp_path not in work.path.parents
    finally:
        work.close()


def test_a_hole_of_any_length_costs_no_more_than_what_is_known() -> None:
    """Numbers are what a message says: they are not counted one by one."""
    book, epoch = Book(10, 2), reference(0).epoch
    book.offer(reference(3), 0.0)
    book.ledger.commit(epoch, 10, 19, START)
    book.ledger.lose(epoch, 25, 25)
    began = time.thread_time()
    found = book.unknown(epoch, range(1, 10**9))
    assert time.thread_time() - began < 1
    assert found == [range(1, 3), range(4, 10), range(20, 25), range(26, 10**9)]


@given(st.sets(st.integers(0, 40)), st.integers(0, 40), st.integers(0, 40))
def test_gaps_of_ranges_are_what_is_not_in_them(there: set[int], first: int, last: int) -> None:
    ranges = Ranges()
    for number in there:
        ranges.add(number, number)
    found = [number for gap in ranges.gaps(first, last) for number in gap]
    assert found == [number for number in range(first, last + 1) if number not in there]
