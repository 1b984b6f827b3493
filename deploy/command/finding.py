"""What a check found out about one thing, and how many checks run side by side.

Whatever a check raises becomes a finding too: nothing ends the others. A check that does not come
back in time is left behind on its daemon thread and reported as such.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from enum import StrEnum
from queue import Empty, SimpleQueue
from typing import Final

from shared.errors import CradleError, Misconfigured
from shared.log import redact

THREADS: Final = 16


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARN = "warn"
    LEFT_OUT = "left out"
    """The configuration does not speak of it: `cradle up` provides it."""
    UNREACHABLE = "unreachable"
    WRONG = "wrong"
    """A person must change something."""

    @property
    def shown(self) -> str:
        """As it stands at the beginning of a line."""
        return {State.OK: "ok", State.WARN: "WARN", State.LEFT_OUT: "-"}.get(self, "FAIL")


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    thing: str
    state: State
    text: str
    facts: Mapping[str, object] = field(default_factory=dict)
    """For `--json`."""


@dataclass(frozen=True)
class Check:
    """One check that takes a while."""

    thing: str
    seconds: float
    """At most; then it is left behind."""
    look: Callable[[], Finding]


def from_error(thing: str, error: Exception) -> Finding:
    """What went wrong, as a finding."""
    if isinstance(error, Misconfigured):
        return Finding(thing, State.WRONG, redact(str(error)))
    words = str(error) if isinstance(error, CradleError) else f"{type(error).__name__}: {error}"
    return Finding(thing, State.UNREACHABLE, redact(words))


def side_by_side(checks: Sequence[Check], threads: int = THREADS) -> Iterator[Finding]:
    """The findings in the order of the checks, each as soon as it and those before are there."""
    waiting: SimpleQueue[tuple[Check, Future[Finding]]] = SimpleQueue()
    pairs: list[tuple[Check, Future[Finding]]] = [(check, Future()) for check in checks]
    for pair in pairs:
        waiting.put(pair)
    for number in range(min(threads, len(pairs))):
        threading.Thread(target=_work, args=(waiting,), name=f"check-{number}", daemon=True).start()
    longest = max((check.seconds for check in checks), default=0.0)
    began = time.monotonic()
    for index, (check, future) in enumerate(pairs):
        turns = index // threads + 1
        try:
            yield future.result(max(0.0, began + turns * longest - time.monotonic()))
        except FutureTimeoutError:
            text = f"did not answer in {check.seconds:g} s"
            yield Finding(check.thing, State.UNREACHABLE, text)


def _work(waiting: "SimpleQueue[tuple[Check, Future[Finding]]]") -> None:
    while True:
        try:
            check, future = waiting.get_nowait()
        except Empty:
            return
        try:
            finding = check.look()
        except Exception as error:  # a fault of one check is that check's finding
            finding = from_error(check.thing, error)
        future.set_result(finding)
