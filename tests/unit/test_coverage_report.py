"""Local days, and what is printed of one."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from deploy.command.coverage import (
    as_line,
    as_table,
    day_bounds,
    duration_words,
    parse_date,
)
from shared.clock import milliseconds
from shared.coverage.day import Coverage, Rules, cover
from shared.coverage.facts import as_facts
from shared.coverage.footage import Span
from shared.errors import Misconfigured
from tests.coverage_story import Story

SEOUL = ZoneInfo("Asia/Seoul")
NOW = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Asia/Seoul", date(2026, 3, 1), 24),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Africa/Cairo", date(2026, 4, 24), 23),  # there is no midnight: 0:00 is 1:00
        ("America/Havana", date(2026, 11, 1), 25),  # midnight to one o'clock comes twice
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ],
)
def test_a_day_is_as_long_as_the_local_one(zone: str, day: date, hours: float) -> None:
    assert day_bounds(day, ZoneInfo(zone), NOW).milliseconds == hours * 3_600_000


def test_days_join_without_a_gap() -> None:
    zone = ZoneInfo("Europe/Berlin")
    days = [day_bounds(date(2026, 10, number), zone, NOW) for number in range(20, 31)]
    assert [each.ends for each in days[:-1]] == [each.starts for each in days[1:]]


def test_a_day_in_seoul_begins_in_the_afternoon_before_in_utc() -> None:
    bounds = day_bounds(date(2026, 3, 1), SEOUL, NOW)
    assert bounds.starts == milliseconds(datetime(2026, 2, 28, 15, tzinfo=UTC))


def test_today_ends_now_and_tomorrow_is_refused() -> None:
    now = datetime(2026, 3, 1, 3, 30, tzinfo=UTC)
    assert parse_date("today", now, SEOUL) == date(2026, 3, 1)
    assert day_bounds(date(2026, 3, 1), SEOUL, now).ends == milliseconds(now)
    with pytest.raises(Misconfigured, match="2026-03-02 has not begun in Asia/Seoul"):
        day_bounds(date(2026, 3, 2), SEOUL, now)


def test_today_is_the_local_one() -> None:
    evening = datetime(2026, 2, 28, 16, tzinfo=UTC)
    assert parse_date("today", evening, SEOUL) == date(2026, 3, 1)
    assert parse_date("yesterday", evening, SEOUL) == date(2026, 2, 28)
    assert parse_date("2026-02-27", evening, SEOUL) == date(2026, 2, 27)


@pytest.mark.parametrize("text", ["", "1.3.2026", "2026-02-30", "tomorrow", "20260301"])
def test_what_is_not_a_day_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="write it as 2026-03-01, today or yesterday"):
        parse_date(text, NOW, SEOUL)


def test_a_day_that_a_zone_left_out_is_refused() -> None:
    with pytest.raises(Misconfigured, match="Pacific/Apia had no 2011-12-30"):
        day_bounds(date(2011, 12, 30), ZoneInfo("Pacific/Apia"), NOW)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (0, "0 s"),
        (40, "40 ms"),
        (1000, "1 s"),
        (12_560, "12.5 s"),
        (60_000, "1 m"),
        (86_400_000, "24 h"),
        (86_352_999, "23 h 59 m 12 s"),
    ],
)
def test_durations_are_as_exact_as_a_person_needs(length: int, words: str) -> None:
    assert duration_words(length) == words


def example() -> tuple[Story, Coverage]:
    """An hour: 10 min before the first epoch, 40 s offline, a window still open."""
    story = Story()
    begin = datetime(2026, 2, 28, 15, 10, tzinfo=UTC)
    story.record(begin, 1160, "broke off: Connection timed out")
    story.record(begin.replace(minute=30), 1800, None, lambda each: each.captured_at.minute < 50)
    now = datetime(2026, 2, 28, 16, 0, tzinfo=UTC)
    bounds = day_bounds(date(2026, 3, 1), SEOUL, now)
    return story, cover(story.evidence(), bounds, now, Rules(600, 10, 60))


def test_a_line_says_it_all() -> None:
    _, coverage = example()
    assert as_line(coverage, date(2026, 3, 1)) == (
        "camera-1 2026-03-01: 39 m 20 s stored, 10 m 40 s missing: not yet recording 10 m, "
        "camera offline 40 s; 10 m not yet stored"
    )


def test_a_whole_day_says_that_nothing_is_missing() -> None:
    day = Span(0, 86_400_000)
    coverage = Coverage("camera-1", day, (day,), ())
    line = as_line(coverage, date(2026, 3, 1))
    assert line == "camera-1 2026-03-01: 24 h stored, nothing missing"


def test_a_share_is_never_rounded_up_to_all() -> None:
    day = Span(0, 86_400_000)
    coverage = cover(Story().evidence(), day, NOW, Rules(600, 10, 60))
    nearly = Coverage("camera-1", day, (Span(1, 86_400_000),), coverage.holes)
    table = as_table(Story().evidence(), nearly, date(2026, 3, 1), SEOUL)
    assert "(99.99 %)" in table


def test_the_table_shows_each_gap_in_local_time() -> None:
    story, coverage = example()
    rows = as_table(story.evidence(), coverage, date(2026, 3, 1), SEOUL).splitlines()
    assert rows[0] == "camera-1  2026-03-01 Asia/Seoul, 1 h"
    assert [row.split() for row in rows[1:5]] == [
        ["captured", "39", "m", "20", "s"],
        ["stored", "39", "m", "20", "s", "(65.55", "%)"],
        ["missing", "10", "m", "40", "s"],
        ["not", "yet", "stored", "10", "m"],
    ]
    assert rows[7].split(maxsplit=4) == [
        *("00:29:20.000", "00:30:00.000", "40", "s"),
        "camera offline: broke off: Connection timed out",
    ]
    assert "00:50:00.000  01:00:00.000            10 m  not yet stored: may still" in rows[8]


def test_the_facts_add_up() -> None:
    story, coverage = example()
    facts = as_facts(story.evidence(), coverage)
    assert facts["seconds"] == 3600
    assert facts["seconds"] == (
        facts["stored_seconds"] + facts["missing_seconds"] + facts["not_yet_stored_seconds"]
    )
    assert facts["missing"][1] == {
        "starts_at": "2026-02-28T15:29:20.000+00:00",
        "ends_at": "2026-02-28T15:30:00.000+00:00",
        "seconds": 40.0,
        "cause": "camera offline",
        "reason": "broke off: Connection timed out",
        "captured": False,
    }
    assert sum(each["seconds"] for each in facts["stored"]) == facts["stored_seconds"]


def test_a_day_on_which_clocks_change_shows_their_offset() -> None:
    zone = ZoneInfo("Europe/Berlin")
    day = date(2026, 10, 25)
    bounds = day_bounds(day, zone, NOW)
    coverage = cover(Story().evidence(), bounds, NOW, Rules(600, 10, 60))
    table = as_table(Story().evidence(), coverage, day, zone)
    assert "00:00:00.000+0200  00:00:00.000+0100            25 h  not yet recording" in table
