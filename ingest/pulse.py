"""Notices that this process was frozen: SIGSTOP, a paused container, a starved machine.

A thread looks at the clock a few times a heartbeat. When more than a heartbeat went by between two
looks, every seat may be another's by now; captures then end and the worker gives its seats up,
whichever thread comes to run first.
"""

import threading

from shared.clock import Clock


class Pulse:
    """Counts the freezes of this process."""

    def __init__(self, clock: Clock, heartbeat_seconds: float) -> None:
        self._clock = clock
        self._heartbeat_seconds = heartbeat_seconds
        self._last = clock.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self.freezes = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def beat(self) -> None:
        """Look at the clock."""
        now = self._clock.monotonic()
        if now - self._last > self._heartbeat_seconds:
            self.freezes += 1
        self._last = now

    def has_frozen_since(self, freezes: int) -> bool:
        """Whether there was a freeze since `freezes` was read, noticed by the thread or not."""
        return (
            self.freezes != freezes
            or self._clock.monotonic() - self._last > self._heartbeat_seconds
        )

    def _run(self) -> None:
        while not self._stop.wait(self._heartbeat_seconds / 5):
            self.beat()
