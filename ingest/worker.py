"""The ingest stage: sessions with the broker, around captures that outlive them.

With the broker away the cameras go on being recorded, and what was written is published from the
outboxes when it is back. A session opens a link, takes the seats of the captures that run, then
scans for free cameras, keeps the queues declared and pumps the outboxes. A capture whose seat
another worker has is stopped, but only after the time in which the broker notices that the other is
this worker's own connection, cut on the way. Nothing else in a session ends a capture, but that it
is handed over: a worker that is told to stop, or has more than its share, frees the seat first and
records on until another records (`departures.py`).
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from ingest import figures
from ingest.camera import Capture
from ingest.recorder import Recorder
from ingest.stored import note_stored
from shared.backoff import LONGEST_BROKER_SECONDS, pause_seconds
from shared.errors import (
    BadMessage,
    CradleError,
    Misconfigured,
    QueueAway,
    SeatTaken,
    Unavailable,
)
from shared.link import Delivery, Link, Subscription
from shared.messages import Stage
from shared.seats import Seats
from shared.topology import (
    Queue,
    camera_queues,
    common_queues,
    ingest_seat_queue,
    presence_queue,
    stored_queue,
)
from shared.worker import WorkerContext

DECLARE_SECONDS = 10.0
LONGEST_TURN_SECONDS = 1.0
"""After so long the main loop asks no further queue in this turn: each one on a lost node costs a
wait, and meanwhile nothing is published."""
PATIENCE_SECONDS = LONGEST_BROKER_SECONDS + 2.0
"""A worker that was there before takes no camera that it does not record so soon after the broker
is back: whoever comes first sees nobody else, and would take everything, while the others go on
recording."""
TURN_SECONDS = 0.1
LOOK_SECONDS = 0.5
"""How often a worker that leaves looks whether others are there."""
GHOST_HEARTBEATS = 2.8
"""So long the broker may take to notice that a connection was cut on the way (22 to 27 s were seen
at 10 s), and hold the seats for it, when its worker has long come back on another. Under three, so
that a camera never has two owners for longer than that."""


class CameraSeat:
    """One held camera: the seat of this session, and the capture that outlives it."""

    def __init__(
        self,
        capture: Capture,
        seat: Subscription,
        hear: Callable[[], Subscription | None],
        recorder: Recorder,
    ) -> None:
        """`hear` subscribes to what the archiver has stored of the camera, if it can be."""
        self._hear = hear
        self._capture = capture
        self._seat = seat
        self._stored = hear()
        self._recorder = recorder

    @property
    def closed(self) -> bool:
        return self._seat.closed or self._capture.closed

    @property
    def is_lost(self) -> bool:
        """The seat went, and the capture goes on."""
        return self._seat.closed and not self._capture.closed

    def is_ready_to_close(self) -> bool:
        """Always: the capture ends behind the seat's back."""
        return True

    def close(self, reason: str) -> None:
        """Free the seat; the capture ends as soon as another worker records, or at once if none is
        to be waited for. One whose seat was lost goes on: see `_retake`."""
        camera = self._capture.camera.id
        if not self.is_lost and not self._recorder.hand_over(camera, reason):
            self._recorder.stop_captures([camera], reason)
        self.free()

    def free(self) -> None:
        """Free the seat; the capture is left alone."""
        if self._stored is not None:
            self._stored.close()
        self._seat.close()

    def hear_again(self) -> None:
        """Subscribe anew where an operator has deleted the queue, or it was refused before."""
        if self._stored is None or self._stored.closed:
            self._stored = self._hear()


