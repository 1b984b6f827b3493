"""The encoder stage: seats on one thread, media on another.

This thread speaks to the broker, whose answers may take their time: it scans for seats, gives them
up and watches the session. The loop's thread feeds ffmpeg and publishes. A seat is taken by the
exclusive consumer; its deliveries cross over from the link's I/O thread. It is given back in order:
ffmpeg writes its last segment, the playlist is written, then the subscription closes.
"""

import os
import threading

from encoder.loop import Loop
from encoder.places import Stores
from encoder.seat import CameraSeat
from encoder.turns import Turns
from shared.child import find_program
from shared.errors import ChildFailed, Misconfigured
from shared.link import Link
from shared.messages import Stage
from shared.seats import Seats
from shared.topology import encoder_queue
from shared.worker import WorkerContext


class EncoderWorker:
    """One worker of the stage."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def run_once(self, stop: threading.Event) -> None:
        """Hold seats until told to stop. Raises Misconfigured, Unavailable, ChildFailed."""
        context = self._context
        settings = context.settings
        self._check_surroundings()
        heartbeat = settings.broker.heartbeat_seconds
        with Link(settings.broker.url, context.name, heartbeat) as link:
            loop = Loop(context.clock, heartbeat, context.log)
            loop.start()
            context.health.follow(loop)
            turns = Turns(context.clock)
            stores = Stores(settings, context.clock, context.log)
            seats = Seats(
                link,
                Stage.ENCODER,
                [camera.id for camera in settings.cameras],
                encoder_queue,
                lambda camera: CameraSeat(camera, context, link, loop, turns, stores),
                max_cameras=settings.seats.max_cameras,
                clock=context.clock,
                log=context.log,
            )
            try:
                while not stop.is_set():
                    self._turn(link, loop, seats)
                    stores.clean_in_time()
                    stop.wait(seats.wait_seconds())
            finally:
                reason = "the worker stops" if stop.is_set() else "the link is lost"
                self._release(seats, reason, in_order=stop.is_set())
                stores.close()
                if loop.stop():  # while its thread is stuck this process is not well
                    context.health.unfollow(loop)

    def _check_surroundings(self) -> None:
        """Raises Misconfigured where waiting would not help."""
        for program in ("ffmpeg", "setpriv"):
            find_program(program)
        live = self._context.settings.live
        root, key = live.root, "live.url" if live.bucket is None else "live.spool"
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"{key}: {root}: {error.strerror}") from error
        if not os.access(root, os.W_OK):
            raise Misconfigured(f"{key}: {root} cannot be written by this user")

    def _turn(self, link: Link, loop: Loop, seats: Seats) -> None:
        if self._context.thawed() or loop.froze.is_set():
            self._release(seats, "the process was frozen", in_order=False)
            loop.froze.clear()
        elif loop.stuck_seconds > self._context.settings.broker.heartbeat_seconds:
            raise ChildFailed(
                "the thread that feeds ffmpeg is stuck; the disk of live.url may hang"
            )
        link.check()
        for seat in _mine(seats):
            self._context.health.set(seat.name, seat.state)
            if seat.failed is not None:
                self._give_back(seats, [seat], seat.failed, in_order=False)
        seats.scan()

    def _release(self, seats: Seats, reason: str, *, in_order: bool) -> None:
        self._give_back(seats, _mine(seats), reason, in_order=in_order)
        seats.release_all(reason)

    def _give_back(
        self, seats: Seats, given: list[CameraSeat], reason: str, *, in_order: bool
    ) -> None:
        for seat in given:
            seat.begin_close(in_order=in_order)  # all at once: each may take a moment
        for seat in given:
            seats.release(seat.name, reason)
            self._context.health.set(seat.name, None)


def _mine(seats: Seats) -> list[CameraSeat]:
    return [work for work in seats.held.values() if isinstance(work, CameraSeat)]
