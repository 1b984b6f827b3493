"""What of one camera is on its way from the spool into the bucket; see `uploads.py`.

Its lines are gone through in order, and each fragment is put whose file is there: a file that is
not was uploaded before. Before each line goes what has just been closed, and no more than that: so
neither live nor the archive waits for the other. An epoch without an end does not hold up a later
one for ever; what still comes of it, once the disk lets it be closed, is carried from where it was
left. A file that cannot be read is left alone after some tries, and counted.
"""

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client import Counter, Histogram

from ingest import figures
from ingest.lines import ALL, Cursor, IndexLines, write_cursor
from shared import faults
from shared.bucketframes import BucketFrames
from shared.clock import Clock
from shared.errors import AlreadyExists, BadMessage, CradleError
from shared.framestore import INDEX_NAME
from shared.log import Log
from shared.messages import EpochEnd, Fragment, read_archive_message

CURSOR_NAME: Final = "uploaded.json"
TIDY_SECONDS: Final = 5.0
"""So long a file stays after its upload at most."""
AT_ONCE: Final = 20
"""Lines of one camera before the next camera has its turn."""
MOST_FRESH: Final = 20
"""Fragments of one camera that may go before its older ones."""
LIVE_SECONDS: Final = 10.0
"""What is uploaded later than this after its end is no news."""
TRIES: Final = 10
"""For a file that is there and cannot be read."""

UPLOADED = Counter("cradle_ingest_uploads_total", "Fragments put into the bucket.", ["camera"])
SECONDS = Histogram(
    "cradle_ingest_upload_seconds",
    "From a fragment's turn to its place in the bucket.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60),
)


