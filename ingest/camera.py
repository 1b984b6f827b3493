"""One camera's capture: connect, read, write epochs, and never give up.

First, what a predecessor left open is closed (all but the epoch of one that is just handing the
camera over: `handover.py`). `run` is the retry loop with growing, jittered,
capped pauses; `run_once` opens the source and carries packets until it breaks off or ends. An epoch
begins at a key frame and ends when the source does, when time or parameters change under it, or
when the capture is told to stop. A capture whose process was frozen ends: its seat may be
another's. Each camera has a thread of its own (PyAV releases the interpreter lock while it reads),
so one that hangs or sends garbage harms no other.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ingest import figures
from ingest.feed import Arrival, Feed, MediaPacket
from ingest.handover import LATE_SECONDS, left_open
from ingest.parameters import picture_size, sequence_parameters
from ingest.pulse import Pulse
from ingest.recording import LONGEST_FRAGMENT_SECONDS, BrokenEpoch, Outlets, Recording
from ingest.recovery import INTERRUPTED, begin_epoch, recover
from ingest.timeline import TICKS, EpochOver, Timeline
from shared.backoff import LONGEST_SECONDS, pause_seconds
from shared.clock import Clock
from shared.config import CameraSettings
from shared.errors import CradleError, FrameStoreFailed, Misconfigured, SourceFailed
from shared.framestore import FrameReader
from shared.identity import new_epoch
from shared.log import Log, redact
from shared.messages import StreamParameters

LONGEST_STORE_PAUSE_SECONDS = 5.0
"""The camera is well, and the janitor makes room at any moment."""

CLOSE_AGAIN_SECONDS = 5.0

OpenFeed = Callable[[CameraSettings, Clock, threading.Event, Log], Feed]
Tell = Callable[[str, str, dict[str, str | int | float]], None]
"""(camera, event, detail): publish an event, if there is a broker."""


@dataclass(frozen=True)
class Surroundings:
    """What the captures of one worker share."""

    root: Path
    batch_seconds: float
    open_feed: OpenFeed
    outlets: Outlets
    tell: Tell
    spare: Callable[[BrokenEpoch, float], None]
    """Close this epoch in so many seconds, if its writer has not done it."""
    make_room: Callable[[], None]
    """The frame store cannot be written: see whether something may go."""
    pulse: Pulse
    clock: Clock
    log: Log


class Frozen(CradleError):
    """this worker was frozen"""


class Capture:
    """The capture of one camera, on a thread of its own."""

    def __init__(self, camera: CameraSettings, surroundings: Surroundings) -> None:
        self.camera = camera
        self.state = "connecting"
        self._around = surroundings
        self._clock = surroundings.clock
        self._log = surroundings.log.bind(camera=camera.id)
        self._stop = threading.Event()
        self._stop_reason = "stopped"
        self._recovered = False
        self._offline: str | None = None
        """Why, as it was last told."""
        self._freezes = surroundings.pulse.freezes
        self._recording: Recording | None = None
        self._timeline: Timeline | None = None
        self._sequence_parameters: bytes | None = None
        self._thread = threading.Thread(target=self.run, name=f"camera-{camera.id}", daemon=True)

    def start(self) -> None:
        figures.begin(self.camera.id)
        self._thread.start()

    @property
    def epoch(self) -> str | None:
        """The one that is open."""
        recording = self._recording
        return None if recording is None else recording.epoch

    @property
    def closed(self) -> bool:
        """The thread has ended by itself."""
        return not self._thread.is_alive()

    def ask_to_stop(self, reason: str) -> None:
        """Ask for an orderly end; `join` waits for it."""
        self._stop_reason = reason
        self._stop.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; False if the source still holds the thread."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    # -- the thread ---------------------------------------------------------------------------

    def run(self) -> None:
        """The retry loop."""
        failures = 0
        while not self._stop.is_set():
            began = self._clock.monotonic()
            longest_seconds = LONGEST_SECONDS
            try:
                self.run_once()
            except Frozen:
                self._log.warning("capture ends", action="camera.frozen", reason=Frozen.__doc__)
                return
            except Misconfigured as error:
                self._refused(str(error))
            except CradleError as error:
                self._failed(str(error))
                if isinstance(error, FrameStoreFailed):
                    self._around.make_room()
                    longest_seconds = LONGEST_STORE_PAUSE_SECONDS
            except Exception as error:  # one camera's fault must not end its watch
                self._log.error("capture broke off", action="camera.broke", exc_info=error)
                self._failed(f"{type(error).__name__}: {error}")
            else:
                if self._stop.is_set():
                    break
                self._ended()
                return
            failures = 1 if self._clock.monotonic() - began > 60 else failures + 1
            self._stop.wait(pause_seconds(failures, longest_seconds))
        self._tell_offline(self._stop_reason)

    def _ended(self) -> None:
        self.state = "ended"
        self._log.info("source has ended", action="camera.ended")
        self._tell_offline("the source has ended")
        self._stop.wait()

    def run_once(self) -> None:
        """Carry packets until the source ends or the capture is stopped.

        Raises SourceFailed, Frozen, Misconfigured if the camera's password is missing.
        """
        if not self._recovered:
            self._recover()
        if self._offline is None:
            self.state = "connecting"
        self._log.info("connecting", action="camera.connecting", source=self.camera.address.shown)
        feed = self._around.open_feed(self.camera, self._clock, self._stop, self._log)
        reason = "source ended"
        try:
            self._carry(feed)
            if self._stop.is_set():
                reason = self._stop_reason
        except Exception as error:
            reason = redact(str(error)) or type(error).__name__
            raise
        finally:
            self._end_epoch(reason)
            feed.close()
            figures.ONLINE.labels(self.camera.id).set(0)

    def _recover(self) -> None:
        """Close what a predecessor left open; what the disk does not allow now is done later."""
        camera, root = self.camera.id, self._around.root
        spare, seconds = left_open(root / camera, self._clock.now()) or (None, 0.0)
        later = dict.fromkeys(recover(root, camera, self._log, spare).failed, CLOSE_AGAIN_SECONDS)
        if spare is not None:
            later[spare] = seconds + LATE_SECONDS
        for epoch, wait_seconds in later.items():
            self._around.spare(BrokenEpoch(camera, epoch, INTERRUPTED), wait_seconds)
        self._recovered = True

    def _carry(self, feed: Feed) -> None:
        video_at = recorded_at = self._clock.monotonic()
        for arrival in feed.arrivals():
            now = self._clock.monotonic()
            if self._around.pulse.has_frozen_since(self._freezes):
                raise Frozen(Frozen.__doc__)
            if arrival is not None and arrival.is_video:
                video_at = now
                self._video(feed, arrival)
                if self._recording is not None and self._recording.has_key_frame:
                    recorded_at = now
                elif now - recorded_at > LONGEST_FRAGMENT_SECONDS:
                    raise SourceFailed(f"no key frame came for {now - recorded_at:.0f} s")
            elif now - video_at > self.camera.stall_seconds:
                raise SourceFailed(f"no video for {now - video_at:.0f} s")
            elif arrival is not None:
                self._audio(arrival)
            if self._stop.is_set():
                return

    def _video(self, feed: Feed, arrival: Arrival) -> None:
        packet = arrival.packet
        is_key = packet.is_keyframe
        if packet.is_corrupt:
            figures.CORRUPT.labels(self.camera.id).inc()
        try:
            if is_key:
                self._check_epoch(feed, packet)
            place = self._place(feed, arrival, is_key)
        except EpochOver as over:
            self._end_epoch(str(over))
            place = self._place(feed, arrival, is_key)
        if place is None or self._recording is None:
            figures.DROPPED.labels(self.camera.id, figures.BEFORE_KEY_FRAME).inc()
            return
        self._recording.video(packet, place, is_key)

    def _place(self, feed: Feed, arrival: Arrival, is_key: bool) -> tuple[int, int] | None:
        if self._timeline is None:
            first = arrival.pts if arrival.pts is not None else arrival.dts
            if not is_key or first is None:
                return None
            self._begin_epoch(feed, first, arrival.packet)
        timeline = self._timeline
        return None if timeline is None else timeline.video(arrival.pts, arrival.dts)

    def _audio(self, arrival: Arrival) -> None:
        if self._recording is None or self._timeline is None:
            return
        place = self._timeline.audio(arrival.pts)
        if place is None:
            figures.DROPPED.labels(self.camera.id, figures.OUT_OF_PLACE).inc()
            return
        self._recording.audio(arrival.packet, place)

    # -- epochs -------------------------------------------------------------------------------

    def _check_epoch(self, feed: Feed, key_frame: MediaPacket) -> None:
        """Raises EpochOver if this key frame must begin a new epoch."""
        if self._timeline is None or self._recording is None:
            return
        self._timeline.check_clock()
        found = sequence_parameters(feed.parameters.video_codec, key_frame)
        if found is not None and found != self._sequence_parameters:
            if self._sequence_parameters is not None:
                raise EpochOver("the stream's parameters changed")
            self._sequence_parameters = found

    def _begin_epoch(self, feed: Feed, first_ticks: int, key_frame: MediaPacket) -> None:
        parameters = feed.parameters
        self._sequence_parameters = sequence_parameters(parameters.video_codec, key_frame)
        if self._sequence_parameters is not None:
            parameters = _with_size(parameters, key_frame)
        rate = parameters.frames_per_second or 25
        timeline = Timeline(self._clock, first_ticks, round(TICKS / rate))
        epochs = FrameReader(self._around.root).epochs(self.camera.id)
        epoch = new_epoch(timeline.began_at, epochs[-1] if epochs else None)
        folder = self._around.root / self.camera.id / epoch
        try:
            begin_epoch(folder, timeline.began_at, parameters)
        except OSError as error:
            raise _unwritable(error) from error
        self._timeline = timeline
        self._recording = Recording(
            folder,
            feed,
            parameters,
            timeline,
            self._clock,
            self._around.batch_seconds,
            self._around.outlets,
        )
        figures.EPOCHS.labels(self.camera.id).inc()
        figures.ONLINE.labels(self.camera.id).set(1)
        self.state = "live"
        self._offline = None
        facts = parameters.model_dump(mode="json")
        self._log.info("epoch begun", action="epoch.begun", epoch=epoch, **facts)
        self._around.tell(self.camera.id, "online", {"epoch": epoch, **facts})

    def _end_epoch(self, reason: str) -> None:
        recording, self._recording = self._recording, None
        timeline, self._timeline = self._timeline, None
        if recording is None or timeline is None:
            return
        figures.MENDED.labels(self.camera.id).inc(timeline.mended)
        try:
            recording.close(reason)
        except SourceFailed as error:
            self._log.error("epoch left to recovery", action="epoch.broken", reason=str(error))
            with suppress(SourceFailed):
                self._around.outlets.closed(recording.broken(reason))
        self._log.info("epoch ended", action="epoch.ended", epoch=recording.epoch, reason=reason)

    def _failed(self, reason: str) -> None:
        reason = redact(reason)
        self._log.warning("camera failed", action="camera.failed", reason=reason)
        self._is_offline(reason)

    def _refused(self, reason: str) -> None:
        """Only a person can mend it, who starts the worker anew then: said once, not each time."""
        if reason != self._offline:
            self._log.error(
                "camera is not recorded until its configuration is mended; all others are",
                action="camera.misconfigured",
                reason=reason,
            )
        self._is_offline(reason)

    def _is_offline(self, reason: str) -> None:
        figures.FAILURES.labels(self.camera.id).inc()
        self._tell_offline(reason)
        self.state = f"offline: {reason}"

    def _tell_offline(self, reason: str) -> None:
        if reason != self._offline:
            self._around.tell(self.camera.id, "offline", {"reason": reason[:300]})
        self._offline = reason


def _unwritable(error: OSError) -> FrameStoreFailed:
    return FrameStoreFailed(f"the frame store cannot be written: {error.strerror}")


def _with_size(parameters: StreamParameters, key_frame: MediaPacket) -> StreamParameters:
    """Parameters with the size that the picture really has."""
    size = picture_size(parameters.video_codec, key_frame)
    if size is None or size == (parameters.width, parameters.height):
        return parameters
    return parameters.model_copy(update={"width": size[0], "height": size[1]})
