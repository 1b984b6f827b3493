"""Carries closed fragments from the spool into the bucket that is the frame store.

With `frames.url: s3://...` ingest records into a folder of its own as it always does; so the store
may be away, and what a killed ingest has written is closed by the next on the same folder. A
fragment's index line wakes its camera here: the fragment is stored with its line as metadata, and
only then is anybody told. A cursor beside the index says how far this has come; the outbox
publishes nothing that it has not reached. What has just been closed goes before what has gathered,
since live waits for it, and is marked as early: the archive takes it up in its order. Files go a
little later, when the index that names them is on the disk too. What lies in the spool of cameras
that others hold now is carried as well: identity makes it harmless.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import Gauge

from ingest import figures
from ingest.lines import Cursor
from ingest.upload import Upload
from shared.backoff import pause_seconds
from shared.bucketframes import BucketFrames
from shared.clock import Clock
from shared.errors import CradleError
from shared.framestore import FrameReader
from shared.log import Log
from shared.messages import EpochEnd, Fragment

CARRIERS = 6
"""Threads. A put takes 5 ms to a store in the house, and 50 to one far away."""
LONGEST_PAUSE_SECONDS = 2.0
"""After a failure: a try costs little, and live waits for it."""
LOOK_SECONDS = 0.5
"""How often it is looked whether a pause is over."""

WAITING = Gauge("cradle_ingest_upload_waiting_cameras", "Cameras with fragments to upload.")

OnUploaded = Callable[[Fragment | EpochEnd], None]


class Uploads:
    """The cameras of one spool. Its public methods may be called from any thread."""

    def __init__(
        self, root: Path, frames: BucketFrames, told: OnUploaded, clock: Clock, log: Log
    ) -> None:
        """`told` is called, on a thread of ours, once a line's fragment lies in the bucket."""
        self._root = root
        self._frames = frames
        self._told = told
        self._clock = clock
        self._log = log
        self._changed = threading.Condition()
        self._cameras: dict[str, Upload] = {}
        self._failed: dict[str, str] = {}
        """Why cameras wait; replaced whole."""
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"upload-{number}", daemon=True)
            for number in range(CARRIERS)
        ]

    def start(self) -> None:
        """Begin with what lies in the spool."""
        for camera in FrameReader(self._root).cameras():
            self.wake(camera)
        for thread in self._threads:
            thread.start()

    def wake(self, camera: str) -> None:
        """There may be something new of a camera."""
        with self._changed:
            self._of(camera).due = True
            self._changed.notify()

    def add(self, record: Fragment | EpochEnd) -> None:
        """A line was written just now."""
        with self._changed:
            if isinstance(record, Fragment):
                self._of(record.camera).fresh.append(record)
            self.wake(record.camera)

    def reaches(self, camera: str, place: Cursor) -> bool:
        """Whether all of a camera that lies before a place is in the bucket."""
        with self._changed:
            return self._of(camera).reaches(place)

    @property
    def trouble(self) -> str | None:
        """Why something could not be uploaded when it was last tried; None while all is well."""
        return next(iter(self._failed.values()), None)

    def finish(self, timeout_seconds: float) -> bool:
        """Work off what waits and stop; False if the time did not suffice."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            for camera in self._cameras.values():
                camera.not_before = 0.0
            self._changed.notify_all()
            done = self._changed.wait_for(
                lambda: not any(each.due or each.busy for each in self._cameras.values()),
                timeout_seconds,
            )
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            for camera in self._cameras.values():
                if not camera.busy:
                    camera.close()
        return done

    def _of(self, camera: str) -> Upload:
        found = self._cameras.get(camera)
        if found is None:
            found = Upload(self._root, camera, self._frames, self._tell, self._clock, self._log)
            self._cameras[camera] = found
            self._changed.notify()  # it is due
        return found

    # -- the threads --------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                name = self._next()
                while name is None:
                    if self._stopping:
                        return
                    self._changed.wait(LOOK_SECONDS if self._has_pauses() else None)
                    name = self._next()
                camera = self._cameras[name]
                camera.busy, camera.due = True, False
            more, failed = False, None
            try:
                more = camera.carry()
            except Exception as error:  # this thread serves all cameras
                if not isinstance(error, CradleError | OSError):
                    figures.SURVIVED.labels("uploads").inc()
                failed = f"{type(error).__name__}: {error}"
            self._settle(name, camera, more, failed)

    def _has_pauses(self) -> bool:
        return any(each.due or each.tidy_at is not None for each in self._cameras.values())

    def _next(self) -> str | None:
        """The camera whose turn it is; those served longest ago come first."""
        now = self._clock.monotonic()
        WAITING.set(sum(each.due or each.busy for each in self._cameras.values()))
        for name, camera in self._cameras.items():
            if not camera.busy and not self._stopping and camera.wants_its_turn(now):
                self._cameras[name] = self._cameras.pop(name)  # to the end of the row
                return name
        return None

    def _settle(self, name: str, camera: Upload, more: bool, failed: str | None) -> None:
        with self._changed:
            camera.busy = False
            camera.due = camera.due or more or failed is not None
            camera.failures = camera.failures + 1 if failed is not None else 0
            self._failed = {**self._failed, name: failed or ""}
            if failed is None:
                del self._failed[name]
            else:
                pause = pause_seconds(camera.failures, LONGEST_PAUSE_SECONDS)
                camera.not_before = self._clock.monotonic() + pause
            self._changed.notify_all()
        if failed is not None:
            figures.UPLOAD_FAILURES.labels(name).inc()
            self._log.warning(
                "upload put off",
                action="upload.failed",
                camera=name,
                failures=camera.failures,
                reason=failed,
            )

    def _tell(self, record: Fragment | EpochEnd) -> None:
        try:
            self._told(record)
        except Exception as error:  # it lies in the bucket; who hears of it must not stop the next
            figures.SURVIVED.labels("uploads").inc()
            self._log.error("upload not told", action="upload.untold", exc_info=error)
