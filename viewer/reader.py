"""Makes the index good against the bucket, when something asks for it and every ten minutes.

At the start and four times a day: all of every camera, one after the other, on a thread of its own,
for it may take long. Meanwhile, and from then on, the last two days, for what an event did not
bring (and what was held by another replica); sooner after the broker was away.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from prometheus_client import Counter, Gauge

from shared.clock import Clock
from shared.errors import CradleError
from shared.log import Log
from viewer.reading import Reading

EVERY_SECONDS: Final = 600.0
ALL_EVERY_SECONDS: Final = 6 * 3600.0
AGAIN_SECONDS: Final = 30.0
"""After the store was away."""

READ_AT = Gauge(
    "cradle_viewer_index_read_timestamp_seconds", "When all of a camera was last read.", ["camera"]
)

BROKEN_OFF = Counter("cradle_viewer_readings_broken_off_total", "Faults that reading met.")

_Work = tuple[str, str]
"""Kind and camera."""


class Reader:
    """What is to be read, and two threads that do it."""

    def __init__(self, reading: Reading, cameras: Sequence[str], clock: Clock, log: Log) -> None:
        self._reading = reading
        self._cameras = cameras
        self._clock = clock
        self._log = log
        self._due: dict[_Work, float] = {}
        self._changed = threading.Condition()

    # -- what others ask for ------------------------------------------------------------------

    def all_soon(self) -> None:
        """All of every camera."""
        for camera in self._cameras:
            self._ask("all", camera, 0.0)
        self._ask("others", "", 0.0)

    def day_soon(self, camera: str) -> None:
        """The last two days of a camera."""
        self._ask("days", camera, AGAIN_SECONDS)

    def days_soon(self) -> None:
        """The last two days of every camera."""
        for camera in self._cameras:
            self.day_soon(camera)

    def records_soon(self, camera: str, seconds: float) -> None:
        """The custody records of today."""
        self._ask("records", camera, seconds)

    def _ask(self, kind: str, camera: str, seconds: float) -> None:
        at = self._clock.monotonic() + seconds
        with self._changed:
            known = self._due.get((kind, camera))
            if known is None or at < known:
                self._due[(kind, camera)] = at
                self._changed.notify_all()

    # -- the threads --------------------------------------------------------------------------

    def read_all(self, stop: threading.Event) -> None:
        """All of every camera, when it is asked for; until told to stop (and woken by `wake`)."""
        self.all_soon()
        self._run(stop, ("all", "others"))

    def read_news(self, stop: threading.Event) -> None:
        """The last two days; until told to stop (and woken by `wake`)."""
        for camera in self._cameras:
            self._ask("days", camera, 0.0)
        self._run(stop, ("days", "records"))

    def _run(self, stop: threading.Event, kinds: tuple[str, ...]) -> None:
        while not stop.is_set():
            work = self._next(stop, kinds)
            if work is None:
                continue
            try:
                self.read(*work)
            except CradleError as error:
                self._log.warning(
                    "bucket not read", action="index.interrupted", reason=str(error), camera=work[1]
                )
                self._ask(*work, AGAIN_SECONDS)
            except Exception as error:  # one camera's oddity must not end the reading of the others
                BROKEN_OFF.inc()
                self._log.error(
                    "reading broke off",
                    action="index.broke",
                    camera=work[1],
                    reason=f"{type(error).__name__}: {error}",
                    exc_info=error,
                )
                self._ask(*work, EVERY_SECONDS)

    def wake(self) -> None:
        """Look at `stop` now."""
        with self._changed:
            self._changed.notify_all()

    def _next(self, stop: threading.Event, kinds: tuple[str, ...]) -> _Work | None:
        with self._changed:
            waiting = [work for work in self._due if work[0] in kinds]
            if not waiting:
                self._changed.wait(EVERY_SECONDS)
                return None
            work = min(waiting, key=self._due.__getitem__)
            left = self._due[work] - self._clock.monotonic()
            if left > 0:
                self._changed.wait(left)
                return None
            if stop.is_set():
                return None
            del self._due[work]
            return work

    def read(self, kind: str, camera: str) -> None:
        """One piece of work. Raises StoreUnavailable, Misconfigured."""
        works: dict[str, Callable[[], None]] = {
            "all": partial(self._all, camera),
            "days": partial(self._days, camera),
            "records": partial(self._records, camera),
            "others": self._others,
        }
        works[kind]()

    def _all(self, camera: str) -> None:
        self._reading.take_camera(camera)
        READ_AT.labels(camera).set(self._clock.now().timestamp())
        self._ask("all", camera, ALL_EVERY_SECONDS)

    def _days(self, camera: str) -> None:
        today = self._clock.now().date()
        for day in (today, today - timedelta(days=1)):
            self._reading.take_day(camera, day)
        self._reading.take_holds(camera)
        self._ask("days", camera, EVERY_SECONDS)

    def _others(self) -> None:
        """Cameras that are no longer in the configuration: they expire, too."""
        for camera in self._reading.cameras():
            if camera not in self._cameras:
                self._ask("all", camera, 0.0)
        self._ask("others", "", ALL_EVERY_SECONDS)

    def _records(self, camera: str) -> None:
        self._reading.take_records(camera, self._clock.now().date())
