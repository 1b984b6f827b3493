"""A camera changes hands without a gap: who leaves records on until the next one records.

Who gives a camera up in order (it is told to stop, or has more than its share) names the epoch that
it still writes in `leaving.json`, beside the camera's cursor, lets go of the outbox and frees the
seat. The next holder closes what others left open, but not that epoch, and connects. As soon as it
has begun an epoch of its own, or nobody has come within `HAND_OVER_SECONDS`, the leaver ends its
own. For a moment both record, and the footage overlaps. Nothing is published twice: the index on
the disk is the outbox, the next holder's goes through the epoch that was left first, and waits
there for its end. An epoch whose writer did not end it in time is closed from its bytes, like any
other.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.framestore import FrameReader
from shared.messages import EpochId

HAND_OVER_SECONDS: Final = 15.0
"""A seat is found free after about a second; then an RTSP camera takes two or three to connect, and
sends a key frame every few."""
LATE_SECONDS: Final = 5.0
"""For the leaver's last words, after the time that it gave."""
HANDED_OVER: Final = "handed over to another worker"
LEAVING_NAME: Final = "leaving.json"


class Leaving(BaseModel):
    """An epoch whose writer has freed the seat, and when it will have ended it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    epoch: EpochId = Field(description="Epoch that is still written.")
    until: AwareDatetime = Field(description="Its writer ends it before this moment, UTC.")


def leave(folder: Path, epoch: str, now: datetime) -> None:
    """Say in a camera's folder that its seat is free and this epoch is still written.

    Raises OSError.
    """
    leaving = Leaving(epoch=epoch, until=now + timedelta(seconds=HAND_OVER_SECONDS))
    temporary = folder / f"{LEAVING_NAME}.tmp"
    temporary.write_text(leaving.model_dump_json(), encoding="utf-8")
    os.replace(temporary, folder / LEAVING_NAME)  # noqa: PTH105 - the word of the design


def stay(folder: Path) -> None:
    """Take it back. Raises OSError."""
    (folder / LEAVING_NAME).unlink(missing_ok=True)


def left_open(folder: Path, now: datetime) -> tuple[str, float] | None:
    """The epoch that a leaver still writes, and the seconds that it has; None if there is none.

    A file that cannot be read, or whose time is not within the next `HAND_OVER_SECONDS` (the clock
    may have been stepped), says nothing: the epoch is closed at once, which its writer notices.
    """
    try:
        leaving = Leaving.model_validate_json((folder / LEAVING_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    seconds = (leaving.until - now).total_seconds()
    return (leaving.epoch, seconds) if 0 < seconds <= HAND_OVER_SECONDS else None


def newest_epoch(reader: FrameReader, camera: str) -> str:
    """The last epoch that anybody has begun; who sees a later one later has been followed.

    Raises Unavailable.
    """
    return max(reader.epochs(camera), default="")
