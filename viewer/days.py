"""Cameras and their days: what is stored, what is missing and why, clips, and what was seen."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import BaseModel, Field

from shared.clock import from_milliseconds, milliseconds
from shared.coverage.causes import cause_of
from shared.coverage.day import Coverage, Evidence, Rules, cover
from shared.coverage.epochs import Unreadable
from shared.coverage.evidence import AROUND, LONGEST_EPOCH
from shared.coverage.facts import hole_facts, span_facts
from shared.coverage.footage import Span as DaySpan
from shared.coverage.footage import Stretch
from shared.coverage.localday import local_day
from shared.custody import read_custody
from shared.manifest import Gap
from viewer import answers, context
from viewer.answers import Camera, Clip, Hole, Note, Span, no_such
from viewer.context import Context
from viewer.guard import Watcher
from viewer.index import Index
from viewer.states import Expired

router = APIRouter(prefix="/api/cameras", tags=["cameras"])

Day = Annotated[date, Path(description="A local day, YYYY-MM-DD.")]
_AROUND = round(AROUND.total_seconds() * 1000)


class CameraState(BaseModel):
    """One camera now."""

    id: str = Field(description="Camera id.")
    title: str = Field(description="What people call the room.")
    is_configured: bool = Field(description="False: only its footage is left.")
    live: Literal["live", "stalled", "offline", "unknown"] = Field(description="How live it is.")
    cause: str = Field(description="Why it is not live, in few words; empty if nothing was said.")
    reason: str = Field(description="The same as it was said.")
    last_clip_ends_at: datetime | None = Field(description="End of the newest stored clip, UTC.")
    last_note: Note | None = Field(description="What was seen last.")
    expired: Expired | None = Field(
        description="Footage that was deleted within a day, before it was known to be stored."
    )


class DayOfCamera(BaseModel):
    """One local day of a camera."""

    camera: str = Field(description="Camera id.")
    day: date = Field(description="The local day.")
    starts_at: datetime = Field(description="Its first moment, UTC.")
    ends_at: datetime = Field(description="Its last moment, or now, UTC.")
    whole_ends_at: datetime = Field(description="Its last moment, also if that is to come, UTC.")
    stored_seconds: float = Field(description="With footage in the bucket.")
    missing_seconds: float = Field(description="Without, for the reasons given.")
    not_yet_stored_seconds: float = Field(description="Still on its way.")
    stored: list[Span] = Field(description="Times with footage.")
    missing: list[Hole] = Field(description="Times without.")
    not_yet_stored: list[Hole] = Field(description="Times that may still be on their way.")
    clips: list[Clip] = Field(description="Clips that reach into the day.")
    notes: list[Note] = Field(description="What was seen, in order of time.")


@router.get("")
def cameras(_session: Watcher, request: Request) -> list[CameraState]:
    """All cameras, and how they are."""
    here = context.of(request)
    return [_state(here, camera, title) for camera, title in here.cameras().items()]


@router.get("/{camera}/days", responses={404: {}})
def days(camera: Camera, _session: Watcher, request: Request) -> list[date]:
    """Local days with footage, the newest first."""
    here = context.of(request)
    _demand(here, camera)
    zone = here.settings.zone
    rows = here.index.select(
        "SELECT DISTINCT starts / 3600000 AS hour FROM clips WHERE camera = ?", (camera,)
    )
    found = {from_milliseconds(row["hour"] * 3_600_000).astimezone(zone).date() for row in rows}
    return sorted(found, reverse=True)


@router.get("/{camera}/days/{day}", responses={404: {}})
def day(camera: Camera, day: Day, _session: Watcher, request: Request) -> DayOfCamera:
    """One local day: footage, gaps with their reasons, clips and notes."""
    here = context.of(request)
    _demand(here, camera)
    zone, now = here.settings.zone, here.clock.now()
    try:
        bounds = local_day(day, zone, now)
        whole = local_day(day, zone, datetime.max.replace(tzinfo=UTC) - timedelta(days=2))
    except (ValueError, OverflowError) as error:
        raise HTTPException(404, str(error)) from None
    rules = Rules.of(here.settings)
    found = cover(evidence(here.index, camera, bounds), bounds, now, rules)
    return _answer(here, found, day, whole)


def _answer(here: Context, found: Coverage, day: date, whole: DaySpan) -> DayOfCamera:
    camera, bounds = found.camera, found.day
    held = here.index.held(camera)
    return DayOfCamera(
        camera=camera,
        day=day,
        starts_at=from_milliseconds(bounds.starts),
        ends_at=from_milliseconds(bounds.ends),
        whole_ends_at=from_milliseconds(whole.ends),
        stored_seconds=found.stored_milliseconds / 1000,
        missing_seconds=found.missing_milliseconds / 1000,
        not_yet_stored_seconds=found.pending_milliseconds / 1000,
        stored=[Span.model_validate(span_facts(each)) for each in found.stored],
        missing=[Hole.model_validate(each) for each in hole_facts(found.missing)],
        not_yet_stored=[Hole.model_validate(each) for each in hole_facts(found.pending)],
        clips=[
            answers.clip(row, held)
            for row in here.index.clips_between(camera, bounds.starts - _AROUND, bounds.ends)
            if row["ends"] > bounds.starts
        ],
        notes=[
            answers.note(row)
            for row in here.index.select(
                "SELECT * FROM notes WHERE camera = ? AND starts >= ? AND starts < ?"
                " ORDER BY starts",
                (camera, bounds.starts, bounds.ends),
            )
        ],
    )


def evidence(index: Index, camera: str, day: DaySpan) -> Evidence:
    """What `shared.coverage.evidence.collect` reads from the bucket, from the index."""
    since = index.since(camera)
    if since is None:
        return Evidence(camera)
    earliest, latest = day.starts - _AROUND, day.ends + _AROUND
    stretches: list[Stretch] = []
    gaps: list[Gap] = []
    for row in index.clips_between(camera, earliest, latest):
        stretches += [Stretch(**each) for each in json.loads(row["stretches"])]
        gaps += [Gap.model_validate(each) for each in json.loads(row["gaps"])]
    broken = index.select(
        "SELECT * FROM unreadable WHERE camera = ? AND captured >= ? AND captured < ?",
        (camera, earliest, latest),
    )
    first = from_milliseconds(day.starts).date().isoformat()
    last = (from_milliseconds(day.ends) + LONGEST_EPOCH).date().isoformat()
    before = index.select(
        "SELECT max(day) AS day FROM records WHERE camera = ? AND day < ?"
        " AND kind IN ('epoch-begun', 'epoch-ended')",
        (camera, first),
    )[0]["day"]
    records = index.select(
        "SELECT body FROM records WHERE camera = ? AND (day BETWEEN ? AND ?)",
        (camera, before or first, last),
    )
    return Evidence(
        camera=camera,
        stretches=tuple(stretches),
        records=tuple(read_custody(row["body"].encode()) for row in records),
        gaps=tuple(gaps),
        unreadable=tuple(Unreadable(row["epoch"], row["first"], row["words"]) for row in broken),
        recording_since=since,
    )


def _state(here: Context, camera: str, title: str) -> CameraState:
    live, reason = here.states.live(camera)
    newest = here.index.select(
        "SELECT ends FROM clips WHERE camera = ? ORDER BY starts DESC LIMIT 1", (camera,)
    )
    seen = here.index.select(
        "SELECT * FROM notes WHERE camera = ? ORDER BY starts DESC LIMIT 1", (camera,)
    )
    return CameraState(
        id=camera,
        title=title,
        is_configured=here.settings.camera(camera) is not None,
        live=live,
        cause=cause_of(reason).value if reason else "",
        reason=reason,
        last_clip_ends_at=from_milliseconds(newest[0]["ends"]) if newest else None,
        last_note=answers.note(seen[0]) if seen else None,
        expired=here.states.expired(camera),
    )


def _demand(here: Context, camera: str) -> None:
    if camera not in here.cameras():
        raise no_such("camera")


def day_of(moment: datetime) -> date:
    """The UTC day of a moment: the folder in which the bucket keeps it."""
    return from_milliseconds(milliseconds(moment)).date()
