"""The clips of one camera that are being committed, each tried until it is.

A clip goes to the pool, where it is converted, uploaded and committed in one go. When the store is
away the whole job is put off with a growing, jittered pause; its first step asks the store, so that
a long outage costs no conversions. What the bucket refuses (both keys of the range hold something
else) no retry mends: it is tried ever more seldom, and said aloud, until a person has acted. Then
the `stored` event is published, and only when the broker has it safe is the clip done: what was
delivered for it may be acknowledged. It is done without, too, if the broker goes on refusing the
event: whoever is not told finds the clip in the bucket.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from archiver import figures
from archiver.clip import Clip
from archiver.commit import Commit, Committer, RangeTaken
from archiver.convert import FragmentsGone, FragmentUnreadable
from archiver.desk import Desk
from shared.backoff import LONGEST_SECONDS, pause_seconds
from shared.clock import Clock
from shared.errors import BadFragment, CradleError, FragmentGone, Refused
from shared.link import Link
from shared.log import Log
from shared.manifest import Manifest
from shared.messages import Event, Stage
from shared.topology import EVENTS
from shared.tracing import headers_after

BLOCKED_LONGEST_SECONDS = 600.0
CRY_SECONDS = 60.0
STUCK_FAILURES = 10
"""After so many a clip whose fragments cannot be read holds up nobody else, and is stored without
them. Should the disk give them later, they become a clip of their own."""
ANNOUNCEMENTS = 10
"""So often the event is sent, within ten seconds. While a node of the broker is lost, RabbitMQ 4.3
confirms nothing that a queue there wants, and each page's queue wants every event."""
GONE = "gone from the frame store before they were archived"
UNREADABLE = "cannot be read in the frame store"


@dataclass
class Job:
    """One clip on its way."""

    clip: Clip
    since: float
    not_before: float
    failures: int = 0
    blocked: bool = False
    """What went wrong last needs a person."""
    stuck: bool = False
    """It will not be done soon: what was delivered for it is not held any longer. The frame store
    has it, and whoever takes the seat next finds it there."""
    cry_at: float = 0.0
    future: Future[Commit] | None = None
    commit: Commit | None = None
    announcing: bool = False
    refusals: int = 0
    """Of the event."""


@dataclass(frozen=True)
class Results:
    """Whom to tell."""

    done: Callable[[Clip, Commit], None]
    gone: Callable[[Clip, frozenset[int], str], None]
    """With the reason."""
    range_taken: Callable[[str], None]


