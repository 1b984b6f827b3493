"""The floor: one ffmpeg per camera, which does HLS and recording by stream copy, and nothing else.

No broker, no object store, no index, no reconnection, no pictures for analysis: if it dies, what
it was recording is lost. It is what anything more must be measured against.
"""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from deploy.local.program import Program
from shared.child import find_program
from tests.bench.mark import Mark, marks_in

STOP_SECONDS: Final = 20.0
SEGMENT_SECONDS: Final = 1
PLAYLIST_SEGMENTS: Final = 6


def command(source: str, clip_seconds: int) -> list[str]:
    """ffmpeg's arguments; it runs in the camera's own folder."""
    return [
        *(find_program("ffmpeg"), "-hide_banner", "-nostats", "-nostdin", "-v", "warning"),
        *("-rtsp_transport", "tcp", "-i", source),
        *("-map", "0", "-c", "copy", "-f", "hls", "-hls_time", str(SEGMENT_SECONDS)),
        *("-hls_list_size", str(PLAYLIST_SEGMENTS), "-hls_flags", "delete_segments"),
        *("-hls_segment_filename", "live/%06d.ts", "live/index.m3u8"),
        *("-map", "0", "-c", "copy", "-f", "segment", "-segment_time", str(clip_seconds)),
        *("-segment_atclocktime", "1", "-reset_timestamps", "1", "-segment_format", "mp4"),
        "recordings/%06d.mp4",
    ]


class PlainFfmpeg:
    """All the ffmpegs."""

    name = "bare ffmpeg"

    def __init__(self, folder: Path, clip_seconds: int) -> None:
        self._folder = folder
        self._clip_seconds = clip_seconds
        self._programs: list[Program] = []

    def start(self, sources: list[str]) -> None:
        for number, source in enumerate(sources):
            place = self._place(number)
            for name in ("live", "recordings"):
                (place / name).mkdir(parents=True)
            program = Program(
                "ffmpeg",
                command(source, self._clip_seconds),
                folder=place,
                environment=dict(os.environ),
            )
            program.start()
            self._programs.append(program)

    def _place(self, number: int) -> Path:
        return self._folder / f"{number:04d}"

    def playlists(self) -> dict[int, Path]:
        return {
            number: self._place(number) / "live" / "index.m3u8"
            for number in range(len(self._programs))
        }

    def named_processes(self) -> Mapping[int, str]:
        for program in self._programs:
            program.require_running()
        return {program.pid: "ffmpeg" for program in self._programs}

    def troubles(self) -> dict[str, float]:
        lines = sum(len(each.log_file.read_text().splitlines()) for each in self._programs)
        return {"lines of warning": lines} if lines else {}

    def stop(self) -> None:
        for program in self._programs:
            program.ask_to_stop()  # once: a second signal makes ffmpeg leave its files unfinished
        deadline = time.monotonic() + STOP_SECONDS
        for program in self._programs:
            while program.is_running and time.monotonic() < deadline:
                time.sleep(0.05)
            program.kill()

    def recorded(self) -> Iterator[tuple[int, Mark]]:
        for number in range(len(self._programs)):
            for file in sorted((self._place(number) / "recordings").iterdir()):
                for mark in marks_in(file):
                    yield number, mark
