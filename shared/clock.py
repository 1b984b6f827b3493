"""Time, so that tests can turn it by hand.

`monotonic()` measures durations, `now()` names moments (UTC, aware). Nothing else in Cradle asks
the operating system for the time. `SimulatedClock`, the twin for tests, moves only when told to.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where a worker gets the time from."""

    def now(self) -> datetime:
        """The wall clock, UTC, aware. May step."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never runs backwards, stands still for nobody."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class SimulatedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Step the wall clock alone, as NTP or a person does."""
        self._now += timedelta(seconds=seconds)


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, UTC."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def from_milliseconds(value: int) -> datetime:
    """The UTC moment `value` milliseconds after the start of 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
