"""The pages of the stages that keep footage: ingest and archiver."""

from deploy.grafana.oncall import ARCHIVE_LAG
from deploy.grafana.panel import Page, Panel, Query, Unit
from deploy.grafana.workers import worker_panels
from shared.messages import Stage


def rates(
    metric: str, title: str, description: str, *, by: str = "camera", unit: Unit = "cps"
) -> Panel:
    """A counter of each camera, a second."""
    expression = f'sum by ({by}) (rate({metric}{{camera=~"$camera"}}[5m]))'
    return Panel(title, unit, description, (Query(expression, f"{{{{{by}}}}}"),))


def increases(metric: str, title: str, description: str, *, by: str = "camera") -> Panel:
    """What was counted in the last hour; nothing is shown where nothing was."""
    expression = f'sum by ({by}) (increase({metric}{{camera=~"$camera"}}[1h])) > 0'
    return Panel(title, "short", description, (Query(expression, f"{{{{{by}}}}}"),))


LAG = Panel(
    "Archive lag",
    "s",
    "Age of the oldest fragment in the frame store that no clip holds, as ingest knows it: right "
    "also when no archiver lives or the camera is off.",
    (
        Query(
            ARCHIVE_LAG.replace("_timestamp_seconds", '_timestamp_seconds{camera=~"$camera"}'),
            "{{camera}}",
        ),
    ),
    warn=1800,
)

INGEST = Page(
    "ingest",
    "Cradle: ingest",
    "Camera to fragments in the frame store.",
    (
        Panel(
            "Online",
            "bool_on_off",
            "1 while frames arrive; red is a gap in the recording.",
            (
                Query(
                    'max by (camera) (cradle_ingest_camera_online{camera=~"$camera"})', "{{camera}}"
                ),
            ),
            "state-timeline",
            width=24,
            warn_below=1,
        ),
        rates("cradle_ingest_frames_total", "Frames", "Video frames a second, as the camera sends"),
        rates("cradle_ingest_bytes_total", "Bytes written", "To the frame store.", unit="Bps"),
        increases(
            "cradle_ingest_failures_total", "Failures", "Times an hour that a camera failed."
        ),
        increases("cradle_ingest_epochs_total", "Epochs", "An hour: each is a (re)connection."),
        rates(
            "cradle_ingest_dropped_packets_total",
            "Packets dropped",
            "By reason. `before key frame` is usual at each connection.",
            by="reason",
        ),
        rates(
            "cradle_ingest_corrupt_packets_total", "Corrupt packets", "A bad line to the camera."
        ),
        rates(
            "cradle_ingest_unsent_batches_total",
            "Batches not announced",
            "Live pictures that the broker did not take; the recording has them.",
        ),
        LAG,
        Panel(
            "Frame store",
            "bytes",
            "At the quota the oldest go, stored ones first.",
            (
                Query("max(cradle_ingest_frame_store_bytes)", "used"),
                Query("max(cradle_ingest_frame_store_quota_bytes)", "quota"),
                Query("min(cradle_ingest_frame_store_disk_free_bytes)", "free on its disk"),
            ),
        ),
        Panel(
            "Fragments deleted",
            "cps",
            "By reason: `stored` is the usual one; of the others some may not be in a clip.",
            (
                Query(
                    "sum by (reason) (rate(cradle_ingest_deleted_fragments_total[5m]))",
                    "{{reason}}",
                ),
            ),
        ),
        increases(
            "cradle_ingest_expired_unarchived_fragments_total",
            "Deleted unarchived",
            "Fragments an hour that no clip holds: footage that is lost.",
        ),
        increases(
            "cradle_ingest_stored_not_borne_out_total",
            "Said to be stored, and not found",
            "Fragments of which an event said so and the bucket did not. They are kept.",
        ),
        Panel(
            "Spool",
            "bytes",
            "With `frames.url: s3://`: what each host could not put into the bucket yet.",
            (
                Query("sum by (instance) (cradle_ingest_spool_bytes)", "{{instance}}"),
                Query("min(cradle_ingest_spool_quota_bytes)", "limit"),
            ),
        ),
        rates("cradle_ingest_uploads_total", "Uploads", "Fragments put into the bucket, a second."),
        increases("cradle_ingest_upload_failures_total", "Uploads put off", "In an hour."),
        Panel(
            "Upload, p95",
            "s",
            "From a fragment's turn to its place in the bucket; live waits for it.",
            (
                Query(
                    "histogram_quantile(0.95, "
                    "sum by (le) (rate(cradle_ingest_upload_seconds_bucket[5m])))",
                    "p95",
                ),
            ),
        ),
        Panel(
            "Waiting for the disk",
            "short",
            "Closed fragments that are not yet durable; more than a few is a disk that is slow.",
            (Query("sum by (instance) (cradle_ingest_index_waiting_fragments)", "{{instance}}"),),
        ),
        *worker_panels(Stage.INGEST),
    ),
)

ARCHIVER = Page(
    "archiver",
    "Cradle: archiver",
    "Fragments to clips in the object store.",
    (
        LAG,
        Panel(
            "Time since the end of the last clip",
            "s",
            "Of a camera that is off it rises, and nothing is wrong: see the lag.",
            (
                Query(
                    "time() - max by (camera) "
                    '(cradle_archiver_stored_up_to_timestamp_seconds{camera=~"$camera"})',
                    "{{camera}}",
                ),
            ),
        ),
        increases("cradle_archiver_clips_total", "Clips", "Committed in an hour."),
        rates("cradle_archiver_bytes_total", "Bytes stored", "In clips.", unit="Bps"),
        Panel(
            "Commit",
            "s",
            "From a window's end being known to its commit.",
            tuple(
                Query(
                    f"histogram_quantile({share}, "
                    "sum by (le) (rate(cradle_archiver_commit_seconds_bucket[30m])))",
                    f"p{share * 100:.0f}",
                )
                for share in (0.5, 0.95)
            ),
        ),
        Panel(
            "Deliveries held",
            "short",
            "Fragments taken from the queue whose clip is not committed.",
            (
                Query(
                    'sum by (camera) (cradle_archiver_held_deliveries{camera=~"$camera"})',
                    "{{camera}}",
                ),
            ),
        ),
        Panel(
            "Oldest delivery held",
            "s",
            "At a clip's length and ten minutes they are given back.",
            (
                Query(
                    'max by (camera) (cradle_archiver_oldest_held_seconds{camera=~"$camera"})',
                    "{{camera}}",
                ),
            ),
        ),
        increases("cradle_archiver_retries_total", "Tried again", "Commits put off.", by="reason"),
        increases(
            "cradle_archiver_blocked_total",
            "Blocked clips",
            "Alarms for a clip that needs a person, one a minute at most.",
        ),
        increases("cradle_archiver_lost_fragments_total", "Lost", "Gone before they were stored."),
        increases(
            "cradle_archiver_originals_kept_total",
            "Kept as they were",
            "Conversions that failed: the clip is the original bytes (.ts).",
        ),
        increases(
            "cradle_archiver_reconciled_total",
            "Found in the frame store",
            "Fragments that no message brought: after a broker that lost its data, and at starts.",
        ),
        increases(
            "cradle_archiver_duplicates_total", "Duplicates", "Delivered again after their commit."
        ),
        increases("cradle_archiver_custody_total", "Custody records", "Written.", by="kind"),
        increases("cradle_archiver_expired_total", "Expired", "Deleted by age.", by="kind"),
        *worker_panels(Stage.ARCHIVER),
    ),
)
