"""The breaker: a provider that cannot answer is left alone for a while.

Closed, every call passes. Several calls in a row without an answer open it for a pause that doubles
up to a quarter of an hour; a provider that names a time (throttled, quota) is left alone until
then; a refused key is tried again after ten minutes, what only a restart can mend never. When the
pause is over one call goes through as a probe: its outcome closes the breaker or opens it again.
While it is open, the outcome that opened it is the answer, at no cost.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from analyzer.outcome import (
    NO_CALL,
    Blocked,
    Invalid,
    Misconfigured,
    Ok,
    Outcome,
    Quota,
    Throttled,
    Unavailable,
)
from analyzer.pictures import DecodedPicture
from analyzer.provider import Context, Provider
from shared.clock import Clock

FAILURES = 3
"""Calls in a row without an answer that open the breaker; each was retried already."""
FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 900.0
MISCONFIGURED_PAUSE_SECONDS = 600.0


@dataclass(frozen=True)
class Permit:
    """Leave to make one call; its outcome must be recorded."""

    probe: bool


class Breaker:
    """Counts outcomes and says whether to call. Safe to use from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._pauses = 0
        self._opened_by: Outcome | None = None
        self._open_until = 0.0
        self._probing = False

    def permit(self) -> Permit | Outcome:
        """Leave to call, or the outcome to give instead."""
        with self._lock:
            if self._opened_by is None:
                return Permit(probe=False)
            if self._clock.monotonic() < self._open_until or self._probing:
                return replace(self._opened_by, usage=NO_CALL)
            self._probing = True
            return Permit(probe=True)

    def record(self, permit: Permit, outcome: Outcome) -> None:
        """Learn from a call that `permit` allowed."""
        with self._lock:
            if permit.probe:
                self._probing = False
            if isinstance(outcome, Ok | Blocked | Invalid):  # it answers
                if permit.probe or self._opened_by is None:
                    self._opened_by, self._failures, self._pauses = None, 0, 0
            elif isinstance(outcome, Unavailable):
                self._failures += 1
                if permit.probe or (self._failures >= FAILURES and self._opened_by is None):
                    pause = FIRST_PAUSE_SECONDS * 2.0 ** min(self._pauses, 10)
                    self._pauses += 1
                    self._open(outcome, min(pause, LONGEST_PAUSE_SECONDS))
            else:
                self._open(outcome, self._named_pause(outcome))

    def _open(self, outcome: Outcome, seconds: float) -> None:
        self._opened_by = outcome
        self._open_until = max(self._open_until, self._clock.monotonic() + seconds)

    def _named_pause(self, outcome: Throttled | Quota | Misconfigured) -> float:
        if isinstance(outcome, Misconfigured):
            return math.inf if outcome.until_restart else MISCONFIGURED_PAUSE_SECONDS
        return seconds_until(outcome.until, self._clock)


class Breaking:
    """A provider behind a breaker."""

    def __init__(self, provider: Provider, clock: Clock) -> None:
        self._provider = provider
        self._breaker = Breaker(clock)

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        permit = self._breaker.permit()
        if not isinstance(permit, Permit):
            return permit
        outcome: Outcome = Unavailable("the call broke off")
        try:
            outcome = self._provider.describe(pictures, context)
        finally:
            self._breaker.record(permit, outcome)
        return outcome


def seconds_until(moment: datetime, clock: Clock) -> float:
    """From now on, never negative."""
    return max(0.0, (moment - clock.now()).total_seconds())
