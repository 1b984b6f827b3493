"""Keeps the frame store that is a bucket within its limits: the janitor's work, by listings.

For each camera held: fragments in a committed clip go `keep_stored_minutes` after its commit; at
`retention_hours` all go; where the whole store is over `quota_gib`, of each camera its part of the
excess, the oldest first, and first the stored. What goes and is in no clip is noted before
(`losses.py`). What a fragment's metadata says is asked for once, and not of our own. An epoch
without an end, to which nothing is added and whose writer's spool is not here, is closed as it
stands: should its writer come back, its own end counts more fragments. Lifecycle rules of the
bucket are a backstop at best: some stores run them once a day. A thread of its own does this, for a
store that is slow must not keep the spool from being cleaned; a turn ends with the first answer
that does not come.
"""

import shutil
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from ingest import figures
from ingest.choice import GIB, choose
from ingest.confirmation import Confirmation
from ingest.expired import ExpiredFootage
from ingest.losses import Losses
from ingest.recovery import INTERRUPTED
from ingest.shelf import Kept
from shared.bucketframes import BucketFrames, end_count, fragment_number
from shared.clock import Clock
from shared.config import Settings
from shared.errors import CradleError, StoreUnavailable
from shared.identity import fragment_path
from shared.log import Log
from shared.messages import EpochEnd, Fragment
from shared.objectstore import ObjectStore, StoredObject

TURN_SECONDS: Final = 30.0
ABANDONED_SECONDS: Final = 180.0
"""An epoch to which nothing was added for so long has no writer any more: no fragment is longer
than two minutes."""
FORGOTTEN: Final = timedelta(hours=1)
"""A camera that our configuration does not name, and that was silent for so long, is in none."""
UNHEARD: Final = timedelta(minutes=5)
"""So long after its window a fragment is in a clip, if the archive is well."""
MOST_TOLD: Final = 20_000
TOTAL_SECONDS: Final = 300.0
"""How long it is believed how large the whole store is: that is a listing of all of it."""


@dataclass
class _Epoch:
    """What a listing shows of an epoch."""

    numbers: dict[int, StoredObject] = field(default_factory=dict)
    ends: dict[str, datetime | None] = field(default_factory=dict)
    """Paths of its last words, and when they were written."""

    @property
    def newest_at(self) -> datetime:
        """When something was added last, by the store's clock (UTC)."""
        times = (*(each.modified_at for each in self.numbers.values()), *self.ends.values())
        return max((at for at in times if at is not None), default=datetime.min.replace(tzinfo=UTC))


