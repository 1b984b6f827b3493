"""What ingest counts."""

from typing import Final

from prometheus_client import Counter, Gauge

BEFORE_KEY_FRAME: Final = "before key frame"
OUT_OF_PLACE: Final = "sound out of place"
DAMAGED: Final = "damaged"
"""Why a packet is dropped."""
RETENTION: Final = "retention"
QUOTA: Final = "quota"
"""Why a fragment goes that no clip holds."""
UNREADABLE: Final = "unreadable"
SHORT: Final = "short"
OTHER_BYTES: Final = "other-bytes"
"""Why a fragment is left in the spool."""

FRAMES = Counter("cradle_ingest_frames_total", "Video frames taken from the camera.", ["camera"])
BYTES = Counter("cradle_ingest_bytes_total", "Bytes written to the frame store.", ["camera"])
FRAGMENTS = Counter("cradle_ingest_fragments_total", "Fragments closed.", ["camera"])
EPOCHS = Counter("cradle_ingest_epochs_total", "Epochs begun.", ["camera"])
DROPPED = Counter("cradle_ingest_dropped_packets_total", "Packets dropped.", ["camera", "reason"])
MENDED = Counter("cradle_ingest_mended_timestamps_total", "Timestamps mended.", ["camera"])
CORRUPT = Counter("cradle_ingest_corrupt_packets_total", "Packets marked corrupt.", ["camera"])
FAILURES = Counter("cradle_ingest_failures_total", "Times a camera failed.", ["camera"])
ONLINE = Gauge("cradle_ingest_camera_online", "1 while frames arrive.", ["camera"])
UNSENT_BATCHES = Counter("cradle_ingest_unsent_batches_total", "Batches not announced.", ["camera"])
SAMPLES = Counter("cradle_ingest_samples_total", "Samples published.", ["camera"])
EXPIRED = Counter(
    "cradle_ingest_expired_unarchived_fragments_total",
    "Fragments deleted although no clip holds them.",
    ["camera", "reason"],
)
NOT_BORNE_OUT = Counter(
    "cradle_ingest_stored_not_borne_out_total",
    "Fragments said to be stored that no clip in the bucket holds.",
    ["camera"],
)
UNCLEANED = Counter(
    "cradle_ingest_uncleaned_total", "Times a camera's footage could not be cleaned.", ["camera"]
)
UNREPORTED = Counter(
    "cradle_ingest_unreported_losses_total",
    "Times a note of deleted fragments could not be made a custody record.",
    ["camera"],
)
UPLOAD_FAILURES = Counter("cradle_ingest_upload_failures_total", "Uploads put off.", ["camera"])
UPLOADS_REFUSED = Counter(
    "cradle_ingest_uploads_refused_total",
    "Fragments left in the spool: unreadable, short, or their key held other bytes.",
    ["camera", "reason"],
)
DELETED = Counter("cradle_ingest_deleted_fragments_total", "Fragments deleted.", ["reason"])
SPOOL_BYTES = Gauge("cradle_ingest_spool_bytes", "Bytes that wait for an upload.")
SPOOL_QUOTA_BYTES = Gauge("cradle_ingest_spool_quota_bytes", "Their limit: `frames.spool_gib`.")
ARCHIVED_UP_TO = Gauge(
    "cradle_ingest_archived_up_to_timestamp_seconds",
    "What was recorded before is in a clip, or deleted: Unix time, at the janitor's last look.",
    ["camera"],
)
STORE_BYTES = Gauge("cradle_ingest_frame_store_bytes", "Bytes in the frame store.")
QUOTA_BYTES = Gauge("cradle_ingest_frame_store_quota_bytes", "Its limit: `frames.quota_gib`.")
DISK_FREE_BYTES = Gauge("cradle_ingest_frame_store_disk_free_bytes", "Room left on its disk.")
DISK_SIZE_BYTES = Gauge("cradle_ingest_frame_store_disk_size_bytes", "Size of its disk.")
SURVIVED = Counter(
    "cradle_ingest_survived_faults_total", "Faults of ours that a loop went on after.", ["loop"]
)
for _loop in ("session", "janitor", "bucket janitor", "uploads", "elsewhere", "index", "recovery"):
    SURVIVED.labels(_loop)


def begin(camera: str) -> None:
    """From now on this worker counts for a camera.

    A series that is only there once something went wrong has no increase at that moment.
    """
    for counter in (FAILURES, UNSENT_BATCHES, NOT_BORNE_OUT, UNCLEANED, UNREPORTED, CORRUPT):
        counter.labels(camera)
    SAMPLES.labels(camera)
    for reason in (RETENTION, QUOTA):
        EXPIRED.labels(camera, reason)
    for reason in (BEFORE_KEY_FRAME, OUT_OF_PLACE, DAMAGED):
        DROPPED.labels(camera, reason)
    ONLINE.labels(camera).set(0)
    begin_uploads(camera)


def begin_uploads(camera: str) -> None:
    """As `begin`, of a camera that the spool holds something of."""
    UPLOAD_FAILURES.labels(camera)
    for reason in (UNREADABLE, SHORT, OTHER_BYTES):
        UPLOADS_REFUSED.labels(camera, reason)
