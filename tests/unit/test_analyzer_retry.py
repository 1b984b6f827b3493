"""The retry layer and the breaker around a remote provider, on a simulated clock."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
import stamina

from analyzer import breaker as breaker_module
from analyzer.breaker import Breaking
from analyzer.local import in_words
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
from analyzer.provider import Context
from analyzer.retry import ATTEMPTS, TOTAL_SECONDS, Retrying, wait_seconds
from shared.clock import SimulatedClock
from tests.analyzer_samples import context

OK = Ok(in_words(context().measurement, "en"))
DOWN = Unavailable("503")


class Scripted:
    """A provider that gives these outcomes, the last one again and again."""

    def __init__(self, *outcomes: Outcome, clock: SimulatedClock | None = None, takes: float = 0):
        self.outcomes = list(outcomes)
        self.calls = 0
        self._clock = clock
        self._takes = takes

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        self.calls += 1
        if self._clock is not None:
            self._clock.advance(self._takes)
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """stamina's test mode: the same attempts, without the pauses between them."""
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        yield


def throttled(clock: SimulatedClock, seconds: float) -> Throttled:
    return Throttled("wait", clock.now() + timedelta(seconds=seconds))


def test_what_waiting_mends_is_asked_again(clock: SimulatedClock) -> None:
    provider = Scripted(DOWN, throttled(clock, 5), OK)
    assert Retrying(provider, clock).describe([], context()) == OK
    assert provider.calls == 3


def test_attempts_are_bounded(clock: SimulatedClock) -> None:
    provider = Scripted(DOWN)
    assert Retrying(provider, clock).describe([], context()) == DOWN
    assert provider.calls == ATTEMPTS


def test_the_time_of_all_attempts_is_bounded(clock: SimulatedClock) -> None:
    provider = Scripted(DOWN, clock=clock, takes=TOTAL_SECONDS / 2)
    assert Retrying(provider, clock).describe([], context()) == DOWN
    assert provider.calls == 2


@pytest.mark.parametrize(
    "outcome",
    [Blocked("no"), Invalid("no"), Quota("no", SimulatedClock().now()), Misconfigured("no"), OK],
)
def test_what_waiting_does_not_mend_is_not_asked_again(
    clock: SimulatedClock, outcome: Outcome
) -> None:
    provider = Scripted(outcome)
    assert Retrying(provider, clock).describe([], context()) == outcome
    assert provider.calls == 1


def test_the_delay_that_was_asked_for_is_the_one_waited(clock: SimulatedClock) -> None:
    assert wait_seconds(throttled(clock, 7.5), 40, clock) == 7.5
    assert wait_seconds(DOWN, 40, clock) is True  # stamina's growing, jittered pause


def test_a_delay_longer_than_the_time_left_is_not_waited_for(clock: SimulatedClock) -> None:
    provider = Scripted(throttled(clock, TOTAL_SECONDS + 1))
    assert isinstance(Retrying(provider, clock).describe([], context()), Throttled)
    assert provider.calls == 1
    assert wait_seconds(DOWN, 0, clock) is False


def test_the_pause_is_really_taken(clock: SimulatedClock) -> None:
    waits: list[float] = []
    hooks = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([lambda details: waits.append(details.wait_for)])
    try:
        with stamina.set_testing(False):
            Retrying(Scripted(throttled(clock, 0.05), OK), clock).describe([], context())
    finally:
        stamina.instrumentation.set_on_retry_hooks(hooks)
    assert waits == [0.05]


def test_calls_without_an_answer_open_the_breaker(clock: SimulatedClock) -> None:
    provider = Scripted(DOWN)
    breaking = Breaking(provider, clock)
    for _ in range(breaker_module.FAILURES + 5):
        breaking.describe([], context())
    assert provider.calls == breaker_module.FAILURES
    answer = breaking.describe([], context())
    assert isinstance(answer, Unavailable)
    assert answer.usage == NO_CALL


