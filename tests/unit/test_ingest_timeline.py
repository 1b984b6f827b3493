"""The timeline: whatever a source says of time, what leaves is in order, and lies say so."""

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.timeline import (
    BASE_TICKS,
    DRIFT_SECONDS,
    LATE_SECONDS,
    LONGEST_EPOCH_SECONDS,
    REORDER_SECONDS,
    TICKS,
    EpochOver,
    Place,
    Timeline,
)
from shared.clock import SimulatedClock

FRAME = 3000
START = 7_000_000


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def timeline(clock: SimulatedClock) -> Timeline:
    return Timeline(clock, START, FRAME)


def play(timeline: Timeline, clock: SimulatedClock, seconds: float) -> None:
    """So many seconds of frames in real time, from where the clock stands."""
    for _ in range(round(seconds * TICKS / FRAME)):
        now = round((clock.monotonic() - 1000) * TICKS)
        timeline.video(START + now, START + now)
        clock.advance(FRAME / TICKS)


TIMES = (
    st.none()
    | st.integers(min_value=-(2**63), max_value=2**63)
    | st.integers(min_value=START - 20 * TICKS, max_value=START + 20 * TICKS)
)


@given(
    st.integers(min_value=-(2**63), max_value=2**63),
    st.integers(min_value=-5, max_value=10**6),
    st.lists(st.tuples(TIMES, TIMES, st.floats(min_value=0, max_value=3))),
)
@example(first=0, frame=0, packets=[(-10 * TICKS, None, 0.0)])
def test_any_garbage_in_gives_rising_times_or_ends_the_epoch(
    first: int, frame: int, packets: list[tuple[int | None, int | None, float]]
) -> None:
    clock = SimulatedClock()
    timeline = Timeline(clock, first, frame)
    places: list[Place] = []
    for pts, dts, pause in packets:
        clock.advance(pause)
        try:
            places.append(timeline.video(pts, dts))
        except EpochOver:
            break
    for show, decode in places:
        assert 0 < decode <= show <= decode + REORDER_SECONDS * TICKS
        assert abs((timeline.captured_at((show, decode)) - timeline.began_at).days) < 20
    decodes = [decode for _, decode in places]
    assert decodes == sorted(set(decodes))


@given(TIMES, TIMES)
def test_the_packet_that_begins_an_epoch_never_ends_it(pts: int | None, dts: int | None) -> None:
    first = pts if pts is not None else dts
    Timeline(SimulatedClock(), first or 0, FRAME).video(pts, dts)


@given(st.lists(st.tuples(st.booleans(), TIMES)))
def test_sound_only_ever_rises_and_stays_near_the_picture(
    packets: list[tuple[bool, int | None]],
) -> None:
    timeline = Timeline(SimulatedClock(), START, FRAME)
    last, picture = 0, BASE_TICKS
    for is_video, pts in packets:
        if is_video:
            try:
                _, picture = timeline.video(pts, pts)
            except EpochOver:
                return
        elif (place := timeline.audio(pts)) is not None:
            assert place[0] == place[1] > last
            assert abs(place[0] - picture) <= 2 * DRIFT_SECONDS * TICKS
            last = place[0]


def test_a_good_source_keeps_its_times_to_the_tick(timeline: Timeline) -> None:
    assert timeline.video(START, START - 2 * FRAME) == (BASE_TICKS, BASE_TICKS - 2 * FRAME)
    assert timeline.video(START + 3 * FRAME, START - FRAME) == (
        BASE_TICKS + 3 * FRAME,
        BASE_TICKS - FRAME,
    )
    assert timeline.audio(START + 17) == (BASE_TICKS + 17, BASE_TICKS + 17)
    assert timeline.mended == 0


def test_capture_time_is_the_wall_clock_at_the_key_frame_plus_media_time(
    timeline: Timeline, clock: SimulatedClock
) -> None:
    began = clock.now()
    clock.advance(3)
    assert timeline.captured_at((BASE_TICKS, 0)) == began
    assert timeline.captured_at((BASE_TICKS + 90, 0)) == began + timedelta(milliseconds=1)


@pytest.mark.parametrize("times", [(None, None), (START, START), (START - FRAME, START - FRAME)])
def test_a_missing_or_repeated_time_is_mended(
    timeline: Timeline, times: tuple[int | None, int | None]
) -> None:
    before = timeline.video(START, START)
    after = timeline.video(*times)
    assert before[1] < after[1] <= before[1] + FRAME
    assert timeline.mended == 1