class Upload:
    """Of one camera. `carry` from one thread at a time; the fields are guarded by who owns it."""

    def __init__(
        self,
        root: Path,
        camera: str,
        frames: BucketFrames,
        told: Callable[[Fragment | EpochEnd], None],
        clock: Clock,
        log: Log,
    ) -> None:
        figures.begin_uploads(camera)
        self._root = root
        self._camera = camera
        self._frames = frames
        self._told = told
        self._clock = clock
        self._log = log
        self._lines = IndexLines(root, camera, clock, log)
        self.cursor = self._saved = self._lines.load(CURSOR_NAME)
        self._next = self._lines.count(self.cursor)
        """Number of the fragment that comes next in the cursor's epoch."""
        self._behind: dict[str, int] | None = None
        """Epochs that were passed over, or that an earlier run was through with, and how far; None
        before the first look."""
        self._carried: dict[str, None] = {}
        """Paths of what lies in the bucket and still in the spool."""
        self._tries: tuple[str, int] = ("", 0)
        self._refused: deque[str] = deque(maxlen=MOST_FRESH)
        """Paths of what was left alone just now; what was fresh comes again with the others."""
        self.fresh: deque[Fragment] = deque(maxlen=MOST_FRESH)
        """Closed just now."""
        self.failures = 0
        self.not_before = 0.0
        self.due = True
        self.busy = False
        self.tidy_at: float | None = None

    def reaches(self, place: Cursor) -> bool:
        """Whether all that lies before a place is in the bucket. From any thread."""
        cursor = self.cursor  # before what lies behind it: an epoch is noted first, then passed
        behind = self._behind
        if behind is None:
            return False
        offset = behind.get(place.epoch)
        return (cursor if offset is None else Cursor(place.epoch, offset)).reaches(place)

    def wants_its_turn(self, now: float) -> bool:
        """Something waits, and no pause does."""
        if self.due and now >= self.not_before:
            return True
        return self.tidy_at is not None and now >= self.tidy_at

    def carry(self) -> bool:
        """Upload a handful; whether there may be more. Raises CradleError, OSError."""
        behind = self._behind
        if behind is None:
            behind = self._behind = dict.fromkeys(self._lines.older(self.cursor), 0)
        self._put_fresh()
        found = self._lines.after(self.cursor, AT_ONCE)
        if found and found[0][1].epoch != self.cursor.epoch:
            if self.cursor.epoch and self.cursor.offset != ALL:
                behind[self.cursor.epoch] = self.cursor.offset
            self.cursor, self._next = Cursor(found[0][1].epoch, 0), 0
        for line, after in found:
            self._carry_line(line)
            self.cursor = after
            self._next += 1
        found_behind = [self._carry_behind(epoch, behind) for epoch in list(behind)]
        self._tidy_in_time()
        return bool(found) or any(found_behind)

    def _put_fresh(self) -> None:
        """What has just been closed; not what is closed meanwhile, else the others never come."""
        for _ in range(len(self.fresh)):
            record = self.fresh.popleft()
            if (self._clock.now() - record.ends_at).total_seconds() >= LIVE_SECONDS:
                continue  # it comes with the others
            try:
                self._put(record, self._early_from(record))
            except CradleError:
                if len(self.fresh) < MOST_FRESH:
                    self.fresh.appendleft(record)
                raise

    def _early_from(self, record: Fragment) -> int | None:
        """The first number that is not in the bucket yet, if there is one before this."""
        first = self._next if record.epoch == self.cursor.epoch else 0
        return first if first < record.fragment else None

    def _carry_line(self, line: bytes) -> None:
        self._put_fresh()  # live waits for no more than one of these
        try:
            record = read_archive_message(line)
        except BadMessage as error:
            self._log.error(
                "line unreadable", action="upload.bad_line", camera=self._camera, reason=error
            )
            return
        if record.camera != self._camera:
            return
        if isinstance(record, Fragment):
            self._put(record, None)
        else:
            self._frames.put_end(record)
            self._told(record)

    def _carry_behind(self, epoch: str, behind: dict[str, int]) -> bool:
        """Whether there may be more."""
        found = self._lines.within(Cursor(epoch, behind[epoch]), AT_ONCE)
        for line, after in found:
            self._carry_line(line)
            behind[epoch] = after.offset
            if after.offset == ALL:
                del behind[epoch]
                return False
        if not (self._root / self._camera / epoch).is_dir():
            behind.pop(epoch, None)
        return bool(found)

    def _put(self, record: Fragment, early_from: int | None) -> None:
        if record.path in self._carried or record.path in self._refused:
            return
        began = self._clock.monotonic()
        data = self._read(record)
        if data is None:
            return
        faults.point("ingest.before-upload")
        try:
            self._frames.put(record, data, early_from)
        except AlreadyExists as error:  # nobody overwrites: the file stays for a person to look at
            self._refuse(record, figures.OTHER_BYTES, str(error))
            return
        faults.point("ingest.after-upload")
        self._carried[record.path] = None
        if self.tidy_at is None:
            self.tidy_at = self._clock.monotonic() + TIDY_SECONDS
        UPLOADED.labels(record.camera).inc()
        SECONDS.observe(self._clock.monotonic() - began)
        self._told(record)

    def _read(self, record: Fragment) -> bytes | None:
        """The fragment's bytes; None if it was carried before, or cannot be. Raises OSError."""
        try:
            data = (self._root / record.path).read_bytes()
        except FileNotFoundError:
            return None  # or the janitor had to delete it, and has said so
        except OSError as error:
            path, count = self._tries
            self._tries = record.path, count + 1 if path == record.path else 1
            if self._tries[1] < TRIES:
                raise
            self._refuse(record, figures.UNREADABLE, str(error.strerror))
            return None
        if len(data) < record.bytes:  # under a line that denies it, nobody could read it
            self._refuse(record, figures.SHORT, f"{len(data)} of {record.bytes} bytes are there")
            return None
        return data[: record.bytes]

    def _refuse(self, record: Fragment, kind: str, reason: str) -> None:
        self._refused.append(record.path)
        figures.UPLOADS_REFUSED.labels(record.camera, kind).inc()
        self._log.error(
            "fragment left in the spool",
            action="upload.refused",
            camera=record.camera,
            path=record.path,
            reason=reason,
        )

    # -- what was carried ---------------------------------------------------------------------

    def _tidy_in_time(self) -> None:
        if self.tidy_at is not None and self._clock.monotonic() >= self.tidy_at:
            self.tidy()

    def tidy(self) -> None:
        """Remove what lies in the bucket, and write the cursor down. Raises OSError.

        First the indexes are synced: were a line lost with the power, its fragment would be a hole
        before which the next run must stop.
        """
        self.tidy_at = None
        folders = {(self._root / path).parent for path in self._carried}
        for folder in folders:
            with suppress(FileNotFoundError):
                _sync(folder / INDEX_NAME)
        for path in self._carried:
            (self._root / path).unlink(missing_ok=True)
        self._carried = {}
        if self.cursor != self._saved and (self._root / self._camera).is_dir():
            write_cursor(self._root / self._camera / CURSOR_NAME, self.cursor)
            self._saved = self.cursor

    def close(self) -> None:
        """Let go of what is open."""
        self._lines.close()
        with suppress(OSError):  # then more is gone through at the next start
            self.tidy()


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(file)
    finally:
        os.close(file)
