"""What one camera's seat holder does from time to time, beside making clips.

Shortly after the seat was taken and then every ten minutes the frame store is compared with what is
committed (`reconcile`), and windows that stayed empty are written to the custody record; every hour
what has expired is removed (`expiry`); every few hours the last word is said on what is in no clip
(`absences`).
"""

import random
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from archiver import figures
from archiver.absences import Absences, LastWord
from archiver.camera import CameraArchive
from archiver.expiry import Expiry, Removed, last_day_to_keep
from archiver.jobs import stored_event
from archiver.reconcile import (
    RECONCILE_SECONDS,
    Found,
    empty_windows,
    look,
    settled_epochs,
    still_there,
    untold,
)
from shared.clipfolder import midnight
from shared.clock import milliseconds
from shared.errors import Unavailable
from shared.manifest import Manifest
from shared.messages import EpochEnd
from shared.topology import EVENTS

FIRST_RECONCILE_SECONDS: Final = 2.0
"""By then the broker has brought what it had, or filled the prefetch."""
AGAIN_SECONDS: Final = 5.0
EXPIRY_SECONDS: Final = 3600.0
ABSENCES_SECONDS: Final = 3 * 3600.0
REMEMBERED: Final = timedelta(days=4)


class Housekeeping:
    """The timers of one camera. Main thread only."""

    def __init__(self, camera: CameraArchive) -> None:
        self._camera = camera
        self._tools = camera.tools
        tools = self._tools
        self._absences = Absences(
            *(tools.store, tools.frames, camera.camera),
            retention_days=tools.settings.retention_days,
            awaited_seconds=tools.awaited_seconds,
        )
        now = self._tools.clock.monotonic()
        self._reconcile_at = now + FIRST_RECONCILE_SECONDS
        self._expire_at = now + random.uniform(0.01, 0.1) * EXPIRY_SECONDS
        self._absences_at = float("inf")
        """Once the frame store holds nothing more that is not under way."""
        self._busy = False
        self._settled: set[str] = set()
        self._ends: dict[str, EpochEnd] = {}
        """What was told of the epochs that lie there; the camera itself remembers the latest."""
        self._empty_since: int | None = None

    def advance(self) -> None:
        """One turn."""
        now = self._tools.clock.monotonic()
        camera = self._camera
        if self._busy or camera.closed:
            return
        today = self._tools.clock.now().date()
        if (
            now >= self._reconcile_at
            and camera.intake.caught_up
            and camera.read_folders([today - timedelta(days=1), today])
        ):
            self._busy = True
            settled, lost = set(self._settled), camera.book.ledger.lost
            known = camera.book.under_way_or_committed()
            oldest, most = self._oldest, camera.intake.prefetch
            read = partial(
                look, self._tools.frames, camera.camera, settled, lost, known, oldest, most
            )
            self._tools.desk.chore(read, self._compare)
        elif now >= self._expire_at:
            self._busy = True
            expiry = Expiry(self._tools.store, camera.camera, self._tools.settings.retention_days)
            self._tools.desk.chore(partial(expiry.run, self._tools.clock.now()), self._expired)
        elif now >= self._absences_at and not camera.outbox.pending:
            self._busy = True
            look_for = partial(
                self._absences.look, self._tools.clock.now(), camera.book.epochs_under_way
            )
            self._tools.desk.chore(look_for, self._accounted)

    # -- the frame store ------------------------------------------------------------------------

    @property
    def _oldest(self) -> datetime:
        """What ended before is taken up no more: its clip may have expired."""
        days = self._tools.settings.retention_days
        return midnight(last_day_to_keep(self._tools.clock.now(), days))

    def _compare(self, future: Future[Found]) -> None:
        self._busy = False
        self._reconcile_at = self._tools.clock.monotonic() + AGAIN_SECONDS
        camera = self._camera
        if camera.closed or not camera.intake.caught_up:
            return
        try:
            store = future.result()
        except (OSError, Unavailable) as error:  # no reason to stop archiving, here or elsewhere
            camera.log.warning(
                "frame store unreadable", action="archive.no_frame_store", reason=str(error)
            )
            return
        for epoch, reason in store.unread.items():
            figures.SURVIVED.labels(camera.camera, "index").inc()
            camera.log.warning(
                "index unreadable", action="archive.no_index", epoch=epoch, reason=reason
            )
        indices = store.indices
        for epoch, numbers in store.again.items():
            camera.book.ledger.find(epoch, numbers)
        oldest = self._oldest
        ends = {**self._ends, **camera.continuity.ends}
        found = untold(indices, camera.book, ends, oldest, camera.intake.prefetch)
        camera.take_up(found)
        there = {each for each in self._ends if each in indices or each in store.unread}
        self._ends = {each: self._ends[each] for each in there}
        self._ends |= {each.epoch: each for each in found if isinstance(each, EpochEnd)}
        if not found:
            self._reconcile_at += RECONCILE_SECONDS
            self._settled &= set(indices)
            self._settled |= settled_epochs(self._tools.frames, indices, camera.book, oldest)
            self._announce_again()
            self._note_empty_windows()
            if self._absences_at == float("inf"):
                pause = random.uniform(0.01, 0.1) * ABSENCES_SECONDS
                self._absences_at = self._tools.clock.monotonic() + pause
            camera.book.ledger.forget((self._tools.clock.now() - REMEMBERED).date())

    def _announce_again(self) -> None:
        camera = self._camera
        if camera.found is None:
            return
        clips, camera.found = camera.found, None
        see = partial(still_there, self._tools.frames, camera.folder, clips)
        self._tools.desk.chore(see, self._publish_again)

    def _publish_again(self, future: Future[list[Manifest]]) -> None:
        try:
            manifests = future.result()
        except Exception as error:  # a hint is missed; the bucket knows
            figures.SURVIVED.labels(self._camera.camera, "repeated events").inc()
            self._camera.log.warning(
                "events not repeated", action="archive.not_repeated", reason=repr(error)
            )
            return
        for manifest in manifests:
            event = stored_event(manifest, self._tools.worker)
            self._tools.link.publish(EVENTS, event.routing_key, event.to_body(), persistent=True)

    # -- windows without footage ----------------------------------------------------------------

    def _note_empty_windows(self) -> None:
        camera, now = self._camera, self._tools.clock.now()
        seconds = self._tools.settings.clip_seconds
        windows = camera.book.ledger.windows
        if self._empty_since is None:
            self._empty_since = max(windows, default=milliseconds(now) // 1000) + seconds
        filled = windows | camera.windows_under_way
        last = camera.continuity.last_reason
        reason = f"the last epoch ended: {last}" if last else "no fragment was recorded"
        records, self._empty_since = empty_windows(
            camera.camera, seconds, self._empty_since, now, filled, reason[:300]
        )
        for record in records:
            camera.outbox.add(record)

    # -- the last word --------------------------------------------------------------------------

    def _accounted(self, future: Future[LastWord]) -> None:
        self._busy = False
        self._absences_at = self._tools.clock.monotonic() + ABSENCES_SECONDS
        camera = self._camera
        if camera.closed:
            return
        try:
            word = future.result()
        except Exception as error:  # nothing is urgent here
            figures.SURVIVED.labels(camera.camera, "absences").inc()
            camera.log.warning("absences wait", action="absences.wait", reason=repr(error))
            return
        for hole in word.lost:
            camera.record_lost(hole.epoch, hole.numbers, hole.gap)
        for record in word.found:
            camera.log.info(
                "fragments called lost are in a clip",
                action="fragments.found",
                epoch=record.epoch,
                first=record.first,
                last=record.last,
            )
            camera.outbox.add(record)

    # -- expiry ---------------------------------------------------------------------------------

    def _expired(self, future: Future[Removed]) -> None:
        self._busy = False
        self._expire_at = self._tools.clock.monotonic() + EXPIRY_SECONDS
        camera = self._camera
        try:
            removed = future.result()
        except Exception as error:  # nothing is urgent here
            figures.SURVIVED.labels(camera.camera, "expiry").inc()
            camera.log.warning("expiry waits", action="expiry.waits", reason=repr(error))
            return
        for kind in ("clips", "analyses"):
            figures.EXPIRED.labels(camera.camera, kind).inc(getattr(removed, kind))
        figures.LEFTOVERS.labels(camera.camera).inc(removed.leftovers)
        if removed.clips or removed.analyses or removed.leftovers:
            camera.log.info(
                "expired objects removed",
                action="expiry.done",
                clips=removed.clips,
                analyses=removed.analyses,
                leftovers=removed.leftovers,
                clips_on_hold=len(removed.held),
            )
