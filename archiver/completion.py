"""Windows that are over and wait for the frame store's index, which knows what no message brought.

An index that cannot be read is not an empty one: what is missing between the fragments at hand may
lie in the store. So the window waits, and the index is asked for again after a growing pause.
"""

from collections.abc import Callable, Container, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from archiver import figures
from archiver.book import Closing
from archiver.desk import Desk
from shared.backoff import pause_seconds
from shared.clock import Clock
from shared.framestore import FrameStore
from shared.log import Log
from shared.messages import Fragment


@dataclass
class Waiting:
    """One window."""

    closing: Closing
    not_before: float
    failures: int = 0
    asked: bool = False


class Completion:
    """The windows of one camera. Main thread only."""

    def __init__(
        self,
        camera: str,
        frames: FrameStore,
        desk: Desk,
        clock: Clock,
        log: Log,
        known: Callable[[Closing], Container[int]],
        done: Callable[[Closing, Sequence[Fragment]], None],
    ) -> None:
        """`done` is called with each window and what the index of its epoch lists.

        `known` gives what of its epoch need not be listed: a copy, which another thread reads.
        """
        self._camera = camera
        self._frames = frames
        self._desk = desk
        self._clock = clock
        self._log = log
        self._known = known
        self._done = done
        self._waiting: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def window_starts(self) -> set[int]:
        """Starts (Unix seconds) of these windows."""
        return {each.closing.window.start for each in self._waiting}

    def add(self, closing: Closing) -> None:
        self._waiting.append(Waiting(closing, self._clock.monotonic()))

    def advance(self) -> None:
        """Ask for what is due."""
        now = self._clock.monotonic()
        for each in self._waiting:
            if not each.asked and now >= each.not_before:
                each.asked = True
                epoch = each.closing.window.epoch
                known = self._known(each.closing)
                read = partial(read_index, self._frames, self._camera, epoch, known)
                self._desk.chore(read, partial(self._answered, each))

    def _answered(self, waiting: Waiting, future: Future[Sequence[Fragment]]) -> None:
        waiting.asked = False
        try:
            fragments = future.result()
        except Exception as error:  # whatever it is, the window is tried again and others go on
            waiting.failures += 1
            figures.SURVIVED.labels(self._camera, "index").inc()
            pause = pause_seconds(waiting.failures)
            waiting.not_before = self._clock.monotonic() + pause
            self._log.warning(
                "index unreadable, the window waits",
                action="archive.no_index",
                epoch=waiting.closing.window.epoch,
                seconds=round(pause, 1),
                failures=waiting.failures,
                reason=repr(error),
            )
            return
        self._waiting.remove(waiting)
        self._done(waiting.closing, fragments)


def read_index(
    frames: FrameStore, camera: str, epoch: str, known: Container[int]
) -> Sequence[Fragment]:
    """Closed fragments of an epoch; none if its folder has been removed. Raises Unavailable.

    Those that are known may be left out.
    """
    index = frames.closed(camera, epoch, known)
    if not index.fragments and not index.apart:
        frames.names(camera, epoch)  # a store that is not there looks like an empty one
    return index.fragments
