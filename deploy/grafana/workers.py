"""What every stage's page ends with: its processes."""

from deploy.grafana.panel import Panel, Query
from shared.messages import Stage


def worker_panels(stage: Stage) -> tuple[Panel, ...]:
    """Processor, memory, interruptions and, where there are any, seats of a stage's workers."""
    mine = f'job="{stage}"'
    seats = Panel(
        "Seats held",
        "short",
        "Cameras of each worker; the shares should be even. Without an owner: nobody has them.",
        (
            Query(f"sum by (instance) (cradle_seats_held_cameras{{{mine}}})", "{{instance}}"),
            Query(f"max(cradle_seats_unowned_cameras{{{mine}}})", "without an owner"),
        ),
    )
    has_seats = stage in {Stage.INGEST, Stage.ENCODER, Stage.ARCHIVER}
    return (
        Panel(
            "Interrupted",
            "short",
            "Times in 15 minutes that the work was built anew, by reason. A broker or a store that "
            "was away shows here in every stage.",
            (
                Query(
                    f"sum by (reason) (increase(cradle_worker_restarts_total{{{mine}}}[15m])) > 0",
                    "{{reason}}",
                ),
                Query(f"changes(process_start_time_seconds{{{mine}}}[15m]) > 0", "new process"),
            ),
        ),
        *([seats] if has_seats else []),
        Panel(
            "Processor",
            "percentunit",
            "Share of one core that each worker uses, without its ffmpeg children.",
            (Query(f"rate(process_cpu_seconds_total{{{mine}}}[5m])", "{{instance}}"),),
        ),
        Panel(
            "Memory",
            "bytes",
            "Resident memory of each worker; a line that only rises is a fault to report.",
            (Query(f"process_resident_memory_bytes{{{mine}}}", "{{instance}}"),),
        ),
    )
