"""Download of a chosen span, joined from the clips that hold it."""

import secrets
import shutil
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse
from pydantic import AwareDatetime
from starlette.background import BackgroundTask

from shared.clipfolder import LONGEST_CLIP_SECONDS, ClipFolder
from shared.clock import milliseconds
from viewer import context
from viewer.answers import Camera, no_such
from viewer.context import Context
from viewer.guard import Operator
from viewer.join import NotAlike, Part, demand_alike, join, part_of

router = APIRouter(prefix="/api/cameras/{camera}/span", tags=["clips"])

LONGEST: Final = timedelta(hours=4)
FOLDER: Final = "downloads"
AT_ONCE: Final = 2
SPARE_SHARE: Final = 0.3
"""Of the free space of the viewer's folder that one download may take."""

_places = threading.Semaphore(AT_ONCE)

From = Annotated[AwareDatetime, Query(alias="from", description="Begin, with its zone.")]
To = Annotated[AwareDatetime, Query(alias="to", description="End, with its zone.")]


@router.get(
    "",
    response_class=FileResponse,
    responses={404: {}, 409: {}, 503: {}, 507: {}},
)
def span(
    camera: Camera, starts_at: From, ends_at: To, session: Operator, request: Request
) -> FileResponse:
    """One MP4 from `from` to `to`: whole fragments, nothing encoded anew."""
    here = context.of(request)
    if ends_at - starts_at > LONGEST:
        raise HTTPException(409, f"a span in one file is at most {LONGEST} long")
    parts = _parts(here, camera, starts_at, ends_at) if starts_at < ends_at else []
    if not parts:
        raise no_such("footage in this time")
    try:
        demand_alike(parts)
    except NotAlike as error:
        raise HTTPException(409, str(error)) from None
    folder = folder_of(here.settings.viewer.root, here.name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = sum(part.manifest.bytes for part in parts)
    if wanted > shutil.disk_usage(folder).free * SPARE_SHARE:
        raise HTTPException(507, "there is too little space to put the clips together here")
    path = folder / f"{secrets.token_hex(8)}.mp4"
    if not _places.acquire(blocking=False):
        raise HTTPException(503, "other spans are being joined; try again in a minute")
    try:
        frames = join(here.store, parts, path)
    except NotAlike as error:
        path.unlink(missing_ok=True)
        raise HTTPException(409, str(error)) from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        _places.release()
    here.access.watched(
        session.user.name,
        camera,
        "download",
        starts_at=parts[0].starts_at.isoformat(),
        ends_at=parts[-1].ends_at.isoformat(),
        frames=frames,
    )
    return FileResponse(
        path,
        media_type="video/mp4",
        filename=_name(here, camera, parts),
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


def folder_of(root: Path, replica: str) -> Path:
    """Where one replica puts spans together."""
    return root / FOLDER / replica


def clear(root: Path, replica: str) -> None:
    """Remove what downloads left that were cut short by the end of the process before."""
    shutil.rmtree(folder_of(root, replica), ignore_errors=True)


def _parts(here: Context, camera: str, starts_at: datetime, ends_at: datetime) -> list[Part]:
    longest = 2 * LONGEST_CLIP_SECONDS * 1000
    rows = here.index.clips_between(
        camera, milliseconds(starts_at) - longest, milliseconds(ends_at)
    )
    keys = [row["key"] for row in rows if row["ends"] > milliseconds(starts_at)]
    manifests = ClipFolder(here.store, camera).manifests(keys)
    if len(manifests) < len(keys):
        raise HTTPException(409, "a clip in this time has expired or cannot be read")
    found = (part_of(manifest, starts_at, ends_at) for manifest in manifests)
    return [part for part in found if part is not None]


def _name(here: Context, camera: str, parts: list[Part]) -> str:
    starts, ends = (
        moment.astimezone(here.settings.zone) for moment in (parts[0].starts_at, parts[-1].ends_at)
    )
    return f"{camera}_{starts:%Y-%m-%d_%H-%M-%S}_{ends:%H-%M-%S}.mp4"
