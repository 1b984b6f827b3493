"""A frame store with a janitor, and a bucket that can be away: for tests of the cleaning."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ingest.janitor import Janitor
from ingest.recovery import append_lines, begin_epoch
from ingest.stored import note_stored
from shared.clock import SimulatedClock
from shared.config import Settings, from_mapping
from shared.custody import FragmentsLost, read_custody
from shared.errors import AlreadyExists, StoreUnavailable
from shared.framestore import INDEX_NAME
from shared.identity import ClipIdentity, fragment_path, new_epoch
from shared.log import get_logger
from shared.messages import EpochEnd, Event, Fragment, Stage, StreamParameters
from shared.objectstore import StoredObject

CAMERA = "camera-1"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BYTES = 1000
STREAM = StreamParameters(
    video_codec="h264", width=64, height=64, frames_per_second=30, audio_codec=None
)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@dataclass
class Bucket:
    """The part of an object store that the janitor uses; it can be away."""

    objects: dict[str, bytes] = field(default_factory=dict)
    committed_at: dict[str, datetime] = field(default_factory=dict)
    is_away: bool = False
    listings: int = 0

    def create_bytes(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> bool:
        self._ask()
        if key in self.objects:
            if self.objects[key] != data:
                raise AlreadyExists(key)
            return False
        self.objects[key] = data
        return True

    def _ask(self) -> None:
        if self.is_away:
            raise StoreUnavailable("the store is away")

    def commit(
        self,
        epoch: str,
        first: int,
        last: int,
        captured_at: datetime,
        committed_at: datetime | None = None,
    ) -> None:
        identity = ClipIdentity(CAMERA, epoch, first, last, captured_at)
        if committed_at is not None:
            self.committed_at[identity.manifest_key] = committed_at
        self.objects[identity.object_key("mp4")] = b""
        self.objects[identity.manifest_key] = b""

    @property
    def losses(self) -> list[tuple[int, int, str]]:
        records = [
            read_custody(body) for key, body in self.objects.items() if key.startswith("custody/")
        ]
        return [
            (each.first, each.last, each.reason)
            for each in records
            if isinstance(each, FragmentsLost)
        ]

    def read(self, key: str, most_bytes: int) -> bytes | None:
        self._ask()
        return self.objects.get(key)

    def list(self, prefix: str, start_after: str | None = None) -> Iterator[StoredObject]:
        self._ask()
        self.listings += 1
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield StoredObject(key, len(self.objects[key]), self.committed_at.get(key))


class House:
    """A frame store with a janitor; fragments begin a second apart from NOON on."""

    def __init__(self, root: Path, bucket: Bucket | None = None, **frames: Any) -> None:
        self.root = root
        self.clock = SimulatedClock(NOON)
        self.bucket = bucket or Bucket()
        store: Any = self.bucket
        self.janitor = Janitor(settings(root, **frames), store, self.clock, get_logger())
        self.janitor.cameras = (CAMERA,)

    def record(
        self,
        fragments: int,
        *,
        camera: str = CAMERA,
        starts_at: datetime = NOON,
        end: bool = True,
        size: int = BYTES,
    ) -> str:
        epoch = new_epoch(starts_at)
        folder = self.root / camera / epoch
        begin_epoch(folder, starts_at, STREAM)
        records: list[Fragment | EpochEnd] = []
        for number in range(fragments):
            path = fragment_path(camera, epoch, number)
            (self.root / path).write_bytes(bytes(size))
            records.append(
                Fragment(
                    camera=camera,
                    epoch=epoch,
                    fragment=number,
                    path=path,
                    bytes=size,
                    frames=30,
                    captured_at=starts_at + timedelta(seconds=number),
                    duration_seconds=1,
                    key_frame_bytes=100,
                    stream=STREAM,
                )
            )
        if end:
            records.append(
                EpochEnd(
                    camera=camera, epoch=epoch, fragments=fragments, ended_at=starts_at, reason="x"
                )
            )
        append_lines(folder / INDEX_NAME, records, 0)
        for each in (folder, *folder.iterdir()):
            touch(each, starts_at)
        return epoch

    def say_stored(self, epoch: str, first: int, last: int) -> None:
        event = Event(
            stage=Stage.ARCHIVER,
            worker="archiver-1",
            camera=CAMERA,
            event="stored",
            at=NOON,
            detail={"epoch": epoch, "first": first, "last": last},
        )
        assert note_stored(self.root, event.to_body())

    def store(self, epoch: str, first: int, last: int) -> None:
        """The archiver commits a clip now, and says so."""
        captured_at, now = NOON + timedelta(seconds=first), self.clock.now()
        self.bucket.commit(epoch, first, last, captured_at, now)
        self.say_stored(epoch, first, last)

    def clean(self, after: timedelta = timedelta()) -> None:
        self.clock.advance(after.total_seconds())
        self.janitor.clean()

    def left(self, epoch: str, camera: str = CAMERA) -> list[int]:
        return sorted(int(path.stem) for path in (self.root / camera / epoch).glob("*.ts"))


def settings(root: Path, **frames: Any) -> Settings:
    return from_mapping(
        {
            "frames": {"url": root.as_uri(), "quota_gib": 1, **frames},
            "cameras": [{"id": CAMERA, "source": "test:"}],
        }
    )


def touch(path: Path, moment: datetime) -> None:
    os.utime(path, (moment.timestamp(), moment.timestamp()))