def test_a_missing_decode_time_is_taken_from_the_presentation_time(timeline: Timeline) -> None:
    timeline.video(START, None)
    assert timeline.video(START + FRAME, None) == (BASE_TICKS + FRAME, BASE_TICKS + FRAME)
    assert timeline.mended == 0


@pytest.mark.parametrize(
    ("pts", "dts"), [(START + 10**12, START + FRAME), (START + FRAME, START - 10**12)]
)
def test_an_absurd_time_beside_a_good_one_is_not_believed(
    timeline: Timeline, pts: int, dts: int
) -> None:
    timeline.video(START, START)
    assert timeline.video(pts, dts) == (BASE_TICKS + FRAME, BASE_TICKS + FRAME)
    assert timeline.mended == 1


def test_time_that_runs_back_ends_the_epoch(timeline: Timeline, clock: SimulatedClock) -> None:
    play(timeline, clock, 3)
    with pytest.raises(EpochOver, match="backwards"):
        timeline.video(START, START)


def test_time_that_jumps_ahead_ends_the_epoch(timeline: Timeline, clock: SimulatedClock) -> None:
    play(timeline, clock, 1)
    with pytest.raises(EpochOver, match=r"\+6\.0 s"):
        timeline.video(START + 7 * TICKS, START + 7 * TICKS)


def test_a_stall_that_is_caught_up_keeps_the_epoch(
    timeline: Timeline, clock: SimulatedClock
) -> None:
    """The frames of a network stall come late, and their capture time is still right."""
    play(timeline, clock, 1)
    clock.advance(LATE_SECONDS + 5)
    for late in range(TICKS, round((LATE_SECONDS + 6) * TICKS), FRAME):
        timeline.video(START + late, START + late)
        clock.advance(0.001)
    assert timeline.mended == 0


def test_media_that_stays_late_ends_the_epoch(timeline: Timeline, clock: SimulatedClock) -> None:
    play(timeline, clock, 1)
    clock.advance(6)

    def play_late() -> None:
        for late in range(TICKS, 20 * TICKS, FRAME):
            timeline.video(START + late, START + late)
            clock.advance(FRAME / TICKS)

    with pytest.raises(EpochOver, match=r"-6\.0 s"):
        play_late()
    assert clock.monotonic() - 1000 == pytest.approx(1 + 6 + LATE_SECONDS, abs=0.2)


def test_a_slow_camera_clock_ends_the_epoch_once_it_is_five_seconds_off(
    timeline: Timeline, clock: SimulatedClock
) -> None:
    def play_slowly() -> None:
        for tick in range(START, START + 1000 * TICKS, TICKS):
            timeline.video(tick, tick)
            clock.advance(1.02)

    with pytest.raises(EpochOver, match="off the machine's time"):
        play_slowly()
    assert 250 < clock.monotonic() - 1000 < 280


@pytest.mark.parametrize(
    ("step", "over"), [(-0.5, False), (-1.5, True), (4.5, False), (5.5, True), (-3600, True)]
)
def test_a_stepped_wall_clock_ends_the_epoch(
    timeline: Timeline, clock: SimulatedClock, step: float, over: bool
) -> None:
    clock.advance(60)
    timeline.check_clock()
    clock.step(step)
    if over:
        with pytest.raises(EpochOver, match="wall clock"):
            timeline.check_clock()
    else:
        timeline.check_clock()


def test_an_epoch_ends_after_twelve_hours(timeline: Timeline, clock: SimulatedClock) -> None:
    clock.advance(LONGEST_EPOCH_SECONDS - 1)
    timeline.check_clock()
    clock.advance(2)
    with pytest.raises(EpochOver, match="12 h"):
        timeline.check_clock()


def test_sound_without_a_picture_or_a_time_has_no_place(timeline: Timeline) -> None:
    assert timeline.audio(START) is None
    timeline.video(START, START)
    assert timeline.audio(None) is None
    assert timeline.audio(START + 60 * TICKS) is None


def test_sound_that_paused_comes_back_in_its_place(
    timeline: Timeline, clock: SimulatedClock
) -> None:
    play(timeline, clock, 1)
    assert timeline.audio(START + TICKS) == (BASE_TICKS + TICKS,) * 2
    play(timeline, clock, 10)
    assert timeline.audio(START + 11 * TICKS) == (BASE_TICKS + 11 * TICKS,) * 2
