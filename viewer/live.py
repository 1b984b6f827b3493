"""The live folder under the login: playlists and segments, and nothing else of it."""

import re
import stat
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, Response

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
def playlist(camera: Camera, session: Watcher, request: Request) -> Response:
    """The HLS playlist of a camera."""
    here = context.of(request)
    try:
        # Read whole: it is replaced each second, by one of another length.
        content = (here.settings.live.root / camera / PLAYLIST).read_bytes()
    except OSError:
        raise HTTPException(404, "the camera is not live") from None
    here.access.watched(session.user.name, camera, "live")
    return Response(content, media_type=TYPES["m3u8"], headers={"cache-control": "no-cache"})


@router.get("/{generation}/{name}", response_class=FileResponse, responses={404: {}})
def segment(
    camera: Camera, generation: str, name: str, _session: Watcher, request: Request
) -> FileResponse:
    """A segment that the playlist names."""
    if not (_GENERATION.fullmatch(generation) and _SEGMENT.fullmatch(name)):
        raise no_such("segment")
    path = context.of(request).settings.live.root / camera / generation / name
    try:
        status = path.lstat()
    except OSError:
        raise no_such("segment") from None
    if not stat.S_ISREG(status.st_mode):  # a link could lead anywhere
        raise no_such("segment")
    return FileResponse(
        path,
        media_type=TYPES[path.suffix[1:]],
        headers={"cache-control": "private, max-age=60"},
        stat_result=status,
    )