class Jobs:
    """One camera's clips in the making. Main thread only."""

    def __init__(
        self,
        desk: Desk,
        committer: Committer,
        link: Link,
        clock: Clock,
        log: Log,
        *,
        worker: str,
        results: Results,
    ) -> None:
        self._desk = desk
        self._committer = committer
        self._link = link
        self._clock = clock
        self._log = log
        self._worker = worker
        self._results = results
        self._jobs: list[Job] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def window_starts(self) -> set[int]:
        """Starts (Unix seconds) of the windows of these clips."""
        return {job.clip.window.start for job in self._jobs}

    @property
    def blocked(self) -> int:
        """Clips that cannot be stored until a person has acted."""
        return sum(job.blocked for job in self._jobs)

    def are_stuck_with(self, epoch: str, number: int) -> bool:
        """The fragment is in a clip that will not be stored soon, for reasons of its own."""
        return any(
            job.stuck
            and job.clip.identity.epoch == epoch
            and job.clip.identity.first <= number <= job.clip.identity.last
            for job in self._jobs
        )

    def add(self, clip: Clip) -> None:
        now = self._clock.monotonic()
        self._jobs.append(Job(clip, now, now))

    def advance(self) -> None:
        """Start what is due."""
        now = self._clock.monotonic()
        for job in self._jobs:
            if job.future is not None or job.announcing or now < job.not_before:
                continue
            if job.commit is not None:
                self._announce(job, job.commit)
            else:
                job.future = self._desk.convert(
                    partial(self._committer.commit, job.clip), partial(self._tried, job)
                )

    def close(self) -> None:
        """Begin nothing more; what has begun goes on and harms nobody."""
        self._closed = True
        for job in self._jobs:
            if job.future is not None:
                job.future.cancel()

    def _tried(self, job: Job, future: Future[Commit]) -> None:
        job.future = None
        try:
            job.commit = future.result()
            job.blocked = False
        except FragmentsGone as error:
            self._jobs.remove(job)
            if not self._closed:
                self._results.gone(job.clip, error.numbers, GONE)
        except FragmentUnreadable as error:
            if job.failures + 1 < STUCK_FAILURES:
                self._put_off(job, error)
            else:  # the others of its clip must not wait for it until they are too old
                self._jobs.remove(job)
                if not self._closed:
                    self._results.gone(job.clip, frozenset({error.number}), UNREADABLE)
        except RangeTaken as error:
            if not self._closed:
                self._results.range_taken(str(error))
        except Exception as error:  # whatever it is, the clip is tried again and others go on
            self._put_off(job, error)
        else:
            self._announce(job, job.commit)

    def _put_off(self, job: Job, error: Exception) -> None:
        job.failures += 1
        of_frames = isinstance(error, BadFragment | FragmentGone)  # its disk may come back
        job.blocked = isinstance(error, Refused) and not of_frames
        longest = BLOCKED_LONGEST_SECONDS if job.blocked else LONGEST_SECONDS
        job.stuck = job.stuck or job.blocked or (of_frames and job.failures >= STUCK_FAILURES)
        pause, now = pause_seconds(job.failures, longest), self._clock.monotonic()
        job.not_before = now + pause
        identity = job.clip.identity
        figures.RETRIES.labels(identity.camera, type(error).__name__).inc()
        self._log.warning(
            "clip waits",
            action="clip.waits",
            epoch=identity.epoch,
            first=identity.first,
            last=identity.last,
            seconds=round(pause, 1),
            failures=job.failures,
            reason=str(error) if isinstance(error, CradleError) else repr(error),
        )
        if job.blocked and now >= job.cry_at:
            job.cry_at = now + CRY_SECONDS
            figures.BLOCKED.labels(identity.camera).inc()
            self._log.error(
                "clip cannot be stored, a person must act",
                action="clip.blocked",
                key=identity.object_key("mp4"),
                failures=job.failures,
                reason=str(error),
            )

    def _announce(self, job: Job, commit: Commit) -> None:
        job.announcing = True
        event = stored_event(commit.manifest, self._worker)
        headers = headers_after(job.clip.trace)

        def result(good: bool) -> None:
            self._desk.call(partial(self._announced, job, commit, good))

        self._link.publish_confirmed(
            EVENTS, event.routing_key, event.to_body(), headers=headers, on_result=result
        )

    def _announced(self, job: Job, commit: Commit, good: bool) -> None:
        job.announcing = False
        if not good:
            job.refusals += 1
            if job.refusals < ANNOUNCEMENTS:
                job.not_before = self._clock.monotonic() + pause_seconds(1)
                return
            figures.UNTOLD.labels(commit.manifest.camera).inc()
            self._log.warning(
                "not everybody was told of a clip",
                action="clip.untold",
                key=commit.manifest.object_key,
            )
        self._jobs.remove(job)
        if not self._closed:
            figures.SECONDS.observe(self._clock.monotonic() - job.since)
            self._results.done(job.clip, commit)


def stored_event(manifest: Manifest, worker: str) -> Event:
    """Tells the others that these fragments are safe in the object store."""
    return Event(
        stage=Stage.ARCHIVER,
        worker=worker,
        camera=manifest.camera,
        event="stored",
        at=manifest.created_at,
        detail={
            "epoch": manifest.epoch,
            "first": manifest.first,
            "last": manifest.last,
            "key": manifest.object_key,
            "manifest_key": manifest.identity.manifest_key,
            "poster_key": manifest.poster_key,
            "container": manifest.container,
            "bytes": manifest.bytes,
            "frames": manifest.frames,
            "starts_at": manifest.starts_at.isoformat(),
            "ends_at": manifest.ends_at.isoformat(),
        },
    )
