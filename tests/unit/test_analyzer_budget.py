"""The day's budget: never over the limit, whoever asks, however often anybody restarts."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from analyzer.budget import (
    SLICES,
    Amount,
    Budget,
    Prices,
    limit_of,
    prices_of,
    read_grant,
)
from analyzer.budgeted import Budgeted, next_midnight, worst_case
from analyzer.local import in_words
from analyzer.outcome import NO_CALL, Ok, Outcome, Quota, Unavailable, Usage
from analyzer.pictures import DecodedPicture
from analyzer.provider import Context
from shared.clock import SimulatedClock
from shared.config import BudgetSettings
from shared.errors import AlreadyExists, BadMessage, StoreUnavailable
from shared.objectstore import StoredObject
from tests.analyzer_samples import context

LIMIT = Amount(requests=100, tokens=10_000, microdollars=5_000)
CALL = Amount(requests=1, tokens=100, microdollars=50)


class Objects:
    """Create-only objects in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.away = False

    def create_bytes(self, key: str, data: bytes, *, content_type: str) -> bool:
        if self.away:
            raise StoreUnavailable("the store is away")
        if self.objects.setdefault(key, data) is not data:
            raise AlreadyExists(key)
        return True

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def list(self, prefix: str) -> list[StoredObject]:
        return [StoredObject(key, 0, None) for key in self.objects if key.startswith(prefix)]

    def remove(self, key: str) -> None:
        del self.objects[key]

    def granted(self) -> Amount:
        total = Amount()
        for key, data in self.objects.items():
            total += read_grant(key, data)
        return total


def spend_all(budget: Budget, call: Amount = CALL) -> int:
    calls = 0
    while (reservation := budget.reserve(call)) is not None:
        budget.settle(reservation, call)
        calls += 1
    return calls


def test_the_whole_budget_can_be_spent_and_not_a_call_more() -> None:
    store, clock = Objects(), SimulatedClock()
    assert spend_all(Budget(store, LIMIT, "a", clock)) == 100
    assert spend_all(Budget(store, LIMIT, "b", clock)) == 0


def test_replicas_share_one_budget() -> None:
    store, clock = Objects(), SimulatedClock()
    budgets = [Budget(store, LIMIT, name, clock) for name in "abc"]
    calls = 0
    while any(reserved := [budget.reserve(CALL) for budget in budgets]):
        calls += sum(reservation is not None for reservation in reserved)
    assert calls == 100


def test_a_restart_does_not_give_the_budget_anew() -> None:
    store, clock = Objects(), SimulatedClock()
    calls = 0
    for _ in range(200):  # each run dies after one call and loses the rest of its slice
        reservation = Budget(store, LIMIT, "a", clock).reserve(CALL)
        calls += reservation is not None
    assert calls == SLICES
    assert LIMIT.covers(store.granted())


def test_a_replica_holds_a_fiftieth_at_a_time() -> None:
    store = Objects()
    Budget(store, LIMIT, "a", SimulatedClock()).reserve(CALL)
    assert store.granted() == Amount(2, 200, 100)


def test_what_was_not_used_is_given_back() -> None:
    store, clock = Objects(), SimulatedClock()
    budget = Budget(store, LIMIT, "a", clock)
    calls = 0
    while (reservation := budget.reserve(Amount(1, 1_000, 500))) is not None:
        budget.settle(reservation, Amount(1, 100, 50))
        calls += 1
    assert calls == 91  # the last 9 would each need a worst case that is no longer there


def test_a_call_that_costs_more_than_its_worst_case_is_paid_back() -> None:
    store, clock = Objects(), SimulatedClock()
    budget = Budget(store, LIMIT, "a", clock)
    reservation = budget.reserve(CALL)
    assert reservation is not None
    budget.settle(reservation, Amount(1, 5_000, 50))
    assert spend_all(budget) == 50


