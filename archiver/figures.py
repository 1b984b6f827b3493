"""What the archiver counts, for dashboards and alarms."""

from prometheus_client import Counter, Gauge, Histogram

from shared.errors import StoreUnavailable
from shared.manifest import Manifest

TURN = "turn"
"""What a fault of a camera's own survived in."""

CLIPS = Counter(
    "cradle_archiver_clips_total", "Clips committed.", ["camera", "container", "outcome"]
)
FRAGMENTS = Counter("cradle_archiver_fragments_total", "Fragments committed.", ["camera"])
FRAMES = Counter("cradle_archiver_frames_total", "Video frames committed.", ["camera"])
BYTES = Counter("cradle_archiver_bytes_total", "Bytes of committed clips.", ["camera"])
ORIGINALS_KEPT = Counter(
    "cradle_archiver_originals_kept_total", "Conversions that failed.", ["camera", "reason"]
)
DUPLICATES = Counter(
    "cradle_archiver_duplicates_total", "Fragments delivered again after their commit.", ["camera"]
)
RECONCILED = Counter(
    "cradle_archiver_reconciled_total",
    "Fragments that the frame store held and no message brought.",
    ["camera"],
)
LOST = Counter(
    "cradle_archiver_lost_fragments_total", "Fragments gone before they were stored.", ["camera"]
)
RETRIES = Counter(
    "cradle_archiver_retries_total", "Commits put off to try again.", ["camera", "reason"]
)
BLOCKED = Counter(
    "cradle_archiver_blocked_total",
    "Alarms for a clip that cannot be stored until a person has acted, one a minute each at most.",
    ["camera"],
)
RANGE_TAKEN = Counter(
    "cradle_archiver_range_taken_total", "Commits that met another range: seat lost.", ["camera"]
)
UNTOLD = Counter(
    "cradle_archiver_untold_clips_total",
    "Clips stored of which not everybody was told: a queue was away.",
    ["camera"],
)
BAD_MESSAGES = Counter(
    "cradle_archiver_bad_messages_total", "Messages sent to cradle.lost.", ["camera"]
)
CUSTODY = Counter("cradle_archiver_custody_total", "Custody records written.", ["camera", "kind"])
SURVIVED = Counter(
    "cradle_archiver_survived_faults_total",
    "Times that something failed and was put off, so that the rest went on.",
    ["camera", "what"],
)
EXPIRED = Counter("cradle_archiver_expired_total", "Objects deleted by age.", ["camera", "kind"])
LEFTOVERS = Counter(
    "cradle_archiver_leftovers_removed_total", "Objects that no manifest named.", ["camera"]
)
SECONDS = Histogram(
    "cradle_archiver_commit_seconds",
    "From a window's end being known to its commit.",
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900),
)
HELD = Gauge("cradle_archiver_held_deliveries", "Deliveries not acknowledged yet.", ["camera"])
OLDEST_HELD = Gauge("cradle_archiver_oldest_held_seconds", "Age of the oldest of them.", ["camera"])
STORED_UP_TO = Gauge(
    "cradle_archiver_stored_up_to_timestamp_seconds", "End of the last clip, Unix time.", ["camera"]
)


def begin(camera: str) -> None:
    """From now on this worker counts for a camera.

    A series that is only there once something went wrong has no increase at that moment.
    """
    counters = (FRAGMENTS, FRAMES, BYTES, DUPLICATES, RECONCILED, LOST, BLOCKED, RANGE_TAKEN)
    for counter in (*counters, UNTOLD, BAD_MESSAGES):
        counter.labels(camera)
    RETRIES.labels(camera, StoreUnavailable.__name__)
    SURVIVED.labels(camera, TURN)


def forget(camera: str) -> None:
    """Another worker has this camera now: its present state is not ours to tell."""
    for gauge in (HELD, OLDEST_HELD):
        gauge.remove(camera)


def count_clip(manifest: Manifest, outcome: str) -> None:
    """A clip is committed."""
    camera = manifest.camera
    CLIPS.labels(camera, manifest.container, outcome).inc()
    FRAGMENTS.labels(camera).inc(len(manifest.fragments))
    FRAMES.labels(camera).inc(manifest.frames)
    BYTES.labels(camera).inc(manifest.bytes)
    STORED_UP_TO.labels(camera).set(manifest.ends_at.timestamp())
