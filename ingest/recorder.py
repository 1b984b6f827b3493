"""The captures of one worker, and what they say: batches, samples, events, and the outboxes.

It outlives sessions with the broker: `link` is set while there is one. Without a link batches,
samples and events are dropped (live is never old); fragments and ends of epochs wait in the index
on the disk for their outbox. A camera that is handed over has no outbox here any more: what its
capture still closes is published by the next holder, or, if none came, when this worker stops.
Where the frame store is a bucket the next holder does not see it, so the outbox stays.
"""

import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from ingest import figures
from ingest.camera import CLOSE_AGAIN_SECONDS, Capture, Surroundings
from ingest.departures import Departures
from ingest.index import Index
from ingest.janitor import Janitor
from ingest.livebatches import LiveBatches, whole
from ingest.open import open_feed
from ingest.outbox import Outbox
from ingest.pulse import Pulse
from ingest.recording import BrokenEpoch, Outlets
from ingest.remote import Remote
from ingest.sampling import Sampler
from ingest.traces import FragmentTraces
from ingest.upload import LIVE_SECONDS
from shared.config import CameraSettings
from shared.errors import FrameStoreFailed, Misconfigured, Unavailable
from shared.link import Link
from shared.messages import Batch, EpochEnd, Event, Fragment, Stage
from shared.objectstore import ObjectStore
from shared.topology import EVENTS, FRAMES, sample_key
from shared.worker import WorkerContext

STOP_SECONDS = 8.0
GATHER_SECONDS = 3.0
"""Closed fragments are published this often, those of all cameras together: nobody waits for one,
and a few at once cost every stage on their way little more than one."""
TELL_SECONDS = 10.0
"""How each camera is, is told again this often."""


