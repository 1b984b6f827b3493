"""Footage that had to go before it was known to be stored, told to people while it is news.

The custody record of a loss is written when the bucket answers again. Somebody should know at once,
above all while it does not answer: so each worker sums up by camera what it has deleted unarchived,
and says so in the event `expired`, again and again for a day.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from ingest.shelf import Kept

NEWS: Final = timedelta(days=1)


@dataclass(frozen=True)
class Expired:
    """What a worker has deleted of one camera, not known to be stored."""

    reason: str
    """The last one: `quota`, `retention`."""
    fragments: int
    starts_at: datetime
    """Capture time of the first, UTC."""
    ends_at: datetime
    """Of the end of the last, UTC."""
    deleted_at: datetime
    """When the last one went, UTC."""

    def detail(self) -> dict[str, str | int | float]:
        """Of the event."""
        return {
            "reason": self.reason,
            "fragments": self.fragments,
            "starts_at": self.starts_at.isoformat(),
            "ends_at": self.ends_at.isoformat(),
            "deleted_at": self.deleted_at.isoformat(),
        }


class ExpiredFootage:
    """By camera. The janitor adds, the main loop tells."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Expired] = {}

    def add(self, reason: str, fragments: Sequence[Kept], now: datetime) -> None:
        """These are gone, all of one camera."""
        if not fragments:
            return
        new = Expired(
            reason,
            len(fragments),
            min(each.starts_at for each in fragments),
            max(each.ends_at for each in fragments),
            now,
        )
        with self._lock:
            before = self._all.get(fragments[0].camera)
            if before is not None and now - before.deleted_at <= NEWS:
                new = replace(
                    new,
                    fragments=new.fragments + before.fragments,
                    starts_at=min(new.starts_at, before.starts_at),
                    ends_at=max(new.ends_at, before.ends_at),
                )
            self._all[fragments[0].camera] = new

    def news(self, now: datetime) -> dict[str, Expired]:
        """What is still to be told."""
        with self._lock:
            fresh = {name: e for name, e in self._all.items() if now - e.deleted_at <= NEWS}
            self._all = dict(fresh)
        return fresh