class IngestWorker:
    """The work of one ingest process."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._settings = context.settings
        self._log = context.log
        self._stored: deque[Delivery] = deque()
        """`stored` events that are not noted yet."""
        self._had_session = False
        self._refusals: dict[str, tuple[float, float]] = {}
        """Captures that run without a seat: since when it is refused, and when last (monotonic)."""

    def run_once(self, stop: threading.Event) -> None:
        """Record until `stop`, through as many sessions with the broker as it takes.

        Raises Misconfigured if there is something that only a person can mend, Unavailable if the
        spool cannot be read.
        """
        recorder = Recorder(self._context)
        try:
            recorder.start()
            self._sessions(recorder, stop)
        finally:
            recorder.stop()
            if recorder.link is not None:
                recorder.link.close()

    def _sessions(self, recorder: Recorder, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            began = self._context.clock.monotonic()
            try:
                self._session(recorder, stop)
            except CradleError as error:
                if isinstance(error, Misconfigured) and not recorder.captures:
                    raise
                self._log.warning(
                    "no session with the broker; recording goes on"
                    if recorder.captures
                    else "no session with the broker; nothing is recorded yet",
                    action="ingest.session",
                    reason=str(error),
                    cameras=len(recorder.captures),
                )
                if recorder.link is None:  # the broker did not let us in
                    self._say_what_waits(recorder, f"waits: {error}")
            except Exception as error:  # recordings must not end with it
                figures.SURVIVED.labels("session").inc()
                self._log.error("session broke off", action="ingest.broke", exc_info=error)
            if stop.is_set():
                return  # the orderly stop still has something to say on this link
            link = recorder.pause()
            if link is not None:
                link.close()
            failures = 0 if self._context.clock.monotonic() - began > 30 else failures + 1
            self._turn(recorder)
            stop.wait(pause_seconds(failures, LONGEST_BROKER_SECONDS))

    def _session(self, recorder: Recorder, stop: threading.Event) -> None:
        settings, clock = self._settings, self._context.clock
        link = Link(settings.broker.url, self._context.name, settings.broker.heartbeat_seconds)
        link.open()
        recorder.resume(link)
        self._say_what_waits(recorder, None)
        seats = Seats(
            link,
            Stage.INGEST,
            [camera.id for camera in settings.cameras],
            ingest_seat_queue,
            lambda camera: self._take(recorder, link, camera),
            max_cameras=settings.seats.max_cameras,
            clock=clock,
            log=self._log,
        )
        if recorder.captures or self._had_session:
            seats.be_patient(PATIENCE_SECONDS)
        self._had_session = True
        freezes = recorder.pulse.freezes
        scan_at = declare_at = 0.0
        declarations: Iterator[None] = iter(())
        while not stop.is_set():
            self._turn(recorder)
            if recorder.pulse.has_frozen_since(freezes):
                self._give_up_all(recorder, seats)
                freezes = recorder.pulse.freezes
            link.check()
            now = clock.monotonic()
            if now >= scan_at:
                self._retake(recorder, link, seats)
                seats.scan()
                scan_at = now + seats.wait_seconds()
            if now >= declare_at:
                declarations = self._declarations(link, seats)
                declare_at = now + DECLARE_SECONDS
            self._go_on(declarations)
            recorder.pump(link)
            self._note_stored(link)
            stop.wait(TURN_SECONDS)
        self._leave(recorder, link, seats)

    def _leave(self, recorder: Recorder, link: Link, seats: Seats) -> None:
        """Told to stop: record on while there is somebody who may take the cameras."""
        presence, look_at, pause = presence_queue(Stage.INGEST), 0.0, threading.Event()
        is_alone = link.declare(presence).consumers <= 1
        if is_alone:  # what it has to say, it says itself
            return
        seats.release_all("ingest was stopped")
        while recorder.departures.cameras:
            link.check()
            self._turn(recorder)
            recorder.pump(link)
            if self._context.clock.monotonic() >= look_at:
                look_at = self._context.clock.monotonic() + LOOK_SECONDS
                if link.declare(presence).consumers == 0:
                    recorder.departures.end_all()
            pause.wait(TURN_SECONDS)

    def _say_what_waits(self, recorder: Recorder, state: str | None) -> None:
        """The state of the cameras that nobody can take without a broker."""
        for camera in self._settings.cameras:
            if camera.id not in recorder.captures:
                self._context.health.set(camera.id, state)

    def _turn(self, recorder: Recorder) -> None:
        self._context.thawed()  # the pulse of /healthz; freezes are noticed by the recorder's own
        recorder.turn()

    def _go_on(self, declarations: Iterator[None]) -> None:
        """With those that are left, for the time of a turn."""
        until = self._context.clock.monotonic() + LONGEST_TURN_SECONDS
        for _ in declarations:
            if self._context.clock.monotonic() >= until:
                return

    def _declarations(self, link: Link, seats: Seats) -> Iterator[None]:
        """Queues deleted by a hand come back, one a step."""
        for queue in common_queues():
            self._declare_if_possible(link, queue)
            yield
        for camera in list(seats.held):
            for queue in self._queues_of(camera):
                self._declare_if_possible(link, queue)
                yield
            work = seats.held.get(camera)
            if isinstance(work, CameraSeat):
                work.hear_again()
                yield

    def _declare_if_possible(self, link: Link, queue: Queue) -> None:
        """One that was made otherwise, or is away, must stop neither recording nor the rest."""
        try:
            link.declare(queue)
        except Misconfigured as error:
            self._log.error(
                "queue refused", action="queue.misconfigured", queue=queue.name, reason=str(error)
            )
        except QueueAway as error:
            self._log.warning(
                "queue away", action="queue.away", queue=queue.name, reason=str(error)
            )

    def _queues_of(self, camera: str) -> tuple[Queue, ...]:
        return camera_queues(camera, self._settings.broker.archive_queue)

    # -- seats --------------------------------------------------------------------------------

    def _take(self, recorder: Recorder, link: Link, camera: str) -> CameraSeat:
        """Take a camera's seat and see that its capture runs. Raises SeatTaken, Unavailable."""
        settings = self._settings.camera(camera)
        if settings is None:
            raise Unavailable(f"{camera} is not in the configuration")
        seat = link.consume(
            ingest_seat_queue(camera),
            prefetch=1,
            exclusive=True,
            on_delivery=lambda delivery: delivery.ack(),
            on_closed=lambda _reason: None,
        )
        try:
            if camera not in recorder.captures:
                for queue in self._queues_of(camera):
                    self._declare_if_possible(link, queue)
            hear = partial(self._hear_stored, link, camera)
            return CameraSeat(recorder.record(settings), seat, hear, recorder)
        except BaseException:
            seat.close()  # nobody would record it, and nobody else could
            raise

    def _hear_stored(self, link: Link, camera: str) -> Subscription | None:
        """None if the broker refuses: it is a hint, recording needs it not. Raises Unavailable."""
        try:
            return link.consume(
                stored_queue(camera),
                prefetch=100,
                exclusive=False,
                on_delivery=self._stored.append,
                on_closed=lambda _reason: None,
            )
        except (Misconfigured, QueueAway, SeatTaken) as error:
            self._log.error(
                "nobody tells what is stored; the bucket is asked instead",
                action="stored.unheard",
                camera=camera,
                reason=str(error),
            )
            return None

    def _retake(self, recorder: Recorder, link: Link, seats: Seats) -> None:
        """Take the seats of captures that run without one, or stop them if another has it."""
        until = self._context.clock.monotonic() + LONGEST_TURN_SECONDS
        for camera in list(recorder.captures):
            work = seats.held.get(camera)
            if isinstance(work, CameraSeat):
                if not work.is_lost:
                    continue
                work.free()
                del seats.held[camera]
            try:
                seats.held[camera] = self._take(recorder, link, camera)
            except SeatTaken:
                self._refused(recorder, camera)
            except Misconfigured as error:  # it is tried again, and the others are not kept waiting
                seats.say_refused(camera, error)
            except QueueAway:  # nobody else can have it either: it is recorded on
                if self._context.clock.monotonic() >= until:
                    return  # the next scan goes on
            else:
                self._refusals.pop(camera, None)

    def _refused(self, recorder: Recorder, camera: str) -> None:
        """Somebody has the seat of a capture that runs: this worker's ghost, or another worker."""
        now = self._context.clock.monotonic()
        patience_seconds = GHOST_HEARTBEATS * self._settings.broker.heartbeat_seconds
        since, latest = self._refusals.get(camera, (now, -math.inf))
        if now - latest > patience_seconds:  # what was refused in another session is another matter
            since = now
            self._log.warning(
                "seat refused; recording goes on for now", action="seat.refused", camera=camera
            )
        self._refusals[camera] = since, now
        if now - since > patience_seconds:
            del self._refusals[camera]
            recorder.stop_captures([camera], "another worker has the seat")

    def _give_up_all(self, recorder: Recorder, seats: Seats) -> None:
        reason = "this worker was frozen"
        self._log.warning("seats given up", action="ingest.thawed", reason=reason)
        recorder.stop_captures(list(recorder.captures), reason)  # all at once
        seats.release_all(reason)

    # -- what the archiver says ----------------------------------------------------------------

    def _note_stored(self, link: Link) -> None:
        while self._stored:
            delivery = self._stored.popleft()
            try:
                frames = self._settings.frames
                note_stored(frames.words, delivery.body, make=frames.bucket is not None)
            except BadMessage as error:
                link.send_to_lost(delivery, str(error))
                continue
            except OSError as error:  # it is a hint: the bucket is asked before anything is lost
                self._log.warning("hint not noted", action="stored.failed", reason=error.strerror)
            delivery.ack()
