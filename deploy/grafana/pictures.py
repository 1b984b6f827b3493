"""The pages of the stages that people see: encoder, analyzer and viewer."""

from deploy.grafana.oncall import used
from deploy.grafana.panel import Page, Panel, Query
from deploy.grafana.stages import increases, rates
from deploy.grafana.workers import worker_panels
from shared.messages import Stage


def delay(share: float) -> Panel:
    """A quantile of the live delay of each camera."""
    bucket = 'cradle_encoder_live_delay_seconds_bucket{camera=~"$camera"}'
    return Panel(
        f"Live delay, p{share * 100:.0f}",
        "s",
        "From the capture of a segment's first frame, which waits longest, to the playlist.",
        (
            Query(
                f"histogram_quantile({share}, sum by (camera, le) (rate({bucket}[5m])))",
                "{{camera}}",
            ),
        ),
        warn=4,
    )


ENCODER = Page(
    "encoder",
    "Cradle: encoder",
    "Batches to live HLS.",
    (
        delay(0.5),
        delay(0.95),
        Panel(
            "Age of the newest picture",
            "s",
            "Of what the playlist ends with; it rises while nothing comes.",
            (
                Query(
                    "max by (camera) "
                    '(cradle_encoder_newest_picture_age_seconds{camera=~"$camera"})',
                    "{{camera}}",
                ),
            ),
        ),
        Panel(
            "Stalled",
            "bool_on_off",
            "On (red) while no new segment comes; a camera that is off is stalled too.",
            (Query('max by (camera) (cradle_encoder_stalled{camera=~"$camera"})', "{{camera}}"),),
            "state-timeline",
            warn=1,
        ),
        rates("cradle_encoder_segments_total", "Segments", "Published, a second."),
        rates("cradle_encoder_fed_bytes_total", "Fed", "Bytes given to ffmpeg.", unit="Bps"),
        rates("cradle_encoder_batches_total", "Batches", "Given to ffmpeg, a second."),
        increases(
            "cradle_encoder_skipped_batches_total",
            "Batches left out",
            "Of the live picture, by reason; the recording has them.",
            by="reason",
        ),
        increases("cradle_encoder_gaps_total", "Breaks", "In the run of batches of an epoch."),
        increases(
            "cradle_encoder_generations_total",
            "ffmpeg begun",
            "By what called for it.",
            by="reason",
        ),
        increases("cradle_encoder_child_failures_total", "ffmpeg failed", "By how.", by="reason"),
        increases(
            "cradle_encoder_write_failures_total",
            "Playlists not written",
            "The disk of `live.url` is full or cannot be written.",
        ),
        *worker_panels(Stage.ENCODER),
    ),
)

ANALYZER = Page(
    "analyzer",
    "Cradle: analyzer",
    "Samples to notes. Nothing here touches live or archive.",
    (
        increases(
            "cradle_analyzer_samples_total",
            "Samples",
            "By what became of them, an hour. Late ones: more analyzers, or a longer interval.",
            by="result",
        ),
        Panel(
            "Time since the last note",
            "s",
            "Where nothing changes a note comes each ten minutes at least.",
            (
                Query(
                    "time() - max by (camera) "
                    '(cradle_analyzer_last_result_timestamp_seconds{camera=~"$camera"})',
                    "{{camera}}",
                ),
            ),
        ),
        Panel(
            "Judging",
            "s",
            "From a sample's arrival to its acknowledgement.",
            tuple(
                Query(
                    f"histogram_quantile({share}, "
                    "sum by (le) (rate(cradle_analyzer_judging_seconds_bucket[15m])))",
                    f"p{share * 100:.0f}",
                )
                for share in (0.5, 0.95)
            ),
        ),
        Panel(
            "Provider",
            "short",
            "Cameras by the state in which their provider was last found.",
            (
                Query(
                    "sum by (state) (max by (camera, state) (cradle_analyzer_provider_state))",
                    "{{state}}",
                ),
            ),
        ),
        Panel(
            "Budget used",
            "percentunit",
            "Share of today's budget (UTC), of all replicas.",
            tuple(Query(used(unit), unit) for unit in ("requests", "tokens", "dollars")),
            warn=0.9,
        ),
        Panel(
            "Money",
            "currencyUSD",
            "Spent in the last 24 h, by the prices configured.",
            (Query("sum(increase(cradle_analyzer_cost_dollars_total[24h]))", "24 h"),),
        ),
        Panel(
            "Requests",
            "reqps",
            "Calls to the remote provider, a second, and those made again.",
            (
                Query("sum(rate(cradle_analyzer_requests_total[15m]))", "all"),
                Query(
                    "sum by (state) (rate(cradle_analyzer_retries_total[15m]))", "again: {{state}}"
                ),
            ),
        ),
        Panel(
            "Tokens",
            "cps",
            "In and out, a second.",
            (
                Query(
                    "sum by (direction) (rate(cradle_analyzer_tokens_total[15m]))", "{{direction}}"
                ),
            ),
        ),
        increases(
            "cradle_analyzer_pictures_unusable_total",
            "Pictures left out",
            "Their fragment is gone or cannot be decoded.",
            by="reason",
        ),
        *worker_panels(Stage.ANALYZER),
    ),
)

VIEWER = Page(
    "viewer",
    "Cradle: viewer",
    "The page that people look at.",
    (
        Panel(
            "Open pages",
            "short",
            "Pages that listen to events now.",
            (Query("sum by (instance) (cradle_viewer_open_pages)", "{{instance}}"),),
        ),
        Panel(
            "Answers",
            "reqps",
            "By class of status; 5xx are faults of ours, or a store that is away.",
            (Query("sum by (status) (rate(cradle_viewer_responses_total[5m]))", "{{status}}"),),
        ),
        Panel(
            "Requests",
            "reqps",
            "By route.",
            (Query("sum by (route) (rate(cradle_viewer_request_seconds_count[5m]))", "{{route}}"),),
        ),
        Panel(
            "Time to answer, p95",
            "s",
            "To the head of the answer, by route.",
            (
                Query(
                    "histogram_quantile(0.95, "
                    "sum by (route, le) (rate(cradle_viewer_request_seconds_bucket[5m])))",
                    "{{route}}",
                ),
            ),
        ),
        Panel(
            "Events taken",
            "cps",
            "From the broker, by stage; none is a page that does not see what changes.",
            (Query("sum by (stage) (rate(cradle_viewer_events_total[5m]))", "{{stage}}"),),
        ),
        Panel(
            "Time since the bucket was read",
            "s",
            "All of each camera is read four times a day; more than that is a store that is away.",
            (
                Query(
                    "time() - max by (camera) "
                    '(cradle_viewer_index_read_timestamp_seconds{camera=~"$camera"})',
                    "{{camera}}",
                ),
            ),
        ),
        Panel(
            "Faults",
            "short",
            "In an hour: sessions with the broker and readings of the bucket that broke off, what "
            "cannot be read of events and objects, and pages that did not take their events.",
            (
                Query("sum(increase(cradle_viewer_feeds_broken_off_total[1h]))", "sessions"),
                Query("sum(increase(cradle_viewer_readings_broken_off_total[1h]))", "readings"),
                Query("sum(increase(cradle_viewer_bad_events_total[1h]))", "bad events"),
                Query("sum(increase(cradle_viewer_unreadable_objects_total[1h]))", "objects"),
                Query("sum(increase(cradle_viewer_dropped_pages_total[1h]))", "pages dropped"),
            ),
        ),
        *worker_panels(Stage.VIEWER),
    ),
)
