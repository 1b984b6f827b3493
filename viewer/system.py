"""The operator's view: replicas, seats, queues, lag, room on the disk, last errors.

Looked at when somebody asks, and kept for a few seconds. Who holds a seat is what the events say;
whether anybody holds it is what the broker says.
"""

import shutil
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from shared.clock import from_milliseconds
from shared.custody import EpochEnded, read_custody
from shared.messages import Stage
from shared.topology import (
    analyzer_queue,
    archiver_queue,
    archiver_seat_queue,
    encoder_queue,
    ingest_seat_queue,
    presence_queue,
)
from viewer import context
from viewer.broker import SEATED, QueueFacts
from viewer.context import Context
from viewer.guard import Operator
from viewer.states import Expired

router = APIRouter(prefix="/api/system", tags=["system"])

_LAST_WORD: Final = {
    Stage.INGEST: ("online", "offline"),
    Stage.ENCODER: ("live", "stalled", "starting"),
    Stage.ARCHIVER: ("stored",),
}


class Seat(BaseModel):
    """Who works on a camera in a stage."""

    stage: Stage = Field(description="Stage.")
    is_held: bool = Field(description="Somebody holds it, says the broker.")
    worker: str | None = Field(description="Who was last heard of.")


class CameraFacts(BaseModel):
    """One camera for the operator."""

    id: str = Field(description="Camera id.")
    title: str = Field(description="What people call the room.")
    live: str = Field(description="How live it is.")
    last_error: str = Field(
        description="Why its recording was interrupted last; empty if it never was."
    )
    last_error_at: datetime | None = Field(description="When that was, UTC.")
    archive_lag_seconds: float | None = Field(
        description="Since the end of the newest stored clip; none is stored if null."
    )
    expired: Expired | None = Field(
        description="Footage that was deleted within a day, before it was known to be stored."
    )
    seats: list[Seat] = Field(description="By stage.")


class Disk(BaseModel):
    """Room where fragments are kept."""

    total_bytes: int | None = Field(description="Size of the file system; null for a bucket.")
    free_bytes: int | None = Field(description="Free for us; null for a bucket.")
    used_bytes: int = Field(description="In fragments, all cameras; up to a minute old.")
    quota_bytes: int = Field(description="What the frame store may take.")


class OtherPage(BaseModel):
    """Another page."""

    name: str = Field(description="`broker`, `grafana`, `bucket`.")
    address: str = Field(description="Its address.")


class SystemFacts(BaseModel):
    """Everything."""

    broker_since: datetime | None = Field(description="Connected since, UTC; null: it is away.")
    broker_reason: str = Field(description="Why it is away.")
    replicas: dict[str, int] = Field(description="Living workers by stage.")
    cameras: list[CameraFacts] = Field(description="All of the configuration.")
    queues: list[QueueFacts] = Field(description="Of all stages.")
    frame_store: Disk | None = Field(description="Null if it is not to be seen from here.")
    links: list[OtherPage] = Field(description="Pages to go on to.")


@router.get("")
def system(_session: Operator, request: Request) -> SystemFacts:
    """How everything is."""
    here = context.of(request)
    queues = here.broker.look()
    replicas = {
        stage.value: queues[name].consumers
        for stage in SEATED
        if (name := presence_queue(stage).name) in queues
    }
    if analyzer_queue().name in queues:
        replicas[Stage.ANALYZER.value] = queues[analyzer_queue().name].consumers
    links, kind = here.settings.viewer.links, here.settings.broker.archive_queue
    named = {"broker": links.broker, "bucket": links.bucket, "grafana": links.grafana}
    cameras = [_camera(here, each.id, each.title, queues) for each in here.settings.cameras]
    return SystemFacts(
        broker_since=here.states.broker_since,
        broker_reason="" if here.states.broker_since else here.states.broker_reason,
        replicas=replicas,
        cameras=cameras,
        queues=_with_ages(
            queues,
            {archiver_queue(each.id, kind).name: each.archive_lag_seconds for each in cameras},
        ),
        frame_store=_disk(here),
        links=[OtherPage(name=name, address=address) for name, address in named.items() if address],
    )


def _with_ages(queues: dict[str, QueueFacts], ages: dict[str, float | None]) -> list[QueueFacts]:
    """Those that messages go through. Of a camera's fragments none is older than what is stored."""
    shown = [each for each in queues.values() if not each.name.startswith(("presence", "seat"))]
    return [
        each.model_copy(update={"age_seconds": ages.get(each.name, each.age_seconds)})
        for each in sorted(shown, key=lambda each: each.name)
    ]


def _camera(here: Context, camera: str, title: str, queues: dict[str, QueueFacts]) -> CameraFacts:
    seat_queues = {
        Stage.INGEST: ingest_seat_queue(camera).name,
        Stage.ENCODER: encoder_queue(camera).name,
        Stage.ARCHIVER: archiver_seat_queue(camera, here.settings.broker.archive_queue).name,
    }
    seats = []
    for stage, name in seat_queues.items():
        said = here.states.last(camera, stage, *_LAST_WORD[stage])
        is_held = name in queues and queues[name].consumers > 0
        worker = said.worker if said is not None else None
        seats.append(Seat(stage=stage, is_held=is_held, worker=worker))
    last_error, last_error_at = _last_error(here, camera)
    newest = here.index.select(
        "SELECT ends FROM clips WHERE camera = ? ORDER BY starts DESC LIMIT 1", (camera,)
    )
    lag = None
    if newest:
        lag = (here.clock.now() - from_milliseconds(newest[0]["ends"])).total_seconds()
    return CameraFacts(
        id=camera,
        title=title,
        live=here.states.live(camera)[0],
        last_error=last_error,
        last_error_at=last_error_at,
        archive_lag_seconds=lag,
        expired=here.states.expired(camera),
        seats=seats,
    )


def _last_error(here: Context, camera: str) -> tuple[str, datetime | None]:
    """What ingest said last, or, if this replica has heard nothing, what is recorded."""
    said = here.states.last(camera, Stage.INGEST, "offline")
    if said is not None:
        return str(said.detail.get("reason", "")), said.at
    rows = here.index.select(
        "SELECT body FROM records WHERE camera = ? AND kind = 'epoch-ended'"
        " ORDER BY key DESC LIMIT 1",
        (camera,),
    )
    record = read_custody(rows[0]["body"].encode()) if rows else None
    return (record.reason, record.ended_at) if isinstance(record, EpochEnded) else ("", None)


def _disk(here: Context) -> Disk | None:
    frames = here.settings.frames
    total = free = None
    if frames.bucket is None:
        try:
            total, _, free = shutil.disk_usage(frames.root)
        except OSError:
            return None
    return Disk(
        total_bytes=total,
        free_bytes=free,
        used_bytes=here.frames_used.get(),
        quota_bytes=round(frames.quota_gib * 1024**3),
    )
