"""The bench's arithmetic: what counts as lost, repeated, late, and what it costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.bench.figures import Delay, OldWay, Result, Tally, Window, tally, tally_all
from tests.bench.mark import Mark
from tests.bench.measure import QUIET_SHARE, seconds_to_quiet
from tests.bench.processes import Times


@given(some.sets(some.integers(0, 99)), some.lists(some.integers(-50, 150), max_size=30))
def test_what_is_due_and_not_found_is_lost(missing: set[int], more: list[int]) -> None:
    found = [number for number in range(100) if number not in missing]
    again = [number for number in more if number not in missing and 0 <= number < 100]
    outside = [number for number in more if not 0 <= number < 100]
    assert tally(range(100), [*again, *found, *outside]) == Tally(100, len(missing), len(again))


def test_frames_of_all_cameras_are_added_up() -> None:
    found = [(0, Mark(0, 5, 0)), (1, Mark(1, 5, 0)), (1, Mark(1, 5, 0))]
    assert tally_all({0: range(5, 7), 1: range(5, 6)}, found) == Tally(3, 1, 1)


def test_a_frame_with_the_wrong_camera_is_no_figure_but_a_fault() -> None:
    with pytest.raises(ValueError, match="camera 1 lies with camera 0"):
        tally_all({0: range(5), 1: range(5)}, [(0, Mark(1, 1, 0))])


def test_delay_is_of_frames() -> None:
    delay = Delay.of([i / 100 for i in range(101)])
    assert (delay.median, delay.p95, delay.worst) == pytest.approx((0.5, 0.95, 1.0))
    assert delay.frames == 101


def test_no_delay_is_not_a_good_delay() -> None:
    with pytest.raises(ValueError, match="no frame"):
        Delay.of([])


def result(cpu: dict[str, Times], cameras: int = 24) -> Result:
    none = Tally(0, 0, 0)
    return Result(
        "Cradle", cameras, 180.0, cpu, {"ingest": 5, "broker": 7}, Delay.of([1.0]), 1.0, none, none,
        {},
    )  # fmt: skip


def test_cost_is_of_all_parts_with_their_children_per_camera_and_minute() -> None:
    parts = {"ingest": Times(36.0, 0.0), "encoder": Times(12.0, 24.0)}
    assert result(parts).cost == pytest.approx(1.0)
    assert result(parts, cameras=1).cost == pytest.approx(24.0)


def test_memory_is_the_sum_of_all_parts() -> None:
    assert result({}).memory_bytes == 12


def test_the_old_way_counts_minutes_of_video_and_not_of_its_own_time() -> None:
    assert OldWay(54.0, 40.0, pictures=600, frames_per_second=30).cost == pytest.approx(162.0)


def test_a_window_holds_its_begin_and_not_its_end() -> None:
    window = Window(10, 20)
    assert [window.holds(moment) for moment in (9, 10, 19, 20)] == [False, True, True, False]


@given(some.floats(1.7e9, 1.8e9), some.integers(5, 900))
def test_a_measured_time_begins_in_the_middle_of_a_clip(moment: float, clip: int) -> None:
    wait = seconds_to_quiet(moment, clip)
    share = (moment + wait) % clip / clip
    assert 0 <= wait < clip
    assert QUIET_SHARE[0] - 1e-6 <= share <= QUIET_SHARE[1] + 1e-6
