"""One small picture of any stored moment, for the timeline: decoded from the clip's key frame."""

import threading
from collections import OrderedDict
from datetime import timedelta
from typing import Annotated, Any, Final

import av
import cv2
import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import AwareDatetime

from shared.clipfolder import LONGEST_CLIP_SECONDS
from shared.clock import milliseconds
from shared.objectstore import ObjectStore
from viewer import context
from viewer.answers import Camera, no_such
from viewer.guard import Watcher
from viewer.remotefile import RemoteFile

router = APIRouter(prefix="/api/cameras/{camera}/picture", tags=["clips"])

WIDTH: Final = 320
STEP_SECONDS: Final = 10
"""Moments this near to each other share a picture."""
KEPT: Final = 500
AT_ONCE: Final = 2
PATIENCE_SECONDS: Final = 1.0
QUALITY: Final = 75

_places = threading.Semaphore(AT_ONCE)
_lock = threading.Lock()
_kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()

At = Annotated[AwareDatetime, Query(description="The moment, with its zone.")]


@router.get("", response_class=Response, responses={404: {}, 503: {}})
def picture(camera: Camera, at: At, session: Watcher, request: Request) -> Response:
    """A JPEG, 320 pixels wide, of a stored moment or a few seconds before it."""
    here = context.of(request)
    moment = milliseconds(at)
    rows = here.index.clips_between(camera, moment - 2 * LONGEST_CLIP_SECONDS * 1000, moment + 1)
    row = next((each for each in reversed(rows) if each["ends"] > moment), None)
    if row is None:
        raise no_such("footage at this moment")
    here.access.watched(session.user.name, camera, "picture", minute=f"{at:%Y-%m-%dT%H:%M%z}")
    step = (moment - row["starts"]) // (STEP_SECONDS * 1000)
    name = (row["object_key"], step)
    with _lock:
        found = _kept.get(name)
    if found is None:
        if not _places.acquire(timeout=PATIENCE_SECONDS):
            raise HTTPException(503, "too many pictures are asked for; try again")
        try:
            found = _decode(here.store, row, timedelta(seconds=step * STEP_SECONDS))
        finally:
            _places.release()
        with _lock:
            _kept[name] = found
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
    return Response(found, media_type="image/jpeg")


def _decode(store: ObjectStore, row: Any, into: timedelta) -> bytes:
    """The last key frame by that time into the clip. Raises 404 if it cannot be decoded."""
    file = RemoteFile(store, row["object_key"], row["bytes"])
    form = {"mp4": "mp4", "ts": "mpegts"}[row["container"]]
    try:
        with av.open(file, "r", format=form) as source:
            video = source.streams.video[0]
            video.codec_context.skip_frame = "NONKEY"
            if form == "mp4" and into and video.time_base is not None:
                start = video.start_time or 0
                offset = start + round(into.total_seconds() / video.time_base)
                source.seek(offset, stream=video, backward=True)
            frame = next(source.decode(video), None)
            if frame is None:
                raise no_such("picture that can be decoded")
            height = max(2, round(WIDTH * frame.height / frame.width))
            small = frame.reformat(WIDTH, height, format="bgr24").to_ndarray()
    except (av.FFmpegError, IndexError) as error:
        raise HTTPException(404, f"the clip cannot be decoded: {error}") from None
    good, jpeg = cv2.imencode(
        ".jpg", np.ascontiguousarray(small), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    if not good:
        raise no_such("picture")
    return jpeg.tobytes()
