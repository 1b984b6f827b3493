"""Deliveries that are not acknowledged yet, in the order in which they came.

They are acknowledged together, up to the last one before the first that is not done: what the
broker gives back after a crash is then everything that was not committed, and nothing more.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Acknowledgeable(Protocol):
    """The part of a delivery that is needed here."""

    def ack_up_to(self) -> None: ...


@dataclass
class Held:
    """One delivery and what it is about."""

    delivery: Acknowledgeable
    since: float
    """Monotonic."""
    epoch: str = ""
    number: int | None = None
    """Of the fragment; None for the end of the epoch."""
    done: bool = False
    """Nothing is left to do for it, whatever it is about."""


class HeldDeliveries:
    """What one channel has delivered and we have not acknowledged."""

    def __init__(self) -> None:
        self._held: deque[Held] = deque()

    def add(self, held: Held) -> None:
        self._held.append(held)

    def acknowledge(self, is_done: Callable[[Held], bool]) -> int:
        """Acknowledge everything before the first that is not done; says how many."""
        last: Held | None = None
        count = 0
        while self._held and (self._held[0].done or is_done(self._held[0])):
            last = self._held.popleft()
            count += 1
        if last is not None:
            last.delivery.ack_up_to()
        return count

    def clear(self) -> None:
        """The channel is closed: the broker has them back."""
        self._held.clear()

    def oldest_seconds(self, monotonic: float) -> float:
        """How long the oldest has been held; 0.0 if there is none."""
        return monotonic - self._held[0].since if self._held else 0.0

    def __len__(self) -> int:
        return len(self._held)
