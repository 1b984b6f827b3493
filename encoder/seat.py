"""The seat of one camera: its exclusive subscription, and the live stream that goes with it.

It is taken and given back on the worker's thread; the stream lives on the loop's. Deliveries come
from the link's I/O thread and are only passed on, all that have come since the loop last looked.
"""

from collections import deque
from functools import partial
from typing import Final

from encoder import figures
from encoder.camera import HAND_OVER_SECONDS, Camera
from encoder.generation import FLUSH_SECONDS
from encoder.loop import Callback, Loop
from encoder.places import Stores
from encoder.publication import Facts
from encoder.traces import SegmentTraces
from encoder.turns import Turns
from shared.link import Delivery, Link
from shared.messages import Event, Stage
from shared.topology import EVENTS, encoder_queue
from shared.worker import WorkerContext

PREFETCH: Final = 32
"""Batches held of one camera: more than the live budget at the shortest usual batch."""
CLOSE_SECONDS: Final = 2 * FLUSH_SECONDS
"""For a camera's last segments and its playlist."""
ABANDON_SECONDS: Final = 1.0
"""To drop them where that did not do."""


class CameraSeat:
    """One camera, held."""

    def __init__(
        self,
        name: str,
        context: WorkerContext,
        link: Link,
        loop: Loop,
        turns: Turns,
        stores: Stores,
    ) -> None:
        """Take it. Raises SeatTaken, Unavailable."""
        self.name = name
        self.closed = False
        self._close_by: float | None = None
        self._arrived: deque[Delivery] = deque()
        self._called = False
        self._context = context
        self._link = link
        self._loop = loop
        log = context.log.bind(camera=name)
        self._places = stores.places(name, self._on_loop, log)
        self._camera = Camera(
            name,
            self._places,
            loop,
            turns,
            self._announce,
            link.send_to_lost,
            context.clock,
            log,
        )
        if context.tracer is not None:
            self._camera.trace(SegmentTraces(context.tracer))
        self._subscription = link.consume(
            encoder_queue(name),
            prefetch=PREFETCH,
            exclusive=True,
            on_delivery=self._deliver,
            on_closed=self._lost,
        )
        loop.call(None, partial(figures.begin, name))
        self._places.ready(partial(loop.call, None, self._begin))

    def _begin(self) -> None:
        """On the loop's thread."""
        if self._camera.ended is None:
            self._loop.add(self._camera)

    def _on_loop(self, callback: Callback) -> None:
        self._loop.call(self._camera, callback)

    @property
    def state(self) -> str:
        """`starting`, `live` or `stalled`; why, while its folder cannot be taken over."""
        obstacle = self._places.folder.obstacle
        return self._camera.state if obstacle is None else f"starting: {obstacle}"

    @property
    def failed(self) -> str | None:
        """Why it must be given back; None while all is well."""
        return self._camera.ended

    def begin_close(self, *, in_order: bool = True) -> None:
        """Let ffmpeg write its last segment; in order, up to the end of the open fragment."""
        if self._close_by is not None:
            return
        seconds = CLOSE_SECONDS + (HAND_OVER_SECONDS if in_order else 0)
        self._close_by = self._context.clock.monotonic() + seconds
        close = self._camera.hand_over if in_order else self._camera.close
        self._loop.call(self._camera, close)

    def is_ready_to_close(self) -> bool:
        """What ffmpeg holds is published, or time is over."""
        self.begin_close()
        late = self._context.clock.monotonic() >= (self._close_by or 0)
        return late or self._camera.done.is_set()

    def close(self, reason: str) -> None:
        """Give the seat back once what ffmpeg holds is published, or time is over."""
        self.begin_close()
        if not self._wait_until_done(0):
            self._loop.call(None, partial(self._camera.abandon, reason))
            self._wait_until_done(ABANDON_SECONDS)
        self._loop.call(None, partial(self._loop.remove, self._camera))
        self._loop.call(None, partial(figures.forget, self.name))
        self._subscription.close()
        self.closed = True

    def _wait_until_done(self, extra_seconds: float) -> bool:
        left = (self._close_by or 0) + extra_seconds - self._context.clock.monotonic()
        return self._camera.done.wait(max(0.0, left))

    def _deliver(self, delivery: Delivery) -> None:
        self._places.fetch(delivery, partial(self._arrive, delivery))

    def _arrive(self, delivery: Delivery) -> None:
        self._arrived.append(delivery)
        if not self._called:
            self._called = True
            self._loop.call(self._camera, self._pass_on)

    def _pass_on(self) -> None:
        """On the loop's thread."""
        self._called = False  # before they are taken: none is left without a call
        arrived = [self._arrived.popleft() for _ in range(len(self._arrived))]
        self._camera.deliver(arrived)

    def _lost(self, reason: str) -> None:
        self._loop.call(None, partial(self._camera.abandon, f"seat lost: {reason}"))

    def _announce(self, event: str, facts: Facts) -> None:
        message = Event(
            stage=Stage.ENCODER,
            worker=self._context.name,
            camera=self.name,
            event=event,
            at=self._context.clock.now(),
            detail=dict(facts),
        )
        self._link.publish(EVENTS, message.routing_key, message.to_body())
