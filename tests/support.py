"""Small things that many tests need."""

import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

Found = TypeVar("Found")

PUNCTUAL_SECONDS = 0.1
"""Who wakes up later than that was not let run."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Each asks for an orderly stop."""
_ESTABLISHED: Final = "01"
"""TCP_ESTABLISHED in include/net/tcp_states.h of Linux."""


def eventually(
    condition: Callable[[], Found], seconds: float, what: str = "", every_seconds: float = 0.05
) -> Found:
    """Wait until `condition()` is true in Python's sense, and return what it gave.

    Fails the test after `seconds`, with `what` was waited for and the last answer. Time in which
    this machine did not wake us up is not counted: others had none of it either.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        asleep_at = time.monotonic()
        if asleep_at > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition} (last: {found!r})")
        time.sleep(every_seconds)
        late = time.monotonic() - asleep_at - every_seconds
        deadline += late if late > PUNCTUAL_SECONDS else 0.0


def children_of(pid: int, name: str) -> list[int]:
    """Process ids of a process's children of this name; some may end while we look."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                with suppress(OSError):
                    if Path(f"/proc/{child}/comm").read_text().strip() == name:
                        found.append(int(child))
    return found


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """What is in a cycle stays, as it does for minutes in a worker."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def connections_to(url: str) -> int:
    """How many TCP connections this machine has to the port of an address on loopback."""
    port = f":{urlsplit(url).port or 0:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(port) and row[3] == _ESTABLISHED for row in rows)
