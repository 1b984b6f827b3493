"""The generations of one camera, one after the other.

At most one takes input; those before it may still be writing their last segment, so segments are
published in the order of generations and those of a younger one wait. A child that died or is stuck
is killed, what it had finished is kept, and the next is started at once. If that fails too, before
a segment has come out of it, starts wait a growing, jittered while. A child that has said all is
reaped when the kernel tells that it is gone: nobody waits for one.
"""

import random
import selectors
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from encoder import figures
from encoder.command import choose_recipe
from encoder.folder import LiveFolder
from encoder.generation import Generation
from encoder.loop import LoopWork
from encoder.playlist import Segment
from shared.clock import Clock
from shared.config import LiveSettings
from shared.errors import ChildFailed
from shared.log import Log
from shared.messages import Batch

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
"""Between children that fail one after the other; the first is replaced at once."""
LEAVE_SECONDS: Final = 1.0
"""For a child that has closed its output to be gone; then it is killed."""


class Watcher(Protocol):
    """The part of the loop that is used here."""

    def watch(
        self, descriptor: int, event: int, work: LoopWork, callback: Callable[[], None]
    ) -> None: ...

    def unwatch(self, descriptor: int) -> None: ...


class Succession:
    """Starts, ends and reads generations; used by the loop's thread."""

    def __init__(
        self,
        camera: str,
        work: LoopWork,
        settings: LiveSettings,
        folder: LiveFolder,
        watcher: Watcher,
        heard: Callable[[list[Segment]], None],
        clock: Clock,
        log: Log,
    ) -> None:
        """`heard` is called when a child has spoken or ended, with what is finished, in order."""
        self.current: Generation | None = None
        """The one that takes input."""
        self._camera = camera
        self._work = work
        self._settings = settings
        self._folder = folder
        self._watcher = watcher
        self._report = heard
        self._clock = clock
        self._log = log
        self._all: deque[Generation] = deque()
        self._leaving: dict[Generation, float] = {}
        """Children that have closed their output, and when."""
        self._why = "start"
        self._failures = 0
        self._retry_at = float("-inf")

    @property
    def may_start(self) -> bool:
        """False for a while after a failure."""
        return self._clock.monotonic() >= self._retry_at

    @property
    def idle(self) -> bool:
        """All are gone and everything they wrote is published."""
        return not self._all and not self._leaving

    def start(self, batch: Batch, *, sound: bool) -> None:
        """Begin a generation for `batch`, without feeding it. Raises ChildFailed, OSError."""
        recipe = choose_recipe(self._settings, batch.stream.video_codec, sound=sound)
        try:
            name, folder = self._folder.new_generation()
            try:
                generation = Generation(
                    name, folder, recipe, batch.captured_at, self._clock, self._log
                )
            except ChildFailed:
                self._folder.end_generation(name)
                raise
        except (ChildFailed, OSError) as error:
            self._note_failure("start", str(error))
            raise
        self._all.append(generation)
        self.current = generation
        self._watcher.watch(
            generation.child.stdout_fd,
            selectors.EVENT_READ,
            self._work,
            lambda: self._heard(generation),
        )
        figures.GENERATIONS.labels(self._camera, self._why).inc()
        self._log.info(
            "generation started",
            action="generation.started",
            generation=name,
            epoch=batch.epoch,
            reason=self._why,
            video=batch.stream.video_codec,
            transcoded=recipe.transcode,
            sound=sound,
        )

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back, once, when the current generation takes input again, or is gone."""
        generation = self.current
        assert generation is not None  # noqa: S101 - only who has just fed it asks
        descriptor = generation.child.stdin_fd

        def ready() -> None:
            self._watcher.unwatch(descriptor)
            callback()

        self._watcher.watch(descriptor, selectors.EVENT_WRITE, self._work, ready)

    def finish(self, reason: str) -> None:
        """No more input for the current one: what it was fed comes out."""
        if self.current is None:
            return
        self._why = reason
        self._watcher.unwatch(self.current.child.stdin_fd)
        self.current.finish()
        self._log.info(
            "generation closed",
            action="generation.closed",
            generation=self.current.name,
            reason=reason,
        )
        self.current = None

    def fail(self, generation: Generation, reason: str) -> None:
        """It died, or is stuck and must die. What it has finished is kept."""
        if generation is self.current:
            self.finish(reason)
            self._note_failure(reason, generation.child.words_so_far)
        generation.finish()
        generation.child.kill()  # this ends its output, and so `_heard` sees it off

    def _note_failure(self, reason: str, words: str) -> None:
        if self._failures:
            pause = min(
                FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10), LONGEST_PAUSE_SECONDS
            )
            self._retry_at = self._clock.monotonic() + random.uniform(pause / 2, pause)
        self._failures += 1
        self._why = reason
        figures.CHILD_FAILURES.labels(self._camera, reason).inc()
        self._log.warning("ffmpeg failed", action="generation.failed", reason=reason, said=words)

    def _heard(self, generation: Generation) -> None:
        if generation not in self._all:
            return
        generation.read()
        if generation.ended:
            self._watcher.unwatch(generation.child.stdout_fd)
            if generation is self.current:
                self.fail(generation, "died")
            self._see_off(generation)
        self._hand_on()

    def _see_off(self, generation: Generation) -> None:
        """Reap it as soon as it is gone."""
        self._leaving[generation] = self._clock.monotonic()
        self._watcher.watch(
            generation.child.exit_fd,
            selectors.EVENT_READ,
            self._work,
            lambda: self._gone(generation),
        )

    def _gone(self, generation: Generation) -> None:
        if self._leaving.pop(generation, None) is None:
            return
        self._reap(generation)
        self._report([])

    def _reap(self, generation: Generation) -> None:
        self._watcher.unwatch(generation.child.exit_fd)
        status, words = generation.reap()
        if status != 0:
            self._log.warning(
                "ffmpeg ended badly", action="generation.ended", status=status, said=words
            )

    def _hand_on(self) -> None:
        """Publish what the oldest generation has finished, and the next once that has ended."""
        finished: list[Segment] = []
        while self._all:
            oldest = self._all[0]
            finished += oldest.take_segments()
            if not oldest.ended:
                break
            self._all.popleft()
            self._folder.end_generation(oldest.name)
        if finished:
            self._failures = 0
        self._report(finished)

    def tick(self) -> None:
        """Kill what is stuck."""
        for generation in list(self._all):
            reason = generation.overdue()
            if reason is not None:
                self.fail(generation, reason)
        for generation, since in self._leaving.items():
            if self._clock.monotonic() - since > LEAVE_SECONDS:
                generation.child.kill()

    def abandon(self) -> None:
        """Kill all at once; nothing is published."""
        if self.current is not None:
            self._watcher.unwatch(self.current.child.stdin_fd)
            self.current = None
        while self._all:
            generation = self._all.popleft()
            self._watcher.unwatch(generation.child.stdout_fd)
            generation.finish()
            generation.child.kill()
            if generation not in self._leaving:
                self._see_off(generation)
