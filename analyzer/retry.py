"""The one retry layer around a remote provider; the libraries' own retries are off.

Only what waiting can mend is asked again: no answer (with growing, jittered pauses) and throttling
(after exactly the delay the provider named). A delay that does not fit into the time left is not
waited for: the sample would be old news, and the breaker keeps the others away until then.
"""

from collections.abc import Sequence

import stamina

from analyzer import figures
from analyzer.breaker import seconds_until
from analyzer.outcome import Outcome, Throttled, Unavailable
from analyzer.pictures import DecodedPicture
from analyzer.provider import Context, Provider
from shared.clock import Clock

ATTEMPTS = 3
TOTAL_SECONDS = 40.0
"""No attempt begins later than this after the first; with a 30 s time-out: 70 s at the longest."""


class _TryAgain(Exception):
    """Carries an outcome through stamina, which retries on exceptions."""

    def __init__(self, outcome: Throttled | Unavailable) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class Retrying:
    """A provider that is asked again where that helps."""

    def __init__(self, provider: Provider, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._caller = stamina.RetryingCaller(
            attempts=ATTEMPTS, timeout=TOTAL_SECONDS, wait_initial=1.0, wait_max=8.0
        )

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        give_up_at = self._clock.monotonic() + TOTAL_SECONDS

        def decide(error: Exception) -> float | bool:
            if not isinstance(error, _TryAgain):
                return False
            left_seconds = give_up_at - self._clock.monotonic()
            return wait_seconds(error.outcome, left_seconds, self._clock)

        try:
            return self._caller(decide, self._once, pictures, context)
        except _TryAgain as failed:
            return failed.outcome

    def _once(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        outcome = self._provider.describe(pictures, context)
        if isinstance(outcome, Throttled | Unavailable):
            raise _TryAgain(outcome)
        return outcome


def count_retries() -> None:
    """Have stamina count in our figures, for the whole process; it would log in its own form."""

    def count(details: stamina.instrumentation.RetryDetails) -> None:
        if isinstance(details.caused_by, _TryAgain):
            figures.RETRIES.labels(details.caused_by.outcome.state).inc()

    stamina.instrumentation.set_on_retry_hooks([count])


def wait_seconds(
    outcome: Throttled | Unavailable, left_seconds: float, clock: Clock
) -> float | bool:
    """How long to wait before asking again: seconds, True for the usual pause, False for never."""
    if left_seconds <= 0:
        return False
    if isinstance(outcome, Unavailable):
        return True
    delay = seconds_until(outcome.until, clock)
    return delay if delay < left_seconds else False
