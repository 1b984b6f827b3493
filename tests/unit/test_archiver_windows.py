"""Windows: every fragment in exactly one clip, in whatever order and hour it comes."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.book import Book
from archiver.windows import Gather, runs, window_of
from shared.clock import SimulatedClock
from shared.identity import ClipIdentity
from shared.messages import Fragment
from tests.archiver_fragments import CAMERA, START, reference

LONG_AGO = START - timedelta(days=1)
A, B = "0" * 19 + "a", "0" * 19 + "b"


def test_a_fragment_belongs_to_the_window_of_its_first_frame() -> None:
    last = reference(0, captured_at=START + timedelta(seconds=599, milliseconds=999))
    assert window_of(last, 600).starts_at == START
    first = reference(1, captured_at=START + timedelta(seconds=600))
    assert window_of(first, 600).starts_at == START + timedelta(seconds=600)


def test_midnight_begins_a_new_window_and_a_new_day_in_the_key() -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    before = reference(0, captured_at=midnight - timedelta(milliseconds=1))
    after = reference(1, captured_at=midnight)
    assert window_of(before, 600) < window_of(after, 600)
    keys = [
        ClipIdentity(CAMERA, A, each.fragment, each.fragment, each.captured_at).object_key("mp4")
        for each in (before, after)
    ]
    assert keys[0].startswith(f"clips/{CAMERA}/2026/03/01/{CAMERA}_20260301T235959999Z_")
    assert keys[1].startswith(f"clips/{CAMERA}/2026/03/02/{CAMERA}_20260302T000000000Z_")


@pytest.mark.parametrize(
    "change", [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)]
)
def test_windows_do_not_notice_summer_time(change: datetime) -> None:
    """In Berlin the clock springs from 02:00 to 03:00, and falls back from 03:00 to 02:00."""
    moments = [change + timedelta(minutes=minute) for minute in range(-90, 90)]
    local = [each.astimezone(ZoneInfo("Europe/Berlin")) for each in moments]
    assert local[-1].utcoffset() != local[0].utcoffset()
    windows = [window_of(reference(0, captured_at=each), 600) for each in local]
    assert windows == [window_of(reference(0, captured_at=each), 600) for each in moments]
    assert len(set(windows)) == 18
    keys = [ClipIdentity(CAMERA, A, 0, 0, each).object_key("mp4") for each in local]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def gathered(*fragments: Fragment) -> Gather:
    gather = Gather(clip_seconds=10, grace_seconds=5)
    for fragment in fragments:
        gather.add(fragment, monotonic=0)
    return gather


def taken(gather: Gather, now: datetime, monotonic: float, silent: float) -> list[list[int]]:
    return [sorted(found) for _, found in gather.take_over(now, monotonic, silent)]


def test_a_fragment_of_a_later_window_closes_the_earlier_one() -> None:
    gather = gathered(reference(8), reference(9))
    assert taken(gather, START, 1, 0) == []
    gather.add(reference(10), 1)
    assert taken(gather, START, 1, 0) == [[8, 9]]


def test_a_fragment_of_a_later_epoch_closes_the_window() -> None:
    gather = gathered(reference(3, epoch=A))
    gather.add(reference(0, epoch=B, captured_at=START + timedelta(seconds=4)), 1)
    assert taken(gather, START, 1, 0) == [[3]]


def test_a_late_fragment_does_not_close_the_live_window() -> None:
    gather = gathered(reference(11))
    gather.add(reference(2), 1)
    assert taken(gather, START, 1, 0) == []


def test_the_end_of_its_epoch_closes_a_window() -> None:
    gather = gathered(reference(3, epoch=A), reference(4, epoch=B))
    gather.end(A, 4)
    assert taken(gather, LONG_AGO, 1, 0) == [[3]]


def test_a_fragment_after_the_end_of_its_epoch_does_not_wait() -> None:
    gather = gathered()
    gather.end(A, 4)
    gather.add(reference(3, epoch=A), 1)
    assert taken(gather, LONG_AGO, 1, 0) == [[3]]


def test_a_fragment_behind_the_end_of_its_epoch_refutes_that_end() -> None:
    gather = gathered()
    gather.end(A, 4)
    gather.add(reference(4, epoch=A), 1)
    gather.add(reference(5, epoch=A), 1)
    assert taken(gather, LONG_AGO, 1, 0) == []
    assert gather.length_of(A) is None


@pytest.mark.parametrize(
    ("after_start", "silent", "closes"),
    [(15, 5, True), (14.9, 5, False), (15, 4.9, False), (3600, 0, False)],
)
def test_the_clock_closes_a_window_only_when_the_queue_is_silent_too(
    after_start: float, silent: float, closes: bool
) -> None:
    gather = gathered(reference(3))
    now = START + timedelta(seconds=after_start)
    assert taken(gather, now, 1, silent) == ([[3]] if closes else [])


def test_a_wall_clock_far_behind_cannot_hold_a_window_open() -> None:
    gather = gathered(reference(3))
    assert taken(gather, LONG_AGO, 14.9, 14.9) == []
    assert taken(gather, LONG_AGO, 15, 0) == [[3]]


def test_runs_break_where_a_number_is_missing() -> None:
    found = runs([reference(5), reference(1), reference(2), reference(4)])
    assert [[each.fragment for each in run] for run in found] == [[1, 2], [4, 5]]


# -- the whole way, in any order -------------------------------------------------------------------


Run = tuple[Fragment, ...]


@dataclass
class Archive:
    """A camera's book, restarted at will, over a bucket that remembers and an index that knows."""

    everything: list[Fragment]
    clip_seconds: int
    committed: list[tuple[str, int, int, datetime]] = field(default_factory=list)
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(START))
    book: Book = field(init=False)
    under_way: list[Run] = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """What was under way is forgotten; only the bucket remembers."""
        self.under_way = []
        self.book = Book(self.clip_seconds, 5)
        for epoch, first, last, captured_at in self.committed:
            self.book.ledger.commit(epoch, first, last, captured_at)

    def deliver(self, fragment: Fragment) -> None:
        self.book.offer(fragment, self.clock.monotonic())
        self.close_windows(silent_seconds=0)

    def close_windows(self, silent_seconds: float) -> None:
        now = self.clock.now()
        for closing in self.book.take_over(now, self.clock.monotonic(), silent_seconds):
            index = [each for each in self.everything if each.epoch == closing.window.epoch]
            made = self.book.complete(closing, () if closing.whole else index)
            assert all(len({window_of(f, self.clip_seconds) for f in run}) == 1 for run in made)
            self.under_way += made

    def commit(self) -> None:
        """The first clip that is under way gets there."""
        if self.under_way:
            run = self.under_way.pop(0)
            self.book.commit(run)
            self.committed.append(
                (run[0].epoch, run[0].fragment, run[-1].fragment, run[0].captured_at)
            )

    def reconcile(self) -> None:
        for fragment in self.everything:
            self.book.offer(fragment, self.clock.monotonic())
        self.clock.advance(7200)
        self.close_windows(silent_seconds=3600)
        while self.under_way:
            self.commit()

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return [each[1:3] for each in self.committed]

    def in_clips(self) -> list[tuple[str, int]]:
        return sorted(
            (epoch, number)
            for epoch, first, last, _ in self.committed
            for number in range(first, last + 1)
        )


