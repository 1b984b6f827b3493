"""A provider that is asked only while the day's budget lasts.

Before a call its worst case is reserved, afterwards what it used is settled; a call whose usage is
not known (the connection broke, and the provider may have worked) costs its worst case.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from analyzer import figures
from analyzer.budget import Budget, Prices
from analyzer.google_answer import MAX_OUTPUT_TOKENS
from analyzer.outcome import NO_CALL, Outcome, Quota, Unavailable, Usage
from analyzer.pictures import DecodedPicture
from analyzer.prompt import text_bytes
from analyzer.provider import Context, Provider
from shared.clock import Clock
from shared.errors import CradleError

TOKENS_PER_PICTURE = 2600
"""More than any Gemini model takes for one of at most 3072 pixels: ten tiles of 258 tokens, or 1120
at high resolution (source: "Media resolution" and "Count tokens" of the Gemini API)."""
SCHEMA_TOKENS = 2000


class Budgeted:
    """A provider that is asked only while the day's budget lasts."""

    def __init__(self, provider: Provider, budget: Budget, prices: Prices, clock: Clock) -> None:
        self._provider = provider
        self._budget = budget
        self._prices = prices
        self._clock = clock

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        worst = worst_case(len(pictures), context)
        try:
            reservation = self._budget.reserve(self._prices.cost(worst))
        except CradleError as error:
            return Unavailable(f"the budget's ledger cannot be read: {error}", usage=NO_CALL)
        if reservation is None:
            reason = "the budget of this UTC day (analysis.budget) is used up"
            return Quota(reason, next_midnight(self._clock.now()), usage=NO_CALL)
        usage = worst
        try:
            outcome = self._provider.describe(pictures, context)
            usage = worst if outcome.usage is None else outcome.usage
        finally:
            cost = self._prices.cost(usage)
            self._budget.settle(reservation, cost)
            figures.REQUESTS.inc(usage.requests)
            figures.TOKENS.labels("input").inc(usage.input_tokens)
            figures.TOKENS.labels("output").inc(usage.output_tokens)
            figures.COST.inc(cost.microdollars / 1e6)
        return outcome


def worst_case(pictures: int, context: Context) -> Usage:
    """More than one call can use: no tokenizer makes more tokens than bytes of a text."""
    given = text_bytes(context.language, pictures) + SCHEMA_TOKENS + TOKENS_PER_PICTURE * pictures
    return Usage(requests=1, input_tokens=given, output_tokens=MAX_OUTPUT_TOKENS)


def next_midnight(now: datetime) -> datetime:
    """When the next UTC day begins."""
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=UTC)
