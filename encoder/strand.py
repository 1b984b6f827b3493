"""Jobs that may wait for a store, on threads of their own: those of one strand in order."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

from encoder import figures
from shared.log import Log

Job = Callable[[], None]


class Strand:
    """`do` may be called from any thread."""

    def __init__(self, pool: Executor, log: Log) -> None:
        self._pool = pool
        self._log = log
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._running = False

    def do(self, job: Job) -> None:
        """Have `job` run once those before it are through. It must not raise."""
        with self._lock:
            self._waiting.append(job)
            if self._running:
                return
            self._running = True
        self._hand_on()

    def do_later(self, seconds: float, job: Job) -> None:
        """As `do`, after a while in which no thread of the pool is held."""
        timer = threading.Timer(seconds, self.do, [job])
        timer.daemon = True
        timer.start()

    def _hand_on(self) -> None:
        try:
            self._pool.submit(self._run)
        except RuntimeError:  # the pool is shut: the worker stops
            with self._lock:
                self._running = False

    def _run(self) -> None:
        job = self._waiting[0]
        try:
            job()
        except Exception as error:  # a fault of ours with one camera must not end the others
            figures.SURVIVED.labels("remote").inc()
            self._log.error("job broke off", action="remote.broke", exc_info=error)
        with self._lock:
            self._waiting.popleft()
            self._running = bool(self._waiting)
        if self._running:
            self._hand_on()  # behind what other strands wait for
