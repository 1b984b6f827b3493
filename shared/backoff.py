"""The pause before the next try: growing, jittered, capped. For loops that never give up."""

import random

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0
LONGEST_BROKER_SECONDS = 0.8
"""Between two tries to reach the broker: one that is refused costs a millisecond, and live waits
for it. With frames in buckets a camera with a key frame every two seconds needs four of the five in
which live must be back for its own first two fragments."""


def pause_seconds(failures: int, longest_seconds: float = LONGEST_SECONDS) -> float:
    """How long to wait after `failures` failures in a row."""
    pause = min(FIRST_SECONDS * 2.0 ** min(failures, 10), longest_seconds)
    return random.uniform(pause / 2, pause)
