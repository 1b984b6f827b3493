"""How much the frame store holds: counted when somebody asks, and remembered for a minute."""

import threading
from contextlib import suppress
from typing import Final

from shared.clock import Clock
from shared.errors import CradleError
from shared.framestore import FrameStore

FRESH_SECONDS: Final = 60.0
"""Each file is looked at: some ten thousand where the archive keeps up."""


class FramesUsed:
    """Safe to use from many threads; they wait for one that counts."""

    def __init__(self, frames: FrameStore, clock: Clock) -> None:
        self._frames = frames
        self._clock = clock
        self._lock = threading.Lock()
        self._counted_at = float("-inf")
        self._bytes = 0

    def get(self) -> int:
        """Bytes of all fragments."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._counted_at > FRESH_SECONDS:
                self._counted_at = now
                with suppress(CradleError):  # then it is what it was
                    self._bytes = self._frames.used_bytes()
            return self._bytes
