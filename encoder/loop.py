"""The one thread that feeds all cameras of a worker and publishes what comes out.

It waits in one selector for pipes that can be written or read and for calls from other threads,
and never blocks on anything else; twice a second each camera gets a turn for what depends on time.
A fault in one camera ends that camera's work and no other's. When the thread finds that more than a
heartbeat went by between two turns, the process was frozen and the seats may be another's: it drops
all cameras before it writes a single byte.
"""

import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from encoder import figures
from shared.clock import Clock
from shared.log import Log

TICK_SECONDS: Final = 0.5
STOP_SECONDS: Final = 5.0

_LAST_TURNS: Final = 20
_LAST_TURN_SECONDS: Final = 0.1

Callback = Callable[[], None]


class LoopWork(Protocol):
    """A camera, as the loop sees it."""

    def open(self) -> None:
        """The first turn."""
        ...

    def tick(self) -> None:
        """What depends on time; twice a second."""
        ...

    def abandon(self, reason: str) -> None:
        """Drop everything at once and write nothing."""
        ...


class Loop:
    """A selector and its thread. `call` may be used from any thread, the rest by callbacks only."""

    def __init__(self, clock: Clock, freeze_seconds: float, log: Log) -> None:
        self._clock = clock
        self._freeze_seconds = freeze_seconds
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._calls: deque[tuple[LoopWork | None, Callback]] = deque()
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._rung = False
        self._work: dict[LoopWork, None] = {}
        self._stopping = False
        self._next_tick = clock.monotonic() + TICK_SECONDS
        self._last_turn = clock.monotonic()
        self.froze = threading.Event()
        """Set when all cameras were dropped because the process had been frozen."""
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)

    def start(self) -> None:
        self._selector.register(self._ear, selectors.EVENT_READ, (None, self._hear))
        self._thread.start()

    def stop(self) -> bool:
        """End the thread; False if it is stuck. Cameras that are still there are dropped."""
        self.call(None, self._stop)
        self._thread.join(STOP_SECONDS)
        return not self._thread.is_alive()

    def _stop(self) -> None:
        self._stopping = True

    @property
    def stuck_seconds(self) -> float:
        """For how long it has not turned; 0.0 once it was stopped and has ended."""
        if self._stopping and not self._thread.is_alive():
            return 0.0
        return self._clock.monotonic() - self._last_turn

    def call(self, work: LoopWork | None, callback: Callback) -> None:
        """Have `callback` run on the loop's thread, on behalf of `work`. From any thread."""
        self._calls.append((work, callback))
        if not self._rung:
            self._rung = True
            with suppress(BlockingIOError, OSError):  # a full pipe wakes as well
                self._bell.send(b"!")

    # -- on the loop's thread -----------------------------------------------------------------

    def add(self, work: LoopWork) -> None:
        """From now on it has its turns."""
        self._work[work] = None
        self._guard(work, work.open)

    def remove(self, work: LoopWork) -> None:
        self._work.pop(work, None)

    def watch(self, descriptor: int, event: int, work: LoopWork, callback: Callback) -> None:
        """Call back whenever `descriptor` is ready for `event` (selectors.EVENT_...)."""
        self._selector.register(descriptor, event, (work, callback))

    def unwatch(self, descriptor: int) -> None:
        """Before the descriptor is closed. One that is not watched is no fault."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._drop_all("the worker stops")
            self._see_off()
            self._selector.close()
            self._bell.close()
            self._ear.close()

    def _see_off(self) -> None:
        """What was dropped is gone in a moment: let it be reaped."""
        for _ in range(_LAST_TURNS):
            if len(self._selector.get_map()) == 1:  # only the ear
                return
            for key, _ in self._selector.select(_LAST_TURN_SECONDS):
                self._guard(*key.data)

    def _turn(self) -> None:
        ready = self._selector.select(max(0.0, self._next_tick - self._clock.monotonic()))
        now = self._clock.monotonic()
        frozen_seconds, self._last_turn = now - self._last_turn, now
        if frozen_seconds > self._freeze_seconds:
            self._log.warning("process was frozen", action="loop.froze", seconds=frozen_seconds)
            self._drop_all("frozen")
            self.froze.set()
            return
        for key, _ in ready:
            work, callback = key.data
            self._guard(work, callback)
        for _ in range(len(self._calls)):
            self._guard(*self._calls.popleft())
        if now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            for work in list(self._work):
                self._guard(work, work.tick)

    def _hear(self) -> None:
        self._rung = False  # before the calls are looked at: none is left without a ring
        with suppress(BlockingIOError):
            self._ear.recv(4096)

    def _guard(self, work: LoopWork | None, callback: Callback) -> None:
        """A fault of one camera must not end the others: it is logged and that camera dropped."""
        try:
            callback()
        except Exception as error:
            figures.SURVIVED.labels("live").inc()
            reason = f"{type(error).__name__}: {error}"
            self._log.error(
                "live work broke off", action="loop.broke", reason=reason, exc_info=error
            )
            if work is not None:
                work.abandon(reason)

    def _drop_all(self, reason: str) -> None:
        for work in list(self._work):
            work.abandon(reason)
