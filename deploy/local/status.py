"""What the workers say of each camera, read from their /metrics and /healthz.

One line a camera for the person who started `cradle up`: state, frames a second, live delay, clips
stored, last analysis. Nothing here is kept but the counts of the last look, for the rate.
"""

import json
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from zoneinfo import ZoneInfo

from prometheus_client.parser import text_string_to_metric_families

from shared.clock import Clock
from shared.messages import Stage

TIMEOUT_SECONDS = 1.0
LARGEST_ANSWER_BYTES = 8 * 1024 * 1024

Figures = dict[tuple[str, str], float]
"""(sample name, camera) to the sum over all other labels."""


@dataclass(frozen=True)
class CameraStatus:
    """One camera as people want to know it."""

    camera: str
    state: str
    frames_per_second: float | None
    live_delay_seconds: float | None
    clips: int
    analysed_at: datetime | None

    def line(self, zone: ZoneInfo) -> str:
        """For a log: one plain line."""
        rate = "-" if self.frames_per_second is None else f"{self.frames_per_second:.1f} fps"
        delay = "-" if self.live_delay_seconds is None else f"{self.live_delay_seconds:.1f} s"
        seen = "-" if self.analysed_at is None else f"{self.analysed_at.astimezone(zone):%H:%M:%S}"
        return (
            f"{self.camera}: {self.state}, {rate}, live delay {delay}, {self.clips} clips stored, "
            f"last analysis {seen}"
        )


@dataclass
class Watch:
    """Looks at the workers from time to time."""

    clock: Clock
    cameras: list[str]
    _frames: dict[str, float] = field(default_factory=dict)
    _looked_at: float | None = None

    def look(self, workers: Iterable[tuple[Stage, int]]) -> list[CameraStatus]:
        """Ask every worker (stage, port); one that does not answer is left out."""
        figures: Figures = {}
        states: dict[str, str] = {}
        for stage, port in workers:
            add(figures, fetch(f"http://127.0.0.1:{port}/metrics"))
            if stage is Stage.INGEST:
                states |= camera_states(fetch(f"http://127.0.0.1:{port}/healthz"))
        now = self.clock.monotonic()
        elapsed = None if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        return [self._of(camera, figures, states, elapsed) for camera in self.cameras]

    def _of(
        self, camera: str, figures: Figures, states: Mapping[str, str], elapsed: float | None
    ) -> CameraStatus:
        frames = figures.get(("cradle_ingest_frames_total", camera), 0.0)
        before = self._frames.get(camera)
        self._frames[camera] = frames
        rate = None
        if elapsed and before is not None and frames >= before:
            rate = (frames - before) / elapsed
        seen = figures.get(("cradle_analyzer_last_result_timestamp_seconds", camera))
        return CameraStatus(
            camera=camera,
            state=states.get(camera, "starting"),
            frames_per_second=rate,
            live_delay_seconds=figures.get(("cradle_encoder_newest_picture_age_seconds", camera)),
            clips=round(figures.get(("cradle_archiver_clips_total", camera), 0.0)),
            analysed_at=datetime.fromtimestamp(seen, tz=ZoneInfo("UTC")) if seen else None,
        )


def fetch(url: str) -> str:
    """What a worker answers; empty if it does not."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - ours
            body: bytes = answer.read(LARGEST_ANSWER_BYTES)
    except (OSError, HTTPException):
        return ""
    return body.decode(errors="replace")


def add(figures: Figures, text: str) -> None:
    """Add the samples of one worker that carry a camera."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            camera = sample.labels.get("camera")
            if camera is not None:
                key = (sample.name, camera)
                figures[key] = figures.get(key, 0.0) + sample.value


def camera_states(text: str) -> dict[str, str]:
    """The states in a /healthz answer."""
    try:
        states = json.loads(text)["states"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {str(camera): str(state) for camera, state in states.items()}
