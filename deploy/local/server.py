"""A private broker or store through all its lives.

One that dies is started again, after a pause that grows while it keeps dying; that it runs again is
said once it can serve. Nothing here waits: the workers are looked after on the same thread.
"""

from typing import Protocol

from shared.backoff import pause_seconds
from shared.errors import ChildFailed
from shared.log import Log

HELD_SECONDS = 60.0
"""A life of this length was good: the next pause is the first again."""


class Startable(Protocol):
    """What a broker and a store have in common."""

    @property
    def is_running(self) -> bool: ...

    def start(self) -> None:
        """Raises ChildFailed."""

    def is_ready(self) -> bool:
        """Whether it serves; looks, and does not wait."""


class Server:
    """The watch over one server that was started and is ready."""

    def __init__(self, name: str, program: Startable, now: float) -> None:
        """`now` is monotonic, here as everywhere."""
        self._name = name
        self._program = program
        self._started_at = now
        self._again_at: float | None = None
        self._is_serving = True
        self._failures = 0

    def watch(self, now: float, log: Log) -> None:
        """Start it again if it has died and the pause is over."""
        if self._program.is_running:
            if not self._is_serving and self._program.is_ready():
                self._is_serving = True
                log.warning("server runs again", action="house.server_back", name=self._name)
        elif self._again_at is None:
            self._fail(now, log, "it died")
        elif now >= self._again_at:
            self._again_at = None
            self._started_at = now
            try:
                self._program.start()
            except ChildFailed as error:
                self._fail(now, log, str(error))

    def _fail(self, now: float, log: Log, reason: str) -> None:
        held = now - self._started_at > HELD_SECONDS
        self._failures = 0 if held else self._failures + 1
        pause = pause_seconds(self._failures)
        self._again_at = now + pause
        self._is_serving = False
        log.warning(
            "server down",
            action="house.server_down",
            name=self._name,
            reason=reason,
            again_in_seconds=round(pause, 1),
        )
