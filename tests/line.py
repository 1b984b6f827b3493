"""The whole line, or part of it, as processes of their own: for tests of what people would see.

Workers run as `python -m <stage>` with a configuration file, like any worker; tests start, kill and
freeze them one by one. What ingest stored and what the bucket holds are compared frame by frame:
the pictures carry their number (`tests.videos.read_counter`).
"""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import yaml
from numpy.typing import NDArray

from deploy.local.ports import free_ports
from deploy.local.status import fetch
from shared.bucketframes import BucketFrames
from shared.bucketplace import bucket_place
from shared.config import ArchiveSettings
from shared.errors import CradleError
from shared.framestore import FrameReader, FrameStore
from shared.livestore import LiveStore
from shared.manifest import Manifest, read_manifest
from shared.objectstore import ObjectStore
from tests.support import eventually
from tests.videos import read_counter

ReadCounter = Callable[[NDArray[np.uint8]], int]
"""Reads the frame number out of a grey picture."""

STAGES = ("ingest", "encoder", "archiver", "analyzer", "viewer")


def manifests_in(store: ObjectStore, camera: str) -> list[Manifest]:
    """All manifests of a camera, in order of time."""
    keys = [each.key for each in store.list(f"clips/{camera}/") if each.key.endswith(".json")]
    return [read_manifest(store.read(key) or b"") for key in keys]


def archived_in(store: ObjectStore, camera: str) -> list[tuple[str, int]]:
    """(epoch, fragment) of everything that manifests hold, once for each that does."""
    return sorted(
        (manifest.epoch, number)
        for manifest in manifests_in(store, camera)
        for number in range(manifest.first, manifest.last + 1)
    )


def closed_in(frames: Path | FrameStore, camera: str) -> list[tuple[str, int]]:
    """(epoch, fragment) of everything that is closed in a frame store."""
    reader = FrameReader(frames) if isinstance(frames, Path) else frames
    return [
        (epoch, fragment.fragment)
        for epoch in reader.epochs(camera)
        for fragment in reader.closed(camera, epoch).fragments
    ]


