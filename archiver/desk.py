"""Where the main thread gets its work: calls from other threads come in, jobs go out to pools.

Everything the archiver knows about its cameras is touched by the main thread alone. The link's I/O
thread and the pools only leave calls here; what they leave is bounded by the broker's prefetch and
by the jobs that were given out.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final, TypeVar

T = TypeVar("T")


NICE: Final = 10


def _yield_to_live() -> None:
    """Let live pictures go first: every camera's window closes at the same moment.

    On Linux this is the priority of the thread alone, and of the children that it starts. Who was
    started nicer than that stays so: an unprivileged one may not go back, and would end by trying.
    """
    thread = threading.get_native_id()
    if os.getpriority(os.PRIO_PROCESS, thread) < NICE:
        os.setpriority(os.PRIO_PROCESS, thread, NICE)


class Desk:
    """The main thread's inbox, and the threads that work for it."""

    def __init__(self, conversions: int) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._clips = ThreadPoolExecutor(conversions, "clip", initializer=_yield_to_live)
        self._chores = ThreadPoolExecutor(2, "chore")

    def call(self, function: Callable[[], None]) -> None:
        """Have the main thread call this soon. From any thread."""
        self._calls.put(function)

    def convert(self, job: Callable[[], T], then: Callable[[Future[T]], None]) -> Future[T]:
        """Run a clip's commit; the main thread gets its future when it is done."""
        return self._send(self._clips, job, then)

    def chore(self, job: Callable[[], T], then: Callable[[Future[T]], None]) -> Future[T]:
        """Read or write something beside the clips; the main thread gets its future."""
        return self._send(self._chores, job, then)

    def _send(
        self, pool: ThreadPoolExecutor, job: Callable[[], T], then: Callable[[Future[T]], None]
    ) -> Future[T]:
        def done(future: Future[T]) -> None:
            if not future.cancelled():
                self.call(partial(then, future))

        future = pool.submit(job)
        future.add_done_callback(done)
        return future

    def turn(self, timeout_seconds: float) -> None:
        """Wait for a call, then make all that are there."""
        try:
            call = self._calls.get(timeout=timeout_seconds)
            while True:
                call()
                call = self._calls.get_nowait()
        except Empty:
            return

    def turn_for(self, seconds: float) -> None:
        """Make the calls that come within this time, each at once."""
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0:
            self.turn(left)

    def close(self) -> None:
        """Let what has begun finish, drop what has not, and end the threads."""
        self._clips.shutdown(cancel_futures=True)
        self._chores.shutdown(cancel_futures=True)
