"""Carries closed fragments from the spool into the bucket that is the frame store.

With `frames.url: s3://...` ingest records into a folder of its own as it always does; so the store
may be away, and what a killed ingest has written is closed by the next on the same folder. A
fragment's index line wakes its camera here: the fragment is stored with its line as metadata, its
file goes, and only then is anybody told. The cursor beside the index says how far this has come;
the outbox publishes nothing that lies behind it. One thread serves a camera at a time, in order,
but for what has just been closed: that goes first, since live waits for it. What lies in the spool
of cameras that others hold now is carried as well: identity makes it harmless. A store that is away
costs pauses, and the spool grows.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from ingest import figures
from ingest.lines import Cursor, IndexLines, write_cursor
from shared import faults
from shared.backoff import pause_seconds
from shared.bucketframes import BucketFrames
from shared.clock import Clock
from shared.errors import AlreadyExists, BadMessage, CradleError
from shared.framestore import FrameReader
from shared.log import Log
from shared.messages import EpochEnd, Fragment, read_archive_message

CURSOR_NAME: Final = "uploaded.json"
CURSOR_SECONDS: Final = 5.0
CARRIERS: Final = 6
"""Threads. A put takes 5 ms to a store in the house, and 50 to one far away."""
AT_ONCE: Final = 20
"""Lines of one camera before the next camera has its turn."""
MOST_FRESH: Final = 20
"""Fragments of one camera that may go before its older ones."""
LONGEST_PAUSE_SECONDS: Final = 2.0
"""After a failure: a try costs little, and live waits for it."""
LOOK_SECONDS: Final = 0.5
"""How often a camera that waits after a failure is looked at."""

UPLOADED = Counter("cradle_ingest_uploads_total", "Fragments put into the bucket.", ["camera"])
FAILED = Counter("cradle_ingest_upload_failures_total", "Uploads put off.", ["camera"])
REFUSED = Counter(
    "cradle_ingest_uploads_refused_total", "Fragments whose key held other bytes.", ["camera"]
)
WAITING = Gauge("cradle_ingest_upload_waiting_cameras", "Cameras with fragments to upload.")
SECONDS = Histogram(
    "cradle_ingest_upload_seconds",
    "From a fragment's turn to its place in the bucket.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60),
)

OnUploaded = Callable[[Fragment | EpochEnd], None]


@dataclass
class _Camera:
    lines: IndexLines
    cursor: Cursor
    saved: Cursor
    saved_at: float
    fresh: deque[Fragment] = field(default_factory=partial(deque, maxlen=MOST_FRESH))
    failures: int = 0
    not_before: float = 0.0
    due: bool = True
    busy: bool = False


@dataclass
class _Turn:
    """What came of one look at a camera."""

    more: bool = False
    failed: str | None = None


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
        self._cameras: dict[str, _Camera] = {}
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

    def cursor(self, camera: str) -> Cursor:
        """The place up to which everything of a camera lies in the bucket."""
        with self._changed:
            return self._of(camera).cursor

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
            for name, camera in self._cameras.items():
                if not camera.busy:
                    camera.lines.close()
                    self._save(name, camera)
        return done

    def _of(self, camera: str) -> _Camera:
        found = self._cameras.get(camera)
        if found is None:
            lines = IndexLines(self._root, camera, self._clock, self._log)
            cursor = lines.load(CURSOR_NAME)
            found = _Camera(lines, cursor, cursor, self._clock.monotonic())
            self._cameras[camera] = found
        return found

    # -- the threads --------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                name = self._next()
                while name is None:
                    if self._stopping:
                        return
                    self._changed.wait(LOOK_SECONDS if self._failed else None)
                    name = self._next()
                camera = self._cameras[name]
                camera.busy, camera.due = True, False
            turn = _Turn()
            try:
                self._carry(name, camera, turn)
            except Exception as error:  # this thread serves all cameras
                if not isinstance(error, CradleError | OSError):
                    figures.SURVIVED.labels("uploads").inc()
                turn.failed = f"{type(error).__name__}: {error}"
            self._settle(name, camera, turn)

    def _next(self) -> str | None:
        """The camera whose turn it is; those served longest ago come first."""
        now = self._clock.monotonic()
        waiting = [name for name, each in self._cameras.items() if each.due or each.busy]
        WAITING.set(len(waiting))
        for name in waiting:
            camera = self._cameras[name]
            if camera.due and not camera.busy and now >= camera.not_before and not self._stopping:
                self._cameras[name] = self._cameras.pop(name)  # to the end of the row
                return name
        return None

    def _settle(self, name: str, camera: _Camera, turn: _Turn) -> None:
        with self._changed:
            camera.busy = False
            camera.due = camera.due or turn.more or turn.failed is not None
            camera.failures = camera.failures + 1 if turn.failed is not None else 0
            self._failed = {**self._failed, name: turn.failed or ""}
            if turn.failed is None:
                del self._failed[name]
            if turn.failed is not None:
                camera.fresh.clear()  # they come with the others
                pause = pause_seconds(camera.failures, LONGEST_PAUSE_SECONDS)
                camera.not_before = self._clock.monotonic() + pause
            self._changed.notify_all()
        if turn.failed is not None:
            FAILED.labels(name).inc()
            self._log.warning(
                "upload put off",
                action="upload.failed",
                camera=name,
                failures=camera.failures,
                reason=turn.failed,
            )

    def _carry(self, name: str, camera: _Camera, turn: _Turn) -> None:
        """Raises CradleError, OSError: what was carried before that is carried."""
        while fresh := self._take_fresh(camera):
            self._put(fresh)
        found = camera.lines.after(camera.cursor, AT_ONCE)
        turn.more = bool(found)
        for line, after in found:
            record = self._read(name, line)
            if isinstance(record, Fragment):
                self._put(record)
            elif record is not None:
                self._frames.put_end(record)
                self._tell(record)
            with self._changed:
                camera.cursor = after
        if self._clock.monotonic() - camera.saved_at >= CURSOR_SECONDS:
            self._save(name, camera)

    def _take_fresh(self, camera: _Camera) -> Fragment | None:
        with self._changed:
            return camera.fresh.popleft() if camera.fresh else None

    def _read(self, name: str, line: bytes) -> Fragment | EpochEnd | None:
        try:
            record = read_archive_message(line)
        except BadMessage as error:
            self._log.error("line unreadable", action="upload.bad_line", camera=name, reason=error)
            return None
        return record if record.camera == name else None

    def _put(self, record: Fragment) -> None:
        path = self._root / record.path
        began = self._clock.monotonic()
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return  # it was carried before, or the janitor had to delete it and has said so
        faults.point("ingest.before-upload")
        try:
            self._frames.put(record, data if len(data) == record.bytes else data[: record.bytes])
        except AlreadyExists as error:  # nobody overwrites: the file stays for a person to look at
            REFUSED.labels(record.camera).inc()
            self._log.error(
                "fragment is there with other bytes",
                action="upload.refused",
                camera=record.camera,
                path=record.path,
                reason=str(error),
            )
            return
        faults.point("ingest.after-upload")
        path.unlink(missing_ok=True)
        UPLOADED.labels(record.camera).inc()
        SECONDS.observe(self._clock.monotonic() - began)
        self._tell(record)

    def _tell(self, record: Fragment | EpochEnd) -> None:
        try:
            self._told(record)
        except Exception as error:  # it lies in the bucket; who hears of it must not stop the next
            figures.SURVIVED.labels("uploads").inc()
            self._log.error("upload not told", action="upload.untold", exc_info=error)

    def _save(self, name: str, camera: _Camera) -> None:
        camera.saved_at = self._clock.monotonic()
        cursor = camera.cursor
        if cursor == camera.saved or not (self._root / name).is_dir():
            return
        with suppress(OSError):  # then more is gone through at the next start
            write_cursor(self._root / name / CURSOR_NAME, cursor)
            camera.saved = cursor
