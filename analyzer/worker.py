"""The analyzer's worker: one link, a queue that all analyzers share, and a few slots.

`run_once` opens the link, consumes with one unacknowledged message a slot, and turns until told to
stop. Each slot is a thread that handles one sample after the other. A slot that finds the broker or
the object store away ends the run: closing the channel gives every message back, and the retry loop
builds everything anew. On stop, slots get a few seconds to finish; what they do not finish comes
again elsewhere and meets its own result if it was stored.
"""

import queue
import threading

from analyzer import figures, remote
from analyzer.breaker import Breaking
from analyzer.budget import Budget, limit_of, prices_of
from analyzer.budgeted import Budgeted
from analyzer.handling import SampleHandler
from analyzer.judge import Judge
from analyzer.pictures import PictureReader
from analyzer.provider import Provider
from analyzer.retry import Retrying, count_retries
from analyzer.states import ProviderStates
from shared.bucketframes import open_frames
from shared.errors import CradleError, LinkLost, QueueAway
from shared.link import Delivery, Link
from shared.objectstore import ObjectStore
from shared.topology import analyzer_queue, lost_queue
from shared.worker import PROBE_SECONDS, WorkerContext

TURN_SECONDS = 0.5
FINISH_SECONDS = 5.0
"""How long an orderly stop waits for samples that are being judged."""


class AnalyzerWorker:
    """One analyzer process."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        settings = context.settings
        count_retries()
        figures.begin(camera.id for camera in settings.cameras)
        self._store = ObjectStore(settings.archive)
        self._probed = False
        reader = PictureReader(open_frames(settings), settings.analysis.long_edge_pixels)
        self._handler = SampleHandler(
            settings.analysis,
            Judge(settings, reader, self._remote(), context.clock, context.log),
            self._store,
            ProviderStates(context.name, context.health, context.clock, context.log),
            context.name,
            context.clock,
            context.log,
            context.tracer,
        )

    def _remote(self) -> Provider | None:
        """The remote provider inside its layers, None where only this machine judges."""
        settings, clock = self._context.settings.analysis, self._context.clock
        if settings.provider != "gemini":
            return None
        provider = remote.gemini(settings.gemini, clock)
        if isinstance(provider, remote.Unusable):
            self._context.log.error(
                "remote provider unusable; samples are judged on this machine",
                action="provider.unusable",
                reason=provider.reason.reason,
            )
            self._context.health.set("provider", f"misconfigured: {provider.reason.reason}")
            return provider
        budget = Budget(self._store, limit_of(settings.budget), self._context.name, clock)
        budgeted = Budgeted(provider, budget, prices_of(settings.budget), clock)
        return Breaking(Retrying(budgeted, clock), clock)

    def run_once(self, stop: threading.Event) -> None:
        """Work until `stop`. Raises Misconfigured, Unavailable."""
        if not self._probed:
            self._context.health.expect(PROBE_SECONDS)
            self._store.probe()
            self._probed = True
        settings = self._context.settings
        link = Link(settings.broker.url, self._context.name, settings.broker.heartbeat_seconds)
        with link:
            self._declare_lost(link)
            Run(self._context, link, self._handler, settings.analysis.slots).work(stop)

    def _declare_lost(self, link: Link) -> None:
        """Unless its node is away: then it has it already. Raises Misconfigured, Unavailable."""
        try:
            link.declare(lost_queue())
        except QueueAway as error:
            self._context.log.warning("queue away", action="queue.away", reason=str(error))


class Run:
    """What lives as long as one link: the subscription and the slots."""

    def __init__(
        self, context: WorkerContext, link: Link, handler: SampleHandler, slots: int
    ) -> None:
        self._context = context
        self._link = link
        self._handler = handler
        self._slots = slots
        # The prefetch bounds what waits here to less than one message a slot.
        self._waiting: queue.Queue[Delivery | None] = queue.Queue(2 * slots)
        self._ended: queue.SimpleQueue[CradleError] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def work(self, stop: threading.Event) -> None:
        subscription = self._link.consume(
            analyzer_queue(),
            prefetch=self._slots,
            exclusive=False,
            on_delivery=self._waiting.put_nowait,
            on_closed=lambda reason: self._ended.put(LinkLost(reason)),
        )
        threads = [
            threading.Thread(target=self._slot, name=f"slot-{number}", daemon=True)
            for number in range(self._slots)
        ]
        for thread in threads:
            thread.start()
        try:
            self._turn_until(stop)
        finally:
            self._stopping.set()
            for _ in threads:
                self._waiting.put(None, timeout=1)
            if stop.is_set():
                self._finish(threads)
            subscription.close()

    def _turn_until(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._context.thawed()  # the pulse; after a freeze there is no seat to give up here
            self._link.check()
            try:
                raise self._ended.get(timeout=TURN_SECONDS)
            except queue.Empty:
                continue

    def _finish(self, threads: list[threading.Thread]) -> None:
        until = self._context.clock.monotonic() + FINISH_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - self._context.clock.monotonic()))

    def _slot(self) -> None:
        while (delivery := self._waiting.get()) is not None:
            if self._stopping.is_set():
                return
            try:
                self._handler.handle(self._link, delivery)
            except CradleError as error:
                self._ended.put(error)
                return
            except Exception as error:  # a bug met by one sample must not stop all the others
                self._set_aside(delivery, error)

    def _set_aside(self, delivery: Delivery, error: Exception) -> None:
        figures.SAMPLES.labels("", "lost").inc()
        self._context.log.error("sample broke the analyzer", action="sample.broke", exc_info=error)
        self._link.send_to_lost(delivery, f"the analyzer broke on it: {type(error).__name__}")
