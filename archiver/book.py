"""The book of one camera: where each of its fragments stands on the way into a clip.

A fragment is new, then gathered in its window, then in hand (its window is over and it is being
made into a clip), then settled: committed, or lost for good. The book decides what becomes one
clip, and that no fragment enters two; it does no I/O and asks no clock. A window that may have
holes is completed from the frame store's index before it is made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from archiver.ledger import Ledger
from archiver.windows import Gather, Window, runs, window_of
from shared.messages import MAX_FRAGMENTS, Fragment
from shared.ranges import Ranges

Run = tuple[Fragment, ...]


@dataclass(frozen=True)
class Closing:
    """A window that is over, with what has been gathered of it."""

    window: Window
    fragments: dict[int, Fragment]
    whole: bool
    """No other fragment of this window can exist: what comes before and after is known."""


class Book:
    """The fragments of one camera."""

    def __init__(self, clip_seconds: int, grace_seconds: float) -> None:
        self._clip_seconds = clip_seconds
        self.ledger = Ledger(clip_seconds)
        self.gather = Gather(clip_seconds, grace_seconds)
        self._in_hand: dict[str, set[int]] = {}

    def window_of(self, fragment: Fragment) -> Window:
        """The window in which the fragment's first frame lies."""
        return window_of(fragment, self._clip_seconds)

    def knows(self, epoch: str, number: int) -> bool:
        """Whether the fragment is settled or on its way."""
        return (
            self.ledger.has_settled(epoch, number)
            or number in self._in_hand.get(epoch, ())
            or self.gather.holds(epoch, number)
        )

    def under_way_or_committed(self) -> dict[str, Ranges]:
        """What is gathered, in hand or committed, by epoch: as it stands now, for any thread."""
        found = self.ledger.committed
        in_hand = ((epoch, each) for epoch, hand in self._in_hand.items() for each in hand)
        for epoch, number in (*in_hand, *self.gather.numbers()):
            found.setdefault(epoch, Ranges()).add(number, number)
        return found

    @property
    def epochs_under_way(self) -> set[str]:
        """Those of which something is gathered or in hand."""
        return {*self._in_hand, *(epoch for epoch, _ in self.gather.numbers())}

    def known_to(self, closing: Closing, reach: int) -> Ranges:
        """What need not be looked for to complete a window of at most `reach` fragments: what is
        gathered, in hand or committed, and what lies too far away."""
        known = self.under_way_or_committed().get(closing.window.epoch) or Ranges()
        first, last = min(closing.fragments), max(closing.fragments)
        if first > reach:
            known.add(0, first - reach - 1)
        known.add(last + reach + 1, last + reach + MAX_FRAGMENTS)
        return known

    def unknown(self, epoch: str, numbers: range) -> list[range]:
        """Which of these are neither settled nor on their way.

        What is known is few; of `numbers` there may be as many as a message says.
        """
        known = self.under_way_or_committed().get(epoch) or Ranges()
        for number in self.ledger.lost.get(epoch, ()):
            known.add(number, number)
        return known.gaps(numbers[0], numbers[-1]) if numbers else []

    def offer(self, fragment: Fragment, monotonic: float) -> bool:
        """Take a fragment in, unless it is known already."""
        if self.knows(fragment.epoch, fragment.fragment):
            return False
        self.gather.add(fragment, monotonic)
        return True

    def take_over(self, now: datetime, monotonic: float, silent_seconds: float) -> list[Closing]:
        """Windows that are over; their fragments are in hand from now on."""
        taken = self.gather.take_over(now, monotonic, silent_seconds)
        for window, fragments in taken:
            self._in_hand.setdefault(window.epoch, set()).update(fragments)
        return [
            Closing(window, fragments, self._is_whole(window.epoch, fragments))
            for window, fragments in taken
        ]

    def _is_whole(self, epoch: str, fragments: Iterable[int]) -> bool:
        numbers = sorted(fragments)
        first, last = numbers[0], numbers[-1]
        if last - first + 1 != len(numbers):
            return False
        begins = first == 0 or self.knows(epoch, first - 1)
        ends = self.gather.length_of(epoch) == last + 1 or self.knows(epoch, last + 1)
        return begins and ends

    def complete(self, closing: Closing, indexed: Iterable[Fragment]) -> list[Run]:
        """The clips to make of a window, with what the frame store's index adds to it."""
        fragments = dict(closing.fragments)
        hand = self._in_hand.setdefault(closing.window.epoch, set())
        for each in indexed:
            if self.window_of(each) == closing.window and (
                not self.knows(each.epoch, each.fragment)
            ):
                fragments[each.fragment] = each
                hand.add(each.fragment)
        return runs(fragments.values())

    def commit(self, run: Run) -> None:
        """The clip of this run exists."""
        epoch, first, last = run[0].epoch, run[0].fragment, run[-1].fragment
        self.ledger.commit(epoch, first, last, run[0].captured_at)
        self._put_down(run)

    def lose(self, run: Run, gone: frozenset[int]) -> list[Run]:
        """Some fragments of a run are gone for good; the clips to make of the others."""
        for lost in runs(each for each in run if each.fragment in gone):
            self.ledger.lose(lost[0].epoch, lost[0].fragment, lost[-1].fragment)
            self._put_down(lost)
        return runs(each for each in run if each.fragment not in gone)

    def _put_down(self, run: Run) -> None:
        hand = self._in_hand[run[0].epoch]
        hand.difference_update(each.fragment for each in run)
        if not hand:
            del self._in_hand[run[0].epoch]

    @property
    def in_hand(self) -> int:
        """How many fragments are being made into clips."""
        return sum(len(hand) for hand in self._in_hand.values())
