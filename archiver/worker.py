"""The archiver's worker: seats, cameras, and the one loop that turns them all.

`run_once` opens a link, proves once that the object store keeps what it is given, and turns until
told to stop: calls from other threads as they come, a few times a second each camera's turn (not
with every call: the more cameras, the more calls, and each turn asks all cameras), and about once a
second the seats. On stop, what has begun is finished for a bounded time (an epoch that was ended by
a message is complete, so its clip is stored); open windows stay in the queue for the next worker.
"""

import threading
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import Final

from archiver import figures
from archiver.camera import CameraArchive
from archiver.commit import Committer
from archiver.convert import Converter
from archiver.desk import Desk
from archiver.expiry import expire_forgotten
from archiver.housekeeping import Housekeeping
from archiver.tools import Tools
from archiver.workfolder import WorkFolder
from shared.backoff import pause_seconds
from shared.bucketframes import open_frames
from shared.child import find_program
from shared.errors import MissingProgram, SeatTaken, Unavailable
from shared.link import Link
from shared.messages import Stage
from shared.objectstore import ObjectStore
from shared.seats import CameraWork, Seats
from shared.topology import archiver_seat_queue
from shared.worker import HELD_SECONDS, PROBE_SECONDS, WorkerContext

TURN_SECONDS: Final = 0.25
FINISH_SECONDS: Final = 20.0
"""How long an orderly stop may go on storing what is complete."""
SETTLE_SECONDS: Final = 0.5
"""On stop, for messages that ingest's own stop has just sent."""
UPLOAD_AGE: Final = timedelta(days=1)
CLEAN_SECONDS: Final = 3600.0


