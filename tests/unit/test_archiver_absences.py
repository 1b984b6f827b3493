"""The last word on fragments that no clip holds: late enough, once, and true."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from archiver.absences import LOOK_BACK, NEVER_CAME, Absences, LastWord
from shared.custody import FragmentsFound, FragmentsLost, write_custody
from shared.errors import Unavailable
from shared.messages import Fragment, Stage
from tests.archiver_fragments import empty_bucket, put
from tests.coverage_story import Story
from tests.memory_store import MemoryStore

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
AWAITED = timedelta(hours=25)
CAMERA = "camera-1"


class House:
    """A bucket with the clips and records of a story, and a frame store."""

    def __init__(self) -> None:
        self.frames, self.memory = empty_bucket()
        self.store = MemoryStore(self.memory.clock)
        self.story = Story(CAMERA, clip_seconds=10)

    def record(self, seconds: int, keep: Callable[[Fragment], bool]) -> list[Fragment]:
        """An epoch of fragments of a second each, from START on; some of them in clips."""
        made = self.story.record(START, seconds, None, keep)
        self.write()
        return made

    def write(self) -> None:
        """What the story says, into the bucket."""
        for each in self.story.manifests:
            for key, body in (
                (each.object_key, b"a video"),
                (each.identity.manifest_key, each.to_body()),
            ):
                self.store.objects.pop(key, None)
                self.store.create_bytes(key, body, content_type="")
        for record in self.story.records:
            write_custody(self.store, record)

    def look(self, now: datetime, under_way: frozenset[str] = frozenset()) -> LastWord:
        store: Any = self.store
        absences = Absences(
            *(store, self.frames, CAMERA),
            retention_days=60,
            awaited_seconds=AWAITED.total_seconds(),
        )
        return absences.look(now, under_way)

    def lost(self, now: datetime) -> list[tuple[int, int]]:
        return [(each.numbers[0], each.numbers[-1]) for each in self.look(now).lost]


def later(fragment: Fragment) -> datetime:
    """When nobody brings any more what lies before a fragment."""
    return fragment.captured_at + AWAITED


def test_a_hole_is_lost_once_nobody_can_bring_it() -> None:
    house = House()
    made = house.record(30, lambda each: each.fragment not in range(12, 15))
    assert house.lost(later(made[15]) - timedelta(milliseconds=1)) == []
    (hole,) = house.look(later(made[15])).lost
    assert (hole.epoch, hole.numbers) == (made[0].epoch, range(12, 15))
    assert (hole.gap.starts_at, hole.gap.ends_at) == (made[11].ends_at, made[15].captured_at)
    assert hole.gap.reason == NEVER_CAME


def test_what_is_missing_at_an_epochs_beginning_or_between_windows_is_lost_too() -> None:
    house = House()
    made = house.record(30, lambda each: each.fragment not in {0, 1, 9, 10})
    assert house.lost(later(made[11])) == [(0, 1), (9, 10)]
    assert house.look(later(made[11])).lost[0].gap.starts_at == START


def test_an_archive_that_was_away_for_days_forgets_nothing() -> None:
    house = House()
    made = house.record(30, lambda each: each.fragment != 5)
    assert house.lost(later(made[6]) + LOOK_BACK - timedelta(days=1)) == [(5, 5)]
    assert house.lost(later(made[6]) + LOOK_BACK + timedelta(days=1)) == []


def test_what_somebody_has_spoken_of_is_not_said_again() -> None:
    house = House()
    made = house.record(30, lambda each: each.fragment not in range(12, 20))
    house.story.lose(made[12:14], "quota")
    house.story.lose(made[15:16], "retention")
    house.write()
    now = later(made[20])
    assert house.lost(now) == [(14, 14), (16, 19)]
    first = house.look(now).lost[0]
    assert (first.gap.starts_at, first.gap.ends_at) == (made[13].ends_at, made[15].captured_at)
    for hole in house.look(now).lost:
        record = FragmentsLost(
            camera=CAMERA,
            epoch=hole.epoch,
            first=hole.numbers[0],
            last=hole.numbers[-1],
            starts_at=hole.gap.starts_at,
            ends_at=hole.gap.ends_at,
            by=Stage.ARCHIVER,
            reason=hole.gap.reason,
        )
        write_custody(house.store, record)
    assert house.look(now) == LastWord([], [])


def test_what_lies_in_the_frame_store_or_is_under_way_is_not_lost() -> None:
    house = House()
    made = house.record(30, lambda each: each.fragment != 12)
    now = later(made[13])
    assert house.look(now, frozenset({made[0].epoch})).lost == []
    put(house.frames, made[12])
    assert house.lost(now) == []
    house.frames.remove(made[12].path)
    house.memory.is_away = True
    assert house.lost(now) == [], "who cannot look says nothing"
    house.memory.is_away = False
    assert house.lost(now) == [(12, 12)]


@pytest.mark.parametrize("what", ["manifest", "record"])
def test_what_cannot_be_read_makes_no_loss(what: str) -> None:
    house = House()
    made = house.record(30, lambda each: each.fragment not in {12, 14})
    house.story.lose(made[14:15])
    house.write()
    if what == "manifest":  # of two objects with one beginning
        manifest = next(each for each in house.story.manifests if each.first == 13)
        key, other = manifest.identity.manifest_key, manifest.object_key.replace("13.", "14.")
        house.store.objects[other] = b"another video"
        house.store._written_at[other] = START
    else:
        key = house.story.records[-1].key
    house.store.objects[key] = b"{"
    assert house.lost(later(made[15])) == []


def test_days_of_which_clips_have_expired_are_not_judged() -> None:
    house = House()
    made = house.record(30, lambda each: each.fragment != 5)
    store: Any = house.store
    absences = Absences(
        *(store, house.frames, CAMERA), retention_days=1, awaited_seconds=AWAITED.total_seconds()
    )
    assert absences.look(later(made[6]), ()).lost != []
    assert absences.look(later(made[6]) + timedelta(days=1), ()).lost == []


def test_an_epoch_that_began_before_the_days_that_are_read_is_not_judged() -> None:
    house = House()
    house.story.record(datetime(2026, 3, 2, 23, 59, 45, tzinfo=UTC), 30, None)
    house.write()
    begun_the_day_before = datetime(2026, 3, 3, 6, tzinfo=UTC) + AWAITED + LOOK_BACK
    assert house.lost(begun_the_day_before) == []


def test_a_loss_that_a_clip_refutes_is_corrected_once() -> None:
    house = House()
    made = house.record(30, lambda each: each.fragment not in range(12, 18))
    house.story.lose(made[12:18], NEVER_CAME)
    lost = house.story.records[-1]
    house.story.store(made[13:15])
    house.write()
    now = START + timedelta(hours=1)
    (found,) = house.look(now).found
    assert (found.first, found.last, found.corrects) == (13, 14, lost.key)
    write_custody(house.store, found)
    assert house.look(now).found == []
    house.story.store(made[15:17])
    house.write()
    (more,) = house.look(now).found
    assert (more.first, more.last) == (15, 16)
    assert isinstance(more, FragmentsFound)


def test_a_bucket_that_is_away_says_nothing() -> None:
    house = House()
    house.record(30, lambda each: each.fragment != 5)
    house.store.is_away = True
    with pytest.raises(Unavailable):
        house.look(START + AWAITED * 2)
