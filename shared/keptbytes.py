"""What was fetched lately, in memory for those who ask again: for so long, and so much of it."""

import math
import threading
from collections import OrderedDict

from shared.clock import Clock


class KeptBytes:
    """By name. Safe to use from many threads."""

    def __init__(self, clock: Clock, *, seconds: float, most_bytes: int) -> None:
        """What is older, or too much, goes when something is added; the newest always stays."""
        self._clock = clock
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._bytes = 0

    def add(self, name: str, data: bytes) -> None:
        """Keep it, in the place of what was kept under that name."""
        now = self._clock.monotonic()
        with self._lock:
            if name in self._kept:
                self._bytes -= len(self._kept.pop(name)[0])
            self._kept[name] = data, now
            self._bytes += len(data)
            while len(self._kept) > 1 and self._is_over(now):
                self._bytes -= len(self._kept.popitem(last=False)[1][0])

    def _is_over(self, now: float) -> bool:
        _, since = next(iter(self._kept.values()))
        return now - since > self._seconds or self._bytes > self._most_bytes

    def get(self, name: str, younger_than_seconds: float = math.inf) -> bytes | None:
        """What is kept under that name; None if there is nothing, or nothing as young."""
        with self._lock:
            found = self._kept.get(name)
        if found is None or self._clock.monotonic() - found[1] >= younger_than_seconds:
            return None
        return found[0]
