"""Why footage is missing, in few words that can be counted.

Records say why in sentences (`broke off: Connection timed out`); a report over a day groups them by
cause and shows the sentence beside. A sentence that is not known here is `other`, never guessed.
"""

import re
from enum import StrEnum
from typing import Final


class Cause(StrEnum):
    """What is printed as the cause."""

    CAMERA_OFFLINE = "camera offline"
    CAMERA_SILENT = "camera sent nothing"
    CAMERA_CLOCK = "camera clock"
    SOURCE_ENDED = "source ended"
    STREAM_CHANGED = "stream changed"
    INGEST_DOWN = "ingest down"
    HANDED_OVER = "handed over"
    FRAME_STORE = "frame store full"
    CLOCK_STEP = "clock step"
    DELETED = "deleted before it was stored"
    LOST = "lost"
    UNREADABLE = "unreadable"
    EXPIRED = "expired"
    NOT_RECORDING = "not yet recording"
    PENDING = "not yet stored"
    OTHER = "other"
    UNKNOWN = "unknown"


_PATTERNS: Final = (
    (Cause.CLOCK_STEP, r"the wall clock was stepped"),
    (Cause.CAMERA_CLOCK, r"media time is|timestamps ran|the epoch is 12 h old"),
    (Cause.STREAM_CHANGED, r"the stream's parameters changed|it is another video now"),
    (Cause.FRAME_STORE, r"the (?:disk of the )?frame store "),
    (Cause.INGEST_DOWN, r"ingest was |this worker was frozen"),
    (Cause.HANDED_OVER, r"fair share is|another worker has the seat|handed over to"),
    (Cause.SOURCE_ENDED, r"source ended"),
    (
        Cause.CAMERA_OFFLINE,
        r"cannot be (?:opened|used)|broke off|no video for|nothing came for|there is no (?:camera"
        r"|video)|the device gives|not one (?:packet|frame)|no key frame came|the server ended"
        r"|it is not a video",
    ),
    (Cause.DELETED, r"quota$|retention$"),
    (
        Cause.LOST,
        r"neither delivered nor|gone from the frame store|fragments? [\d-]+ are missing"
        r"|in no clip, and nobody",
    ),
    (Cause.UNREADABLE, r"cannot be read in the frame store"),
    (Cause.CAMERA_SILENT, r"the source sent no frames"),
    (Cause.UNKNOWN, r"no fragment was recorded"),
)


def cause_of(words: str) -> Cause:
    """The cause that a recorded reason stands for."""
    words = words.removeprefix("the last epoch ended: ")
    return next((cause for cause, form in _PATTERNS if re.match(form, words)), Cause.OTHER)
