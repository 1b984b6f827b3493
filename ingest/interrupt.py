"""Ends a read that blocks for too long, without costing anything while it does not.

libavformat asks a callback of PyAV several times for every RTP packet whether to give up. With a
read time-out set, each answer takes the interpreter lock, and with dozens of cameras in one process
the threads then mostly wait for one another (PyAV #1112; measured here: 14 futex calls for each
`recv`). Without one the callback answers at once. So containers are opened without, and one thread
watches all reads: for one that is overdue it sets the very field that the callback looks at.

That field is the last of PyAV's `Container` (`interrupt_callback_info`: two doubles, the start and
the length of the time-out). It has no Python name, so it is found by what it must hold right after
opening; where it is not found, the protocols' own time-outs, which are set too, still notice a
connection that is silent altogether.
"""

import ctypes
import threading
from weakref import WeakSet

from av.container import InputContainer

from shared.clock import Clock
from shared.log import Log

LOOK_SECONDS = 0.5
_HEADER_BYTES = 16
_DOUBLE = ctypes.sizeof(ctypes.c_double)
_NO_TIMEOUT = -1.0


class Interrupt:
    """The reads of one container."""

    def __init__(
        self,
        container: InputContainer,
        opened_after: float,
        clock: Clock,
        seconds: float,
        log: Log,
    ) -> None:
        """`opened_after`: monotonic time just before opening. `seconds`: longest read."""
        self._container = container  # the field lives as long as this does
        self._timeout = _find(container, opened_after, clock.monotonic())
        self._clock = clock
        self._seconds = seconds
        self._reading_since: float | None = None
        self.fired = False
        """This read was ended from here."""
        if self._timeout is not None:
            _watched.add(self)
            _start_watching()
        elif not _told.is_set():
            _told.set()
            log.warning(
                "PyAV has changed: only the protocols' own time-outs end a read that blocks",
                action="feed.uninterruptible",
            )

    @property
    def works(self) -> bool:
        """The field was found."""
        return self._timeout is not None

    def begin(self) -> float:
        """A read begins; returns when (monotonic seconds)."""
        since = self._reading_since = self._clock.monotonic()
        return since

    def end(self) -> None:
        """It has returned."""
        self._reading_since = None

    def look(self) -> None:
        """End the read if it is overdue."""
        since = self._reading_since
        if self._timeout is None or since is None or self.fired:
            return
        if self._clock.monotonic() - since > self._seconds:
            self.fired = True
            self._timeout.value = 0.0


def _find(container: InputContainer, opened_after: float, now: float) -> ctypes.c_double | None:
    """The time-out's length, found by the start of opening and `-1.0` side by side."""
    found: list[ctypes.c_double] = []
    size = type(container).__basicsize__
    for offset in range(_HEADER_BYTES, size - 2 * _DOUBLE + 1, _DOUBLE):
        start, length = (
            ctypes.c_double.from_address(id(container) + offset + each) for each in (0, _DOUBLE)
        )
        if opened_after <= start.value <= now and length.value == _NO_TIMEOUT:
            found.append(length)
    return found[0] if len(found) == 1 else None


_watched: WeakSet[Interrupt] = WeakSet()
_starting = threading.Lock()
_pause = threading.Event()
_told = threading.Event()
"""That reads cannot be ended from here; true of all containers, so it is said once."""


def _start_watching() -> None:
    with _starting:
        if not any(thread.name == "reads" for thread in threading.enumerate()):
            threading.Thread(target=_watch, name="reads", daemon=True).start()


def _watch() -> None:
    while not _pause.wait(LOOK_SECONDS):
        for each in list(_watched):
            each.look()
