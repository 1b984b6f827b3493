"""Clips: playing (byte ranges through the login), downloading, posters, and the hold on a clip."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse

from shared.errors import AlreadyExists
from viewer import answers, context
from viewer.answers import Camera, Epoch, First, no_such
from viewer.context import Context
from viewer.guard import Operator, Watcher
from viewer.index import Row
from viewer.ranges import parse_range
from viewer.reading import HOLDS
from viewer.transcode import as_h264

router = APIRouter(prefix="/api/cameras/{camera}/clips/{epoch}/{first}", tags=["clips"])

HoldReason = Annotated[str, Query(max_length=200, description="Why, for those who come later.")]
TYPES = {"mp4": "video/mp4", "ts": "video/mp2t"}
_PARTIAL: dict[int | str, dict[str, Any]] = {206: {}, 404: {}, 416: {}}


@router.get("", responses={404: {}})
def clip(
    camera: Camera, epoch: Epoch, first: First, _session: Watcher, request: Request
) -> answers.Clip:
    """One clip."""
    here = context.of(request)
    return answers.clip(find(here, camera, epoch, first), here.index.held(camera))


@router.get("/video", response_class=StreamingResponse, responses=_PARTIAL)
def video(
    camera: Camera, epoch: Epoch, first: First, session: Watcher, request: Request
) -> Response:
    """The clip itself, or the byte range that is asked for."""
    here = context.of(request)
    row = find(here, camera, epoch, first)
    here.access.watched(session.user.name, camera, "clip", key=row["object_key"])
    return _stream(here, row, request.headers.get("range"), {})


@router.get("/download", response_class=StreamingResponse, responses=_PARTIAL)
def download(
    camera: Camera, epoch: Epoch, first: First, session: Operator, request: Request
) -> Response:
    """The clip as a file to keep."""
    here = context.of(request)
    row = find(here, camera, epoch, first)
    here.access.watched(session.user.name, camera, "download", key=row["object_key"])
    name = row["object_key"].rpartition("/")[2]
    return _stream(
        here,
        row,
        request.headers.get("range"),
        {"content-disposition": f'attachment; filename="{name}"'},
    )


@router.get("/h264", response_class=StreamingResponse, responses={404: {}, 503: {}})
def h264(
    camera: Camera, epoch: Epoch, first: First, session: Watcher, request: Request
) -> StreamingResponse:
    """An HEVC clip for browsers that cannot play it: encoded anew while it is played."""
    here = context.of(request)
    row = find(here, camera, epoch, first)
    here.access.watched(session.user.name, camera, "clip", key=row["object_key"])
    pieces = as_h264(here.store, row["object_key"], row["bytes"], here.log)
    if pieces is None:
        raise HTTPException(503, "other clips are being encoded; try again in a minute")
    return StreamingResponse(pieces, media_type="video/mp4")


@router.get("/poster", response_class=Response, responses={404: {}})
def poster(
    camera: Camera, epoch: Epoch, first: First, session: Watcher, request: Request
) -> Response:
    """A JPEG of the clip's first frame."""
    here = context.of(request)
    row = find(here, camera, epoch, first)
    here.access.watched(session.user.name, camera, "poster", key=row["object_key"])
    picture = None if row["poster_key"] is None else here.store.read(row["poster_key"])
    if picture is None:
        raise no_such("poster")
    return Response(picture, media_type="image/jpeg")


@router.put("/hold", status_code=204, responses={404: {}})
def hold(
    camera: Camera,
    epoch: Epoch,
    first: First,
    session: Operator,
    request: Request,
    reason: HoldReason = "",
) -> None:
    """Keep the clip, and what was seen in its time, from expiring."""
    here = context.of(request)
    row = find(here, camera, epoch, first)
    key = HOLDS + row["key"]
    words = f"{here.clock.now().isoformat()} by {session.user.name}: {reason}\n"
    with suppress(AlreadyExists):  # somebody else holds it, with words of their own
        here.store.create_bytes(key, words.encode(), content_type="text/plain; charset=utf-8")
    if any(here.store.stat(each) is None for each in (row["key"], row["object_key"])):
        here.store.remove(key)  # it has expired meanwhile: nothing is kept
        raise no_such("clip any more")
    here.index.put([Row("holds", {"key": key, "camera": camera})])
    here.log.info("clip held", action="hold.set", user=session.user.name, key=row["key"])


@router.delete("/hold", status_code=204, responses={404: {}})
def release(
    camera: Camera, epoch: Epoch, first: First, session: Operator, request: Request
) -> None:
    """Let it expire like any other."""
    here = context.of(request)
    row = find(here, camera, epoch, first)
    here.store.remove(HOLDS + row["key"])
    here.index.remove("holds", [HOLDS + row["key"]])
    here.log.info("hold released", action="hold.released", user=session.user.name, key=row["key"])


def find(here: Context, camera: str, epoch: str, first: int) -> Any:
    """The clip's row. Raises 404."""
    row = here.index.clip(camera, epoch, first)
    if row is None:
        raise no_such("clip")
    return row


def _stream(here: Context, row: Any, range_: str | None, headers: dict[str, str]) -> Response:
    size, key = row["bytes"], row["object_key"]
    try:
        part = parse_range(range_, size)
    except ValueError:
        return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
    headers = {**headers, "accept-ranges": "bytes"}
    first, length = (0, size) if part is None else (part.first, part.length)
    if part is not None:
        headers["content-range"] = f"bytes {part.first}-{part.last}/{size}"
    headers["content-length"] = str(length)
    return StreamingResponse(
        _begun(here.store.stream(key, first, length)),
        status_code=200 if part is None else 206,
        media_type=TYPES[row["container"]],
        headers=headers,
    )


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """With the first piece already there: what goes wrong until then is still an answer."""
    first = next(pieces, b"")

    def all_of() -> Iterator[bytes]:
        yield first
        yield from pieces

    return all_of()