class Recorder:
    """Records cameras. Its public methods are for one thread."""

    def __init__(self, context: WorkerContext) -> None:
        """Raises Misconfigured if the frame store cannot be made.

        A camera whose password is missing is that camera's fault alone: its capture says so.
        """
        self._context = context
        self._settings = context.settings
        self._log = context.log
        self._root = context.settings.frames.root
        self._traces = None if context.tracer is None else FragmentTraces(context.tracer)
        self._live = LiveBatches(self._traces)
        self.link: Link | None = None
        self.captures: dict[str, Capture] = {}
        self._outboxes: dict[str, Outbox] = {}
        self._samplers: dict[str, Sampler] = {}
        self._states: dict[str, str] = {}
        self._told: dict[str, tuple[str, dict[str, str | int | float]]] = {}
        """By camera: the last event."""
        self._tell_at = 0.0
        self._gather_at = 0.0
        self._hurried: set[str] = set()
        """Cameras whose outbox must not wait for the next gathering."""
        self._spared: list[tuple[float, BrokenEpoch]] = []
        """Epochs that a leaver still writes, and when (monotonic) they are closed for it."""
        self._make_root()
        store = ObjectStore(self._settings.archive)
        place = self._settings.frames.bucket
        self._remote: Remote | None = None
        if place is not None:
            self._remote = Remote(
                self._settings, place, self._on_uploaded, context.clock, self._log
            )
        self.departures = Departures(
            self._root,
            context.clock,
            self._log,
            None if self._remote is None else self._remote.newest,
        )
        self._index = Index(self._root, self._on_line, context.clock, self._log)
        parts = (self._settings, store, context.clock, self._log)
        self._janitor = (
            Janitor(*parts)
            if self._remote is None
            else Janitor(*parts, self._remote.frames, self._remote.uploads.wake)
        )
        self.pulse = Pulse(context.clock, self._settings.broker.heartbeat_seconds)
        self._surroundings = Surroundings(
            root=self._root,
            batch_seconds=self._settings.frames.batch_seconds,
            open_feed=open_feed,
            outlets=Outlets(batch=self._on_batch, closed=self._index.put),
            tell=self._tell,
            spare=self._spare,
            make_room=self._janitor.make_room,
            pulse=self.pulse,
            clock=context.clock,
            log=self._log,
        )

    def _make_root(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise Misconfigured(
                f"frames.url: {self._root} cannot be made ({error.strerror})"
            ) from error

    def start(self) -> None:
        """Start the threads that serve all captures. Raises Unavailable: then `stop` is due."""
        for thread in (self._index, self._janitor, self.pulse, self._remote):
            if thread is not None:
                thread.start()
        for camera in () if self._remote is None else self._remote.cameras():
            self._outboxes[camera] = self._outbox(camera)

    def turn(self) -> None:
        """To be called each turn of the main loop."""
        self._janitor.cameras = tuple(self.captures)
        for camera, capture in self.captures.items():
            if self._states.get(camera) != capture.state:
                self._states[camera] = capture.state
                self._context.health.set(camera, self._states[camera])
        for camera in self.departures.turn():
            self._forget(camera)
        if self._remote is not None:
            self._context.health.set("frames", self._remote.uploads.trouble)
        self._close_spared()
        self._tell_again()

    def _spare(self, epoch: BrokenEpoch, seconds: float) -> None:
        self._spared.append((self._context.clock.monotonic() + seconds, epoch))

    def _close_spared(self) -> None:
        """Close what a leaver has not closed in its time, if the camera is still ours."""
        now = self._context.clock.monotonic()
        for due in [each for each in self._spared if each[0] <= now]:
            self._spared.remove(due)
            if due[1].camera not in self.captures:
                continue
            try:
                self._index.put(due[1])
            except FrameStoreFailed:  # its disk does not keep up
                self._spare(due[1], CLOSE_AGAIN_SECONDS)

    # -- captures -----------------------------------------------------------------------------

    def record(self, settings: CameraSettings) -> Capture:
        """The camera's capture, started if it does not run."""
        camera, analysis = settings.id, self._settings.analysis
        capture = self.captures.get(camera)
        if capture is not None and not capture.closed:
            return capture
        self._close_outbox(camera)
        self._outboxes[camera] = self._outbox(camera)
        self._samplers[camera] = Sampler(
            analysis.interval_seconds, analysis.pictures, analysis.heartbeat_seconds
        )
        capture = self.departures.take_back(camera)
        if capture is None:
            capture = Capture(settings, self._surroundings)
            capture.start()
        self.captures[camera] = capture
        return capture

    def _outbox(self, camera: str) -> Outbox:
        reaches = None if self._remote is None else partial(self._remote.uploads.reaches, camera)
        clock, log = self._context.clock, self._log
        return Outbox(self._root, camera, clock, log, reaches, self._traces)

    def hand_over(self, camera: str, reason: str) -> bool:
        """Let a camera's capture record on while its seat is freed for another worker.

        False if it should be stopped instead.
        """
        capture = self.captures.get(camera)
        if capture is None or not self.departures.begin(capture, reason):
            return False
        del self.captures[camera]
        self._samplers.pop(camera, None)
        if self._remote is None:  # else the next holder does not see what is left to be said
            self._close_outbox(camera)
        return True

    def _close_outbox(self, camera: str) -> None:
        outbox = self._outboxes.pop(camera, None)
        if outbox is not None:
            with suppress(OSError):
                outbox.close()

    def _forget(self, camera: str) -> None:
        """The camera is not ours any more."""
        if camera not in self.captures:
            self._context.health.set(camera, None)
            self._states.pop(camera, None)

    def stop_captures(self, cameras: Iterable[str], reason: str) -> None:
        """End captures in order, all at once, within STOP_SECONDS."""
        captures = {each: self.captures.pop(each) for each in cameras if each in self.captures}
        for capture in captures.values():
            capture.ask_to_stop(reason)
        deadline = self._context.clock.monotonic() + STOP_SECONDS
        for camera, capture in captures.items():
            if not capture.join(max(0.0, deadline - self._context.clock.monotonic())):
                self._log.warning("camera holds on", action="camera.stuck", camera=camera)
            if self._remote is None:  # as when it is handed over
                self._close_outbox(camera)
            self._forget(camera)

    def stop(self) -> None:
        """Cameras first, then the index, then what it has to say, if there is a link."""
        outboxes = list(self._outboxes.values())
        self.stop_captures(list(self.captures), "ingest was stopped")
        self.departures.finish(STOP_SECONDS)
        unsaid = self.departures.unfollowed - self._outboxes.keys()
        outboxes += [self._outbox(camera) for camera in unsaid]
        if not self._index.stop(STOP_SECONDS):
            self._log.warning("index not worked off, left to recovery", action="index.unfinished")
        if self._remote is not None and not self._remote.uploads.finish(STOP_SECONDS):
            self._log.warning("spool not worked off, left to the next", action="upload.unfinished")
        if self.link is not None:
            self._say_the_rest(self.link, outboxes)
        self.pulse.stop()
        self._janitor.stop(1.0)
        if self._remote is not None:
            self._remote.stop()

    # -- outboxes -----------------------------------------------------------------------------

    def resume(self, link: Link) -> None:
        """A new session: what the last one did not confirm is sent again."""
        for outbox in self._outboxes.values():
            outbox.restart()
        self._gather_at = 0.0
        self._live.resume(link, set(self.captures))
        self.link = link

    def pause(self) -> Link | None:
        """The session is over; returns what is left of it."""
        self._live.pause()
        link, self.link = self.link, None
        return link

    def pump(self, link: Link) -> None:
        """Publish what the indexes hold; to be called each turn of the main loop."""
        hurried, self._hurried = self._hurried, set()
        now = self._context.clock.monotonic()
        if now >= self._gather_at:
            self._gather_at = now + GATHER_SECONDS
            hurried = set(self._outboxes)
        for camera in hurried & self._outboxes.keys():
            outbox = self._outboxes[camera]
            outbox.pump(link)
            if outbox.is_full:
                self._hurried.add(camera)

    def _say_the_rest(self, link: Link, outboxes: list[Outbox]) -> None:
        """Publish what the outboxes hold, for a few seconds at most."""
        deadline = self._context.clock.monotonic() + STOP_SECONDS
        pause = threading.Event()
        with suppress(Unavailable):
            while self._context.clock.monotonic() < deadline:
                link.check()
                sent = sum(outbox.pump(link) for outbox in outboxes)
                if not sent and not any(outbox.waiting for outbox in outboxes):
                    break
                pause.wait(0.02)
        for outbox in outboxes:
            with suppress(OSError):
                outbox.close()

    # -- what captures and the index say, on their threads -------------------------------------

    def _on_batch(self, batch: Batch) -> None:
        figures.BYTES.labels(batch.camera).inc(batch.bytes)
        figures.FRAMES.labels(batch.camera).inc(batch.frames)
        if self._remote is None:
            self._live.say(batch)

    def _on_line(self, record: Fragment | EpochEnd) -> None:
        if isinstance(record, Fragment):
            figures.FRAGMENTS.labels(record.camera).inc()
            if self._traces is not None:
                self._traces.written(record)
        if self._remote is None:
            self._is_readable(record)
        else:
            self._remote.uploads.add(record)

    def _on_uploaded(self, record: Fragment | EpochEnd) -> None:
        """It lies in the bucket: others can read it now. Fragments are the batches there."""
        now = self._context.clock.now()
        if isinstance(record, EpochEnd):
            self._is_readable(record)
            return
        if self._traces is not None:
            self._traces.uploaded(record)
        if self._janitor.bucket is not None:
            self._janitor.bucket.tell(record)
        if (now - record.ends_at).total_seconds() < LIVE_SECONDS:
            self._live.say(whole(record, now))
            self._is_readable(record)  # what is older is not worth a look: others are waiting

    def _is_readable(self, record: Fragment | EpochEnd) -> None:
        if isinstance(record, EpochEnd):
            self._hurried.add(record.camera)
            return
        sampler, link = self._samplers.get(record.camera), self.link
        if self._settings.analysis.provider == "off" or sampler is None:
            return
        sample = sampler.add(record)
        if sample is not None and link is not None:
            figures.SAMPLES.labels(record.camera).inc()
            headers = None if self._traces is None else self._traces.of_sample(sample)
            key = sample_key(record.camera)
            link.publish(FRAMES, key, sample.to_body(), headers=headers, persistent=True)

    def _tell(self, camera: str, event: str, detail: dict[str, str | int | float]) -> None:
        self._told[camera] = (event, detail)
        self._publish(camera, event, detail)

    def _tell_again(self) -> None:
        """Whoever has begun to listen since must know how the cameras are."""
        now = self._context.clock.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            for camera in self.captures.keys() & self._told.keys():
                self._publish(camera, *self._told[camera])
            for camera, expired in self._janitor.expired.news(self._context.clock.now()).items():
                self._publish(camera, "expired", expired.detail())

    def _publish(self, camera: str, event: str, detail: dict[str, str | int | float]) -> None:
        link = self.link
        if link is None:
            return
        message = Event(
            stage=Stage.INGEST,
            worker=self._context.name,
            camera=camera,
            event=event,
            at=self._context.clock.now(),
            detail=dict(detail),
        )
        link.publish(EVENTS, message.routing_key, message.to_body())
