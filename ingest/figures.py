"""What ingest counts."""

from prometheus_client import Counter, Gauge

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
DELETED = Counter("cradle_ingest_deleted_fragments_total", "Fragments deleted.", ["reason"])
STORE_BYTES = Gauge("cradle_ingest_frame_store_bytes", "Bytes in the frame store.")
SPOOL_BYTES = Gauge("cradle_ingest_spool_bytes", "Bytes that wait for an upload.")
SURVIVED = Counter(
    "cradle_ingest_survived_faults_total", "Faults of ours that a loop went on after.", ["loop"]
)
