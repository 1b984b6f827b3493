"""One camera, while this worker holds its seat.

Each turn: judge what the queue brought (a fragment that is settled is a duplicate; a new one is
gathered in its window), make clips of the windows that are over, try them until they are committed,
acknowledge. A fragment is judged only when the bucket's folders that could hold it have been read.
Nothing here waits: whatever asks the store or the disk is a chore or a job of the pools, and its
answer comes back through the desk. When another worker's commit is met, everything known here is
worthless: the seat is given up, and whoever takes it reads anew.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import date, datetime
from functools import partial

from archiver import figures
from archiver.book import Book, Closing, Run
from archiver.clip import Clip
from archiver.commit import Commit
from archiver.completion import Completion
from archiver.continuity import Continuity, holes
from archiver.held import Held
from archiver.intake import Intake, Received
from archiver.jobs import Jobs, Results
from archiver.outbox import Outbox
from archiver.tools import Tools
from archiver.traces import ClipTraces
from archiver.windows import runs
from shared.backoff import pause_seconds
from shared.clipfolder import ClipFolder, CommittedClip, Listing
from shared.custody import EpochBegun, EpochEnded, FragmentsLost
from shared.manifest import Gap
from shared.messages import EpochEnd, Fragment, Stage


class CameraArchive:
    """The archive's work on one camera. Main thread only."""

    def __init__(self, camera: str, tools: Tools) -> None:
        """Take the seat. Raises SeatTaken, Unavailable."""
        self.camera = camera
        self.tools = tools
        self.closed = False
        self.log = tools.log.bind(camera=camera)
        seconds, clock, desk = tools.settings.clip_seconds, tools.clock, tools.desk
        self.book = Book(seconds, tools.settings.grace_seconds)
        self.outbox = Outbox(desk, tools.store, clock, self.log)
        self.folder = ClipFolder(tools.store, camera)
        self.continuity = Continuity()
        self.found: list[CommittedClip] | None = []
        """Clips of earlier runs, as the folders named them; None once they were looked at."""
        self.completion = Completion(
            *(camera, tools.frames, desk, clock, self.log),
            known=lambda closing: self.book.known_to(closing, self.intake.prefetch),
            done=self._complete,
        )
        self._loading = False
        self._load_failures = 0
        self._load_at = clock.monotonic()
        self.jobs = Jobs(
            desk,
            tools.committer,
            tools.link,
            clock,
            self.log,
            worker=tools.worker,
            results=Results(self._stored, self._gone, self._range_taken),
        )
        self._traces = None if tools.tracer is None else ClipTraces(tools.tracer)
        self.intake = Intake(camera, tools.queue_kind, tools.link, desk, clock, self.log, seconds)
        self.intake.open()
        figures.begin(camera)

    # -- the seat -------------------------------------------------------------------------------

    def is_ready_to_close(self) -> bool:
        """Always: what has begun goes on and harms nobody."""
        return True

    def close(self, reason: str) -> None:
        """Give the seat back; what is not acknowledged returns to the queue."""
        if not self.closed:
            self.closed = True
            figures.forget(self.camera)
            self.jobs.close()
            self.intake.close()
            self.log.info("archive of camera closed", action="archive.closed", reason=reason)

    def break_off(self, error: Exception) -> None:
        """A fault of this camera's own: its seat goes, and is taken anew after a pause."""
        figures.SURVIVED.labels(self.camera, figures.TURN).inc()
        self.log.error("camera broke off", action="archive.broke", exc_info=error)
        self.close(repr(error))

    def _range_taken(self, reason: str) -> None:
        figures.RANGE_TAKEN.labels(self.camera).inc()
        self.log.warning("another worker was here", action="archive.range_taken", reason=reason)
        self.close(reason)

    @property
    def busy(self) -> bool:
        """Something has begun that should be finished before the worker stops."""
        return bool(
            self.intake.waiting or len(self.completion) or len(self.jobs) or self.outbox.pending
        )

    @property
    def state(self) -> str:
        """In a few words."""
        blocked = f"{self.jobs.blocked} CLIPS CANNOT BE STORED, " if self.jobs.blocked else ""
        return (
            f"{blocked}{self.book.gather.fragments} fragments gathered, "
            f"{len(self.jobs)} clips under way, {len(self.intake.held)} deliveries held"
        )

    def advance(self) -> None:
        """One turn."""
        if self.closed:
            return
        self.intake.advance()
        if self.intake.seat_lost is not None:
            self.close(self.intake.seat_lost)
            return
        self._judge()
        self._close_windows()
        self.outbox.advance()
        self.jobs.advance()
        if not self.outbox.pending:  # first the record, then the acknowledgement
            self.intake.held.acknowledge(self._is_done)

    def _is_done(self, held: Held) -> bool:
        if held.number is None:
            return held.epoch in self.continuity.ends or self.continuity.has_doubted(held.epoch)
        if self.book.ledger.has_settled(held.epoch, held.number):
            return True
        return self.jobs.are_stuck_with(held.epoch, held.number)

    def take_up(self, found: list[Fragment | EpochEnd]) -> None:
        """Judge what the frame store holds and no message has brought."""
        self.intake.waiting.extend(Received(message) for message in found)

    @property
    def windows_under_way(self) -> set[int]:
        """Starts (Unix seconds) of windows whose fragments are here and not committed yet."""
        under_way = self.completion.window_starts | self.jobs.window_starts
        return under_way | set(self.book.gather.starts)

    # -- what comes in --------------------------------------------------------------------------

    def _judge(self) -> None:
        while self.intake.waiting:
            received = self.intake.waiting[0]
            message = received.message
            moment = message.captured_at if isinstance(message, Fragment) else message.ended_at
            if not self._has_read_folders(message.epoch, moment):
                return
            if isinstance(message, EpochEnd):
                self._end_epoch(message, certain=received.delivery is None)
            else:
                self._take_in(message, received)
            self.intake.waiting.popleft()

    def _take_in(self, fragment: Fragment, received: Received) -> None:
        epoch = fragment.epoch
        if self.book.ledger.has_settled(epoch, fragment.fragment):
            if received.delivery is not None:
                figures.DUPLICATES.labels(self.camera).inc()
            return
        if self.continuity.begin(epoch):
            self.outbox.add(EpochBegun(camera=self.camera, epoch=epoch, stream=fragment.stream))
        new = self.book.offer(fragment, self.tools.clock.monotonic())
        if new and self._traces is not None:
            self._traces.received(fragment, received.delivery.headers if received.delivery else {})
        if new and received.delivery is None:
            figures.RECONCILED.labels(self.camera).inc()

    def _end_epoch(self, end: EpochEnd, *, certain: bool) -> None:
        """`certain`: it is the frame store that says so, and no message."""
        epoch, last = end.epoch, end.fragments - 1
        is_last_known = self.book.knows(epoch, last)
        is_new = self.continuity.end(end, certain=certain, last_is_known=is_last_known)
        if self.continuity.ends.get(epoch) != end:  # the frame store will say what is true
            self.log.warning(
                "end of epoch not believed", action="epoch.end_doubted", epoch=epoch, last=last
            )
            return
        self.book.gather.end(epoch, end.fragments)
        if is_new:
            untrue = self.continuity.untrue_end(epoch)
            self.outbox.add(
                EpochEnded(
                    camera=self.camera,
                    epoch=epoch,
                    fragments=end.fragments,
                    ended_at=end.ended_at,
                    reason=end.reason,
                    corrects=None if untrue is None else untrue.ended_at,
                )
            )

    # -- the bucket's folders -------------------------------------------------------------------

    def _has_read_folders(self, epoch: str, moment: datetime) -> bool:
        """Those that may hold clips of this epoch up to a moment of it."""
        days = self.book.ledger.missing_days(epoch, moment)
        return days == [] or self.read_folders(days)

    def read_folders(self, days: list[date] | None) -> bool:
        """Whether those days (None: all) have been read; else that is begun when it is time."""
        if days is not None:
            days = self.book.ledger.unread(days)
        if days == []:
            return True
        if not self._loading and self.tools.clock.monotonic() >= self._load_at:
            self._loading = True
            self.tools.desk.chore(partial(self._list, days), partial(self._listed, days))
        return False

    def _list(self, days: list[date] | None) -> list[Listing]:
        if days is None:
            return [self.folder.everything()]
        return [self.folder.day(day) for day in days]

    def _listed(self, days: list[date] | None, future: Future[list[Listing]]) -> None:
        self._loading = False
        try:
            listings = future.result()
        except Exception as error:  # whatever it is, it must not stop the other cameras
            self._load_failures += 1
            figures.SURVIVED.labels(self.camera, "listing").inc()
            pause = pause_seconds(self._load_failures)
            self._load_at = self.tools.clock.monotonic() + pause
            self.log.warning(
                "the bucket cannot be read", action="archive.unread", reason=repr(error)
            )
            return
        self._load_failures = 0
        clips = [clip for listing in listings for clip in listing.clips]
        self.book.ledger.read(days, clips)
        if self.found is not None:
            self.found += clips

    # -- windows that are over ------------------------------------------------------------------

    def _close_windows(self) -> None:
        clock = self.tools.clock
        closings = self.book.take_over(clock.now(), clock.monotonic(), self.intake.silent_seconds)
        for closing in closings:
            if closing.whole:
                self._make(self.book.complete(closing, ()))
            else:
                self.completion.add(closing)
        self.completion.advance()

    def _complete(self, closing: Closing, indexed: Sequence[Fragment]) -> None:
        if self.closed:
            return
        made = self.book.complete(closing, indexed)
        epoch = closing.window.epoch
        for numbers, gap in holes(made):
            for missing in self.book.unknown(epoch, numbers):
                if self.tools.frames.ends_are_final:
                    self.record_lost(epoch, missing, gap)
                    continue
                self.log.warning(  # who has them may be away: `absences` has the last word
                    "fragments awaited",
                    action="fragments.awaited",
                    epoch=epoch,
                    first=missing[0],
                    last=missing[-1],
                )
        self._make(made)

    def _make(self, made: list[Run]) -> None:
        seconds = self.tools.settings.clip_seconds
        for run in made:
            gap = self.continuity.gap_before(run)
            clip = Clip(run, self.book.window_of(run[0]), seconds, gap)
            if self._traces is not None:
                clip = replace(clip, trace=self._traces.context_of(clip))
            self.jobs.add(clip)

    # -- what becomes of clips ------------------------------------------------------------------

    def _stored(self, clip: Clip, commit: Commit) -> None:
        self.book.commit(clip.fragments)
        if self._traces is not None:
            self._traces.stored(clip, commit)
        manifest = commit.manifest
        figures.count_clip(manifest, commit.outcome)
        self.log.info(
            "clip stored",
            action="clip.stored",
            outcome=commit.outcome,
            epoch=manifest.epoch,
            first=manifest.first,
            last=manifest.last,
            key=manifest.object_key,
            bytes=manifest.bytes,
            frames=manifest.frames,
            container=manifest.container,
            original_kept_because=manifest.reason,
            seconds=round(commit.seconds, 2),
        )

    def _gone(self, clip: Clip, numbers: frozenset[int], reason: str) -> None:
        for run in runs(each for each in clip.fragments if each.fragment in numbers):
            span = range(run[0].fragment, run[-1].fragment + 1)
            gap = Gap(starts_at=run[0].captured_at, ends_at=run[-1].ends_at, reason=reason)
            self.record_lost(run[0].epoch, span, gap)
            if self._traces is not None:
                self._traces.lost(run, reason)
        self._make(self.book.lose(clip.fragments, numbers))

    def record_lost(self, epoch: str, numbers: range, gap: Gap) -> None:
        """Say it to people, and for good."""
        figures.LOST.labels(self.camera).inc(len(numbers))
        self.log.error(
            "fragments lost",
            action="fragments.lost",
            epoch=epoch,
            first=numbers[0],
            last=numbers[-1],
            reason=gap.reason,
        )
        self.outbox.add(
            FragmentsLost(
                camera=self.camera,
                epoch=epoch,
                first=numbers[0],
                last=numbers[-1],
                starts_at=gap.starts_at,
                ends_at=gap.ends_at,
                by=Stage.ARCHIVER,
                reason=gap.reason,
            )
        )
