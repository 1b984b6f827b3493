"""The budget of a UTC day in requests, tokens and money, held across replicas and restarts.

The ledger is a row of create-only objects, `budget/<YYYY>/<MM>/<DD>/0000.json` and on, each giving
one replica a slice of the day (1/50 of what it lacks). A slice can be created once, by one replica,
and only by one that has read all before it; so the sum of the slices never exceeds the limit, even
when the limit is changed during the day. A call first reserves its worst case from the slices this
replica holds, and gives back afterwards what it did not use; what it used is unknown when the
connection broke, and then the worst case stands.

Why not the design's other way, a queue of budget units refilled at midnight: a refill that breaks
off half-way, a second refiller or a new broker would each change the sum, and units on a queue
cannot say of which day they are. Objects survive all of that and need no seat and no refill. The
price: a replica that is killed loses the rest of its slice, at most 1/50 of the day for each
restart, always to the safe side. It is seen in /metrics and in the bucket browser rather than on
the broker's page.
"""

import json
import math
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, timedelta
from typing import Protocol

from analyzer import figures
from analyzer.outcome import Usage
from shared.clock import Clock
from shared.config import BudgetSettings
from shared.errors import AlreadyExists, BadMessage
from shared.objectstore import StoredObject

SLICES = 50
LEDGER_PREFIX = "budget/"
KEPT_DAYS = 60


@dataclass(frozen=True)
class Amount:
    """Requests, tokens and millionths of a dollar. Whole numbers: sums are exact."""

    requests: int = 0
    tokens: int = 0
    microdollars: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return self.with_each(other, lambda one, two: one + two)

    def __sub__(self, other: "Amount") -> "Amount":
        return self.with_each(other, lambda one, two: one - two)

    def covers(self, other: "Amount") -> bool:
        left = self - other
        return min(left.requests, left.tokens, left.microdollars) >= 0

    def with_each(self, other: "Amount", join: Callable[[int, int], int]) -> "Amount":
        return Amount(
            join(self.requests, other.requests),
            join(self.tokens, other.tokens),
            join(self.microdollars, other.microdollars),
        )


@dataclass(frozen=True)
class Prices:
    """Dollars for a million tokens, so also millionths of a dollar for one."""

    input: float
    output: float

    def cost(self, usage: Usage) -> Amount:
        """What a usage takes from the budget; fractions are rounded up."""
        microdollars = usage.input_tokens * self.input + usage.output_tokens * self.output
        return Amount(
            usage.requests, usage.input_tokens + usage.output_tokens, math.ceil(microdollars)
        )


class LedgerStore(Protocol):
    """The part of the object store that the ledger needs. See `shared.objectstore`."""

    def create_bytes(self, key: str, data: bytes, *, content_type: str) -> bool: ...
    def read(self, key: str) -> bytes | None: ...
    def list(self, prefix: str) -> Iterable[StoredObject]: ...
    def remove(self, key: str) -> None: ...


@dataclass(frozen=True)
class Reservation:
    """A worst case taken out of the budget of `day`."""

    day: date
    amount: Amount


class Budget:
    """One replica's part of the day's budget. Safe to use from many threads."""

    def __init__(self, store: LedgerStore, limit: Amount, worker: str, clock: Clock) -> None:
        self._store = store
        self._limit = limit
        self._worker = worker
        self._clock = clock
        self._lock = threading.Lock()
        self._day = self._today()
        self._granted = Amount()
        self._balance = Amount()
        self._next_slice = 0
        _show(figures.BUDGET_LIMIT, lambda: self._limit)
        _show(figures.BUDGET_GRANTED, lambda: self._of_today(self._granted))
        _show(figures.BUDGET_BALANCE, lambda: self._of_today(self._balance))

    def reserve(self, worst: Amount) -> Reservation | None:
        """Take the worst case of one call out of the budget; None if the day has not that much.

        Raises StoreUnavailable when a further slice is needed and the ledger cannot be reached.
        """
        with self._lock:
            today = self._today()
            if today != self._day:
                self._day, self._next_slice = today, 0
                self._granted = self._balance = Amount()
            while not self._balance.covers(worst):
                if not self._take_slice(worst):
                    return None
            self._balance -= worst
            return Reservation(today, worst)

    def settle(self, reservation: Reservation, used: Amount) -> None:
        """Give back what of a reservation was not used. What is left of yesterday is void."""
        with self._lock:
            if reservation.day == self._day:
                self._balance += reservation.amount - used

    def _take_slice(self, worst: Amount) -> bool:
        """Read the next slice of the ledger, or create it for this replica. False: nothing left."""
        share = self._limit.with_each(Amount(), lambda whole, _: math.ceil(whole / SLICES))
        lacking = worst - self._balance
        wanted = lacking.with_each(share, lambda lack, part: max(lack, part) if lack > 0 else 0)
        left = self._limit - self._granted
        grant = wanted.with_each(left, lambda want, rest: max(0, min(want, rest)))
        key = ledger_key(self._day, self._next_slice)
        if not (self._balance + grant).covers(worst):
            return False
        entry = {"worker": self._worker, "claim": secrets.token_hex(8), **asdict(grant)}
        try:
            self._store.create_bytes(
                key, json.dumps(entry).encode(), content_type="application/json"
            )
            self._balance += grant
            mine = True
        except AlreadyExists:
            grant = read_grant(key, self._store.read(key) or b"")
            mine = False
        self._granted += grant
        self._next_slice += 1
        if mine and self._next_slice == 1:
            self._forget_old_days()
        return True

    def _forget_old_days(self) -> None:
        """Whoever opens a day's ledger removes those that nobody will read again."""
        oldest = ledger_key(self._day - timedelta(days=KEPT_DAYS), 0)
        for slice_ in self._store.list(LEDGER_PREFIX):
            if slice_.key < oldest:
                self._store.remove(slice_.key)

    def _today(self) -> date:
        return self._clock.now().astimezone(UTC).date()

    def _of_today(self, amount: Amount) -> Amount:
        """Nothing of yesterday's holds, though nobody may have asked since midnight."""
        return amount if self._day == self._today() else Amount()


def limit_of(settings: BudgetSettings) -> Amount:
    """The day's limit as configured."""
    return Amount(
        settings.requests_per_day, settings.tokens_per_day, round(settings.usd_per_day * 1e6)
    )


def prices_of(settings: BudgetSettings) -> Prices:
    return Prices(settings.usd_per_million_input_tokens, settings.usd_per_million_output_tokens)


def ledger_key(day: date, number: int) -> str:
    return f"{LEDGER_PREFIX}{day:%Y/%m/%d}/{number:04d}.json"


def read_grant(key: str, data: bytes) -> Amount:
    """What a slice of the ledger gave out. Raises BadMessage."""
    try:
        entry = json.loads(data)
        return Amount(int(entry["requests"]), int(entry["tokens"]), int(entry["microdollars"]))
    except (ValueError, TypeError, KeyError) as error:
        raise BadMessage(f"{key} is not a slice of the budget") from error


def _show(gauges: figures.BudgetGauges, amount: Callable[[], Amount]) -> None:
    """Each scrape sees what holds then."""
    gauges.requests.set_function(lambda: amount().requests)
    gauges.tokens.set_function(lambda: amount().tokens)
    gauges.dollars.set_function(lambda: amount().microdollars / 1e6)
