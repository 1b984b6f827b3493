"""The live stream of one camera, for as long as its seat is held.

Batches wait in a short backlog (the prefetch of the subscription bounds it), are judged one by one
and fed to the running generation. What is skipped is acknowledged at once; what was fed, when the
next fragment begins: so, when a child or a worker dies, its successor is given the open fragment
again and goes on where the last segment ended. Where batches are lost or too old, the run goes on
with a key frame, the newest one if it is behind: catching up must cost less than being on time, or
a machine that is short of time never recovers. Where the generation does not bear a hole, and at a
new epoch or a failed child, the run ends and another begins with a new generation. That starts when
a second of its input lies in the store: its first segment cannot end before, ffmpeg probes without
waiting, and it can be looked up what the announced sound is like. Until then the run of the epoch
before is fed what still comes of it: its writer may just be handing the camera over.

A seat is given back between two fragments: what began before is published here, what begins after
goes back to the queue, so that the successor leaves nothing out.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from encoder import figures
from encoder.backlog import Backlog
from encoder.cursor import CATCH_UP_SECONDS, Cursor, Step, begins_fragment, judge
from encoder.generation import Generation
from encoder.places import Places
from encoder.playlist import Segment
from encoder.publication import Announce, Publication
from encoder.sound import FedSound
from encoder.succession import Succession, Watcher
from encoder.traces import SegmentTraces
from encoder.turns import Turns
from shared.clock import Clock
from shared.errors import BadFragment, BadMessage, ChildFailed, FragmentGone
from shared.identity import fragment_path
from shared.link import Delivery
from shared.log import Log
from shared.messages import Batch, read_batch

RIPE_SECONDS: Final = 1.0
"""A generation starts once this much of its input lies in the store, ..."""
RIPE_AGE_SECONDS: Final = 2.0
"""... or its first batch has waited this long."""
IDLE_SECONDS: Final = 10.0
"""When no batch comes for this long, what ffmpeg holds is let out: it would be old later."""
HAND_OVER_SECONDS: Final = 3.0
"""A seat is given back at the next key frame, if one comes within this time ..."""
SILENT_SECONDS: Final = 1.0
"""... and batches go on to come."""


class Camera:
    """One camera's stream. Everything but `ended`, `done` and `state` is the loop's thread's."""

    def __init__(
        self,
        name: str,
        places: Places,
        watcher: Watcher,
        turns: Turns,
        announce: Announce,
        refuse: Callable[[Delivery, str], None],
        clock: Clock,
        log: Log,
    ) -> None:
        """`announce` publishes an event; `refuse` sends a bad message to the lost ones."""
        self.ended: str | None = None
        """Why nothing is done for this camera any more."""
        self.done = threading.Event()
        """Set, for other threads, when it has ended."""
        self._traces: SegmentTraces | None = None
        self._name = name
        self._reader = places.frames
        self._folder = places.folder
        self._publication = Publication(
            name, self._folder, places.settings, announce, clock, log, places.on_loop
        )
        self._publication.lost = self.abandon
        self._turns = turns
        self._in_turn = False  # the next run begins only when it is this camera's turn
        self._refuse = refuse
        self._clock = clock
        self._log = log
        self._backlog = Backlog()
        self._cursor: Cursor | None = None
        self._sent = 0  # bytes of the backlog's first batch that ffmpeg has
        self._waiting = False  # for ffmpeg to take more
        self._fed_at = clock.monotonic()
        self._sound = FedSound(self._reader)
        self._fed_batches = figures.BATCHES.labels(name)
        self._fed_bytes = figures.FED_BYTES.labels(name)
        self._opened = False
        self._closing = False
        self._part_by: float | None = None  # while the end of the open fragment is waited for
        self._runs = Succession(
            name, self, places.settings, self._folder, watcher, self._heard, clock, log
        )

    def trace(self, traces: SegmentTraces) -> None:
        """Have it hear of batches and of what is shown; before `open`."""
        self._traces = traces
        self._publication.shown = traces.published

    @property
    def state(self) -> str:
        """`starting`, `live` or `stalled`."""
        return self._publication.state

    def open(self) -> None:
        """Take over the folder. Raises OSError."""
        self._publication.open()
        self._opened = True
        self._work()

    # -- batches ------------------------------------------------------------------------------

    def deliver(self, deliveries: Iterable[Delivery]) -> None:
        """Messages have come. All that are there are taken before one is dealt with: who is behind
        must see the newest."""
        if self._closing or self.ended is not None:
            return  # unacknowledged, they go back with the seat
        for delivery in deliveries:
            try:
                batch = self._read_batch(delivery)
                self._backlog.add(batch, delivery)
                if self._traces is not None:
                    self._traces.arrived(batch, delivery.headers)
            except BadMessage as error:
                figures.SKIPPED.labels(self._name, "bad-message").inc()
                self._log.warning("message refused", action="message.lost", reason=str(error))
                self._refuse(delivery, str(error))
        self._work()

    def _read_batch(self, delivery: Delivery) -> Batch:
        batch = read_batch(delivery.body)
        if batch.camera != self._name:
            raise BadMessage(f"a batch of {batch.camera} in the queue of {self._name}")
        return batch

    def _work(self) -> None:
        """Feed what can be fed now."""
        if self._runs.current is None:
            self._take_back()
        while self._opened and self._backlog and not self._waiting:
            if self._may_part():
                self._part()
            elif not self._step(self._backlog.first):
                return

    def _take_back(self) -> None:
        """The child is gone: what it was fed of the open fragment is to be fed again."""
        self._backlog.take_back()
        self._cursor = None
        self._sent = 0
        self._waiting = False

    def _step(self, batch: Batch) -> bool:
        """Deal with the first batch of the backlog; False if it has to wait."""
        if self._sent:
            return self._feed(batch)
        age_seconds = (self._clock.now() - batch.written_at).total_seconds()
        if self._cursor and self._cursor.may_lack_the_end(batch) and self._lost_the_end():
            self._cursor = self._cursor.broken_off()
        verdict = judge(self._cursor, batch, age_seconds)
        match verdict.step:
            case Step.FEED if self._sound.changed and begins_fragment(batch):
                self._break("sound")
                return True
            case Step.FEED:
                return self._feed(batch)
            case Step.RESUME:
                return self._resume(batch, age_seconds)
            case Step.BEGIN:
                brought = self._backlog.bring_forward(self._cursor)
                return brought or self._begin(batch, age_seconds)
            case Step.BREAK:
                self._break(verdict.reason)
            case Step.LEAVE_OUT if self._cursor is not None:
                self._cursor = self._cursor.broken_off()
        return self._skip(verdict.reason)

    def _lost_the_end(self) -> bool:
        """More was written of the last fed batch's fragment, which is finished, than was fed."""
        assert self._cursor is not None  # noqa: S101 - it has just been asked
        path = fragment_path(self._name, self._cursor.epoch, self._cursor.fragment)
        try:
            return (self._reader.sizes([path])[0] or 0) > self._cursor.end
        except OSError:
            return False  # it cannot be seen, and neither can what could be missing

    def _resume(self, batch: Batch, age_seconds: float) -> bool:
        """Go on with this key frame, after a hole; False if it has to wait."""
        generation = self._runs.current
        assert generation is not None  # noqa: S101 - there is a cursor, and so a run
        if not generation.bears_holes or self._sound.changed:
            figures.GAPS.labels(self._name).inc()
            self._break("gap")
            self._in_turn = True
            return True
        self._cursor = self._cursor and self._cursor.broken_off()
        if age_seconds > CATCH_UP_SECONDS and self._backlog.has_newer_key_frame():
            return self._skip("behind")
        if not generation.splits_before(batch):
            return self._skip("gap")
        self._sound.leave_out()
        return self._feed(batch)

    def _begin(self, batch: Batch, age_seconds: float) -> bool:
        """Begin a run with this batch; False if it has to wait for more of it."""
        if obstacle := self._obstacle(age_seconds):
            self._break("epoch")
            return self._skip(obstacle)
        newest = self._backlog.newest_of(batch.epoch)
        same = newest.fragment == batch.fragment
        seconds = (newest.captured_at - batch.captured_at).total_seconds()
        whole_seconds = newest.frames / (newest.stream.frames_per_second or 25)
        seconds = max(seconds, whole_seconds)  # of a bucket's fragment, which is one batch
        if same and seconds < RIPE_SECONDS and age_seconds < RIPE_AGE_SECONDS:
            return False
        self._break("epoch")
        if self._in_turn and not self._turns.take():
            return self._skip("waits-its-turn")
        try:
            sound = self._sound.begin(batch, self._backlog.end_of_fragment())
            self._runs.start(batch, sound=sound)
            self._in_turn = False
        except (FragmentGone, BadFragment) as error:
            return self._skip(_kind(error))
        except (ChildFailed, OSError):
            return self._skip("child-failed")
        return self._feed(batch)

    def _obstacle(self, age_seconds: float) -> str | None:
        """Why no run may begin with the first batch, in a word."""
        if not self._runs.may_start:
            return "child-failed"
        behind = self._in_turn and age_seconds > CATCH_UP_SECONDS
        return "behind" if behind and self._backlog.has_newer_key_frame() else None

    def _feed(self, batch: Batch) -> bool:
        generation = self._runs.current
        assert generation is not None  # noqa: S101 - there is a run, or it was just begun
        after_hole = self._cursor is not None and self._cursor.broken
        try:
            if self._sent == 0:
                generation.feed_silence(self._sound.before(batch))
            taken = generation.feed(self._reader, batch, self._sent, after_hole=after_hole)
            if self._sent == 0 and taken:
                self._note_begin(batch, generation, after_hole)
            self._sent += taken
        except (FragmentGone, BadFragment) as error:
            self._break(_kind(error))
            return self._skip(_kind(error))
        except ChildFailed:
            self._runs.fail(generation, "died")
            self._take_back()
            return True
        if self._sent < batch.bytes:
            self._waiting = True
            self._runs.when_writable(self._go_on)
            return False
        self._fed(batch, generation)
        return True

    def _note_begin(self, batch: Batch, generation: Generation, after_hole: bool) -> None:
        generation.begin_batch(batch, after_hole=after_hole)
        if after_hole:
            figures.GAPS.labels(self._name).inc()
            self._log.info("live goes on after a gap", action="live.resumed", at=batch.path)

    def _go_on(self) -> None:
        self._waiting = False
        self._work()

    def _fed(self, batch: Batch, generation: Generation) -> None:
        self._backlog.hold()
        self._sent = 0
        self._cursor = Cursor.after(batch)
        self._fed_at = self._clock.monotonic()
        self._fed_batches.inc()
        self._fed_bytes.inc(batch.bytes)
        generation.feed_silence(self._sound.after())

    def _skip(self, reason: str) -> bool:
        self._backlog.leave_out()
        self._sent = 0
        figures.SKIPPED.labels(self._name, reason).inc()
        return True

    def _break(self, reason: str) -> None:
        """The run is over: what was fed comes out, the next begins at a key frame."""
        self._runs.finish(reason)
        self._backlog.acknowledge()
        self._cursor = None
        self._waiting = False

    # -- segments, time and end ---------------------------------------------------------------

    def _heard(self, segments: list[Segment]) -> None:
        """A child has spoken or ended; these segments are finished."""
        if segments:
            self._publication.add(segments, self._settle)
        self._settle()
        self._work()

    def tick(self) -> None:
        """A turn for what depends on time."""
        if self.ended is not None:
            return
        self._runs.tick()
        self._work()
        self._part_in_time()
        if not self._backlog and self._clock.monotonic() - self._fed_at > IDLE_SECONDS:
            self._break("idle")
        self._publication.tick()

    def hand_over(self) -> None:
        """Close with the end of the open fragment, so that a successor misses nothing."""
        self._part_by = self._clock.monotonic() + HAND_OVER_SECONDS
        self._work()
        self._part_in_time()

    def _part_in_time(self) -> None:
        now = self._clock.monotonic()
        if self._part_by is not None and (
            self._runs.current is None or now > self._part_by or now - self._fed_at > SILENT_SECONDS
        ):
            self._part()

    def _may_part(self) -> bool:
        """The next batch is the first that a successor will want."""
        return self._part_by is not None and not self._sent and begins_fragment(self._backlog.first)

    def _part(self) -> None:
        self._part_by = None
        self.close()

    def close(self) -> None:
        """Let ffmpeg write what it has; `done` is set when that is published."""
        self._closing = True
        self._backlog.clear_waiting()
        self._break("seat given back")
        self._settle()

    def _settle(self) -> None:
        seen = not self._publication.unseen
        if self._closing and self._runs.idle and seen and self.ended is None:
            self.ended = "seat given back"
            self._folder.stop()
            self.done.set()

    def abandon(self, reason: str) -> None:
        """Drop everything at once and write nothing: the seat may be another's."""
        if self.ended is not None:
            return
        self.ended = reason
        self._backlog.clear()
        self._runs.abandon()
        self._folder.stop()
        self.done.set()
        self._log.warning("live stream dropped", action="live.dropped", reason=reason)


def _kind(error: Exception) -> str:
    return "fragment-gone" if isinstance(error, FragmentGone) else "bad-fragment"
