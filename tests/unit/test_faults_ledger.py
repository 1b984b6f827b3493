"""The judge of the fault suite must see what is wrong: else a clean run says nothing."""

import dataclasses

import pytest

from tests.faults.ledger import Clip, judge

EPOCH = "e"
STORED = {("camera-1", EPOCH, number): [10 * number, 10 * number + 1] for number in range(4)}


def clip(first: int, last: int, *numbers: int, epoch: str = EPOCH) -> Clip:
    return Clip(f"clip-{first}-{last}", "camera-1", epoch, first, last, numbers)


WHOLE = [clip(0, 1, 0, 1, 10, 11), clip(2, 3, 20, 21, 30, 31)]


def test_what_was_stored_and_archived_once_in_order_is_clean() -> None:
    verdict = judge(STORED, WHOLE)
    assert verdict.is_clean
    assert (verdict.fragments, verdict.frames) == (4, 8)


def test_a_fragment_in_no_clip_is_lost() -> None:
    assert judge(STORED, WHOLE[:1]).lost == [("camera-1", EPOCH, 2), ("camera-1", EPOCH, 3)]


def test_what_a_strike_deleted_must_be_in_the_custody_record_or_in_a_clip() -> None:
    place = ("camera-1", EPOCH, 3)
    clips = [WHOLE[0], clip(2, 2, 20, 21)]
    assert judge(STORED, clips, {place}, {place}).is_clean
    assert judge(STORED, clips, {place}).untold == [place]
    assert judge(STORED, WHOLE, {place}).is_clean


def test_a_fragment_in_a_clip_is_not_lost_by_the_custody_record() -> None:
    assert judge(STORED, WHOLE, told={("camera-1", EPOCH, 3)}).contradicted == [
        ("camera-1", EPOCH, 3)
    ]


def test_a_fragment_in_two_clips_is_duplicated() -> None:
    verdict = judge(STORED, [*WHOLE, clip(3, 3, 30, 31)])
    assert verdict.duplicated == [("camera-1", EPOCH, 3)]


def test_a_fragment_that_ingest_never_closed_is_unknown() -> None:
    assert judge(STORED, [*WHOLE, clip(0, 0, 0, epoch="f")]).unknown == [("camera-1", "f", 0)]


@pytest.mark.parametrize(
    "numbers",
    [(0, 1, 10), (0, 1, 10, 11, 11), (0, 1, 11, 10), (0, 1, 10, 12), ()],
    ids=["one too few", "one twice", "two exchanged", "another", "none"],
)
def test_a_clip_that_shows_other_frames_than_its_fragments_is_different(
    numbers: tuple[int, ...],
) -> None:
    damaged = dataclasses.replace(WHOLE[0], numbers=numbers)
    verdict = judge(STORED, [damaged, WHOLE[1]])
    assert verdict.different == [damaged.key]
    assert not verdict.is_clean
