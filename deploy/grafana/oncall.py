"""The page for a person on call: is a room without its recording or its picture, and why."""

from deploy.grafana.panel import Page, Panel, Query

ARCHIVE_LAG = "time() - max by (camera) (cradle_ingest_archived_up_to_timestamp_seconds)"
LIVE_DELAY = (
    "histogram_quantile(0.95, sum by (camera, le) "
    "(rate(cradle_encoder_live_delay_seconds_bucket[5m])))"
)


def used(unit: str) -> str:
    """Share of today's budget that is used, in one unit."""
    granted, balance, limit = (
        f"cradle_analyzer_budget_{part}_{unit}" for part in ("granted", "balance", "limit")
    )
    return f"(max({granted}) - sum({balance})) / (max({limit}) > 0)"


PAGE = Page(
    "on-call",
    "Cradle: on call",
    "What is wrong now. Each alert has a section in docs/OPERATIONS.md.",
    (
        Panel(
            "Alerts",
            "short",
            "Alerts that fire now; the table below names them.",
            (Query('count(ALERTS{alertstate="firing"}) or vector(0)'),),
            "stat",
            width=4,
            warn=1,
        ),
        Panel(
            "Cameras offline",
            "short",
            "Cameras from which no worker receives pictures.",
            (Query("count(max by (camera) (cradle_ingest_camera_online) == 0) or vector(0)"),),
            "stat",
            width=4,
            warn=1,
        ),
        Panel(
            "Without an owner",
            "short",
            "Cameras that no worker of a stage has, of the stage that is worst.",
            (Query("max(cradle_seats_unowned_cameras)"),),
            "stat",
            width=4,
            warn=1,
        ),
        Panel(
            "Archive lag",
            "s",
            "Age of the oldest fragment that no clip holds, of the camera that is worst. One clip "
            "length and a minute is usual.",
            (Query(f"max({ARCHIVE_LAG})"),),
            "stat",
            width=4,
            warn=1800,
        ),
        Panel(
            "Live delay, p95",
            "s",
            "From the room to the playlist, of the camera that is worst.",
            (Query(f"max({LIVE_DELAY})"),),
            "stat",
            width=4,
            warn=4,
        ),
        Panel(
            "Dead letters",
            "short",
            "Messages that nobody could obey: `cradle lost list`.",
            (Query('sum(rabbitmq_detailed_queue_messages{queue="lost"}) or vector(0)'),),
            "stat",
            width=4,
            warn=1,
        ),
        Panel(
            "Footage lost today",
            "short",
            "Fragments of the last 24 h that were deleted, or gone, before a clip held them.",
            (
                Query(
                    "(sum(increase(cradle_ingest_expired_unarchived_fragments_total[24h])) "
                    "or vector(0)) + "
                    "(sum(increase(cradle_archiver_lost_fragments_total[24h])) or vector(0))"
                ),
            ),
            "stat",
            width=4,
            warn=1,
        ),
        Panel(
            "Frame store",
            "percentunit",
            "Share of `frames.quota_gib` in use.",
            (
                Query(
                    "max(cradle_ingest_frame_store_bytes) / "
                    "max(cradle_ingest_frame_store_quota_bytes)"
                ),
            ),
            "stat",
            width=4,
            warn=0.8,
        ),
        Panel(
            "Disk free",
            "percentunit",
            "Room left on the frame store's disk, whoever fills it. Nothing is shown without one.",
            (
                Query(
                    "min(cradle_ingest_frame_store_disk_free_bytes / "
                    "(cradle_ingest_frame_store_disk_size_bytes > 0))"
                ),
            ),
            "stat",
            width=4,
            warn_below=0.05,
        ),
        Panel(
            "Budget used",
            "percentunit",
            "Of today (UTC), by what is scarcest of requests, tokens and money. Nothing is shown "
            "while nothing remote is asked.",
            (
                Query(
                    "max("
                    + " or ".join(
                        f'label_replace({used(unit)}, "unit", "{unit}", "", "")'
                        for unit in ("requests", "tokens", "dollars")
                    )
                    + ")"
                ),
            ),
            "stat",
            width=4,
            warn=0.9,
        ),
        Panel(
            "Workers away",
            "short",
            "Replicas, and broker nodes, that Prometheus knows of and cannot reach.",
            (Query("count(up == 0) or vector(0)"),),
            "stat",
            width=4,
            warn=1,
        ),
        Panel(
            "Broker alarms",
            "short",
            "Memory or disk of RabbitMQ: while one stands it takes no messages.",
            (
                Query(
                    "sum(rabbitmq_alarms_memory_used_watermark) + "
                    "sum(rabbitmq_alarms_free_disk_space_watermark)"
                ),
            ),
            "stat",
            width=4,
            warn=1,
        ),
        Panel(
            "What fires",
            "short",
            "The alerts, with the room, stage or worker that they are about.",
            (Query('ALERTS{alertstate="firing"}'),),
            "table",
            width=24,
        ),
        Panel(
            "Cameras online",
            "bool_on_off",
            "Each camera over time; red is a gap in its recording.",
            (Query("max by (camera) (cradle_ingest_camera_online)", "{{camera}}"),),
            "state-timeline",
            width=24,
            warn_below=1,
        ),
        Panel(
            "Archive lag",
            "s",
            "A saw: it rises by a clip's length and falls when the clip is stored. A line that "
            "rises on is an archive that is behind.",
            (Query(ARCHIVE_LAG, "{{camera}}"),),
            warn=1800,
        ),
        Panel(
            "Live delay, p95",
            "s",
            "From the capture of a segment's first frame to the playlist.",
            (Query(LIVE_DELAY, "{{camera}}"),),
            warn=4,
        ),
        Panel(
            "Workers that answer",
            "short",
            "Replicas of each stage, and nodes of the broker.",
            (Query('sum by (job) (up{job!="rabbitmq-queues"})', "{{job}}"),),
        ),
        Panel(
            "Tried again",
            "short",
            "Commits put off in five minutes, by reason: what the archive waits for.",
            (
                Query(
                    "sum by (reason) (increase(cradle_archiver_retries_total[5m]))",
                    "{{reason}}",
                ),
            ),
        ),
    ),
)
