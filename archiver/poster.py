"""A clip's poster: its first key frame as a small JPEG, for the timeline."""

from io import BytesIO
from typing import Final

import av
import cv2

from archiver.convert import UNPROBED
from shared.errors import CradleError, StoreUnavailable
from shared.framestore import FrameStore
from shared.log import Log
from shared.messages import Fragment

WIDTH_PIXELS: Final = 640
QUALITY: Final = 80


def make_poster(frames: FrameStore, fragment: Fragment, log: Log) -> bytes | None:
    """The picture, or None: a clip without a poster is a clip all the same.

    Raises StoreUnavailable: the picture may be had when the frame store is back.
    """
    try:
        return encode_poster(frames.read(fragment.path, 0, fragment.key_frame_bytes))
    except StoreUnavailable:
        raise
    except (CradleError, av.FFmpegError, cv2.error, ValueError, IndexError, OSError) as error:
        log.warning("no poster", action="clip.no_poster", camera=fragment.camera, reason=str(error))
        return None


def encode_poster(data: bytes) -> bytes:
    """Decode the first frame of a transport stream and encode it as JPEG."""
    with av.open(BytesIO(data), "r", format="mpegts", container_options=UNPROBED) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        frame = next(container.decode(stream), None)
        if frame is None:
            raise ValueError("the key frame could not be decoded")
        width = min(WIDTH_PIXELS, frame.width) // 2 * 2
        height = max(2, round(frame.height * width / frame.width / 2) * 2)
        picture = frame.reformat(width=width, height=height, format="bgr24").to_ndarray()
    good, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not good:
        raise ValueError("the picture could not be encoded")
    return jpeg.tobytes()
