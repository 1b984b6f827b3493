"""How often somebody may try a password: a few times at once, then ever more slowly.

Counted by address and by name, so that neither one address trying many names nor many addresses
trying one name gets far. The pause of a name stays short: else anybody who knows it could keep its
owner out. What has been quiet for long is forgotten, so the table stays small; when
it is full the oldest goes.
"""

import threading
from collections import OrderedDict
from typing import Final

from shared.clock import Clock

FREE: Final = 5
"""Wrong passwords without a pause."""
FIRST_SECONDS: Final = 2.0
LONGEST_SECONDS: Final = 300.0
LONGEST_OF_A_NAME_SECONDS: Final = 10.0
NAME: Final = "as "
"""So begin the subjects that are names."""
QUIET_SECONDS: Final = 3600.0
MOST: Final = 10_000


class Attempts:
    """Wrong passwords so far. Safe to use from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """How many, and when the last was (monotonic)."""

    def wait_seconds(self, *subjects: str) -> float:
        """How long the next attempt must wait; 0.0 if it may be made."""
        now = self._clock.monotonic()
        with self._lock:
            return max(self._left(subject, now) for subject in subjects)

    def failed(self, *subjects: str) -> None:
        """A wrong password."""
        now = self._clock.monotonic()
        with self._lock:
            for subject in subjects:
                count, last = self._wrong.pop(subject, (0, now))
                self._wrong[subject] = (1 if now - last > QUIET_SECONDS else count + 1, now)
            while len(self._wrong) > MOST:
                self._wrong.popitem(last=False)

    def succeeded(self, *subjects: str) -> None:
        """The right one: the slate is clean."""
        with self._lock:
            for subject in subjects:
                self._wrong.pop(subject, None)

    def _left(self, subject: str, now: float) -> float:
        count, last = self._wrong.get(subject, (0, now))
        if count < FREE:
            return 0.0
        longest = LONGEST_OF_A_NAME_SECONDS if subject.startswith(NAME) else LONGEST_SECONDS
        pause = min(longest, FIRST_SECONDS * 2.0 ** min(count - FREE, 10))
        return max(0.0, last + pause - now)
