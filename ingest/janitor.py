"""Keeps the frame store within its limits: stored fragments go first, others only when they must.

Every half minute, and at once when ingest cannot write, for the cameras held (and those that no
configuration names any more): fragments in a committed clip go `keep_stored_minutes` after its
commit; at `retention_hours` all go; over `quota_gib`, or with hardly any room left on the disk,
whoever filled it, the oldest go, first the stored, then the others. Nothing is taken for stored
that the bucket itself did not bear out (`ingest/confirmation.py`). What goes and is not known to be
stored is written down before (`ingest/losses.py`). An epoch that has ended, is empty and has been
published is removed. A thread of its own does this: a slow disk or store delays nobody, and a
camera whose folder cannot be read leaves the others cleaned.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from ingest import figures
from ingest.bucketjanitor import BucketJanitor
from ingest.choice import GIB, choose, oldest_unarchived
from ingest.confirmation import Confirmation
from ingest.expired import ExpiredFootage
from ingest.lines import read_cursor
from ingest.losses import Losses
from ingest.outbox import CURSOR_NAME
from ingest.recovery import recover
from ingest.shelf import Kept, Shelf
from shared.bucketframes import BucketFrames
from shared.clock import Clock
from shared.config import Settings
from shared.errors import CradleError, Unavailable
from shared.framestore import FrameReader, store_bytes
from shared.log import Log
from shared.objectstore import ObjectStore

TURN_SECONDS = 30.0
RESERVE_BYTES = GIB
"""So much is kept free by deleting what is stored; ..."""
LEAST_BYTES = 32 * 1024**2
"""... what is not goes only when even this is not free: the next fragment could not be written."""
FORGOTTEN_SECONDS = 3600.0
"""A camera that is in no configuration and has been silent for so long has no writer."""


class Janitor:
    """Cleans after the cameras of one worker, on a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        clock: Clock,
        log: Log,
        bucket: BucketFrames | None = None,
        wake: Callable[[str], None] = lambda _camera: None,
    ) -> None:
        """`bucket` is the frame store, if the folder is only its spool.

        `wake` is called for each camera that has something there, now and then.
        """
        self._wake = wake
        self._settings = settings.frames
        self._configured = {camera.id for camera in settings.cameras}
        self._root = settings.frames.root
        self._confirmation = Confirmation(self._root, store, log)
        self.expired = ExpiredFootage()
        """What people should hear of."""
        self._losses = Losses(self._root, store, log, [] if bucket is None else [bucket])
        self.bucket: BucketJanitor | None = None
        if bucket is not None:
            self.bucket = BucketJanitor(settings, bucket, store, self.expired, clock, log)
        self._clock = clock
        self._log = log
        self._shelves: dict[str, Shelf] = {}
        self._shown: set[str] = set()
        """Cameras whose figures are served."""
        self._stop = False
        self._call = threading.Event()
        self.cameras: tuple[str, ...] = ()
        """Whom to clean after; replaced whole by the worker."""
        self._thread = threading.Thread(target=self._run, name="janitor", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if self.bucket is not None:
            self.bucket.start()

    def stop(self, timeout_seconds: float) -> None:
        self._stop = True
        self._call.set()
        self._thread.join(timeout_seconds)
        if self.bucket is not None:
            self.bucket.stop()

    def make_room(self) -> None:
        """The next turn is due now. From any thread."""
        self._call.set()

    def _run(self) -> None:
        while True:
            self._call.wait(TURN_SECONDS)
            self._call.clear()
            if self._stop:
                return
            try:
                self.clean()
            except (CradleError, OSError) as error:
                self._log.warning("cleaning put off", action="janitor.failed", reason=error)
            except Exception as error:  # without cleaning the disk fills up
                figures.SURVIVED.labels("janitor").inc()
                self._log.error("cleaning broke off", action="janitor.broke", exc_info=error)

    def clean(self) -> None:
        """One turn. Raises OSError."""
        shown = mine = {*self.cameras, *self._forgotten()}
        if self.bucket is not None:  # who else holds a camera does not see this disk
            self.bucket.cameras = self.cameras
            mine = {*mine, *FrameReader(self._root).cameras()}
            for camera in mine:  # what was closed for a dead writer, nobody else speaks of
                self._wake(camera)
        self._shelves = {
            camera: self._shelves.get(camera)
            or Shelf(self._root, camera, is_spool=self.bucket is not None)
            for camera in mine
        }
        now = self._clock.now()
        there: list[Kept] = []
        seen: list[Shelf] = []
        for camera, shelf in self._shelves.items():
            with self._alone(camera):
                there += shelf.look()
                seen.append(shelf)
                if shelf.unread:
                    raise Unavailable(f"epochs {', '.join(shelf.unread)} cannot be read")
        kept = self._confirmation.look(there, now)
        total, own = store_bytes(self._root), sum(each.bytes for each in kept)
        over = max(total - self._settings.root_gib * GIB, missing_room(self._root, LEAST_BYTES))
        wanted = max(over, missing_room(self._root, RESERVE_BYTES))
        share = own / total if total else 0  # the other workers do their part
        chosen = choose(
            kept,
            now,
            keep_stored=timedelta(minutes=self._settings.keep_stored_minutes),
            retention=timedelta(hours=self._settings.retention_hours),
            over_bytes=over * share,
            wanted_bytes=wanted * share,
        )
        for reason, fragments in chosen.items():
            for camera in mine:
                with self._alone(camera):
                    self._delete(reason, [each for each in fragments if each.camera == camera])
        for shelf in seen:
            with self._alone(shelf.folder.name):
                self._remove_empty_epochs(shelf)
        if self.bucket is not None:
            kept += [each for camera in mine for each in self.bucket.kept(camera)]
        self._show(total)
        self._show_archived(seen, shown, kept, now)
        self._losses.report(mine)

    def _show(self, total_bytes: int) -> None:
        if self.bucket is None:
            figures.STORE_BYTES.set(total_bytes)
        else:
            figures.SPOOL_BYTES.set(total_bytes)
            figures.SPOOL_QUOTA_BYTES.set(self._settings.spool_gib * GIB)
            figures.STORE_BYTES.set(self.bucket.bytes)
        figures.QUOTA_BYTES.set(self._settings.quota_gib * GIB)
        disk = os.statvfs(self._root)
        figures.DISK_FREE_BYTES.set(disk.f_bavail * disk.f_frsize)
        figures.DISK_SIZE_BYTES.set(disk.f_blocks * disk.f_frsize)

    def _show_archived(
        self, seen: list[Shelf], cameras: set[str], kept: list[Kept], now: datetime
    ) -> None:
        """Of `cameras`, as far as they were `seen`: else it stays where it was, and grows old."""
        for camera in self._shown - cameras:
            figures.ARCHIVED_UP_TO.remove(camera)
        self._shown = cameras
        oldest = oldest_unarchived(kept)
        for shelf in seen:
            camera = shelf.folder.name
            if camera in cameras and not shelf.unread:
                figures.ARCHIVED_UP_TO.labels(camera).set(oldest.get(camera, now).timestamp())

    @contextmanager
    def _alone(self, camera: str) -> Iterator[None]:
        """What goes wrong with one camera ends no turn: the others' footage must go too."""
        try:
            yield
        except Exception as error:
            figures.UNCLEANED.labels(camera).inc()
            self._log.warning(
                "camera not cleaned", action="janitor.camera_failed", camera=camera, reason=error
            )

    def _delete(self, reason: str, chosen: list[Kept]) -> None:
        if not chosen:
            return
        unstored = [each for each in chosen if not each.stored]
        failure: OSError | None = None
        deleted = 0
        expired: list[Kept] = []
        with self._losses.noted(reason, unstored):
            for each in chosen:
                try:
                    self._shelves[each.camera].delete(each)
                    deleted += 1
                    expired += [] if each.stored else [each]
                except OSError as error:  # the others need not stay for it
                    failure = error
        figures.DELETED.labels(reason).inc(deleted)
        self.expired.add(reason, expired, self._clock.now())
        tell = self._log.error if unstored and deleted else self._log.info
        tell(
            "fragments deleted",
            action="janitor.deleted",
            camera=chosen[0].camera,
            reason=reason,
            count=deleted,
            not_known_to_be_stored=len(unstored),
        )
        if failure is not None:
            raise failure

    def _forgotten(self) -> list[str]:
        """Cameras that were taken out of the configuration and still have footage here."""
        found = []
        for camera in FrameReader(self._root).cameras():
            if camera in self._configured:
                continue
            with self._alone(camera):
                newest = max((path.stat().st_mtime for path in self._files(camera)), default=0.0)
                if self._clock.now().timestamp() - newest > FORGOTTEN_SECONDS:
                    recover(self._root, camera, self._log)
                    found.append(camera)
        return found

    def _files(self, camera: str) -> list[Path]:
        epochs = FrameReader(self._root).epochs(camera)
        return list((self._root / camera / epochs[-1]).glob("*")) if epochs else []

    def _remove_empty_epochs(self, shelf: Shelf) -> None:
        """Those that were published whole, or are too old for anybody to wait for."""
        try:
            published = read_cursor(shelf.folder / CURSOR_NAME).epoch
        except (ValueError, KeyError, TypeError):
            published = ""
        now = self._clock.now().timestamp()
        for folder, end in shelf.ended():
            age_seconds = now - folder.stat().st_mtime
            limit_hours = self._settings.keep_stored_minutes / 60
            if folder.name >= published:
                limit_hours = max(limit_hours, self._settings.retention_hours)
            if age_seconds <= limit_hours * 3600:
                continue
            left = len(list(folder.glob("*.ts")))
            if left:
                self._log.warning(
                    "files that belong to no closed fragment are deleted",
                    action="janitor.strays",
                    camera=end.camera,
                    epoch=end.epoch,
                    count=left,
                )
            shutil.rmtree(folder)


def missing_room(root: Path, most_bytes: int) -> int:
    """Bytes that are wanting to a reserve on the disk: a fiftieth of it, at most so many."""
    disk = os.statvfs(root)
    reserve = min(disk.f_blocks * disk.f_frsize // 50, most_bytes)
    return reserve - disk.f_bavail * disk.f_frsize