@dataclass
class Line:
    """One configuration and the workers that run it."""

    folder: Path
    config: dict[str, Any]
    archive: ArchiveSettings
    environment: dict[str, str] = field(default_factory=dict)
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def frames(self) -> Path:
        """The frame store, or where the spools of a bucket's writers lie."""
        return self.folder / "frames"

    @cached_property
    def frame_store(self) -> FrameStore:
        place = bucket_place(self.config["frames"]["url"])
        return FrameReader(self.frames) if place is None else BucketFrames(self.archive, place)

    @cached_property
    def live_store(self) -> LiveStore | None:
        place = bucket_place(self.config["live"]["url"])
        return None if place is None else LiveStore(self.archive, place)

    @property
    def live(self) -> Path:
        return self.folder / "live"

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.archive)

    # -- workers ------------------------------------------------------------------------------

    def start(self, *names: str, **environment: str) -> None:
        """Start workers: a stage's name, or that and a number (`encoder-2`)."""
        file = self.folder / "cradle.yaml"
        text = yaml.safe_dump(self.config)
        if not file.exists() or file.read_text(encoding="utf-8") != text:  # others may be reading
            file.write_text(text, encoding="utf-8")
        for name in names:
            stage = name.partition("-")[0]
            self.ports[name] = free_ports(1)[0]
            with (self.folder / f"{name}.log").open("ab") as log:
                self.workers[name] = subprocess.Popen(
                    [sys.executable, "-m", stage, "--config", str(file), "--name", name],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={
                        **os.environ,
                        "CRADLE_METRICS__PORT": str(self.ports[name]),
                        # as if each had a machine of its own
                        "CRADLE_FRAMES__SPOOL": (self.frames / f"spool-{name}").as_uri(),
                        "CRADLE_LIVE__SPOOL": (self.folder / f"live-{name}").as_uri(),
                        **self.environment,
                        **environment,
                    },
                    start_new_session=True,
                )

    def kill(self, *names: str) -> None:
        """SIGKILL workers, alone: what they started must notice by itself."""
        for name in names:
            self.workers[name].kill()
        for name in names:
            self.workers.pop(name).wait(10)

    def stop(self, *names: str, seconds: float = 30) -> dict[str, int]:
        """Ask workers to stop, wait, and say how each ended."""
        for name in names:
            self.workers[name].send_signal(signal.SIGTERM)
        return {name: self.workers.pop(name).wait(seconds) for name in names}

    def log(self, name: str) -> str:
        """All that a worker has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def figure(self, name: str, pattern: str) -> float:
        """Sum of a worker's samples whose line begins with `pattern`."""
        text = fetch(f"http://127.0.0.1:{self.ports[name]}/metrics")
        return sum(
            float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(pattern)
        )

    # -- what is stored -----------------------------------------------------------------------

    def manifests(self, camera: str) -> list[Manifest]:
        """All manifests of a camera, in order of time."""
        return manifests_in(self.store, camera)

    def clip(self, manifest: Manifest) -> bytes:
        """The object of a manifest."""
        path = self.folder / "download"
        path.unlink(missing_ok=True)
        self.store.download(manifest.object_key, path)
        return path.read_bytes()

    def fragments(self, camera: str) -> list[tuple[str, int]]:
        """(epoch, fragment) of everything that is closed in the frame store."""
        return closed_in(self.frame_store, camera)

    def archived(self, camera: str) -> list[tuple[str, int]]:
        """(epoch, fragment) of everything that manifests hold."""
        return archived_in(self.store, camera)

    def until_archived(self, camera: str, seconds: float) -> None:
        """Wait until every closed fragment is in exactly one clip."""
        eventually(
            lambda: self.archived(camera) == self.fragments(camera) != [],
            seconds,
            f"all of {camera} archived",
            every_seconds=0.3,
        )

    def stored_counters(self, camera: str, read: ReadCounter = read_counter) -> list[int]:
        """Frame numbers in the frame store, in order of epoch and fragment."""
        reader = self.frame_store
        counters: list[int] = []
        for epoch in reader.epochs(camera):
            data = b"".join(
                reader.read(fragment.path, 0, fragment.bytes)
                for fragment in reader.closed(camera, epoch).fragments
            )
            counters += decode_counters(data, read)
        return counters

    def archived_counters(self, camera: str, read: ReadCounter = read_counter) -> list[int]:
        """Frame numbers in the clips, in order of epoch and fragment."""
        manifests = sorted(self.manifests(camera), key=lambda each: (each.epoch, each.first))
        return [counter for each in manifests for counter in decode_counters(self.clip(each), read)]

    # -- live ---------------------------------------------------------------------------------

    def playlist(self, camera: str) -> str:
        """The public playlist, empty before there is one."""
        with suppress(FileNotFoundError, CradleError):
            if self.live_store is None:
                return (self.live / camera / "index.m3u8").read_text(encoding="utf-8")
            key = f"{self.live_store.prefix}{camera}/index.m3u8"
            return (self.live_store.read(key) or b"").decode()
        return ""

    def media_sequence(self, camera: str) -> int:
        """Number of the segment behind the last one in the playlist; 0 before there is one."""
        text = self.playlist(camera)
        match = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)
        return 0 if match is None else int(match[1]) + text.count("#EXTINF")

    def until_live(self, camera: str, seconds: float = 40, beyond: int = 0) -> int:
        """Wait until the playlist has gone on by two segments beyond a sequence number."""

        def further() -> int:
            now = self.media_sequence(camera)
            return now if now >= max(beyond, 1) + 2 else 0

        return eventually(further, seconds, f"{camera} live")

    def live_delays(self, segments: int, encoder: str = "encoder") -> list[float]:
        """Seconds from capture to playlist, of the next so many segments (of all cameras)."""
        name = "cradle_encoder_live_delay_seconds"
        delays: list[float] = []
        count, total = self.figure(encoder, f"{name}_count"), self.figure(encoder, f"{name}_sum")

        def are_enough() -> bool:
            nonlocal count, total
            count_now = self.figure(encoder, f"{name}_count")
            total_now = self.figure(encoder, f"{name}_sum")
            if count_now > count:
                delays.append((total_now - total) / (count_now - count))
                count, total = count_now, total_now
            return len(delays) >= segments

        eventually(are_enough, 6 * segments, f"{segments} segments", every_seconds=0.2)
        return delays

    def close(self) -> None:
        """Kill what still runs."""
        for worker in self.workers.values():
            worker.kill()
        for worker in self.workers.values():
            worker.wait(10)


@contextmanager
def line(
    folder: Path,
    broker_url: str,
    archive: ArchiveSettings,
    cameras: list[dict[str, Any]],
    **sections: Any,
) -> Iterator[Line]:
    """A line that is not started yet; whatever runs at the end is killed."""
    config = {
        "broker": {"url": broker_url, "heartbeat_seconds": 4},
        "frames": {"url": (folder / "frames").as_uri()},
        "live": {"url": (folder / "live").as_uri()},
        "archive": {
            "endpoint": archive.endpoint,
            "access_key": archive.access_key,
            "secret_key": archive.secret_key.get_secret_value(),
            "bucket": archive.bucket,
            "clip_seconds": 10,
            "grace_seconds": 2,
        },
        "analysis": {"interval_seconds": 5},
        "cameras": cameras,
    }
    for name, section in sections.items():
        config[name] = {**cast(dict[str, Any], config.get(name, {})), **section}
    made = Line(folder, config, archive)
    try:
        yield made
    except BaseException:
        for name in STAGES:
            if (folder / f"{name}.log").exists():
                print(f"---- {name}\n{made.log(name)[-6000:]}")
        raise
    finally:
        made.close()


def decode_counters(media: bytes | Path, read: ReadCounter = read_counter) -> list[int]:
    """Frame numbers of all pictures in a clip or in joined fragments."""
    source = str(media) if isinstance(media, Path) else io.BytesIO(media)
    with av.open(source, "r") as container:
        return [
            read(np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8))
            for frame in container.decode(video=0)
        ]


def wait_seconds(seconds: float) -> None:
    """Let real time pass: for tests whose rule is about a length of time."""
    deadline = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > deadline, seconds + 1)
