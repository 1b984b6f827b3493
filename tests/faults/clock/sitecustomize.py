"""Steps the wall clock of a worker: Python loads this before the worker, when it is on its path.

The file named by CRADLE_FAULTS_CLOCK holds the seconds by which the clock is wrong; it is read each
time. `monotonic` is left alone, as with a real step.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared import clock

_FILE = Path(os.environ["CRADLE_FAULTS_CLOCK"])


def _now(_clock: clock.SystemClock) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=float(_FILE.read_text(encoding="ascii")))


clock.SystemClock.now = _now  # type: ignore[method-assign, assignment]
