"""Captures whose seat was freed and that record on until another worker records (`handover.py`).

Each ends when its successor has begun an epoch, when its own epoch ends, or when its time is over;
nobody waits for it. Used by the main loop's thread.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from ingest.camera import Capture
from ingest.handover import HAND_OVER_SECONDS, HANDED_OVER, leave, newest_epoch, stay
from shared.clock import Clock
from shared.errors import Unavailable
from shared.framestore import FrameReader
from shared.identity import epoch_started_at
from shared.log import Log
from shared.source import SourceKind

SKEW: Final = timedelta(seconds=5)
"""Clocks of two hosts may differ by so much."""


@dataclass
class _Departure:
    capture: Capture
    epoch: str
    newest: str
    """The last epoch that there was then."""
    reason: str
    """Why the seat was freed."""
    began_at: datetime
    """UTC."""
    until: float
    """Monotonic."""
    ending: bool = False


class Departures:
    """The cameras that one worker is handing over."""

    def __init__(
        self, root: Path, clock: Clock, log: Log, elsewhere: Callable[[str], str] | None = None
    ) -> None:
        """`elsewhere` says the newest epoch of a camera that is known of on other hosts."""
        self._root = root
        self._elsewhere = elsewhere
        self._reader = FrameReader(root)
        self._clock = clock
        self._log = log
        self._all: dict[str, _Departure] = {}
        self.unfollowed: set[str] = set()
        """Cameras whose last word nobody else may publish."""

    @property
    def cameras(self) -> Collection[str]:
        """Cameras that are still recorded here, without a seat."""
        return self._all.keys()

    def begin(self, capture: Capture, reason: str) -> bool:
        """Let a capture record on after its seat is freed; False if it should just be stopped.

        It should where it records nothing, or is a device: two cannot open one.
        """
        camera, epoch = capture.camera, capture.epoch
        if epoch is None or camera.address.kind is SourceKind.DEVICE:
            return False
        try:
            newest = newest_epoch(self._reader, camera.id)
            leave(self._root / camera.id, epoch, self._clock.now())
        except (OSError, Unavailable) as error:
            self._log.warning(
                "cannot hand over", action="handover.failed", camera=camera.id, reason=error
            )
            return False
        until = self._clock.monotonic() + HAND_OVER_SECONDS
        self._all[camera.id] = _Departure(capture, epoch, newest, reason, self._clock.now(), until)
        self._log.info(
            "recording until another worker does",
            action="handover.begun",
            camera=camera.id,
            epoch=epoch,
            reason=reason,
        )
        return True

    def take_back(self, camera: str) -> Capture | None:
        """The capture of a camera whose seat is this worker's again, if it still records."""
        self.unfollowed.discard(camera)
        departure = self._all.get(camera)
        if departure is None or departure.ending:
            return None
        del self._all[camera]
        with suppress(OSError):  # then it is believed for some seconds more
            stay(self._root / camera)
        return departure.capture

    def turn(self) -> list[str]:
        """End what is over; the cameras whose captures have ended since the last turn."""
        gone = []
        for camera, departure in list(self._all.items()):
            if not departure.ending:
                self._look(camera, departure)
            elif departure.capture.closed:
                del self._all[camera]
                gone.append(camera)
        return gone

    def _look(self, camera: str, departure: _Departure) -> None:
        if self._is_followed(camera, departure):
            self._end(departure, HANDED_OVER)
        elif departure.capture.epoch != departure.epoch:
            self._end(departure, departure.reason)
        elif self._clock.monotonic() >= departure.until:
            self._end(departure, f"{departure.reason}, and nobody came")

    def _is_followed(self, camera: str, departure: _Departure) -> bool:
        newest = departure.newest
        if self._elsewhere is not None:
            there = self._elsewhere(camera)
            if there > newest and epoch_started_at(there) > departure.began_at - SKEW:
                return True
        try:
            return newest_epoch(self._reader, camera) > newest
        except Unavailable:
            return False

    def end_all(self) -> None:
        """Nobody will come."""
        for departure in self._all.values():
            if not departure.ending:
                self._end(departure, departure.reason)

    def finish(self, timeout_seconds: float) -> None:
        """End all, and wait for it."""
        self.end_all()
        deadline = self._clock.monotonic() + timeout_seconds
        for camera, departure in self._all.items():
            if not departure.capture.join(max(0.0, deadline - self._clock.monotonic())):
                self._log.warning("camera holds on", action="camera.stuck", camera=camera)
        self._all.clear()

    def _end(self, departure: _Departure, reason: str) -> None:
        if reason != HANDED_OVER:
            self.unfollowed.add(departure.capture.camera.id)
        departure.ending = True
        departure.capture.ask_to_stop(reason)
