"""Who watched what: a line for each person, camera and way of watching, at most once a minute."""

import threading
from typing import Final

from shared.clock import Clock
from shared.log import Log

AGAIN_SECONDS: Final = 60.0
MOST: Final = 10_000


class AccessLog:
    """Safe to use from many threads."""

    def __init__(self, clock: Clock, log: Log) -> None:
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._told: dict[tuple[str, ...], float] = {}

    def watched(self, user: str, camera: str, what: str, **facts: object) -> None:
        """`what`: `live`, `clip`, `picture`, `download`, ... `facts` tell which, and are each
        told anew."""
        now = self._clock.monotonic()
        kind = (user, camera, what, *(f"{name}={value}" for name, value in facts.items()))
        with self._lock:
            if now - self._told.get(kind, float("-inf")) < AGAIN_SECONDS:
                return
            if len(self._told) >= MOST:
                self._told.clear()
            self._told[kind] = now
        self._log.info("watched", action=f"watched.{what}", user=user, camera=camera, **facts)
