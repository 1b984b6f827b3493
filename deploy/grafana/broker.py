"""The broker's page: what waits where, and whether RabbitMQ has room."""

from deploy.grafana.panel import Page, Panel, Query


def waiting(queues: str, title: str, description: str) -> Panel:
    """Messages in the queues whose name matches."""
    return Panel(
        title,
        "short",
        description,
        (
            Query(
                f'topk(20, sum by (queue) (rabbitmq_detailed_queue_messages{{queue=~"{queues}"}}))',
                "{{queue}}",
            ),
        ),
    )


PAGE = Page(
    "rabbitmq",
    "Cradle: RabbitMQ",
    "Queues and room of the broker.",
    (
        Panel(
            "Alarms",
            "short",
            "Memory and disk: while one stands, the broker takes no messages.",
            (
                Query("max(rabbitmq_alarms_memory_used_watermark)", "memory"),
                Query("max(rabbitmq_alarms_free_disk_space_watermark)", "disk"),
            ),
            "stat",
            width=6,
            warn=1,
        ),
        Panel(
            "Dead letters",
            "short",
            "`cradle lost list` says of each why it lies there.",
            (Query('sum(rabbitmq_detailed_queue_messages{queue="lost"}) or vector(0)'),),
            "stat",
            width=6,
            warn=1,
        ),
        Panel(
            "Connections",
            "short",
            "Two of each worker: one to publish, one to consume.",
            (Query("sum(rabbitmq_connections)"),),
            "stat",
            width=6,
        ),
        Panel(
            "Queues",
            "short",
            "Of a camera: encoder, archiver, stored, seat of ingest (and of a quorum archive).",
            (Query("sum(rabbitmq_queues)"),),
            "stat",
            width=6,
        ),
        waiting(
            "archiver[.].+",
            "Fragments for the archiver",
            "A saw up to a clip's worth is usual; a line that rises is an archive that is behind.",
        ),
        waiting(
            "encoder[.].+",
            "Batches for the encoder",
            "A few at most: what is older than five seconds falls out.",
        ),
        waiting("analyzer", "Samples", "At 32 the oldest fall out: more analyzers are needed."),
        waiting("stored[.].+|viewer[.].+", "Events", "For ingest's cleaning and for the page."),
        Panel(
            "Unacknowledged",
            "short",
            "Delivered and not done with; of archiver queues up to three clips.",
            (
                Query(
                    "topk(20, sum by (queue) (rabbitmq_detailed_queue_messages_unacked) > 0)",
                    "{{queue}}",
                ),
            ),
        ),
        Panel(
            "Queues without a consumer",
            "short",
            "Nobody works on that camera in that stage. `lost` has none on purpose.",
            (
                Query(
                    'sum by (queue) (rabbitmq_detailed_queue_consumers{queue!="lost"}) == 0',
                    "{{queue}}",
                ),
            ),
        ),
        Panel(
            "Messages",
            "cps",
            "A second, of all queues: published, and delivered.",
            (
                Query("sum(rate(rabbitmq_global_messages_received_total[5m]))", "published"),
                Query("sum(rate(rabbitmq_global_messages_delivered_total[5m]))", "delivered"),
                Query("sum(rate(rabbitmq_global_messages_redelivered_total[5m]))", "again"),
            ),
        ),
        Panel(
            "Connections opened and closed",
            "cps",
            "Many is a worker that begins again and again.",
            (
                Query("sum(rate(rabbitmq_connections_opened_total[5m]))", "opened"),
                Query("sum(rate(rabbitmq_connections_closed_total[5m]))", "closed"),
            ),
        ),
        Panel(
            "Memory",
            "bytes",
            "At the limit the broker takes no messages.",
            (
                Query("rabbitmq_process_resident_memory_bytes", "{{instance}}"),
                Query("rabbitmq_resident_memory_limit_bytes", "limit {{instance}}"),
            ),
        ),
        Panel(
            "Disk",
            "bytes",
            "Room on the broker's disk; at the limit it takes no messages.",
            (
                Query("rabbitmq_disk_space_available_bytes", "{{instance}}"),
                Query("rabbitmq_disk_space_available_limit_bytes", "limit {{instance}}"),
            ),
        ),
    ),
)
