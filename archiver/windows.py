"""Windows: which fragments make one clip, and when there are no more to come.

A window is a slot of `clip_seconds` on the UTC wall clock, counted from 1970: midnight and summer
time do not exist here. A fragment belongs whole to the window in which its first frame lies, and a
clip never spans two epochs. A window is over when a fragment of a later window or epoch arrives,
when its epoch is ended by a message, or when its end and a grace have passed and the queue has been
silent for the grace. A wrong wall clock cannot hold it open: gathered for its whole length and a
grace, and silent for the grace, it is over too. Everything here is pure; time is passed in.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.clock import from_milliseconds, milliseconds
from shared.messages import Fragment

KEPT_ENDS = 256
"""How many ended epochs are remembered, for fragments that come after the end."""


@dataclass(frozen=True, order=True)
class Window:
    """One slot of one epoch; sorts by epoch, then time."""

    epoch: str
    start: int
    """Unix seconds, UTC."""

    @property
    def starts_at(self) -> datetime:
        return from_milliseconds(self.start * 1000)


def window_of(fragment: Fragment, clip_seconds: int) -> Window:
    """The window in which the fragment's first frame lies."""
    second = milliseconds(fragment.captured_at) // 1000
    return Window(fragment.epoch, second - second % clip_seconds)


def runs(fragments: Iterable[Fragment]) -> list[tuple[Fragment, ...]]:
    """Fragments of one epoch as unbroken runs of numbers, in order: each is one clip."""
    result: list[list[Fragment]] = []
    for each in sorted(fragments, key=lambda fragment: fragment.fragment):
        if result and result[-1][-1].fragment + 1 == each.fragment:
            result[-1].append(each)
        else:
            result.append([each])
    return [tuple(run) for run in result]


@dataclass
class _Slot:
    """What has been gathered of one window; times are monotonic."""

    since: float
    latest: float
    fragments: dict[int, Fragment] = field(default_factory=dict)
    over: bool = False


class Gather:
    """The open windows of one camera."""

    def __init__(self, clip_seconds: int, grace_seconds: float) -> None:
        self._clip_seconds = clip_seconds
        self._grace_seconds = grace_seconds
        self._slots: dict[Window, _Slot] = {}
        self._ends: dict[str, int] = {}

    def add(self, fragment: Fragment, monotonic: float) -> None:
        """Take a fragment in; every earlier window is over by that.

        One that lies behind the end of its epoch shows that this end was not true.
        """
        if fragment.fragment >= self._ends.get(fragment.epoch, fragment.fragment + 1):
            del self._ends[fragment.epoch]
        window = window_of(fragment, self._clip_seconds)
        slot = self._slots.setdefault(window, _Slot(monotonic, monotonic))
        slot.fragments[fragment.fragment] = fragment
        slot.latest = monotonic
        slot.over = slot.over or fragment.epoch in self._ends
        for other, earlier in self._slots.items():
            if other < window:
                earlier.over = True

    def end(self, epoch: str, fragments: int) -> None:
        """The epoch has ended, with so many fragments: its windows are over."""
        self._ends[epoch] = fragments
        while len(self._ends) > KEPT_ENDS:
            del self._ends[next(iter(self._ends))]
        for window, slot in self._slots.items():
            slot.over = slot.over or window.epoch == epoch

    def length_of(self, epoch: str) -> int | None:
        """How many fragments the epoch has; None while that is not known."""
        return self._ends.get(epoch)

    def holds(self, epoch: str, number: int) -> bool:
        """Whether the fragment is gathered and not taken out yet."""
        return any(
            number in slot.fragments
            for window, slot in self._slots.items()
            if window.epoch == epoch
        )

    def numbers(self) -> Iterator[tuple[str, int]]:
        """Epoch and number of all that is gathered."""
        for window, slot in self._slots.items():
            for number in slot.fragments:
                yield window.epoch, number

    def take_over(
        self, now: datetime, monotonic: float, silent_seconds: float
    ) -> list[tuple[Window, dict[int, Fragment]]]:
        """Take out the windows that are over. `silent_seconds`: since the queue's last word."""
        due = [
            window
            for window, slot in self._slots.items()
            if slot.over or self._has_passed(window, slot, now, monotonic, silent_seconds)
        ]
        return [(window, self._slots.pop(window).fragments) for window in sorted(due)]

    def _has_passed(
        self, window: Window, slot: _Slot, now: datetime, monotonic: float, silent_seconds: float
    ) -> bool:
        grace = self._grace_seconds
        ended = milliseconds(now) / 1000 >= window.start + self._clip_seconds + grace
        if ended and silent_seconds >= grace:
            return True
        return (
            monotonic - slot.since >= self._clip_seconds + grace
            and monotonic - slot.latest >= grace
        )

    @property
    def fragments(self) -> int:
        """How many are gathered."""
        return sum(len(slot.fragments) for slot in self._slots.values())

    @property
    def starts(self) -> Sequence[int]:
        """Starts of the open windows, Unix seconds."""
        return [window.start for window in self._slots]
