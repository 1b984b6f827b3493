"""How each camera and each worker was last heard of, from the events. Nothing of it is kept."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from shared.clock import Clock
from shared.messages import Event, Stage

NEWS: Final = timedelta(days=1)
"""So long footage that was deleted unarchived is told of."""
LIVE_SECONDS: Final = 15.0
"""A live camera says so every 5 s. Without a word for so long, nobody knows."""


class Expired(BaseModel):
    """Footage that had to go before it was known to be stored."""

    reason: str = Field(description="`quota` or `retention`.")
    fragments: int = Field(description="How many.")
    starts_at: AwareDatetime = Field(description="Begin of the first one, UTC.")
    ends_at: AwareDatetime = Field(description="End of the last one, UTC.")
    deleted_at: AwareDatetime = Field(description="When the last one went, UTC.")


@dataclass(frozen=True)
class Said:
    """The last word of one kind about a camera."""

    stage: Stage
    event: str
    worker: str
    at: datetime
    detail: dict[str, Any]


class States:
    """The last word of each stage about each camera. Safe to use from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[tuple[str, str, str], Said] = {}
        self.broker_since: datetime | None = None
        """Since when events arrive; None while they do not."""
        self.broker_reason = "not connected yet"

    def take(self, event: Event) -> None:
        """An event has arrived."""
        said = Said(event.stage, event.event, event.worker, event.at, dict(event.detail))
        with self._lock:
            self._said[(event.camera, event.stage, event.event)] = said

    def last(self, camera: str, stage: Stage, *events: str) -> Said | None:
        """The newest of some events of a stage about a camera."""
        with self._lock:
            found = [
                said
                for event in events
                if (said := self._said.get((camera, stage, event))) is not None
            ]
        return max(found, key=lambda said: said.at, default=None)

    def all_of(self, camera: str) -> list[Said]:
        """Every last word about a camera, the newest first."""
        with self._lock:
            found = [said for (about, _, _), said in self._said.items() if about == camera]
        return sorted(found, key=lambda said: said.at, reverse=True)

    def live(self, camera: str) -> tuple[str, str]:
        """How live is: `live`, `stalled`, `offline` or `unknown`, and why in words."""
        source = self.last(camera, Stage.INGEST, "online", "offline")
        shown = self.last(camera, Stage.ENCODER, "live", "stalled", "starting")
        if source is not None and source.event == "offline" and not _shows_later(shown, source.at):
            return "offline", str(source.detail.get("reason", ""))
        if shown is None:
            return "unknown", ""
        if shown.event != "live":
            return "stalled", ""
        if self._clock.now() - shown.at > timedelta(seconds=LIVE_SECONDS):
            return "unknown", "nothing has been heard for a while"
        return "live", ""

    def expired(self, camera: str) -> "Expired | None":
        """Footage that was deleted of late, before it was known to be stored."""
        said = self.last(camera, Stage.INGEST, "expired")
        try:
            found = None if said is None else Expired.model_validate(said.detail)
        except ValidationError:  # another version's
            return None
        is_news = found is not None and self._clock.now() - found.deleted_at <= NEWS
        return found if is_news else None


def _shows_later(shown: Said | None, moment: datetime) -> bool:
    """Live has pictures that were taken later: somebody else has the camera by now."""
    if shown is None or shown.event != "live":
        return False
    try:
        return datetime.fromisoformat(str(shown.detail.get("newest_at"))) > moment
    except (ValueError, TypeError):  # no moment, or one without a zone
        return False
