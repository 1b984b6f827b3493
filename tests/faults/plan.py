"""What a house on trial is made of, and what its cameras show."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.videos import make_video

CLIP_SECONDS = 10
SMALL, OTHER = (320, 180), (256, 144)
"""Picture sizes."""
OTHER_FOOTAGE = "rtsp-1-other"
"""What rtsp-1 shows when it changes its resolution."""


@dataclass(frozen=True)
class Plan:
    """What a house is made of."""

    file_cameras: int = 2
    """Beside two RTSP cameras."""
    has_small_disk: bool = True
    """The frame store has a disk of its own, that can be filled, where we may mount one."""
    clip_seconds: int = CLIP_SECONDS
    broker_root: Path | None = None
    """Of another Debian release, whose RabbitMQ it is; None: this machine's."""
    on_buckets: bool = False
    """Frames and live output lie in buckets, and each worker has a disk of its own."""


def make_footage(folder: Path, file_cameras: int) -> dict[str, Path]:
    """Different lengths and key-frame distances, so that nothing beats in step."""
    folder.mkdir()
    recipes: dict[str, dict[str, Any]] = {
        f"file-{number}": {
            "seconds": 61 - 14 * (number - 1) % 41,
            "gop_seconds": 1 + (number - 1) % 2,
            "audio": "aac" if number % 2 else None,
        }
        for number in range(1, file_cameras + 1)
    } | {
        "rtsp-1": {"seconds": 67, "gop_seconds": 1},
        "rtsp-2": {"seconds": 53, "gop_seconds": 1, "audio": None},
        OTHER_FOOTAGE: {"seconds": 31, "gop_seconds": 1, "size": OTHER},
    }
    return {
        name: make_video(
            folder / f"{name}.mp4",
            **{"size": SMALL, "frames_per_second": 15, "bitrate": "200k", **recipe},
        )
        for name, recipe in recipes.items()
    }
