"""`python -m tests.bench.waiting`: what fragments that wait for the archive cost ingest.

A camera's index of 100,000 fragments, as a day and more of an outage leave it, is read by the parts
of the janitor that keep and look through them. Printed are the memory of each, by the growth of
this process, and the time of the first look and of each later one.
"""

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ingest.choice import choose
from ingest.confirmation import Confirmation
from ingest.shelf import Shelf
from shared.framestore import INDEX_NAME
from shared.identity import fragment_path, new_epoch
from shared.log import get_logger
from shared.messages import Fragment, StreamParameters
from tests.bench.processes import resident_bytes

FRAGMENTS: Final = 100_000
CAMERA: Final = "camera-1"
STREAM: Final = StreamParameters(
    video_codec="h264", width=1920, height=1080, frames_per_second=30, audio_codec="aac"
)


class EmptyStore:
    """An object store without a clip."""

    def list(self, prefix: str, start_after: str | None = None) -> Iterator[Any]:
        return iter(())


def write_index(root: Path, began_at: datetime) -> None:
    """An epoch of fragments that are there, one a second."""
    epoch = new_epoch(began_at)
    folder = root / CAMERA / epoch
    folder.mkdir(parents=True)
    with (folder / INDEX_NAME).open("wb") as index:
        for number in range(FRAGMENTS):
            record = Fragment(
                camera=CAMERA,
                epoch=epoch,
                fragment=number,
                path=fragment_path(CAMERA, epoch, number),
                bytes=500_000 + number,
                frames=30,
                captured_at=began_at + timedelta(seconds=number),
                duration_seconds=1,
                key_frame_bytes=100_000,
                stream=STREAM,
            )
            index.write(record.to_body() + b"\n")
            (folder / f"{number:06d}.ts").touch()


def main() -> None:
    began_at = datetime(2026, 3, 1, tzinfo=UTC)
    now = began_at + timedelta(seconds=FRAGMENTS)
    store: Any = EmptyStore()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_index(root, began_at)
        before_bytes = resident_bytes()
        shelf, confirmation = Shelf(root, CAMERA), Confirmation(root, store, get_logger())
        seconds: list[float] = []
        for _ in range(4):
            at = time.monotonic()
            seen = confirmation.look(shelf.look(), now)
            choose(
                seen,
                now,
                keep_stored=timedelta(minutes=10),
                retention=timedelta(days=2),
                over_bytes=0,
            )
            seconds.append(time.monotonic() - at)
        grown_bytes = resident_bytes() - before_bytes
    print(
        f"{FRAGMENTS} fragments: {grown_bytes / FRAGMENTS:.0f} bytes each; "
        f"the first look took {seconds[0]:.2f} s, a later one {min(seconds[1:]):.2f} s"
    )


if __name__ == "__main__":
    main()
