"""Live output under the login: playlists and segments, and nothing else of it."""

import asyncio
import re
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from shared.identity import EPOCH_PATTERN
from viewer import context
from viewer.answers import Camera, no_such
from viewer.guard import Watcher

router = APIRouter(prefix="/api/cameras/{camera}/live", tags=["live"])

PLAYLIST: Final = "index.m3u8"
TYPES: Final = {
    "m3u8": "application/vnd.apple.mpegurl",
    "ts": "video/mp2t",
    "m4s": "video/iso.segment",
    "mp4": "video/mp4",
}
_SEGMENT: Final = re.compile(r"(?:\d{6,12}|init)\.(?:ts|m4s|mp4)", re.ASCII)
_GENERATION: Final = re.compile(EPOCH_PATTERN, re.ASCII)


@router.get(f"/{PLAYLIST}", response_class=Response, responses={404: {}})
async def playlist(camera: Camera, session: Watcher, request: Request) -> Response:
    """The HLS playlist of a camera."""
    here = context.of(request)
    content = await _read(here, f"{camera}/{PLAYLIST}")
    here.access.watched(session.user.name, camera, "live")
    return Response(content, media_type=TYPES["m3u8"])


@router.get("/{generation}/{name}", response_class=Response, responses={404: {}})
async def segment(
    camera: Camera, generation: str, name: str, _session: Watcher, request: Request
) -> Response:
    """A segment that the playlist names."""
    if not (_GENERATION.fullmatch(generation) and _SEGMENT.fullmatch(name)):
        raise no_such("segment")
    content = await _read(context.of(request), f"{camera}/{generation}/{name}")
    return Response(content, media_type=TYPES[name.rpartition(".")[2]])


async def _read(here: context.Context, name: str) -> bytes:
    """All of a file, at once: the next moment it may be another, or gone. Raises 404."""
    reading = asyncio.wrap_future(here.live.read(name))
    content = await asyncio.shield(reading)  # others wait for it too
    if content is None:
        raise no_such("live picture now")
    return content