class Happening(Enum):
    RESTART = "the archiver dies"
    COMMIT = "a clip gets there"


Event = Fragment | Happening


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Fragment], list[Event], int]:
    """Two epochs, and their fragments delivered in any order and number, with what happens."""
    moment = START + timedelta(seconds=draw(st.integers(0, 365 * 86400)))
    everything: list[Fragment] = []
    for epoch in (A, B):
        for number in range(draw(st.integers(0, 12))):
            everything.append(reference(number, epoch=epoch, captured_at=moment))
            moment += timedelta(seconds=draw(st.floats(0.3, 8)))
    events = draw(st.lists(st.sampled_from([*everything, *Happening]), max_size=40))
    return everything, events, draw(st.integers(5, 30))


@given(histories())
def test_every_fragment_is_in_exactly_one_clip(
    history: tuple[list[Fragment], list[Event], int],
) -> None:
    everything, events, clip_seconds = history
    archive = Archive(everything, clip_seconds)
    for event in events:
        if event is Happening.RESTART:
            archive.restart()
        elif event is Happening.COMMIT:
            archive.commit()
        else:
            archive.deliver(event)
    archive.reconcile()
    assert archive.in_clips() == sorted((each.epoch, each.fragment) for each in everything)


@given(histories())
def test_a_backlog_builds_the_same_clips_as_live(
    history: tuple[list[Fragment], list[Event], int],
) -> None:
    everything, _, clip_seconds = history
    live, backlog = Archive(everything, clip_seconds), Archive(everything, clip_seconds)
    for fragment in everything:
        live.clock.step((fragment.captured_at - live.clock.now()).total_seconds())
        live.clock.advance(1)
        live.deliver(fragment)
    backlog.clock.step((START + timedelta(days=3650) - backlog.clock.now()).total_seconds())
    for fragment in everything:
        backlog.deliver(fragment)
    live.reconcile()
    backlog.reconcile()
    assert live.committed == backlog.committed


@pytest.mark.parametrize("numbers", [(0, 1, 4, 9, 10), (3, 4, 5, 6, 7, 8, 9, 10), (0, 1, 2, 3, 11)])
def test_a_window_that_may_have_holes_is_completed_from_the_index(numbers: tuple[int]) -> None:
    archive = Archive([reference(n) for n in range(12)], 10)
    for number in numbers:
        archive.deliver(archive.everything[number])
    archive.commit()
    assert archive.ranges == [(0, 9)]


def test_a_window_known_to_be_whole_needs_no_index() -> None:
    archive = Archive([reference(n) for n in range(30)], 10)
    whole: list[bool] = []
    for fragment in archive.everything:
        archive.book.offer(fragment, 0)
        whole += [each.whole for each in archive.book.take_over(LONG_AGO, 0, 0)]
    archive.book.gather.end(archive.everything[0].epoch, 30)
    whole += [each.whole for each in archive.book.take_over(LONG_AGO, 0, 0)]
    assert whole == [True, True, True]


def test_a_fragment_gone_splits_the_clip_and_is_never_waited_for() -> None:
    book = Book(10, 5)
    for number in range(11):
        book.offer(reference(number), 0)
    (closing,) = book.take_over(LONG_AGO, 0, 0)
    (run,) = book.complete(closing, ())
    left = book.lose(run, frozenset({3, 4}))
    assert [(each[0].fragment, each[-1].fragment) for each in left] == [(0, 2), (5, 9)]
    assert book.ledger.has_settled(run[0].epoch, 3)
    assert not book.offer(reference(4), 0)
    assert not book.ledger.has_committed(run[0].epoch, 3)
