"""What of a camera lies in the buckets, as a test asks the store itself."""

import re
from abc import ABC, abstractmethod
from typing import Final

from minio import Minio

from shared.identity import ClipName, parse_clip_key

CAMERA: Final = "camera-1"
_FRAGMENT: Final = re.compile(rf"{CAMERA}/([^/]+)/([0-9]+)\.ts")


class Footage(ABC):
    """A running Cradle whose object store can be looked into."""

    @abstractmethod
    def store(self) -> Minio:
        """The object store, as somebody who may read everything."""

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """What lies there."""
        found = self.store().list_objects(bucket, prefix, recursive=True)
        return [each.object_name or "" for each in found]

    def clips(self) -> list[ClipName]:
        """What is stored of the camera, by the names of the objects."""
        names = map(parse_clip_key, self.keys("cradle", f"clips/{CAMERA}/"))
        return [name for name in names if name is not None]

    def stored(self) -> list[tuple[str, int]]:
        """Epoch and number of every fragment in a clip, as often as it is in one."""
        return sorted(
            (clip.epoch, number)
            for clip in self.clips()
            if clip.suffix in {"mp4", "ts"} and clip.last is not None
            for number in range(clip.first, clip.last + 1)
        )

    def closed(self) -> list[tuple[str, int]]:
        """Epoch and number of every fragment in the bucket of frames."""
        found = map(_FRAGMENT.fullmatch, self.keys("cradle-frames", f"{CAMERA}/"))
        return sorted((match[1], int(match[2])) for match in found if match)


def newest(playlist: str) -> str:
    """The newest segment of a live playlist, or nothing."""
    names = [line for line in playlist.splitlines() if line and not line.startswith("#")]
    return names[-1] if names else ""
