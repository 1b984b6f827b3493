"""When segments were captured: marks, holes, and what ffmpeg says of their lengths."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.timing import SegmentTimes
from shared.identity import fragment_path
from shared.messages import Batch, StreamParameters

START = datetime(2026, 3, 1, tzinfo=UTC)
EPOCH = "0" * 20
RATE = 25
PARTS = 2
FRAMES = 10


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def batch(number: int, *, announced: float = RATE, frames: int = FRAMES) -> Batch:
    """The 0.4 s from `number` x 0.4 s on; every second one begins at a key frame."""
    fragment, part = divmod(number, PARTS)
    return Batch(
        camera="camera-1",
        epoch=EPOCH,
        fragment=fragment,
        path=fragment_path("camera-1", EPOCH, fragment),
        part=part,
        offset=part * 1000,
        bytes=1000,
        frames=frames,
        captured_at=at(number * FRAMES / RATE),
        written_at=at(number * FRAMES / RATE + 0.5),
        stream=StreamParameters(
            video_codec="h264",
            width=320,
            height=240,
            frames_per_second=announced,
            audio_codec=None,
        ),
    )


def fed(numbers: list[int], *, carried: bool = True, announced: float = RATE) -> SegmentTimes:
    """It was fed these batches."""
    times = SegmentTimes(at(numbers[0] * FRAMES / RATE), carried=carried)
    before = numbers[0] - 1
    for number in numbers:
        times.take(batch(number, announced=announced), after_hole=number != before + 1)
        before = number
    return times


def test_rounded_lengths_never_add_up() -> None:
    times = fed(list(range(20)))
    spans = [times.place(0.801) for _ in range(10)]
    assert [each.captured_at for each in spans] == [at(0.8 * number) for number in range(10)]


def test_encoded_segments_begin_where_they_begin() -> None:
    times = fed(list(range(4)), carried=False)
    assert [times.place(0.7).captured_at for _ in range(2)] == [at(0), at(0.7)]


@pytest.mark.parametrize("announced", [RATE, 0, 90])
def test_the_segment_before_a_hole_ends_with_its_last_frame(announced: float) -> None:
    """How fast frames come is measured: what is announced may be wrong."""
    times = fed([0, 1, 2, 8, 9], announced=announced)
    whole, cut, after = times.place(0.8), times.place(2.4), times.place(0.8)
    assert (whole.captured_at, whole.duration_seconds, whole.after_hole) == (at(0), 0.8, False)
    assert (cut.captured_at, cut.after_hole) == (at(0.8), False)
    assert cut.duration_seconds == pytest.approx(0.4)
    assert (after.captured_at, after.duration_seconds, after.after_hole) == (at(3.2), 0.8, True)


def test_a_hole_that_ffmpeg_did_not_split_at_stays_inside_its_segment() -> None:
    times = fed([0, 4, 5, 6])
    spans = [times.place(2.4), times.place(0.8)]
    assert [each.duration_seconds for each in spans] == [2.4, 0.8]
    assert [each.captured_at for each in spans] == [at(0), at(2.4)]
    assert not any(each.after_hole for each in spans)


def test_how_far_a_key_frame_is_from_the_one_before() -> None:
    assert fed([0, 1, 2, 3]).seconds_since_key_frame(batch(6)) == pytest.approx(1.6)


@given(st.sets(st.integers(1, 30), max_size=20))
def test_whatever_is_left_out_each_frame_has_its_moment(lost: set[int]) -> None:
    """A run goes on at key frames only; ffmpeg splits at each of them."""
    numbers: list[int] = []
    for number in range(40):
        follows = bool(numbers) and numbers[-1] == number - 1
        if number not in lost and (follows or number % PARTS == 0):
            numbers.append(number)
    times = fed(numbers)
    begins = [number for number in numbers if number % PARTS == 0]
    for number, following in pairwise(begins):
        span = times.place((following - number) * FRAMES / RATE)
        whole = number + 1 in numbers
        assert span.captured_at == at(number * FRAMES / RATE)
        assert span.duration_seconds == pytest.approx((0.8 if whole else 0.4), abs=1e-5)
        assert span.after_hole == (number > 0 and number - 1 not in numbers)