class ArchiverWorker:
    """One archiver process."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        settings = context.settings
        self._abandon = threading.Event()
        self._desk = Desk(settings.archive.conversions)
        self._work = WorkFolder.open(settings.frames.root)
        self._store = ObjectStore(settings.archive)
        self._frames = open_frames(settings)
        converter = Converter(
            self._frames,
            context.clock,
            context.log,
            timeout_seconds=settings.archive.convert_timeout_seconds,
            abandon=self._abandon,
        )
        self._committer = Committer(
            self._store, self._frames, converter, self._work, context.clock, context.log
        )
        self._probed = False
        self._clean_at = 0.0
        self._cameras: dict[str, tuple[CameraArchive, Housekeeping]] = {}
        self._taken_at: dict[str, float] = {}
        self._losses: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def run_once(self, stop: threading.Event) -> None:
        """Work until `stop`. Raises Misconfigured, Unavailable."""
        self._check_surroundings()
        context = self._context
        settings = context.settings
        link = Link(settings.broker.url, context.name, settings.broker.heartbeat_seconds)
        with link:
            seats = Seats(
                link,
                Stage.ARCHIVER,
                [camera.id for camera in settings.cameras],
                partial(archiver_seat_queue, kind=settings.broker.archive_queue),
                partial(self._take, link),
                max_cameras=settings.seats.max_cameras,
                clock=context.clock,
                log=context.log,
            )
            try:
                self._turn_until(stop, link, seats)
                self._finish(link)
            finally:
                seats.release_all("the worker stops")
                self._cameras.clear()

    def close(self) -> None:
        """Abandon what is under way, with or without a broker; no run may follow."""
        self._abandon.set()
        self._desk.close()
        self._work.close()

    def _check_surroundings(self) -> None:
        if self._probed:
            return
        self._context.health.expect(PROBE_SECONDS)
        self._store.probe()
        self._probed = True
        try:
            find_program("ffmpeg")
        except MissingProgram as error:  # footage is kept all the same
            self._context.log.warning(
                "clips will not be MP4", action="archive.no_ffmpeg", reason=str(error)
            )

    def _turn_until(self, stop: threading.Event, link: Link, seats: Seats) -> None:
        clock = self._context.clock
        scan_at = clock.monotonic()
        while not stop.is_set():
            if self._context.thawed():
                seats.release_all("the process was frozen")
            link.check()
            self._turn()
            if clock.monotonic() >= scan_at:
                seats.scan()
                scan_at = clock.monotonic() + seats.wait_seconds()
                self._drop_closed()
                self._clean_bucket()

    def _turn(self) -> None:
        self._desk.turn_for(TURN_SECONDS)
        for camera, housekeeping in self._cameras.values():
            try:
                camera.advance()
                housekeeping.advance()
            except Unavailable:
                raise  # the broker: everything is built anew
            except Exception as error:  # one camera's fault must not stop the others
                camera.break_off(error)

    def _finish(self, link: Link) -> None:
        """Store what is complete, for a bounded time."""
        clock = self._context.clock
        began = clock.monotonic()
        while clock.monotonic() - began < FINISH_SECONDS:
            self._context.health.beat()
            link.check()
            self._turn()
            busy = any(camera.busy for camera, _ in self._cameras.values())
            if not busy and clock.monotonic() - began > SETTLE_SECONDS:
                return

    # -- seats ----------------------------------------------------------------------------------

    def _take(self, link: Link, camera: str) -> CameraWork:
        if self._context.clock.monotonic() < self._not_before.get(camera, 0.0):
            raise SeatTaken(f"{camera}: the seat was lost a moment ago")
        context = self._context
        tools = Tools(
            worker=context.name,
            settings=context.settings.archive,
            queue_kind=context.settings.broker.archive_queue,
            link=link,
            store=self._store,
            frames=self._frames,
            awaited_seconds=context.settings.frames.awaited_seconds,
            committer=self._committer,
            desk=self._desk,
            clock=context.clock,
            log=context.log,
            tracer=context.tracer,
        )
        work = CameraArchive(camera, tools)
        self._cameras[camera] = (work, Housekeeping(work))
        self._taken_at[camera] = context.clock.monotonic()
        return work

    def _drop_closed(self) -> None:
        for name, (camera, _) in list(self._cameras.items()):
            if camera.closed:
                del self._cameras[name]
                self._context.health.set(name, None)
                self._wait_before_retaking(name)
                continue
            self._context.health.set(name, camera.state)
            figures.HELD.labels(name).set(len(camera.intake.held))
            figures.OLDEST_HELD.labels(name).set(camera.intake.held_seconds)

    def _wait_before_retaking(self, name: str) -> None:
        """A camera that loses its seat again and again is not taken at once each time."""
        now = self._context.clock.monotonic()
        held = now - self._taken_at.pop(name, now) > HELD_SECONDS
        self._losses[name] = 1 if held else self._losses.get(name, 0) + 1
        self._not_before[name] = now + pause_seconds(self._losses[name])

    def _clean_bucket(self) -> None:
        """Once an hour, what belongs to no camera that is held."""
        now = self._context.clock.monotonic()
        if now < self._clean_at:
            return
        self._clean_at = now + CLEAN_SECONDS
        moment = self._context.clock.now()
        abort = partial(self._store.abort_left_over_uploads, UPLOAD_AGE, moment)
        self._desk.chore(abort, partial(self._cleaned, "left-over uploads"))
        settings = self._context.settings
        configured = [camera.id for camera in settings.cameras]
        if configured and configured[0] in self._cameras:  # one worker is enough
            days = settings.archive.retention_days
            expire = partial(expire_forgotten, self._store, configured, days, moment)
            self._desk.chore(expire, partial(self._cleaned, "clips of cameras that are no more"))

    def _cleaned(self, what: str, future: Future[int]) -> None:
        try:
            count = future.result()
        except Exception as error:  # nothing is urgent here
            figures.SURVIVED.labels("", what).inc()
            self._context.log.warning(
                f"{what} stay", action="bucket.uncleaned", what=what, reason=repr(error)
            )
            return
        if count:
            self._context.log.info(
                f"{what} removed", action="bucket.cleaned", what=what, count=count
            )
