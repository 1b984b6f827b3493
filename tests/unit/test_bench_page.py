"""The page says what was measured, and no goal is called reached that was not."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.bench.__main__ import parse
from tests.bench.figures import Conditions, Delay, OldWay, Result, Round, Tally
from tests.bench.page import Report, comparison, conditions, goals, page, parts, table
from tests.bench.processes import Times

FLOOR = Result(
    contender="bare ffmpeg",
    cameras=24,
    seconds=60.0,
    cpu={"ffmpeg": Times(12.0, 0.0)},
    memory={"ffmpeg": 100 * 2**20},
    delay=Delay(0.5, 1.0, 1.1, 1000),
    segment_seconds=1.0,
    live=Tally(1000, 0, 0),
    recorded=Tally(1000, 0, 0),
    troubles={},
)
OURS = replace(
    FLOOR,
    contender="Cradle",
    cpu={"ingest": Times(12.0, 0.0), "encoder": Times(6.0, 6.0)},
    memory={"ingest": 2**20, "encoder": 2**20},
)
AROUND = Conditions(2, 60.0, 6.0, 1.2, 3.0, 0.004, 0)


def report(ours: Result = OURS, floor: Result = FLOOR) -> Report:
    return Report(
        measured_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        command="python -m tests.bench",
        machine="a machine",
        versions={"ffmpeg": "5.1"},
        settings={"Footage": "some"},
        rounds=[Round([floor, ours], AROUND)],
        old_way=OldWay(54.0, 40.0, 600, 30),
    )


def test_all_goals_can_be_reached() -> None:
    assert goals(report()).count("reached") == 4
    assert "missed" not in goals(report())


@pytest.mark.parametrize(
    ("change", "goal"),
    [
        ({"cpu": {"ingest": Times(36.2, 0.0)}}, "at most 1.5 CPU-s per camera-minute"),
        ({"cpu": {"ingest": Times(30.1, 0.0)}}, "at most 2.5 times bare ffmpeg"),
        ({"delay": Delay(0.5, 1.5, 2.0, 9)}, "delay under 1.5 s"),
        ({"live": Tally(1000, 1, 0)}, "no frame lost"),
        ({"recorded": Tally(1000, 1, 0)}, "no frame lost"),
    ],
)
def test_a_goal_that_was_missed_is_called_missed(change: dict[str, object], goal: str) -> None:
    text = goals(report(replace(OURS, **change)))  # type: ignore[arg-type]
    assert [line for line in text.splitlines() if "missed" in line and goal in line]


def test_goals_of_24_cameras_are_not_judged_at_8() -> None:
    text = goals(report(replace(OURS, cameras=8), replace(FLOOR, cameras=8)))
    assert "CPU-s" not in text
    assert "times bare ffmpeg" not in text


def test_the_ratio_is_of_the_same_number_of_cameras() -> None:
    assert report().ratio(24) == pytest.approx(2.0)
    assert report().ratio(8) is None


def test_parts_are_all_there_and_add_up() -> None:
    lines = parts(OURS).splitlines()
    assert "0.500 |  0.500 |        0.000" in next(line for line in lines if "ingest" in line)
    assert "1.000 |  0.750 |        0.250" in next(line for line in lines if "| all" in line)


def test_the_page_shows_the_main_table_what_else_went_on_and_what_was_counted() -> None:
    ours = replace(OURS, troubles={"cradle_encoder_gaps_total": 2.0})
    text = page(report(ours), 5.0, "veryfast")
    assert comparison(report(ours)) in text
    assert conditions(report(ours)) in text
    assert "cradle_encoder_gaps_total: 2" in text
    assert "54 CPU-seconds and 40 s for 20 s of video" in text
    assert "{" not in text


def test_columns_of_numbers_are_set_at_the_right() -> None:
    assert table(["a", "b"], [["x", "10"], ["yy", "-"]]).splitlines() == [
        "| a  |  b |",
        "| -- | -: |",
        "| x  | 10 |",
        "| yy |  - |",
    ]


def test_measured_time_is_a_whole_number_of_clips() -> None:
    assert parse(["--seconds", "120"]).cameras == [1, 8, 24]
    with pytest.raises(SystemExit):
        parse(["--seconds", "100"])


@pytest.mark.parametrize("cameras", ["", "eight", "0", "1,,8"])
def test_numbers_of_cameras_are_numbers(cameras: str) -> None:
    with pytest.raises(SystemExit):
        parse(["--cameras", cameras])


def test_a_quick_run_writes_no_page_unless_asked_to() -> None:
    assert parse(["--quick"]).page is None
    assert parse([]).page.name == "PERFORMANCE.md"
