"""Names of things: epochs, fragments, and the keys under which clips and analyses are stored.

Identity is (camera, epoch, fragment[, part]); time stands in a key so that people can read and sort
it, never to tell two things apart. Everything here is pure; `clip_key` and `parse_clip_key` are
inverse to each other.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.clock import from_milliseconds, milliseconds

CAMERA_PATTERN = r"[a-z0-9][a-z0-9-]{0,31}"
EPOCH_PATTERN = r"[0-9a-d][0-9a-f]{19}"
"""The first digit keeps the time inside what a datetime can hold."""
_EPOCH_MILLISECONDS_DIGITS = 12  # 48 bits of milliseconds, then 32 random bits: 12 + 8 hex digits
_STAMP = "%Y%m%dT%H%M%S"

_CLIP_NAME = re.compile(
    rf"(?P<camera>{CAMERA_PATTERN})_(?P<stamp>\d{{8}}T\d{{9}}Z)_(?P<epoch>{EPOCH_PATTERN})"
    r"_(?P<first>\d{6,})(?:-(?P<last>\d{6,}))?\.(?P<suffix>mp4|ts|jpg|json)",
    re.ASCII,
)


def new_epoch(started_at: datetime, after: str | None = None) -> str:
    """A fresh epoch id: sortable by start, unique by 32 random bits.

    It sorts behind `after`, the camera's newest epoch, even if the clock was stepped back since.
    """
    start = milliseconds(started_at)
    if after is not None:
        start = max(start, milliseconds(epoch_started_at(after)) + 1)
    return f"{start:012x}{secrets.randbits(32):08x}"


def epoch_started_at(epoch: str) -> datetime:
    """When the epoch began (UTC), read from its id."""
    return from_milliseconds(int(epoch[:_EPOCH_MILLISECONDS_DIGITS], 16))


def fragment_path(camera: str, epoch: str, fragment: int) -> str:
    """Where a fragment lies, relative to `frames.url`."""
    return f"{camera}/{epoch}/{fragment:06d}.ts"


def stamp(moment: datetime) -> str:
    """`YYYYMMDDTHHMMSSmmmZ`, UTC, to the millisecond (cut, not rounded)."""
    utc = moment.astimezone(UTC)
    return f"{utc.strftime(_STAMP)}{utc.microsecond // 1000:03d}Z"


def parse_stamp(text: str) -> datetime:
    """The moment that `stamp` wrote. Raises ValueError for anything else."""
    whole = datetime.strptime(text[:15], _STAMP).replace(tzinfo=UTC)
    return whole.replace(microsecond=int(text[15:18]) * 1000)


def day_prefix(root: str, camera: str, day: datetime) -> str:
    """The folder of one camera and UTC day: `clips/camera-1/2026/03/01/`."""
    return f"{root}/{camera}/{day.astimezone(UTC):%Y/%m/%d}/"


@dataclass(frozen=True, order=True)
class ClipIdentity:
    """What a clip holds: fragments `first`..`last` (both included) of one epoch of one camera."""

    camera: str
    epoch: str
    first: int
    last: int
    captured_at: datetime
    """Capture time of the first frame of `first` (UTC)."""

    def _stem(self) -> str:
        prefix = day_prefix("clips", self.camera, self.captured_at)
        return f"{prefix}{self.camera}_{stamp(self.captured_at)}_{self.epoch}_{self.first:06d}"

    def object_key(self, suffix: str) -> str:
        """The key of the clip (`mp4`, or `ts` for original bytes) or its poster (`jpg`)."""
        return f"{self._stem()}-{self.last:06d}.{suffix}"

    @property
    def manifest_key(self) -> str:
        """The key of the manifest: it leaves `last` out, so two ranges with one start collide."""
        return f"{self._stem()}.json"


@dataclass(frozen=True)
class ClipName:
    """What a key under `clips/` says. `last` is None for a manifest."""

    camera: str
    captured_at: datetime
    epoch: str
    first: int
    last: int | None
    suffix: str


def parse_clip_key(key: str) -> ClipName | None:
    """Read a key under `clips/`; None for a foreign object, which is nobody's business here."""
    match = _CLIP_NAME.fullmatch(key.rpartition("/")[2])
    if match is None or (match["last"] is None) != (match["suffix"] == "json"):
        return None
    try:
        captured_at = parse_stamp(match["stamp"])
    except ValueError:
        return None
    if key != f"{day_prefix('clips', match['camera'], captured_at)}{match.group(0)}":
        return None
    return ClipName(
        camera=match["camera"],
        captured_at=captured_at,
        epoch=match["epoch"],
        first=int(match["first"]),
        last=None if match["last"] is None else int(match["last"]),
        suffix=match["suffix"],
    )
