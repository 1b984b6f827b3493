"""Who records a camera on another host: its newest epoch in the bucket, as it was a moment ago.

A leaver asks ten times a second whether it is followed; on one host the camera's folder tells. The
bucket is listed by a thread, once a second, for cameras that are asked about, and for no others.
"""

import threading
from typing import Final

from ingest import figures
from shared.clock import Clock
from shared.errors import CradleError
from shared.framestore import FrameStore
from shared.log import Log

LOOK_SECONDS: Final = 1.0
INTEREST_SECONDS: Final = 5.0
"""A camera that nobody has asked about for so long is not listed any more."""


class Elsewhere:
    """`newest` may be called from any thread, and waits for nothing."""

    def __init__(self, frames: FrameStore, clock: Clock, log: Log) -> None:
        self._frames = frames
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}
        self._newest: dict[str, str] = {}
        self._wanted = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="elsewhere", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop = True
        self._wanted.set()

    def newest(self, camera: str) -> str:
        """The newest epoch of a camera that was seen in the bucket, empty before a look at it."""
        with self._lock:
            self._asked[camera] = self._clock.monotonic()
            self._wanted.set()
            return self._newest.get(camera, "")

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wanted.wait()
            if self._stop:
                return
            try:
                self.look()
            except Exception as error:  # who leaves then leaves when its time is over
                if not isinstance(error, CradleError):
                    figures.SURVIVED.labels("elsewhere").inc()
                self._log.warning("bucket not listed", action="elsewhere.failed", reason=str(error))
            pause.wait(LOOK_SECONDS)

    def look(self) -> None:
        """List what is asked about. Raises StoreUnavailable."""
        now = self._clock.monotonic()
        with self._lock:
            self._asked = {
                camera: at for camera, at in self._asked.items() if now - at < INTEREST_SECONDS
            }
            self._newest = {
                camera: epoch for camera, epoch in self._newest.items() if camera in self._asked
            }
            cameras = list(self._asked)
            if not cameras and not self._stop:
                self._wanted.clear()
        for camera in cameras:
            newest = max(self._frames.epochs(camera), default="")
            with self._lock:
                self._newest[camera] = newest
