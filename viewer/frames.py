"""How much the frame store holds: counted when somebody asks, and remembered for a minute."""

import threading
from pathlib import Path
from typing import Final

from shared.clock import Clock
from shared.framestore import store_bytes

FRESH_SECONDS: Final = 60.0
"""Each file is looked at: some ten thousand where the archive keeps up."""


class FramesUsed:
    """Safe to use from many threads; they wait for one that counts."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._lock = threading.Lock()
        self._counted_at = float("-inf")
        self._bytes = 0

    def get(self) -> int:
        """Bytes of all fragments."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._counted_at > FRESH_SECONDS:
                self._bytes, self._counted_at = store_bytes(self._root), now
            return self._bytes