def test_an_answer_between_failures_keeps_the_breaker_closed(clock: SimulatedClock) -> None:
    provider = Scripted(DOWN, DOWN, Blocked("no"), DOWN, DOWN, OK)
    breaking = Breaking(provider, clock)
    assert [type(breaking.describe([], context())) for _ in range(6)][-1] is Ok
    assert provider.calls == 6


def test_after_the_pause_one_probe_closes_or_opens_again_for_longer(clock: SimulatedClock) -> None:
    provider = Scripted(DOWN)
    breaking = Breaking(provider, clock)
    for _ in range(breaker_module.FAILURES):
        breaking.describe([], context())
    pauses = []
    for _ in range(8):
        calls, waited = provider.calls, 0
        while provider.calls == calls:
            clock.advance(1)
            waited += 1
            breaking.describe([], context())
        pauses.append(waited)
    assert pauses[:3] == [30, 60, 120]
    assert pauses[-1] == breaker_module.LONGEST_PAUSE_SECONDS
    provider.outcomes = [OK]
    clock.advance(breaker_module.LONGEST_PAUSE_SECONDS)
    assert breaking.describe([], context()) == OK
    assert breaking.describe([], context()) == OK


def test_while_a_probe_is_out_nobody_else_calls(clock: SimulatedClock) -> None:
    breaker = breaker_module.Breaker(clock)
    permit = breaker.permit()
    assert isinstance(permit, breaker_module.Permit)
    breaker.record(permit, throttled(clock, 10))
    clock.advance(11)
    probe = breaker.permit()
    assert isinstance(probe, breaker_module.Permit)
    assert probe.probe
    assert isinstance(breaker.permit(), Throttled)
    breaker.record(probe, OK)
    assert isinstance(breaker.permit(), breaker_module.Permit)


@pytest.mark.parametrize("kind", [Throttled, Quota])
def test_a_named_time_is_kept_and_then_called_again(
    clock: SimulatedClock, kind: type[Throttled] | type[Quota]
) -> None:
    provider = Scripted(kind("wait", clock.now() + timedelta(hours=3)), OK)
    breaking = Breaking(provider, clock)
    breaking.describe([], context())
    clock.advance(3 * 3600 - 1)
    assert isinstance(breaking.describe([], context()), kind)
    assert provider.calls == 1
    clock.advance(1)
    assert breaking.describe([], context()) == OK


def test_an_answer_to_an_older_call_does_not_close_the_breaker(clock: SimulatedClock) -> None:
    breaker = breaker_module.Breaker(clock)
    slow, quick = breaker.permit(), breaker.permit()
    assert isinstance(slow, breaker_module.Permit)
    assert isinstance(quick, breaker_module.Permit)
    breaker.record(quick, throttled(clock, 60))
    breaker.record(slow, OK)
    assert isinstance(breaker.permit(), Throttled)


def test_a_refused_key_is_tried_again_later_and_a_missing_one_never(clock: SimulatedClock) -> None:
    refused = Scripted(Misconfigured("403"), OK)
    breaking = Breaking(refused, clock)
    breaking.describe([], context())
    assert isinstance(breaking.describe([], context()), Misconfigured)
    clock.advance(breaker_module.MISCONFIGURED_PAUSE_SECONDS)
    assert breaking.describe([], context()) == OK
    missing = Scripted(Misconfigured("no key", until_restart=True))
    breaking = Breaking(missing, clock)
    breaking.describe([], context())
    clock.advance(365 * 86400)
    breaking.describe([], context())
    assert missing.calls == 1


def test_a_provider_that_raises_frees_the_probe(clock: SimulatedClock) -> None:
    class Broken:
        calls = 0

        def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
            self.calls += 1
            raise RuntimeError("a bug")

    broken = Broken()
    breaking = Breaking(broken, clock)
    for _ in range(breaker_module.FAILURES):
        with pytest.raises(RuntimeError):
            breaking.describe([], context())
    for expected in (1, 2):
        clock.advance(breaker_module.LONGEST_PAUSE_SECONDS)
        with pytest.raises(RuntimeError):
            breaking.describe([], context())
        assert broken.calls == breaker_module.FAILURES + expected