@dataclass
class _Camera:
    kept: dict[tuple[str, int], Kept] = field(default_factory=dict)
    told: dict[tuple[str, int], Kept] = field(default_factory=dict)
    """What was put since the last look."""
    seen: list[Kept] = field(default_factory=list)
    """What there was at the last look, each with the time since when it is stored."""
    confirmation: Confirmation | None = None
    allowed: tuple[float, float] = (float("-inf"), float("inf"))
    """By which look at the whole store, and how many bytes."""
    quiet: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By epoch: its newest fragment, and since when (monotonic) it is that."""


class BucketJanitor:
    """Cleans after the cameras of one worker, one at a time."""

    def __init__(
        self,
        settings: Settings,
        frames: BucketFrames,
        store: ObjectStore,
        expired: ExpiredFootage,
        clock: Clock,
        log: Log,
    ) -> None:
        """What goes unarchived is told to `expired`."""
        self._expired = expired
        self._settings = settings.frames
        self._clip = timedelta(seconds=settings.archive.clip_seconds)
        self._configured = {camera.id for camera in settings.cameras}
        self._frames = frames
        self._store = store
        self._losses = Losses(self._settings.words, store, log, [frames])
        self._clock = clock
        self._log = log
        self._cameras: dict[str, _Camera] = {}
        self._total = (float("-inf"), 0)
        """When (monotonic) the whole store was looked at, and how many bytes it had."""
        self._told: deque[Fragment] = deque(maxlen=MOST_TOLD)
        self._stopped = threading.Event()
        self.cameras: tuple[str, ...] = ()
        """Whom to clean after; replaced whole."""
        self._thread = threading.Thread(target=self._run, name="bucket-janitor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """After the camera that it is at; nobody waits for it."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(TURN_SECONDS):
            try:
                self.turn()
            except Exception as error:  # without cleaning the bucket fills up
                figures.SURVIVED.labels("bucket janitor").inc()
                self._log.error("cleaning broke off", action="bucket.broke", exc_info=error)

    def turn(self) -> None:
        """One look at each camera, as long as the store answers."""
        mine = set(self.cameras)
        try:
            self._measure()
            forgotten = set(self._frames.cameras()) - self._configured
            self._cameras = {
                camera: self._cameras.get(camera) or _Camera() for camera in mine | forgotten
            }
            for camera in sorted(mine | forgotten):
                if self._stopped.is_set():
                    return
                self._clean_alone(camera, is_forgotten=camera in forgotten)
        except StoreUnavailable as error:
            self._log.warning("cleaning put off", action="bucket.unlisted", reason=str(error))
        self._losses.report(mine | self._cameras.keys())

    def _clean_alone(self, camera: str, *, is_forgotten: bool) -> None:
        """What goes wrong with one camera ends no turn. Raises StoreUnavailable."""
        try:
            self.clean(camera, is_forgotten=is_forgotten)
        except StoreUnavailable:
            raise
        except Exception as error:
            figures.UNCLEANED.labels(camera).inc()
            self._log.warning(
                "camera not cleaned", action="janitor.camera_failed", camera=camera, reason=error
            )

    def tell(self, record: Fragment) -> None:
        """It was put into the bucket just now. From any thread."""
        self._told.append(record)

    @property
    def bytes(self) -> int:
        """Of the whole store, other workers' cameras too; some minutes old."""
        return self._total[1]

    def kept(self, camera: str) -> list[Kept]:
        """What a camera had at the last look, before it was cleaned. From any thread."""
        known = self._cameras.get(camera)
        return [] if known is None else known.seen

    def clean(self, camera: str, *, is_forgotten: bool = False) -> None:
        """One turn for a camera. Raises StoreUnavailable, OSError."""
        known = self._cameras.setdefault(camera, _Camera())
        if known.confirmation is None:
            known.confirmation = Confirmation(
                self._settings.words, self._store, self._log, self._clip + UNHEARD
            )
        now = self._clock.now()
        epochs = self._look(camera)
        newest = max((epoch.newest_at for epoch in epochs.values()), default=now)
        if is_forgotten and now - newest < FORGOTTEN:
            return  # another configuration may name it
        self._take_in(camera, known, epochs)
        there = [known.kept[place] for place in sorted(known.kept)]
        known.seen = kept = known.confirmation.look(there, now)
        chosen = choose(
            kept,
            now,
            keep_stored=timedelta(minutes=self._settings.keep_stored_minutes),
            retention=timedelta(hours=self._settings.retention_hours),
            over_bytes=self._over_bytes(known),
        )
        for reason, fragments in chosen.items():
            self._delete(camera, known, reason, fragments)
        self._close_abandoned(camera, known, epochs)
        self._remove_ends(epochs, now)
        self._forget_words(camera, epochs)

    def _measure(self) -> None:
        if self._clock.monotonic() - self._total[0] > TOTAL_SECONDS:
            self._total = self._clock.monotonic(), self._frames.used_bytes()

    def _over_bytes(self, known: _Camera) -> float:
        """How much a camera has beyond its part of the quota, by its size.

        The part is told anew by each look at the whole store, and holds until the next: what was
        deleted since, here and by others, is not deleted again.
        """
        quota_bytes = self._settings.quota_gib * GIB
        own = sum(each.bytes for each in known.seen)
        looked_at, total = self._total
        if known.allowed[0] != looked_at:
            share = min(1.0, quota_bytes / max(total, own, 1))
            known.allowed = looked_at, own * share if share < 1 else float("inf")
        if own * max(1, len(self._configured)) <= quota_bytes:
            return 0.0  # were all like this one, there would be room
        return max(0.0, own - known.allowed[1])

    def _look(self, camera: str) -> dict[str, _Epoch]:
        epochs: dict[str, _Epoch] = {}
        for each in self._frames.of_camera(camera):
            _, _, rest = each.key.partition("/")
            epoch, _, name = rest.partition("/")
            number = fragment_number(name)
            if number is not None:
                epochs.setdefault(epoch, _Epoch()).numbers[number] = each
            elif end_count(name) is not None:
                epochs.setdefault(epoch, _Epoch()).ends[each.key] = each.modified_at
        return epochs

    def _take_in(self, camera: str, known: _Camera, epochs: dict[str, _Epoch]) -> None:
        """Ask what is said of fragments that were not there at the last look."""
        places = {(name, number) for name, epoch in epochs.items() for number in epoch.numbers}
        known.kept = {place: kept for place, kept in known.kept.items() if place in places}
        while self._told:
            record = self._told.popleft()
            if record.camera in self._cameras:
                kept = _kept(record)
                self._cameras[record.camera].told[kept.epoch, kept.number] = kept
        for place in places & known.told.keys():
            known.kept[place] = known.told.pop(place)
        new = sorted(places - known.kept.keys())
        for record in self._frames.records(fragment_path(camera, *place) for place in new):
            kept = _kept(record)
            known.kept[kept.epoch, kept.number] = kept
        for name, number in new:
            if (name, number) not in known.kept:  # foreign, and it must not stay for ever
                found = epochs[name].numbers[number]
                at = found.modified_at or self._clock.now()
                known.kept[name, number] = Kept(camera, name, number, at, at, found.bytes, None)

    def _delete(self, camera: str, known: _Camera, reason: str, chosen: list[Kept]) -> None:
        if not chosen:
            return
        unstored = self._in_no_clip(known, [each for each in chosen if not each.stored])
        try:
            self._losses.note(reason, unstored)
        except OSError as error:  # deleting makes no room on the notes' disk
            figures.UNCLEANED.labels(camera).inc()
            self._log.error(
                "nothing unarchived is deleted while it cannot be noted",
                action="bucket.unnoted",
                camera=camera,
                reason=error.strerror,
            )
            chosen, unstored = sorted(set(chosen).difference(unstored)), []
            if not chosen:
                return
        self._frames.remove_all(
            fragment_path(each.camera, each.epoch, each.number) for each in chosen
        )
        for each in chosen:
            known.kept.pop((each.epoch, each.number), None)
        self._expired.add(reason, unstored, self._clock.now())
        figures.DELETED.labels(reason).inc(len(chosen))
        tell = self._log.error if unstored else self._log.info
        tell(
            "fragments deleted",
            action="janitor.deleted",
            camera=camera,
            reason=reason,
            count=len(chosen),
            not_known_to_be_stored=len(unstored),
        )

    def _in_no_clip(self, known: _Camera, chosen: list[Kept]) -> list[Kept]:
        """What people should hear of; all of them while the archive does not answer."""
        if known.confirmation is None:
            return chosen
        try:
            return known.confirmation.in_no_clip(chosen, self._clock.now())
        except CradleError as error:
            self._log.warning("not looked up", action="stored.wait", reason=str(error))
            return chosen

    def _close_abandoned(self, camera: str, known: _Camera, epochs: dict[str, _Epoch]) -> None:
        now = self._clock.monotonic()
        quiet: dict[str, tuple[int, float]] = {}
        for name, epoch in epochs.items():
            newest = max(epoch.numbers, default=None)
            last = None if newest is None else known.kept.get((name, newest))
            is_ours = (self._settings.root / camera / name).exists()
            if epoch.ends or newest is None or last is None or is_ours:
                continue
            before = known.quiet.get(name, (newest, now))
            quiet[name] = before if before[0] == newest else (newest, now)
            if now - quiet[name][1] < ABANDONED_SECONDS:
                continue
            end = EpochEnd(
                camera=camera,
                epoch=name,
                fragments=newest + 1,
                ended_at=last.ends_at,
                reason=INTERRUPTED,
            )
            self._frames.put_end(end)
            self._log.info(
                "epoch of another host closed as it stands",
                action="bucket.closed",
                camera=camera,
                epoch=name,
                fragments=end.fragments,
            )
        known.quiet = quiet

    def _remove_ends(self, epochs: dict[str, _Epoch], now: datetime) -> None:
        """The last words of epochs of which nothing is left, once nobody waits for them."""
        limit = timedelta(hours=self._settings.retention_hours)
        for epoch in epochs.values():
            for path, written_at in epoch.ends.items():
                if not epoch.numbers and written_at is not None and now - written_at > limit:
                    self._frames.remove(path)

    def _forget_words(self, camera: str, epochs: dict[str, _Epoch]) -> None:
        folder = self._settings.words / camera
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in epochs:
                shutil.rmtree(path, ignore_errors=True)


def _kept(record: Fragment) -> Kept:
    """Without the record's own copies of names that thousands share."""
    return Kept(
        sys.intern(record.camera),
        sys.intern(record.epoch),
        record.fragment,
        record.captured_at,
        record.ends_at,
        record.bytes,
        stored_at=None,
    )
