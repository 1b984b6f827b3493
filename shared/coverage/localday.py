"""What a day is for people: from local midnight to the next, 23 or 25 hours when clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.clock import milliseconds
from shared.coverage.footage import Span


def local_day(day: date, zone: ZoneInfo, now: datetime) -> Span:
    """A day in a time zone, as far as it has gone by `now`.

    Raises ValueError for a day that the zone left out, and for one that has not begun.
    """
    starts, ends = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    if starts == ends:
        raise ValueError(f"{zone.key} had no {day}")
    instant = milliseconds(now)
    if starts >= instant:
        raise ValueError(f"{day} has not begun in {zone.key}")
    return Span(starts, min(ends, instant))


def _midnight(day: date, zone: ZoneInfo) -> int:
    return milliseconds(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC))
