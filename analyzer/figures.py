"""What the analyzer counts, for /metrics. Every sample that comes in ends under exactly one result.

No label holds text of a model, and none is unbounded: cameras come from the configuration.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from prometheus_client import Counter, Gauge, Histogram

RESULTS: Final = ("described", "unchanged", "duplicate", "late", "unreadable", "off", "lost")
"""What becomes of a sample."""
SAMPLES = Counter(
    "cradle_analyzer_samples_total",
    f"Samples by what became of them: {', '.join(RESULTS)}.",
    ["camera", "result"],
)
UNTOLD = Counter(
    "cradle_analyzer_untold_notes_total",
    "Notes stored of which not everybody was told: a queue was away.",
    ["camera"],
)
PICTURES_UNUSABLE = Counter(
    "cradle_analyzer_pictures_unusable_total",
    "Pictures of a sample left out: their fragment is gone or cannot be decoded.",
    ["camera", "reason"],
)
OUTCOMES = Counter(
    "cradle_analyzer_remote_outcomes_total",
    "What came of asking the remote provider, the breaker's answers included.",
    ["camera", "state"],
)
PROVIDER_STATE = Gauge(
    "cradle_analyzer_provider_state",
    "1 for the state in which the camera's last sample found its provider.",
    ["camera", "state"],
)
RETRIES = Counter(
    "cradle_analyzer_retries_total", "Calls made again by the retry layer.", ["state"]
)
REQUESTS = Counter("cradle_analyzer_requests_total", "Calls to the remote provider.")
TOKENS = Counter("cradle_analyzer_tokens_total", "Tokens of the remote provider.", ["direction"])
COST = Counter("cradle_analyzer_cost_dollars_total", "Money spent, by the prices configured.")
for _direction in ("input", "output"):
    TOKENS.labels(_direction)


def begin(cameras: Iterable[str]) -> None:
    """From now on this worker counts for these cameras: a series that is only there once something
    went wrong has no increase at that moment, and one that begins at 1 looks like a rate.
    """
    for camera in cameras:
        for result in RESULTS:
            SAMPLES.labels(camera, result)
        UNTOLD.labels(camera)


class BudgetGauges(NamedTuple):
    """One gauge a unit: a sum over requests and dollars would mean nothing."""

    requests: Gauge
    tokens: Gauge
    dollars: Gauge


def _of_budget(part: str, description: str) -> BudgetGauges:
    return BudgetGauges(
        *(
            Gauge(f"cradle_analyzer_budget_{part}_{unit}", description)
            for unit in BudgetGauges._fields
        )
    )


BUDGET_LIMIT = _of_budget("limit", "Budget of a UTC day for all replicas.")
BUDGET_GRANTED = _of_budget(
    "granted",
    "Part of today's budget that the ledger has given out, to all replicas, as known here.",
)
BUDGET_BALANCE = _of_budget(
    "balance", "Part of today's budget that this replica holds and has not used."
)
JUDGING = Histogram(
    "cradle_analyzer_judging_seconds",
    "From the sample's arrival to its acknowledgement.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
LAST_RESULT = Gauge(
    "cradle_analyzer_last_result_timestamp_seconds",
    "When the camera's last result was stored, in seconds since 1970.",
    ["camera"],
)
