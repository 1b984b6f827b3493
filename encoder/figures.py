"""What the encoder counts, by camera, under /metrics."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

DELAY: Final = Histogram(
    "cradle_encoder_live_delay_seconds",
    "From the capture of a segment's first frame (the one that waits longest) to the playlist.",
    ["camera"],
    buckets=(0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 10, 20, 60),
)
AGE: Final = Gauge(
    "cradle_encoder_newest_picture_age_seconds",
    "How long ago the newest picture in the playlist was captured; grows while nothing comes.",
    ["camera"],
)
SEGMENTS: Final = Counter("cradle_encoder_segments_total", "Segments published.", ["camera"])
FED_BYTES: Final = Counter("cradle_encoder_fed_bytes_total", "Bytes given to ffmpeg.", ["camera"])
BATCHES: Final = Counter("cradle_encoder_batches_total", "Batches given to ffmpeg.", ["camera"])
SKIPPED: Final = Counter(
    "cradle_encoder_skipped_batches_total",
    "Batches left out of the live stream, by reason.",
    ["camera", "reason"],
)
GAPS: Final = Counter(
    "cradle_encoder_gaps_total", "Breaks in the run of batches of one epoch.", ["camera"]
)
GENERATIONS: Final = Counter(
    "cradle_encoder_generations_total",
    "ffmpeg children started, by what called for it.",
    ["camera", "reason"],
)
CHILD_FAILURES: Final = Counter(
    "cradle_encoder_child_failures_total",
    "ffmpeg children that failed, by how.",
    ["camera", "reason"],
)
WRITE_FAILURES: Final = Counter(
    "cradle_encoder_write_failures_total", "Playlists that could not be written.", ["camera"]
)
STALLED: Final = Gauge("cradle_encoder_stalled", "1 while no new segment comes.", ["camera"])


def begin(camera: str) -> None:
    """From now on this worker counts for a camera.

    A series that is only there once something went wrong has no increase at that moment.
    """
    for counter in (FED_BYTES, BATCHES, GAPS, WRITE_FAILURES):
        counter.labels(camera)
    STALLED.labels(camera).set(0)


def forget(camera: str) -> None:
    """Another worker has this camera now: its present state is not ours to tell."""
    for gauge in (AGE, STALLED):
        gauge.remove(camera)


SURVIVED = Counter(
    "cradle_encoder_survived_faults_total", "Faults of ours that a loop went on after.", ["loop"]
)
for _loop in ("live", "remote"):
    SURVIVED.labels(_loop)