def test_midnight_utc_begins_a_new_budget_and_voids_what_is_left() -> None:
    store, clock = Objects(), SimulatedClock(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    budget = Budget(store, LIMIT, "a", clock)
    yesterday = budget.reserve(CALL)
    assert yesterday is not None
    clock.advance(1)
    assert spend_all(budget) == 100
    budget.settle(yesterday, Amount())
    assert budget.reserve(CALL) is None
    assert next_midnight(clock.now()) == datetime(2026, 3, 3, tzinfo=UTC)


def test_what_is_shown_is_of_today_though_nobody_has_asked_since_midnight() -> None:
    clock = SimulatedClock(datetime(2026, 3, 1, 23, tzinfo=UTC))
    spend_all(Budget(Objects(), LIMIT, "analyzer-1", clock))

    def shown(part: str) -> float | None:
        return REGISTRY.get_sample_value(f"cradle_analyzer_budget_{part}_requests")

    assert (shown("limit"), shown("granted"), shown("balance")) == (100, 100, 0)
    clock.advance(3600)
    assert (shown("limit"), shown("granted"), shown("balance")) == (100, 0, 0)


def test_a_limit_lowered_during_the_day_holds_at_once() -> None:
    store, clock = Objects(), SimulatedClock()
    for _ in range(25):
        Budget(store, LIMIT, "a", clock).reserve(CALL)  # 25 slices of 2 requests are out
    assert spend_all(Budget(store, Amount(60, 10_000, 5_000), "a", clock)) == 10
    assert spend_all(Budget(store, Amount(40, 10_000, 5_000), "a", clock)) == 0


def test_a_zero_in_any_kind_allows_nothing() -> None:
    for limit in (Amount(0, 9, 9), Amount(9, 0, 9), Amount(9, 9, 0)):
        assert Budget(Objects(), limit, "a", SimulatedClock()).reserve(Amount(1, 1, 1)) is None


def test_threads_and_replicas_at_once_never_exceed_the_limit() -> None:
    store, clock = Objects(), SimulatedClock()
    budgets = [Budget(store, LIMIT, str(number), clock) for number in range(4)]
    with ThreadPoolExecutor(8) as threads:
        calls = list(threads.map(lambda number: spend_all(budgets[number % 4]), range(8)))
    assert sum(calls) == 100


@settings(max_examples=50, deadline=None)
@given(
    limit=st.builds(Amount, *[st.integers(0, 3_000)] * 3),
    calls=st.lists(
        st.tuples(st.integers(0, 2), st.builds(Amount, *[st.integers(0, 400)] * 3), st.booleans()),
        max_size=60,
    ),
)
def test_no_run_of_calls_and_restarts_exceeds_any_limit(
    limit: Amount, calls: list[tuple[int, Amount, bool]]
) -> None:
    store, clock = Objects(), SimulatedClock()
    budgets = [Budget(store, limit, str(number), clock) for number in range(3)]
    spent = Amount()
    for number, worst, restarts in calls:
        reservation = budgets[number].reserve(worst)
        if reservation is not None:
            used = worst.with_each(Amount(), lambda most, _: most // 2)
            budgets[number].settle(reservation, used)
            spent += used
        if restarts:
            budgets[number] = Budget(store, limit, str(number), clock)
    assert limit.covers(spent)
    assert limit.covers(store.granted())


class Provider:
    """Gives one outcome."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.calls = 0

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        self.calls += 1
        return self.outcome


def ok(usage: Usage | None) -> Ok:
    return Ok(in_words(context().measurement, "en"), usage)


def budgeted(provider: Provider, store: Objects, limit: Amount) -> Budgeted:
    clock = SimulatedClock()
    return Budgeted(provider, Budget(store, limit, "a", clock), Prices(0.3, 2.5), clock)


def test_a_spent_budget_is_a_quota_until_midnight_and_costs_nothing() -> None:
    provider = Provider(ok(Usage(1, 1_000, 100)))
    one_call = Prices(0.3, 2.5).cost(worst_case(0, context()))
    asked = budgeted(provider, Objects(), Amount(1, one_call.tokens, one_call.microdollars))
    assert isinstance(asked.describe([], context()), Ok)
    outcome = asked.describe([], context())
    assert isinstance(outcome, Quota)
    assert outcome.until == datetime(2026, 3, 2, tzinfo=UTC)
    assert outcome.usage == NO_CALL
    assert provider.calls == 1


def test_an_unknown_usage_counts_as_the_worst_case() -> None:
    worst = Prices(0.3, 2.5).cost(worst_case(0, context()))
    limit = Amount(10, worst.tokens * 3, worst.microdollars * 3)
    unknown = Provider(Unavailable("timed out", usage=None))
    asked = budgeted(unknown, Objects(), limit)
    outcomes = [asked.describe([], context()) for _ in range(6)]
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3 + [Quota] * 3


def test_a_call_that_was_not_made_costs_nothing() -> None:
    worst = Prices(0.3, 2.5).cost(worst_case(0, context()))
    free = Provider(ok(NO_CALL))
    asked = budgeted(free, Objects(), worst)
    assert all(isinstance(asked.describe([], context()), Ok) for _ in range(20))


def test_without_the_ledger_nothing_is_asked() -> None:
    store, provider = Objects(), Provider(ok(NO_CALL))
    store.away = True
    limit = Amount(1_000, 1_000_000, 1_000_000)
    outcome = budgeted(provider, store, limit).describe([], context())
    assert isinstance(outcome, Unavailable)
    assert outcome.usage == NO_CALL
    assert provider.calls == 0


def test_money_is_counted_by_the_prices_configured_and_rounded_up() -> None:
    configured = BudgetSettings(
        requests_per_day=10,
        tokens_per_day=1_000,
        usd_per_day=0.000_25,
        usd_per_million_input_tokens=0.3,
        usd_per_million_output_tokens=2.5,
    )
    assert limit_of(configured) == Amount(10, 1_000, 250)
    assert prices_of(configured).cost(Usage(1, 1_001, 10)) == Amount(1, 1_011, 326)


def test_a_ledger_entry_of_another_form_is_refused() -> None:
    for data in (b"", b"[]", b'{"requests": 1}', b'{"requests": null}'):
        with pytest.raises(BadMessage):
            read_grant("budget/2026/03/01/0000.json", data)


def test_ledgers_of_long_ago_are_removed_and_younger_ones_kept() -> None:
    store, clock = Objects(), SimulatedClock(datetime(2026, 1, 1, 12, tzinfo=UTC))
    budget = Budget(store, LIMIT, "a", clock)
    for _ in range(70):
        budget.reserve(CALL)
        clock.advance(86400)
    days = sorted(key[:17] for key in store.objects)
    assert days[0] == "budget/2026/01/10"
    assert days[-1] == "budget/2026/03/11"
