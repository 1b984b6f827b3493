"""Names: epochs sort by start and never collide, and a clip's key says what it holds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.clock import from_milliseconds, milliseconds
from shared.identity import (
    CAMERA_PATTERN,
    EPOCH_PATTERN,
    ClipIdentity,
    epoch_started_at,
    new_epoch,
    parse_clip_key,
    parse_stamp,
    stamp,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis wants it naive
    max_value=datetime(8999, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-11))]),
)
CAMERAS = st.from_regex(CAMERA_PATTERN, fullmatch=True)
EPOCHS = st.from_regex(EPOCH_PATTERN, fullmatch=True)
NUMBERS = st.integers(min_value=0, max_value=10**9)


@given(MOMENTS)
def test_an_epoch_says_when_it_began(moment: datetime) -> None:
    assert epoch_started_at(new_epoch(moment)) == from_milliseconds(milliseconds(moment))


@given(MOMENTS, MOMENTS)
def test_epochs_sort_by_their_start(one: datetime, other: datetime) -> None:
    assume(milliseconds(one) < milliseconds(other))
    assert new_epoch(one) < new_epoch(other)


@given(EPOCHS)
def test_every_epoch_that_can_be_named_has_a_time(epoch: str) -> None:
    assert epoch_started_at(epoch).tzinfo is UTC


@pytest.mark.parametrize("step_seconds", [0, -1, -3600, 3600])
def test_an_epoch_sorts_behind_the_one_before_whatever_the_clock_does(step_seconds: int) -> None:
    before = new_epoch(NOON)
    assert new_epoch(NOON + timedelta(seconds=step_seconds), before) > before


def test_epochs_of_one_millisecond_differ() -> None:
    assert len({new_epoch(NOON) for _ in range(100)}) == 100


@given(MOMENTS)
def test_a_stamp_is_read_back_to_the_millisecond(moment: datetime) -> None:
    assert parse_stamp(stamp(moment)) == from_milliseconds(milliseconds(moment))


@given(CAMERAS, EPOCHS, NUMBERS, NUMBERS, MOMENTS, st.sampled_from(["mp4", "ts", "jpg"]))
def test_a_clip_key_is_read_back(
    camera: str, epoch: str, first: int, count: int, moment: datetime, suffix: str
) -> None:
    identity = ClipIdentity(camera, epoch, first, first + count, moment)
    whole = from_milliseconds(milliseconds(moment))

    name = parse_clip_key(identity.object_key(suffix))
    assert name is not None
    assert (name.camera, name.epoch, name.first, name.last) == (camera, epoch, first, first + count)
    assert (name.captured_at, name.suffix) == (whole, suffix)

    manifest = parse_clip_key(identity.manifest_key)
    assert manifest is not None
    assert (manifest.first, manifest.last, manifest.suffix) == (first, None, "json")


@given(CAMERAS, EPOCHS, NUMBERS, NUMBERS, NUMBERS)
def test_two_ranges_with_one_beginning_collide_at_the_manifest(
    camera: str, epoch: str, first: int, one: int, other: int
) -> None:
    assume(one != other)
    clips = [ClipIdentity(camera, epoch, first, first + count, NOON) for count in (one, other)]
    assert clips[0].manifest_key == clips[1].manifest_key
    assert clips[0].object_key("mp4") != clips[1].object_key("mp4")


@given(st.text())
def test_foreign_keys_are_nobodys_clips(key: str) -> None:
    assert parse_clip_key(key) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("clips/", "analysis/"),
        ("/2026/", "/2025/"),
        ("20260301T", "20260231T"),  # there is no 31 February
        ("20260301T", "２０２６０３０１T"),  # digits, but not ours
        (".mp4", ".avi"),
        ("-000009", ""),
        ("camera-1_", "camera-2_"),
    ],
)
def test_a_key_that_contradicts_itself_is_foreign(old: str, new: str) -> None:
    key = ClipIdentity("camera-1", new_epoch(NOON), 3, 9, NOON).object_key("mp4")
    assert parse_clip_key(key) is not None
    assert parse_clip_key(key.replace(old, new, 1)) is None
