"""Fragments for the archiver's tests: references alone, or real ones in a frame store."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from pydantic import SecretStr

from shared.bucketframes import BucketFrames
from shared.bucketplace import BucketPlace
from shared.clock import SimulatedClock
from shared.config import ArchiveSettings
from shared.framestore import INDEX_NAME
from shared.identity import fragment_path, new_epoch
from shared.messages import EpochEnd, Fragment, StreamParameters
from shared.transport import count_frames
from tests.memory_store import MemoryStore

CAMERA = "camera-1"
START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
STREAM = StreamParameters(
    video_codec="h264", width=320, height=180, frames_per_second=30, audio_codec="aac"
)


EPOCH = new_epoch(START)[:-8] + "0" * 8
"""One that began at START, always the same."""


def reference(
    number: int,
    *,
    epoch: str = EPOCH,
    captured_at: datetime | None = None,
    duration_seconds: float = 1.0,
    camera: str = CAMERA,
) -> Fragment:
    """A reference without bytes behind it; by default one a second from START on."""
    return Fragment(
        camera=camera,
        epoch=epoch,
        fragment=number,
        path=fragment_path(camera, epoch, number),
        bytes=188,
        frames=30,
        captured_at=captured_at or START + timedelta(seconds=number),
        duration_seconds=duration_seconds,
        key_frame_bytes=188,
        stream=STREAM,
    )


def empty_bucket() -> tuple[BucketFrames, MemoryStore]:
    """A frame store that is a bucket, and what has been asked of that."""
    frames = BucketFrames(ArchiveSettings(secret_key=SecretStr("x")), BucketPlace("frames", ""))
    store = MemoryStore(SimulatedClock(START))
    memory: Any = store
    frames.store = memory
    return frames, store


def put(frames: BucketFrames, *fragments: Fragment) -> None:
    """References, each with bytes that nobody can read as a video."""
    for each in fragments:
        frames.put(each, bytes(each.bytes))


@cache
def footage(folder: Path, seconds: int, codec: str = "h264", noise: int = 0) -> Path:
    """An MP4 with a key frame a second, made once; with `noise` (0..100) it is large."""
    path = folder / f"{codec}-{seconds}-{noise}.mp4"
    encoder = {
        "h264": ["libx264", "-preset", "ultrafast", "-bf", "0"],
        "hevc": ["libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"],
    }[codec]
    command = [
        *("ffmpeg", "-v", "error", "-y"),
        *("-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=30,noise=alls={noise}:allf=t"),
        *("-f", "lavfi", "-i", "sine=440:sample_rate=48000"),
        *("-t", str(seconds), "-c:v", *encoder, "-pix_fmt", "yuv420p"),
        *("-force_key_frames", "expr:gte(t,n_forced)", "-g", "30", "-sc_threshold", "0"),
        *("-c:a", "aac", str(path)),
    ]
    subprocess.run(command, check=True, timeout=60)
    return path


@dataclass(frozen=True)
class Recorded:
    """An epoch in a frame store."""

    root: Path
    camera: str
    epoch: str
    fragments: list[Fragment]

    @property
    def frames(self) -> int:
        return sum(each.frames for each in self.fragments)

    def path(self, number: int) -> Path:
        return self.root / self.fragments[number].path

    def index(self, fragments: Sequence[Fragment], end: EpochEnd | None = None) -> None:
        """Write the epoch's index anew."""
        lines = [each.to_body() + b"\n" for each in (*fragments, *([end] if end else []))]
        (self.root / self.camera / self.epoch / INDEX_NAME).write_bytes(b"".join(lines))

    def end(self, reason: str = "the camera was unplugged") -> EpochEnd:
        return EpochEnd(
            camera=self.camera,
            epoch=self.epoch,
            fragments=len(self.fragments),
            ended_at=self.fragments[-1].ends_at,
            reason=reason,
        )


def record(
    root: Path,
    source: Path,
    *,
    camera: str = CAMERA,
    starts_at: datetime = START,
    audio_from_seconds: float = 0.0,
    codec: str = "h264",
) -> Recorded:
    """Cut `source` into fragments as ingest does, one a second, with an index of them all."""
    epoch = new_epoch(starts_at)
    folder = root / camera / epoch
    folder.mkdir(parents=True)
    stream = STREAM.model_copy(update={"video_codec": codec})
    fragments: list[Fragment] = []
    with av.open(str(source), "r") as reader:
        video, audio = reader.streams.video[0], reader.streams.audio[0]
        writer: _Writer | None = None
        for packet in reader.demux(video, audio):
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            seconds = float(packet.pts * packet.time_base)
            if packet.stream is video and packet.is_keyframe:
                if writer is not None:
                    writer.close()
                writer = _Writer(folder / f"{len(fragments):06d}.ts", video, audio)
                fragments.append(
                    reference(
                        len(fragments),
                        epoch=epoch,
                        camera=camera,
                        captured_at=starts_at + timedelta(seconds=seconds),
                    )
                )
            if writer is not None and (packet.stream is video or seconds >= audio_from_seconds):
                writer.mux(packet)
        if writer is not None:
            writer.close()
    recorded = Recorded(root, camera, epoch, [_measured(root, each, stream) for each in fragments])
    recorded.index(recorded.fragments)
    return recorded


def _measured(root: Path, fragment: Fragment, stream: StreamParameters) -> Fragment:
    data = (root / fragment.path).read_bytes()
    return fragment.model_copy(
        update={
            "bytes": len(data),
            "frames": count_frames(data),
            "key_frame_bytes": len(data),
            "stream": stream,
        }
    )


class _Writer:
    """One fragment's file."""

    def __init__(self, path: Path, video: VideoStream, audio: AudioStream) -> None:
        options = {"mpegts_flags": "initial_discontinuity", "max_interleave_delta": "100000"}
        self._container = av.open(str(path), "w", format="mpegts", options=options)
        self._video = self._container.add_stream_from_template(video)
        self._audio = self._container.add_stream_from_template(audio)
        self._source = video

    def mux(self, packet: Any) -> None:
        packet.stream = self._video if packet.stream is self._source else self._audio
        self._container.mux(packet)

    def close(self) -> None:
        self._container.close()
