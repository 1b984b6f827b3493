"""The bench's schedule decides which frames had to arrive."""

from hypothesis import given
from hypothesis import strategies as some

from tests.bench.cameras import Schedule

SECOND = 1_000_000_000
moments = some.integers(-SECOND, 3600 * SECOND)
schedules = some.builds(
    Schedule, began_ns=some.integers(10**18, 2 * 10**18), cameras=some.integers(1, 100)
)


@given(schedules, some.integers(0, 99), moments, some.integers(0, 60 * SECOND))
def test_exactly_the_frames_due_in_a_time_are_expected(
    schedule: Schedule, camera: int, begin: int, length: int
) -> None:
    begin += schedule.began_ns
    end = begin + length
    camera %= schedule.cameras
    expected = schedule.due_between(camera, begin, end)
    for number in (expected.start, *expected[-1:]):
        if number in expected:
            assert begin <= schedule.due_ns(camera, number) < end
    if expected.start:
        assert schedule.due_ns(camera, expected.start - 1) < begin
    assert schedule.due_ns(camera, expected.stop) >= end


@given(schedules)
def test_the_frames_of_one_camera_are_30_a_second(schedule: Schedule) -> None:
    assert schedule.due_ns(0, 30) - schedule.due_ns(0, 0) == SECOND


def test_key_frames_of_many_cameras_are_spread_over_the_second() -> None:
    schedule = Schedule(0, 4)
    assert [schedule.due_ns(camera, 0) / SECOND for camera in range(4)] == [0, 0.25, 0.5, 0.75]
