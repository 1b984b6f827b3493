"""Custody records on their way to the object store, in order, tried again until they are there."""

from collections import deque
from concurrent.futures import Future

from archiver import figures
from archiver.desk import Desk
from shared.backoff import pause_seconds
from shared.clock import Clock
from shared.custody import CreateOnly, CustodyRecord, write_custody
from shared.log import Log


class Outbox:
    """One camera's records. `pending` tells when nothing may be acknowledged yet."""

    def __init__(self, desk: Desk, store: CreateOnly, clock: Clock, log: Log) -> None:
        self._desk = desk
        self._store = store
        self._clock = clock
        self._log = log
        self._records: deque[CustodyRecord] = deque()
        self._busy = False
        self._failures = 0
        self._not_before = clock.monotonic()

    def add(self, record: CustodyRecord) -> None:
        self._records.append(record)

    @property
    def pending(self) -> bool:
        return bool(self._records)

    def advance(self) -> None:
        """Send the next one if there is one and it is time."""
        if self._busy or not self._records or self._clock.monotonic() < self._not_before:
            return
        record = self._records[0]
        self._busy = True
        self._desk.chore(lambda: write_custody(self._store, record), self._written)

    def _written(self, future: Future[bool]) -> None:
        self._busy = False
        try:
            new = future.result()
        except Exception as error:  # whatever it is, it must not stop the other cameras
            self._failures += 1
            figures.SURVIVED.labels(self._records[0].camera, "custody record").inc()
            self._not_before = self._clock.monotonic() + pause_seconds(self._failures)
            self._log.warning("custody record waits", action="custody.waits", reason=repr(error))
            return
        self._failures = 0
        record = self._records.popleft()
        if new:
            figures.CUSTODY.labels(record.camera, record.kind).inc()
        self.advance()
